//! Counts how often each fault and each invariant's interesting case was hit. A case that a long
//! run never hits is a hole in the simulator, and fails the run.

use std::collections::BTreeMap;

macro_rules! cases {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Something that a run can hit.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Case { $($(#[$doc])* $name,)* }

        impl Case {
            /// All of them.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in reports.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

cases! {
    AgentKilled = "fault.agent-killed",
    AgentKilledInStep = "fault.agent-killed-in-step",
    PowerLoss = "fault.power-loss",
    Pause = "fault.pause",
    PauseInStep = "fault.pause-in-step",
    Suspend = "fault.suspend",
    BootJump = "fault.boot-clock-jump",
    RawJump = "fault.raw-clock-jump",
    Isolate = "fault.partition",
    OneWay = "fault.partition-one-way",
    OneLink = "fault.partition-one-link",
    CutPair = "fault.partition-pair",
    Split = "fault.partition-split",
    Loss = "fault.loss",
    Delay = "fault.delay",
    Duplicates = "fault.duplicates",
    Reordering = "fault.reordering",
    DiskSlow = "fault.disk-slow",
    DiskFails = "fault.disk-fails",
    DiskFull = "fault.disk-full",
    DiskLost = "fault.disk-lost",
    FolderLost = "fault.state-folder-lost",
    DiskRolledBack = "fault.disk-rolled-back",
    StartSlow = "fault.start-slow",
    StartFails = "fault.start-fails",
    StartHangs = "fault.start-hangs",
    StopSlow = "fault.stop-slow",
    StopFails = "fault.stop-fails",
    StopHangs = "fault.stop-hangs",
    Exit = "fault.resource-exit",
    KeeperKilled = "fault.keeper-killed",
    Unhealthy = "fault.unhealthy",
    Damage = "fault.address-removed",
    NetworkSick = "fault.client-network",
    PlannedRestart = "fault.planned-restart",
    RollingRestart = "fault.rolling-restart",
    TotalOutage = "fault.total-outage",
    AllKilled = "fault.all-agents-killed",
    Switchover = "fault.switchover",
    Drain = "fault.drain",
    ApplyPrefer = "fault.apply-preference",
    ApplyTiming = "fault.apply-timing",
    ApplyMaintenance = "fault.apply-maintenance",
    ApplyGroup = "fault.apply-group",
    Cleanup = "fault.cleanup",
    AskRestart = "operator.ask-restart",
    /// Asked for by an operator, granted, and the agent has ended.
    AskedRestart = "operator.ask-restart-done",
    Leave = "operator.shut-down",
    /// Its agent has ended by itself.
    Left = "operator.shut-down-done",
    Upgrade = "operator.upgrade",
    Upgraded = "operator.upgrade-done",
    Downgrade = "operator.downgrade",
    Draft = "operator.draft",
    Remove = "operator.remove",
    Removed = "operator.remove-done",
    RemovedJoined = "operator.removed-machine-joins-again",
    ApplyObserve = "operator.apply-observe",
    ApplyMaintenanceOfAll = "operator.apply-maintenance-of-all",
    ApplyResource = "operator.apply-resource",
    ApplyRegroup = "operator.apply-regroup",
    ApplyCommand = "operator.apply-command",
    ApplyProfile = "operator.apply-profile",
    Join = "fault.join",
    Reinstall = "fault.machine-replaced",
    Repeats = "fault.effects-repeated",
    /// A message was lost by chance.
    MessageLost = "network.lost",
    MessageTwice = "network.duplicated",
    StreamBroken = "network.stream-broken",
    UnsyncedLost = "disk.unsynced-lost",
    WriteFailed = "disk.write-failed",
    /// A resource was started while another node's lease on it had not been heard of for long.
    ActiveMoved = "1.resource-moved",
    ActiveElsewhereAtEnd = "1.start-within-100ms-of-other-end",
    StartAfterRelease = "2.start-after-release",
    StartAfterExpiry = "2.start-after-expiry",
    LeaderChanged = "3.leader-changed",
    EntryReplaced = "3.uncommitted-entry-replaced",
    SnapshotInstalled = "3.snapshot-installed",
    RequestDone = "3.request-acknowledged",
    GuardEndedResource = "4.guard-ended-resource",
    GuardEndedWithoutAgent = "4.guard-ended-resource-of-dead-or-stopped-agent",
    StoppedBeforeEnd = "4.stopped-before-lease-end",
    GrantSent = "4.grant-sent",
    NotFed = "20.not-fed-while-something-runs",
    StartRefused = "4.start-refused-too-late",
    StaleGrant = "5.grant-of-older-term-arrived",
    GrantForEarlierRun = "5.grant-for-earlier-run-arrived",
    PromiseRaised = "5.promise-raised",
    EffectRepeated = "6.effect-repeated",
    EffectInterrupted = "6.effects-interrupted",
    ResultRepeated = "6.result-repeated",
    Adopted = "6.resource-adopted",
    /// Something failed or was to be moved, and nothing was done about it.
    StoodStill = "16.nothing-done-while-observing",
    /// A removed machine that does not know it speaks to a member.
    RemovedRefused = "17.removed-machine-not-let-in",
    LevelRaised = "18.level-raised-after-upgrade",
    NewCommand = "18.command-that-older-programs-do-not-know",
    Unfit = "18.downgraded-program-ended",
    OldJoinerRefused = "18.join-with-older-program-refused",
    FenceOff = "19.machine-off-as-its-devices-said",
    FenceFailed = "19.fence-failed-on-every-device-from-every-node",
    FenceVoid = "19.fence-void",
    DeviceWorks = "19.device-works",
    DeviceFails = "19.device-fails",
    DeviceSlow = "19.device-slow",
    DeviceLies = "19.device-lies",
    DeviceCutsAnother = "19.device-cuts-another-machine",
    /// A device said "off", and its machine goes on.
    FenceLied = "19.said-to-be-off-and-goes-on",
    /// By the cluster itself.
    FenceLost = "19.lost-node-fenced",
    /// It was lost, and came back before anything was done to it.
    FenceCalledOff = "19.fence-called-off",
    /// What needs fencing was started elsewhere after its machine had lost its power.
    StartAfterFence = "19.start-after-power-loss-of-what-needs-fencing",
    StartedInTurn = "22.started-after-what-comes-before",
    TogetherAtEnd = "22.together-at-the-end",
    ApartAtEnd = "22.apart-at-the-end",
    CopyBeside = "25.copy-started-beside-another",
    /// The last one that there was room for.
    CopyInstead = "25.copy-started-where-fewer-are-to-run-than-nodes",
    Promoted = "26.promoted",
    PromotedElsewhere = "26.promoted-where-another-one-was-before",
    AttributeChanged = "27.attribute-changed",
    LocationChanged = "27.location-changed",
    /// By a plan that was decided when locations kept its group from some node.
    StartedWhereAllowed = "27.started-where-no-location-forbids-it",
    /// By the operator's last change, when all was calm.
    MovedAway = "27.moved-away-when-calm",
    Converged = "7.converged",
    ConvergedAfterMove = "7.converged-with-work-left",
    MemberRejoined = "7.member-came-back-under-new-number",
    MemberJoined = "7.machine-joined",
}

/// The counts of one run or of many.
#[derive(Clone, Debug)]
pub(crate) struct Coverage(Vec<u64>);

impl Default for Coverage {
    fn default() -> Self {
        Self(vec![0; Case::ALL.len()])
    }
}

/// What only operators' acts bring about.
const OF_ACTS: [&str; 4] = ["operator.", "16.", "17.", "18."];
/// What only runs with constraints, with copies and with attributes bring about.
const OF_CONSTRAINTS: [&str; 4] = ["22.", "25.", "26.", "27."];
/// What only runs with fence devices bring about.
const OF_FENCING: &str = "19.";

impl Coverage {
    pub(crate) fn hit(&mut self, case: Case) {
        if let Some(count) = self.0.get_mut(case as usize) {
            *count += 1;
        }
    }

    pub(crate) fn of(&self, case: Case) -> u64 {
        self.0.get(case as usize).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(&other.0) {
            *sum += count;
        }
    }

    /// Cases that were never hit, of those that can be.
    pub(crate) fn holes(&self, acts: bool, fences: bool) -> Vec<&'static str> {
        Case::ALL
            .iter()
            .filter(|case| self.of(**case) == 0)
            .map(|case| case.name())
            .filter(|name| acts || !OF_ACTS.iter().any(|prefix| name.starts_with(prefix)))
            .filter(|name| fences || !name.starts_with(OF_FENCING))
            .filter(|name| !OF_CONSTRAINTS.iter().any(|prefix| name.starts_with(prefix)))
            .collect()
    }

    /// Cases of fencing that were never hit.
    pub(crate) fn holes_of_fencing(&self) -> Vec<&'static str> {
        let holes = self.holes(false, true).into_iter();
        holes.filter(|name| name.starts_with(OF_FENCING)).collect()
    }

    /// By name.
    pub(crate) fn table(&self) -> BTreeMap<&'static str, u64> {
        Case::ALL
            .iter()
            .map(|case| (case.name(), self.of(*case)))
            .collect()
    }
}
