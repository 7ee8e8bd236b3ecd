//! Readiness and health: one thread for each running process that has checks. It asks, and reports
//! what it hears; what a failure means is for others to say.

use crate::{exec, http, login};
use standfast_model::{
    config::{CheckConfig, CheckKind, DeepMonitor},
    time::Micros,
};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel},
    thread,
    time::{Duration, Instant},
};

/// Locked with the rest of the agent's memory, hence small; name lookups need most of it.
const STACK_BYTES: usize = 256 * 1024;

/// After a monitor's time is over, its runner may take so long to say it.
const RUNNER_LATE: Duration = Duration::from_millis(1000);

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
    /// An agent with roles was asked: how it stands may have changed. Not what was seen, which would be old when it is
    /// heard; and said each time, as a change back and forth between two questions shows in neither.
    Asked,
}

/// What is to be checked.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) readiness: Option<CheckConfig>,
    pub(crate) health: Option<CheckConfig>,
    /// More questions to an agent, each at its own times.
    pub(crate) deep: Vec<DeepMonitor>,
    /// Found running: readiness is not asked again.
    pub(crate) ready: bool,
    /// By when it has to be ready, and how long that was from the start.
    pub(crate) ready_by: Instant,
    pub(crate) start_timeout: Duration,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: Option<String>,
    /// Where an agent's runner is asked.
    pub(crate) run_dir: PathBuf,
    /// Its agent may be promoted, and is asked at another interval then, if one is given.
    pub(crate) promoted_interval: Option<Option<Micros>>,
    /// Who check commands run as; the agent's own user when empty.
    pub(crate) user: Option<String>,
}

/// A running checker. Dropped, it ends within milliseconds and a command under way is killed; only
/// a connection under way is waited for.
#[derive(Debug)]
pub(crate) struct Checker {
    _stop: Sender<Infallible>,
}

impl Checker {
    /// Starts checking. `tell` is called on the checker's thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(
        plan: Plan,
        tell: impl Fn(Found) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let asking = Asking {
            plan,
            stopped,
            runner: exec::Runner::default(),
            login: None,
        };
        thread::Builder::new()
            .name("check".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || asking.run(&tell))?;
        Ok(Self { _stop: stop })
    }
}

/// One thing that is asked for ever.
struct Asked {
    check: CheckConfig,
    depth: u32,
    due: Instant,
    /// In a row.
    failures: u32,
}

impl Asked {
    fn new(check: CheckConfig, depth: u32) -> Self {
        Self {
            due: Instant::now() + duration(check.interval),
            check,
            depth,
            failures: 0,
        }
    }

    /// Whether it has failed too often.
    fn fails(&self) -> bool {
        self.failures >= self.check.failures
    }
}

/// The thread's state.
struct Asking {
    plan: Plan,
    stopped: Receiver<Infallible>,
    runner: exec::Runner,
    /// As soon as it is known.
    login: Option<login::Login>,
}

impl Asking {
    fn run(mut self, tell: &dyn Fn(Found)) {
        if self.plan.ready || self.await_ready(tell) {
            self.watch_health(tell);
        }
    }

    /// Waits; false when nobody wants to know any more.
    fn pause(&self, length: Duration) -> bool {
        matches!(
            self.stopped.recv_timeout(length),
            Err(RecvTimeoutError::Timeout)
        )
    }

    fn await_ready(&mut self, tell: &dyn Fn(Found)) -> bool {
        let Some(readiness) = self.plan.readiness.clone() else {
            tell(Found::Ready);
            return true;
        };
        loop {
            let left = self.plan.ready_by.saturating_duration_since(Instant::now());
            let why = match self.ask(&readiness, 0, left.max(Duration::from_millis(1))) {
                Ok(()) => {
                    self.tell_asked(tell);
                    tell(Found::Ready);
                    return true;
                }
                Err(why) => why,
            };
            if Instant::now() >= self.plan.ready_by {
                let limit = self.plan.start_timeout.as_millis();
                tell(Found::NotReady(format!(
                    "not ready within {limit} ms: {why}"
                )));
                return false;
            }
            let left = self.plan.ready_by.saturating_duration_since(Instant::now());
            if !self.pause(duration(readiness.interval).min(left)) {
                return false;
            }
        }
    }

    /// Everything that is asked for ever, one after the other: what is due first comes first.
    fn watch_health(&mut self, tell: &dyn Fn(Found)) {
        let health = self
            .plan
            .health
            .iter()
            .map(|health| Asked::new(health.clone(), 0));
        let deep = self.plan.deep.iter().map(|monitor| {
            let check = CheckConfig {
                probe: CheckKind::Agent,
                interval: monitor.interval,
                timeout: monitor.timeout,
                failures: monitor.failures,
            };
            Asked::new(check, monitor.depth)
        });
        let mut all: Vec<Asked> = health.chain(deep).collect();
        loop {
            let failing = all.iter().filter(|one| one.fails()).count();
            let Some(one) = all.iter_mut().min_by_key(|one| one.due) else {
                return;
            };
            if !self.pause(one.due.saturating_duration_since(Instant::now())) {
                return;
            }
            let answer = self.ask(&one.check, one.depth, Duration::MAX);
            self.tell_asked(tell);
            one.due = Instant::now() + self.interval(&one.check, one.depth);
            match answer {
                Ok(()) => {
                    // With others failing it is not healthy.
                    if one.fails() && failing == 1 {
                        tell(Found::Healthy);
                    }
                    one.failures = 0;
                }
                Err(why) => {
                    one.failures = one.failures.saturating_add(1);
                    if one.failures == one.check.failures {
                        let often = match one.failures {
                            1 => "a health check failed".to_owned(),
                            more => format!("{more} health checks failed in a row, the last"),
                        };
                        tell(Found::Unhealthy(format!("{often}: {why}")));
                    }
                }
            }
        }
    }

    fn interval(&self, health: &CheckConfig, depth: u32) -> Duration {
        let own = self.plan.promoted_interval.flatten();
        let promoted = || standfast_ocf::may_be_promoted(&self.plan.run_dir).is_some();
        let own = own.filter(|_| depth == 0 && promoted());
        duration(own.unwrap_or(health.interval))
    }

    fn tell_asked(&self, tell: &dyn Fn(Found)) {
        if self.plan.promoted_interval.is_some() {
            tell(Found::Asked);
        }
    }

    /// One check, which may take `longest` if its own limit is not shorter. Only an agent looks more or less closely.
    fn ask(&mut self, check: &CheckConfig, depth: u32, longest: Duration) -> Result<(), String> {
        let timeout = duration(check.timeout).min(longest);
        match &check.probe {
            CheckKind::Exec(command) => self.execute(command, timeout),
            CheckKind::Tcp(address) => http::connect(address, timeout).map(drop),
            CheckKind::Http(url) => http::check(url, timeout),
            CheckKind::Agent => {
                // The runner itself ends what takes too long, and says so.
                let timeout = timeout.saturating_add(RUNNER_LATE).min(longest);
                let stopped = &self.stopped;
                let wanted = || matches!(stopped.try_recv(), Err(TryRecvError::Empty));
                standfast_ocf::ask(&self.plan.run_dir, depth, timeout, &wanted)
            }
        }
    }

    fn execute(&mut self, command: &[String], timeout: Duration) -> Result<(), String> {
        if let (Some(user), None) = (&self.plan.user, &self.login) {
            self.login = Some(login::find(user)?);
        }
        let setting = exec::Setting {
            environment: &self.plan.environment,
            directory: self.plan.directory.as_deref(),
            login: self.login.as_ref(),
        };
        let stopped = &self.stopped;
        let wanted = || matches!(stopped.try_recv(), Err(TryRecvError::Empty));
        self.runner.check(command, setting, timeout, &wanted)
    }
}

fn duration(length: Micros) -> Duration {
    Duration::from_micros(length.0)
}
