//! Deploys systems and runs faults on them, systems taking turns so that a change of the machine hits all alike. Not for judging.

use std::time::Duration;

use crate::enclosure::Enclosure;
use crate::error::{LabError, Result};
use crate::fault::{Fault, Injector};
use crate::keepalived::Keepalived;
use crate::lab::Lab;
use crate::standfast_system::Standfast;
use crate::sys;
use crate::system::System;
use crate::trial::{self, Patience, Trial};

/// How often healing is tried after a trial that was not run to its end.
const HEALS: u32 = 5;

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The faults, in order.
    pub faults: Vec<Fault>,
    /// Idle, loaded or both.
    pub loads: Vec<bool>,
    /// How often each.
    pub trials: u32,
    /// How long to watch.
    pub patience: Patience,
}

/// A fault that could not be run to its end.
#[derive(Debug)]
pub struct Broken {
    /// The system.
    pub system: String,
    /// The fault.
    pub fault: Fault,
    /// What happened.
    pub error: LabError,
}

/// Deploys the system called `name`: `standfast` (or `standfast=PROFILE`), `keepalived` (or `keepalived=ADVERT_INT`), in lab number `number`.
///
/// # Errors
/// When the name is unknown or the system cannot be deployed.
pub fn deploy(name: &str, number: u8, enclosure: &Enclosure) -> Result<Box<dyn System>> {
    let (kind, variant) = name.split_once('=').unwrap_or((name, ""));
    let or = |default| if variant.is_empty() { default } else { variant };
    match kind {
        "standfast" => {
            let lab = Lab::create(enclosure, number, 3)?;
            Ok(Box::new(Standfast::deploy(lab, or("lan"))?))
        }
        "keepalived" => {
            let mut system = Keepalived::new(Lab::create(enclosure, number, 2)?, or("1"));
            system.start()?;
            Ok(Box::new(system))
        }
        _ => Err(LabError::Unexpected(format!(
            "no system {name}; known: standfast, standfast=PROFILE, keepalived, keepalived=ADVERT_INT"
        ))),
    }
}

/// Runs `plan` on `systems` and hands every result to `report` as soon as it is there. After a trial that could not be run to its end
/// the system is healed and the next one is tried.
///
/// # Errors
/// When `report` fails or a probe cannot be started.
pub fn run(
    systems: &mut [Box<dyn System>],
    plan: &Plan,
    report: &mut dyn FnMut(std::result::Result<Trial, Broken>) -> Result<()>,
) -> Result<()> {
    let mut injector = Injector::default();
    // Faults must happen when they are said to happen, also while all cores are busy. What this thread starts does not inherit it.
    sys::take_realtime_priority().ok();
    for number in 1..=plan.trials {
        for fault in &plan.faults {
            for loaded in &plan.loads {
                for system in systems.iter_mut().filter(|system| system.supports(*fault)) {
                    let what = (*fault, *loaded, number);
                    report(one(system.as_mut(), &mut injector, what, plan.patience)?)?;
                }
            }
        }
    }
    Ok(())
}

fn one(
    system: &mut dyn System,
    injector: &mut Injector,
    what: (Fault, bool, u32),
    patience: Patience,
) -> Result<std::result::Result<Trial, Broken>> {
    let probe = system.lab().probe()?;
    let result = trial::run(system, &probe, injector, what, patience);
    Ok(match result {
        Ok(trial) => Ok(trial),
        Err(error) => {
            for attempt in 1.. {
                std::thread::sleep(Duration::from_secs(1));
                match injector.heal(system, false) {
                    Err(again) if attempt == HEALS => return Err(again),
                    Err(_) => {}
                    Ok(_) => break,
                }
            }
            Err(Broken {
                system: system.name().to_owned(),
                fault: what.0,
                error,
            })
        }
    })
}
