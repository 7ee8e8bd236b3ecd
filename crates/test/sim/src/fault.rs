//! Faults as data: what can go wrong, where and for how long. Drawn in `schedule`, made to happen in
//! `world::inject`.

use std::fmt;

/// Where a fault strikes. Leader and holder are found when it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// This node.
    Node(usize),
    /// Whoever leads then.
    Leader,
    /// Whoever runs this resource then.
    Holder(usize),
}

/// Which way messages are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In both directions.
    Both,
    /// Those sent by the target.
    Out,
    /// Those sent to the target.
    In,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The agent's process is killed; it comes back after `duration`.
    AgentKilled,
    /// The agent dies in the middle of carrying out the effects of one step.
    AgentKilledInStep,
    /// The machine loses power; it comes back after `duration`.
    PowerLoss,
    /// The agent stands still (SIGSTOP); the kernel's guards do not.
    Pause,
    /// The agent stands still between a decision and its effects.
    PauseInStep,
    /// The whole machine sleeps; `CLOCK_BOOTTIME` counts on.
    Suspend,
    /// `CLOCK_BOOTTIME` jumps forward by `duration`.
    BootJump,
    /// `CLOCK_MONOTONIC_RAW` jumps forward by `duration`.
    RawJump,
    /// The target is cut off, on every link or one.
    Isolate(Way, Option<usize>),
    /// The target and this node do not reach each other.
    CutPair(usize, Way),
    /// Nodes whose bit is set do not reach the others.
    Split(u64),
    /// So many messages in a million are lost.
    Loss(u64),
    /// Messages take so much longer, microseconds.
    Delay(u64),
    /// So many datagrams in a million arrive twice.
    Duplicates(u64),
    /// So many datagrams in a million are overtaken.
    Reordering(u64),
    /// Every fsync takes so much longer.
    DiskSlow(u64),
    /// Writes fail.
    DiskFails,
    /// The disk is full.
    DiskFull,
    /// The machine loses power and its disk.
    DiskLost,
    /// The agent is killed and its state folder lost; what it started goes on.
    FolderLost,
    /// The machine loses power; its disk comes back as it was so long before.
    DiskRolledBack(u64),
    /// Starts on the target take so much longer.
    StartSlow(u64),
    /// Starts on the target fail.
    StartFails,
    /// Starts on the target never become ready.
    StartHangs,
    /// Stops on the target take so much longer.
    StopSlow(u64),
    /// Stops on the target cannot be confirmed.
    StopFails,
    /// Stops on the target give no answer.
    StopHangs,
    /// The resource ends by itself, so many times in a row.
    Exit(usize, u64),
    /// The keeper of the resource is killed.
    KeeperKilled(usize),
    /// The resource's health checks fail.
    Unhealthy(usize),
    /// Someone takes an address of the resource away.
    Damage(usize),
    /// The client network of the target does not work.
    NetworkSick,
    /// An operator restarts the target's agent; it is away for `duration`.
    PlannedRestart,
    /// All agents, one after the other.
    RollingRestart,
    /// An operator asks the cluster for a restart of the target's agent, as an upgrade does; it is away
    /// for `duration`.
    AskRestart,
    /// The target is shut down in order, or only its agent is; it comes back after `duration`.
    Leave,
    /// All machines lose power.
    TotalOutage,
    /// All agents are killed at once.
    AllKilled,
    /// An operator moves the group of this number.
    Switchover(usize),
    /// An operator drains the target for so long.
    Drain,
    /// An operator applies a changed configuration.
    Apply(Edit),
    /// An operator forgets the failures of a group.
    Cleanup(usize),
    /// An operator gives an order about the group of this number, or about the target.
    Order(Ordered, usize),
    /// A new machine joins.
    Join,
    /// An operator installs the present program on all machines, one after the other.
    Upgrade,
    /// Somebody installs the previous program on the target, until `duration` is over.
    Downgrade,
    /// An operator saves a draft: a command that older programs do not know.
    Draft,
    /// An operator removes the target for good; after `duration` the machine is installed anew and joins.
    Remove,
    /// The machine is lost; a new one of the same name joins after `duration`.
    Reinstall,
    /// Effects are carried out twice, so many in a million.
    Repeats(u64),
}

/// Orders that hold until they are taken back or over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ordered {
    /// Kept on the target, for `duration`.
    Keep,
    /// Kept away from the target, for `duration`.
    Ban,
    /// Neither any more.
    Clear,
    /// It is to run nowhere.
    Disable,
    /// It runs again.
    Enable,
    /// Stopped and started.
    Restart,
    /// Left alone.
    Unmanage,
    /// Looked after again.
    Manage,
    /// Looked at again.
    Refresh,
    /// Everything is left alone, or looked after again.
    Cluster(bool),
    /// The target is left alone, or looked after again.
    Node(bool),
    /// The target is emptied for `duration`.
    Standby,
}

/// Changes of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// A group prefers another node.
    Prefer(usize),
    /// Other timing.
    Timing,
    /// A group goes into maintenance, or comes out of it.
    Maintenance(usize),
    /// A group is taken out, or put back.
    Group(usize),
    /// The cluster only observes, or acts again.
    Observe,
    /// Everything goes into maintenance, or comes out of it.
    MaintenanceOfAll,
    /// The last resource of a group is taken out, or put back.
    Resource(usize),
    /// The last resource of a group goes to the group after it.
    Regroup(usize),
    /// A resource gets another command.
    Command(usize),
    /// Another profile.
    Profile,
    /// An attribute of the target changes; the number says which, and to what.
    Attribute(usize),
    /// A location is taken out, put back, or has another score.
    Location(usize),
}

/// One fault of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// When, microseconds of simulated time.
    pub(crate) at: u64,
    /// For how long, microseconds.
    pub(crate) duration: u64,
    /// Where.
    pub(crate) target: Target,
    /// What.
    pub(crate) kind: Kind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, duration) = (self.at / 1000, self.duration / 1000);
        write!(
            f,
            "{}.{:03} s  {:?} at {:?} for {duration} ms",
            at / 1000,
            at % 1000,
            self.kind,
            self.target
        )
    }
}
