//! Deploys systems and runs faults on them, on all systems at once so that a change of the machine hits all alike. Not for judging.

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use crate::enclosure::Enclosure;
use crate::error::{LabError, Result};
use crate::fault::{Fault, Injector};
use crate::keepalived::Keepalived;
use crate::lab::Lab;
use crate::load::Load;
use crate::pacemaker::{Pacemaker, Variant};
use crate::pair::Pair;
use crate::standfast_system::Arbiter;
use crate::standfast_system::Standfast;
use crate::system::System;
use crate::trial::{self, Patience, Trial};
use standfast_unrest::{Priority, Unrest, Watch};

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
    /// How calm the machine was meanwhile.
    pub unrest: Unrest,
}

/// What to do after a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next fault.
    Go,
    /// The same fault, on the system that the result is from.
    Again,
}

/// Deploys the system called `name`: `standfast` (or `standfast=PROFILE`), `pair` (or `pair=PROFILE`, or `pair=PROFILE,ping`), `keepalived` (or `keepalived=ADVERT_INT`),
/// `pacemaker` (or `pacemaker=VARIANT`, see [`Variant::parse`]), in lab number `number`.
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
        "pair" => {
            let (profile, arbiter) = match variant.split_once(',') {
                Some((profile, "ping")) => (profile, Arbiter::Ping),
                _ => (or("lan"), Arbiter::Fence),
            };
            let lab = Lab::create(enclosure, number, 2)?;
            Ok(Box::new(Pair::deploy(lab, profile, arbiter)?))
        }
        "keepalived" => {
            let mut system = Keepalived::new(Lab::create(enclosure, number, 2)?, or("1"));
            system.start()?;
            Ok(Box::new(system))
        }
        "pacemaker" => {
            let variant = Variant::parse(variant)?;
            let lab = Lab::create(enclosure, number, variant.nodes)?;
            Ok(Box::new(Pacemaker::deploy(lab, variant)?))
        }
        _ => Err(LabError::Unexpected(format!(
            "no system {name}; known: standfast, standfast=PROFILE, pair, pair=PROFILE, pair=PROFILE,ping, keepalived, keepalived=ADVERT_INT, pacemaker, \
             pacemaker=VARIANT (2, 3, token:MILLISECONDS, fencing, with commas between)"
        ))),
    }
}

/// Takes results: the result, and which attempt it was.
pub type Report<'a> = dyn FnMut(std::result::Result<Trial, Broken>, u32) -> Result<Next> + 'a;

/// Runs `plan` on `systems` and hands every result to `report`, round by round. In a round all systems meet the same fault at the same
/// time, each in a lab of its own: what else the machine does hits all alike. After a trial that could not be run to its end the
/// system is healed and the next one is tried. `report` also gets which attempt at this trial it was, from 1, and may ask for another one.
///
/// # Errors
/// When `report` fails or a probe cannot be started.
pub fn run(systems: &mut [Box<dyn System>], plan: &Plan, report: &mut Report<'_>) -> Result<()> {
    let load = Load::default();
    std::thread::scope(|scope| {
        let workers: Vec<Worker> = systems
            .iter_mut()
            .map(|system| {
                let (ask, asked) = mpsc::channel();
                let (tell, told) = mpsc::channel();
                let supported = plan.faults.iter().copied();
                let supports = supported.filter(|fault| system.supports(*fault)).collect();
                let load = load.clone();
                scope.spawn(move || work(system.as_mut(), &load, plan.patience, &asked, &tell));
                Worker {
                    supports,
                    ask,
                    told,
                }
            })
            .collect();
        for number in 1..=plan.trials {
            for loaded in &plan.loads {
                for fault in &plan.faults {
                    round(&workers, (*fault, *loaded, number), report)?;
                }
            }
        }
        Ok(())
    })
}

type What = (Fault, bool, u32);
type Outcome = Result<std::result::Result<Trial, Broken>>;

/// The one thread that a system lives with: the kernel ends a host with the thread that has booted it.
struct Worker {
    supports: Vec<Fault>,
    ask: Sender<What>,
    told: Receiver<Outcome>,
}

fn work(
    system: &mut dyn System,
    load: &Load,
    patience: Patience,
    asked: &Receiver<What>,
    tell: &Sender<Outcome>,
) {
    // Faults must happen when they are said to happen, also while all cores are busy. What this thread starts does not inherit it.
    standfast_unrest::take_realtime_priority().ok();
    for what in asked {
        let mut injector = Injector::new(load);
        if tell
            .send(one(system, &mut injector, what, patience))
            .is_err()
        {
            return;
        }
    }
}

fn round(workers: &[Worker], what: What, report: &mut Report<'_>) -> Result<()> {
    let taking = || {
        workers
            .iter()
            .filter(|worker| worker.supports.contains(&what.0))
    };
    for worker in taking() {
        // Whoever is gone is missed below.
        worker.ask.send(what).ok();
    }
    for worker in taking() {
        let crashed = |_gone| Err(LabError::Unexpected("a trial crashed".to_owned()));
        for attempt in 1.. {
            let result = worker.told.recv().unwrap_or_else(crashed)?;
            if report(result, attempt)? == Next::Go {
                break;
            }
            worker.ask.send(what).ok();
        }
    }
    Ok(())
}

fn one(
    system: &mut dyn System,
    injector: &mut Injector,
    what: What,
    patience: Patience,
) -> Outcome {
    let probe = system.lab().probe()?;
    let watching = |error| LabError::system("watch the machine", error);
    let watch = Watch::start(&system.lab().folder, Priority::RealTime).map_err(watching)?;
    let result = trial::run(system, &probe, injector, what, patience);
    let unrest = watch.seen().map_err(watching)?;
    drop(watch);
    Ok(match result {
        Ok(trial) => Ok(Trial { unrest, ..trial }),
        Err(error) => {
            for attempt in 1.. {
                std::thread::sleep(Duration::from_secs(1));
                match injector.heal(system) {
                    Err(again) if attempt == HEALS => return Err(again),
                    Err(_) => {}
                    Ok(_) => break,
                }
            }
            Err(Broken {
                system: system.name().to_owned(),
                fault: what.0,
                error,
                unrest,
            })
        }
    })
}
