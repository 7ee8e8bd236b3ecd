//! The hardware watchdog, when this machine's file names one: every step of the core says until when it may be fed.
//! Not for that decision (the core), nor for feeding (the edge).

use super::{Options, input::Input, queue::Queue, realtime};
use standfast_cluster::{Core, Feeding};
use standfast_model::{
    effect::Effect,
    event::Event,
    guards::{self, GuardSupport},
    time::{Micros, Now},
};
use standfast_watchdog::{Feeder, Found, Settings, WatchdogError};
use std::{io, path::PathBuf, time::Duration};

/// The name under which it is missed.
const NAME: &str = "watchdog";

/// Which watchdog.
#[derive(Clone, Debug)]
pub(crate) struct WatchdogOptions {
    /// The device.
    pub(crate) device: PathBuf,
    /// So long after the last feeding it is to reset the machine; whole seconds.
    pub(crate) timeout: Duration,
}

/// The feeder, if there is anything to feed.
#[derive(Debug)]
pub(crate) struct Watchdog {
    feeder: Option<Feeder>,
    last: Feeding,
}

impl Watchdog {
    /// Starts the feeder. What becomes of the device is one of the guards that the core reports: `guards` and it.
    pub(crate) fn start(
        options: &Options,
        guards: &GuardSupport,
        inputs: &Queue,
    ) -> io::Result<Self> {
        let last = Feeding::default();
        let Some(wanted) = &options.watchdog else {
            return Ok(Self { feeder: None, last });
        };
        let realtime = options.realtime;
        let settings = Settings {
            device: wanted.device.clone(),
            timeout: wanted.timeout,
            on_thread_start: Some(Box::new(move || {
                let raised = realtime.then(realtime::raise_this_thread);
                if let Some(Err(why)) = raised {
                    tracing::warn!("watchdog: {why}");
                }
            })),
        };
        let (guards, inputs) = (guards.clone(), inputs.clone());
        let feeder = Feeder::start(settings, move |change| {
            let guards = with_watchdog(guards.clone(), change);
            inputs.send(Input::Event(Event::Guards(guards)));
        })?;
        Ok(Self {
            feeder: Some(feeder),
            last,
        })
    }

    /// One step. The permission counts before anything that the step wants is done.
    pub(crate) fn step(&mut self, core: &mut Core, now: Now, event: Event) -> Vec<Effect> {
        let effects = core.step(now, event);
        if let Some(feeder) = &self.feeder {
            self.last = core.feeding(now);
            feeder.allow(self.last.until_boot);
        }
        effects
    }

    /// The agent ends. With something running it goes on counting: the next agent has that long to come.
    pub(crate) fn end(self) {
        let Some(feeder) = self.feeder.filter(|_| self.last.idle) else {
            return;
        };
        match feeder.stop() {
            Ok(()) => tracing::info!("the watchdog is stopped: nothing runs here"),
            Err(error) => tracing::warn!("the watchdog goes on counting: {error}"),
        }
    }
}

fn with_watchdog(mut guards: GuardSupport, change: Result<Found, WatchdogError>) -> GuardSupport {
    match change {
        Ok(found) => {
            let seconds = found.timeout.as_secs();
            let name = &found.identity;
            tracing::info!(
                "the watchdog ({name}) resets this machine {seconds} s after it was last fed"
            );
            guards.watchdog = Some(guards::Watchdog {
                identity: found.identity,
                timeout: Micros::from_millis(seconds.saturating_mul(1000)),
                stoppable: found.stoppable,
            });
        }
        Err(error) => {
            tracing::warn!("the watchdog cannot be fed: {error}");
            guards.missing.insert(NAME.to_owned(), error.to_string());
        }
    }
    guards
}
