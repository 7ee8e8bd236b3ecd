//! One resource's process, as the driver's thread knows it: what a keeper's word means at each stage.

use crate::check::Checker;
use standfast_guard::{Exit, KeeperHandle, Phase, Reason, Status};
use standfast_model::{config::ProcessConfig, event::InstanceChange, plan::PlanNumber};
use std::{sync::Arc, time::Instant};

/// Kept output that is shown with a failure.
const TAIL_BYTES: u64 = 600;

/// Where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Ordered, not ready yet.
    Starting,
    /// Ready.
    Active,
    /// Found by a probe; what the keeper says of it comes next.
    Probing,
    /// A stop was ordered; by when it has to be confirmed.
    Stopping(Instant),
    /// Not ready in time, or hopeless: it is being killed, and the start has failed for this reason.
    Failing,
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
    pub(crate) failure: String,
}

/// What to do about a keeper's word.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OnStatus {
    Nothing,
    /// The program runs: see whether it is ready.
    CheckReadiness,
    /// An earlier agent's process runs on.
    Adopt,
    /// Nothing of it is left.
    Over(InstanceChange),
    /// It does not die.
    Stuck(String),
}

impl Running {
    /// What a keeper's status means.
    pub(crate) fn on_status(&self, status: &Status) -> OnStatus {
        match &status.phase {
            Phase::Starting | Phase::Ending { .. } | Phase::Stopping => OnStatus::Nothing,
            Phase::Running => match self.stage {
                Stage::Starting if self.checker.is_none() => OnStatus::CheckReadiness,
                Stage::Probing => OnStatus::Adopt,
                Stage::Starting | Stage::Active | Stage::Stopping(_) | Stage::Failing => OnStatus::Nothing,
            },
            Phase::NotConfirmed { left, .. } => OnStatus::Stuck(left.clone()),
            Phase::Ended { reason, .. } => OnStatus::Over(self.over(reason, status.exit)),
        }
    }

    fn over(&self, reason: &Reason, exit: Option<Exit>) -> InstanceChange {
        match self.stage {
            Stage::Stopping(_) | Stage::Probing => return InstanceChange::Stopped,
            Stage::Failing => return InstanceChange::StartFailed(self.with_output(&self.failure)),
            Stage::Starting | Stage::Active => {}
        }
        let why = match reason {
            Reason::LeaseExpired if self.stage == Stage::Active => return InstanceChange::LeaseEnded,
            Reason::LeaseExpired => "its lease ended before it was ready".to_owned(),
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
        if self.stage == Stage::Starting {
            InstanceChange::StartFailed(self.with_output(&why))
        } else {
            InstanceChange::Exited(self.with_output(&why))
        }
    }

    /// A reason with the last line that the process printed.
    fn with_output(&self, why: &str) -> String {
        let tail = self.handle.output_tail(TAIL_BYTES).unwrap_or_default();
        match tail.lines().map(str::trim).rfind(|line| !line.is_empty()) {
            Some(line) => format!("{why}; its last output: {}", line.chars().take(200).collect::<String>()),
            None => why.to_owned(),
        }
    }
}
