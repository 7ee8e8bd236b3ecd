//! One resource's process, as the driver's thread knows it: what a keeper's word means at each stage.

use crate::{check::Checker, secret};
use standfast_guard::{Exit, KeeperHandle, LeaseState, Phase, Reason, Status, clock::boot_now_ns};
use standfast_model::{config::ProcessConfig, event::InstanceChange, plan::PlanNumber};
use standfast_ocf::{Word, is_parameter};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// Kept output that is looked through for a last line, and how much of that line is shown.
const TAIL_BYTES: u64 = 600;
const LINE_CHARACTERS: usize = 200;

/// Where it is. A time is the one by which the next stage has to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Ordered, not ready yet.
    Starting(Instant),
    /// Ready.
    Active,
    /// Asked whether it runs; what the keeper says of it comes next.
    Probing(Instant),
    /// A stop was ordered.
    Stopping(Instant),
    /// The start has failed: it is being killed.
    Failing(Instant),
    /// It may be running, and that has been said. Its end is still reported.
    Unconfirmed,
}

impl Stage {
    /// When something has to be said though nothing was heard.
    pub(crate) fn until(self) -> Option<Instant> {
        match self {
            Self::Starting(until)
            | Self::Probing(until)
            | Self::Stopping(until)
            | Self::Failing(until) => Some(until),
            Self::Active | Self::Unconfirmed => None,
        }
    }
}

/// One process.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) handle: Arc<KeeperHandle>,
    pub(crate) config: ProcessConfig,
    pub(crate) since: PlanNumber,
    pub(crate) stage: Stage,
    pub(crate) checker: Option<Checker>,
    /// Tells its checker's words from those of an earlier run.
    pub(crate) serial: u64,
    /// When this driver started it; an adopted one has no such time.
    pub(crate) started: Option<(Instant, SystemTime)>,
    /// The program runs, as far as the keeper has said.
    pub(crate) up: bool,
    /// Killed, but something of it is still there.
    pub(crate) stuck: bool,
    /// Its agent's runner has ended by itself, and has seen that it is stopped.
    pub(crate) undone: bool,
    /// Why its start failed, or why it may be running.
    pub(crate) why: String,
    /// By how much it is to be promoted, as was last told.
    pub(crate) score: Option<Option<i64>>,
    /// Secret values that it was given while it ran, by variable.
    pub(crate) secrets: BTreeMap<String, String>,
    /// Secret values that it had before.
    pub(crate) hidden: BTreeSet<String>,
    /// What its runner is being told of its parameters. One word at a time: two could overtake each other.
    pub(crate) offered: Option<BTreeMap<String, String>>,
    /// What it is told next, and how long that may take.
    pub(crate) waiting: Option<(Word, Duration)>,
    /// The variables of the parameters that its agent has, where they are not the ones that it was started with.
    pub(crate) given: Option<BTreeMap<String, String>>,
    /// Tells the answer to that from those to words about an earlier run.
    pub(crate) told: u64,
    /// Why this driver kills what runs: it could not be demoted.
    pub(crate) doomed: Option<String>,
}

/// What to do about a keeper's word.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OnStatus {
    Nothing,
    /// The program runs: see whether it is ready.
    CheckReadiness,
    /// An earlier agent's process runs on.
    Adopt,
    /// This is to be told.
    Tell(InstanceChange),
    /// Nothing of it is left.
    Over(InstanceChange),
}

impl Running {
    pub(crate) fn new(handle: KeeperHandle, config: ProcessConfig, stage: Stage) -> Self {
        Self {
            handle: Arc::new(handle),
            config,
            since: PlanNumber::default(),
            stage,
            checker: None,
            serial: 0,
            started: None,
            up: false,
            stuck: false,
            undone: false,
            why: String::new(),
            score: None,
            secrets: BTreeMap::new(),
            hidden: BTreeSet::new(),
            offered: None,
            waiting: None,
            given: None,
            told: 0,
            doomed: None,
        }
    }

    /// What a keeper's status means.
    pub(crate) fn on_status(&mut self, status: &Status) -> OnStatus {
        match &status.phase {
            Phase::Starting | Phase::Stopping | Phase::Ending { .. } => OnStatus::Nothing,
            Phase::Running => self.on_running(),
            Phase::NotConfirmed { left, .. } => self.on_stuck(left),
            Phase::Ended { reason, .. } => {
                self.undone = matches!(status.exit, Some(Exit::Code(0 | 1)));
                OnStatus::Over(self.over(reason, status.exit))
            }
        }
    }

    /// What its actions are given, as far as it has said.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = self.handle.spec().environment.clone();
        if let Some(given) = &self.given {
            environment.retain(|name, _| !is_parameter(name));
            environment.extend(given.clone());
        }
        environment
    }

    /// Whether its processes are not all of it, and the rest is not known to have ended.
    pub(crate) fn leaves_something(&self) -> bool {
        let order = self.handle.spec().command.last();
        let order = order.and_then(|order| serde_json::from_str(order).ok());
        order.is_some_and(|order: standfast_ocf::Order| order.outlives) && !self.undone
    }

    fn on_running(&mut self) -> OnStatus {
        self.up = true;
        match self.stage {
            Stage::Starting(_) if self.checker.is_none() => OnStatus::CheckReadiness,
            Stage::Probing(_) => OnStatus::Adopt,
            Stage::Starting(_)
            | Stage::Active
            | Stage::Stopping(_)
            | Stage::Failing(_)
            | Stage::Unconfirmed => OnStatus::Nothing,
        }
    }

    fn on_stuck(&mut self, left: &str) -> OnStatus {
        self.stuck = true;
        self.why = format!("killed, but still there: {left}");
        match self.stage {
            Stage::Unconfirmed => OnStatus::Nothing,
            // Nobody has asked for its end: that it does not work is all there is to say yet.
            Stage::Active => OnStatus::Tell(InstanceChange::Unhealthy(self.why.clone())),
            Stage::Starting(_) | Stage::Probing(_) | Stage::Stopping(_) | Stage::Failing(_) => {
                self.stage = Stage::Unconfirmed;
                OnStatus::Tell(InstanceChange::StopFailed(self.why.clone()))
            }
        }
    }

    fn over(&self, reason: &Reason, exit: Option<Exit>) -> InstanceChange {
        let starting = match self.stage {
            Stage::Stopping(_) | Stage::Probing(_) | Stage::Unconfirmed => {
                return InstanceChange::Stopped;
            }
            // Nobody's patience is over for anything but the stop of what has failed by itself.
            Stage::Failing(_) => {
                let failed = || InstanceChange::StartFailed(self.with_output(&self.why));
                return self.said_by_runner(true).unwrap_or_else(failed);
            }
            Stage::Starting(_) => true,
            Stage::Active => false,
        };
        if let (Some(why), false) = (&self.doomed, starting) {
            let failed = || InstanceChange::Exited(why.clone());
            return self.said_by_runner(false).unwrap_or_else(failed);
        }
        let why = match reason {
            Reason::LeaseExpired if !starting => return InstanceChange::LeaseEnded,
            Reason::LeaseExpired => "its lease ended before it was ready".to_owned(),
            Reason::Exited if self.config.started_by().is_some() => {
                match self.said_by_runner(starting) {
                    Some(change) => return change,
                    None => "its runner ended".to_owned(),
                }
            }
            Reason::Exited => match exit {
                Some(Exit::Code(code)) => format!("exited with code {code}"),
                Some(Exit::Signal(signal)) => format!("killed by signal {signal}"),
                None => "exited".to_owned(),
            },
            Reason::Stopped | Reason::Killed => "stopped by someone else".to_owned(),
            Reason::Refused => "its lease was over before it could be started".to_owned(),
            Reason::StartFailed(why) => why.clone(),
            Reason::KeeperDied => "its keeper died".to_owned(),
        };
        let why = self.with_output(&why);
        if starting {
            InstanceChange::StartFailed(why)
        } else {
            InstanceChange::Exited(why)
        }
    }

    /// What a runner said before it ended by itself.
    fn said_by_runner(&self, starting: bool) -> Option<InstanceChange> {
        let said = standfast_ocf::reason(&self.handle.spec().run_dir)?;
        let why = secret::hide(self, &said.why);
        Some(match said.code {
            Some(code) => InstanceChange::AgentFailed { code, why },
            None if starting => InstanceChange::StartFailed(why),
            None => InstanceChange::Exited(why),
        })
    }

    /// Whether its guards let it run at this instant.
    pub(crate) fn lease_holds(&self) -> bool {
        matches!(self.handle.lease(), LeaseState::Until(deadline) if boot_now_ns() < deadline)
    }

    /// The guards' deadline in microseconds; zero when they have closed.
    pub(crate) fn deadline(&self) -> u64 {
        match self.handle.lease() {
            LeaseState::Until(deadline) => deadline / 1000,
            LeaseState::Unset | LeaseState::Closed => 0,
        }
    }

    /// A reason with the last line that this run of the process printed.
    fn with_output(&self, why: &str) -> String {
        if self.has_printed() == Some(false) {
            return why.to_owned();
        }
        let tail = self.handle.output_tail(TAIL_BYTES).unwrap_or_default();
        match tail.lines().map(str::trim).rfind(|line| !line.is_empty()) {
            Some(line) => {
                let line = secret::hide(self, line);
                let shown = line.chars().filter(|letter| !letter.is_control());
                let line: String = shown.take(LINE_CHARACTERS).collect();
                format!("{why}; its last output: {line}")
            }
            None => why.to_owned(),
        }
    }

    /// Whether the kept output has grown since the start, if that is known.
    fn has_printed(&self) -> Option<bool> {
        let (_, started) = self.started?;
        let log = self.handle.spec().output.directory.join("output.log");
        let written = std::fs::metadata(log).and_then(|data| data.modified()).ok();
        Some(written.is_some_and(|written| written >= started))
    }
}
