//! One machine: its clocks, its disk, what runs on it, and the agent with the real core.

use crate::{clock::Clock, disk::Disk, kernel::Unit};
use standfast_cluster::Core;
use standfast_model::{
    effect::Effect,
    event::Event,
    id::{Incarnation, MemberId, NodeId},
    time::Now,
};
use std::collections::VecDeque;

/// What the agent's process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    Down,
    Running,
    /// Stands still; events wait.
    Paused,
}

/// What the machine is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    /// Not installed yet.
    Absent,
    Off,
    On,
    /// Sleeps, and everything on it with it.
    Suspended,
}

/// Troubles of the drivers on one machine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Troubles {
    pub(crate) start_slow: u64,
    pub(crate) start_fails: u32,
    pub(crate) start_hangs: u32,
    pub(crate) stop_slow: u64,
    pub(crate) stop_fails: u32,
    pub(crate) stop_hangs: u32,
}

/// What waits while an agent stands still.
#[derive(Debug)]
pub(crate) enum Held {
    /// Effects of a step, decided and not yet carried out, and the boot clock's reading then.
    Effects(Vec<Effect>, u64),
    Event(Event),
}

/// What happened to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taint {
    /// Nothing that matters any more.
    None,
    /// Its content is gone, and it knows.
    Lost,
    /// It is as it was earlier, and does not know yet.
    RolledBack,
}

/// How the next step is disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disturbance {
    None,
    /// The agent stands still between decision and effects; `at_start`: effects that start something.
    Pause {
        at_start: bool,
    },
    /// The agent dies in the middle of the effects, and comes back after so long.
    Kill(u64),
}

/// How far an operator has come with removing a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    None,
    /// Asked for, again and again.
    Wanted,
    /// The cluster has said that it is done. The machine does not know.
    Done,
}

/// A machine.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: NodeId,
    /// As the machine's own files have it.
    pub(crate) member: MemberId,
    pub(crate) peers: Vec<(NodeId, Vec<String>)>,
    /// Nodes whose messages it accepts, one bit each.
    pub(crate) accepts: u128,
    /// Keys that it lets each machine show, one bit each; none before it knows.
    pub(crate) keys: Option<Vec<u64>>,
    /// Its own key: another one each time that it is installed.
    pub(crate) key: u32,
    /// Whom it has heard, by the run of that agent.
    pub(crate) heard: Vec<u64>,
    pub(crate) removal: Removal,
    pub(crate) core: Option<Core>,
    pub(crate) agent: Agent,
    pub(crate) machine: Machine,
    /// How often the machine was started.
    pub(crate) boots: u64,
    /// Several faults may hold it down, paused or asleep at once.
    pub(crate) pauses: u32,
    /// Grows with every start of the agent: events for an earlier run are void.
    pub(crate) epoch: u64,
    pub(crate) incarnation: Incarnation,
    pub(crate) boot: Clock,
    pub(crate) raw: Clock,
    /// True time at which the core wants to be woken, and of the wake-up in the queue.
    pub(crate) wake_at: u64,
    pub(crate) wake_queued: u64,
    pub(crate) held: VecDeque<Held>,
    pub(crate) disturbance: Disturbance,
    pub(crate) disk: Disk,
    /// One for each resource.
    pub(crate) units: Vec<Unit>,
    pub(crate) troubles: Troubles,
    /// What is wrong with the client network.
    pub(crate) sick: u32,
    /// It asked for a planned restart, and will be away for so long.
    pub(crate) restarting: Option<u64>,
    /// How long its next restart takes that the cluster was asked for.
    pub(crate) restart_takes: Option<u64>,
    /// Its agent was told to end, and will be away for so long.
    pub(crate) leaving: Option<u64>,
    /// Its program cannot go on, and ends.
    pub(crate) unfit: bool,
    /// Feature level of the program that is installed, and of the one that runs.
    pub(crate) level: u32,
    pub(crate) runs_level: u32,
    /// The highest that has run here since the machine was installed.
    pub(crate) highest_level: u32,
    /// True time at which it fell asleep.
    pub(crate) asleep_since: u64,
    /// It asks to be taken in, again and again until it is.
    pub(crate) joining: bool,
    /// When one of its clocks jumped last, and whether that was the raw one.
    pub(crate) jumped: Option<(u64, bool)>,
    /// True time of the last start of its agent.
    pub(crate) started: u64,
    /// True time from which it may ask again: an answer may take a while.
    pub(crate) join_after: u64,
    /// What happened to its disk, until it is a voter again.
    pub(crate) disk_taint: Taint,
}

impl Node {
    pub(crate) fn now(&self, time: u64) -> Now {
        Now {
            boot: self.boot.read(time),
            raw: self.raw.read(time),
        }
    }

    /// Whether anything on it can be running at all.
    pub(crate) fn is_awake(&self) -> bool {
        self.machine == Machine::On
    }
}
