//! Readiness and health: one thread for each running process that has checks. It asks, and reports
//! what it hears; what a failure means is for others to say.

use crate::{exec, http, spec::Identity};
use standfast_model::{
    config::{CheckConfig, CheckKind},
    time::Micros,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The process is ready.
    Ready,
    /// It was not ready in time; the last reason.
    NotReady(String),
    /// So many checks failed in a row; the last reason.
    Unhealthy(String),
    /// A check succeeded after that.
    Healthy,
}

/// What is to be checked.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) readiness: Option<CheckConfig>,
    pub(crate) health: Option<CheckConfig>,
    pub(crate) start_timeout: Duration,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) identity: Option<Identity>,
    /// Found running: readiness is not asked again.
    pub(crate) ready: bool,
}

/// A running checker; dropped, it ends after the check that is under way.
#[derive(Debug)]
pub(crate) struct Checker {
    _stop: Sender<()>,
}

impl Checker {
    /// Starts checking. `tell` is called on the checker's thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(plan: Plan, tell: Arc<dyn Fn(Found) + Send + Sync>) -> std::io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let pause = move |length: Duration| {
            matches!(stopped.recv_timeout(length), Err(RecvTimeoutError::Timeout))
        };
        thread::Builder::new().name("check".to_owned()).stack_size(128 * 1024).spawn(move || {
            if !plan.ready && !await_ready(&plan, tell.as_ref(), &pause) {
                return;
            }
            if let Some(health) = plan.health.clone() {
                watch_health(&plan, &health, tell.as_ref(), &pause);
            }
        })?;
        Ok(Self { _stop: stop })
    }
}

fn await_ready(plan: &Plan, tell: &dyn Fn(Found), pause: &dyn Fn(Duration) -> bool) -> bool {
    let Some(readiness) = &plan.readiness else {
        tell(Found::Ready);
        return true;
    };
    let until = Instant::now() + plan.start_timeout;
    loop {
        let why = match ask(plan, readiness) {
            Ok(()) => {
                tell(Found::Ready);
                return true;
            }
            Err(why) => why,
        };
        if Instant::now() >= until {
            let limit = plan.start_timeout.as_millis();
            tell(Found::NotReady(format!("not ready within {limit} ms: {why}")));
            return false;
        }
        if !pause(duration(readiness.interval)) {
            return false;
        }
    }
}

fn watch_health(plan: &Plan, health: &CheckConfig, tell: &dyn Fn(Found), pause: &dyn Fn(Duration) -> bool) {
    let mut failures = 0;
    while pause(duration(health.interval)) {
        match ask(plan, health) {
            Ok(()) => {
                if failures >= health.failures {
                    tell(Found::Healthy);
                }
                failures = 0;
            }
            Err(why) => {
                failures += 1;
                if failures == health.failures {
                    tell(Found::Unhealthy(format!("{failures} health checks failed in a row, the last: {why}")));
                }
            }
        }
    }
}

fn ask(plan: &Plan, check: &CheckConfig) -> Result<(), String> {
    let timeout = duration(check.timeout);
    match &check.probe {
        CheckKind::Exec(command) => exec::check(command, &plan.environment, plan.identity.as_ref(), timeout),
        CheckKind::Tcp(address) => http::connect(address, timeout).map(drop),
        CheckKind::Http(url) => http::check(url, timeout),
    }
}

fn duration(length: Micros) -> Duration {
    Duration::from_micros(length.0)
}
