//! Faults: what each does to the world when it begins, and how it is taken back when it ends.
//!
//! A bound, documented because the design needs one: of three voters or more, one disk at a time is
//! lost or rolled back, until its machine votes again; two of three disks that forget are a lost
//! majority. A disk that is rolled back does not know it, so the others have to: none of them restarts
//! from when the copy was made until its machine has asked them, and it reaches all of them then. What
//! a leader has committed and not yet told anybody, within a heartbeat, only its own disk knows: a
//! leader's disk is rolled back when nothing was committed just before.
//!
//! While a disk is gone, no voter is removed if that leaves fewer than three: one of two is not a majority.
//!
//! Another: of a machine's two clocks one at a time is wrong. Who waits believes the slower one, and if both
//! jump within one wait, there is nothing left to believe.

use super::{Happening, World};
use crate::{
    coverage::Case,
    disk::{Ailment, Disk},
    fault::{Edit, Fault, Kind, Target, Way},
    node::{Agent, Disturbance, Machine, Node, Removal, Taint},
};
use standfast_model::{
    FEATURE_LEVEL,
    event::{DiskCondition, Event, InstanceChange},
    id::MemberId,
};

/// Within this time a leader has told the others who has acknowledged what it committed.
const TOLD: u64 = 1_000_000;
/// No wait that safety rests on is longer than this.
const ONE_CLOCK: u64 = 30_000_000;

impl World {
    pub(super) fn begin_fault(&mut self, number: usize) {
        let fault = self.faults[number];
        let target = match fault.target {
            Target::Node(node) => Some(node),
            Target::Leader => self.leader(),
            Target::Holder(resource) => self.runner(resource),
        };
        let target = target.unwrap_or(number % self.nodes.len());
        if !self.is_allowed(&fault, target) {
            return;
        }
        self.note("FAULT", || {
            format!(
                "{:?} at n{} for {} ms",
                fault.kind,
                target + 1,
                fault.duration / 1000
            )
        });
        self.hash.add(number as u64);
        if let Some(case) = case_of(fault.kind) {
            self.hit(case);
        }
        self.strike(&fault, target);
        if self.lasts(&fault, target, true) {
            self.active_faults.insert(number, target);
            self.later(fault.duration, Happening::End(number));
        }
    }

    pub(super) fn end_fault(&mut self, number: usize) {
        let Some(target) = self.active_faults.remove(&number) else {
            return;
        };
        let fault = self.faults[number];
        self.note("FAULT", || {
            format!("end of {:?} at n{}", fault.kind, target + 1)
        });
        self.lasts(&fault, target, false);
    }

    /// Whether a fault stays within what the design claims.
    pub(super) fn is_allowed(&self, fault: &Fault, target: usize) -> bool {
        let forgetful = matches!(
            fault.kind,
            Kind::DiskLost | Kind::FolderLost | Kind::DiskRolledBack(_) | Kind::Reinstall
        );
        if forgetful {
            let honest = self
                .nodes
                .iter()
                .all(|node| node.disk_taint == Taint::None && node.removal != Removal::Wanted)
                && !self.removal_is_under_way();
            let rollback = matches!(fault.kind, Kind::DiskRolledBack(_));
            let remembered = || self.others_remember(target) && !self.somebody_is_to_end();
            return honest && self.voters() >= 3 && (!rollback || remembered());
        }
        if fault.kind == Kind::Remove && !self.may_shrink() {
            return false;
        }
        let unaware = |node: &&Node| node.disk_taint == Taint::RolledBack;
        match self.nodes.iter().find(unaware) {
            None => true,
            Some(node) if node.machine == Machine::Off => !is_a_crash(fault.kind),
            Some(_) => !is_structural(fault.kind),
        }
    }

    /// Whether whatever a machine acknowledged since its disk was copied is still remembered elsewhere.
    fn others_remember(&self, target: usize) -> bool {
        let disk = &self.nodes[target].disk;
        let told = self.time > self.truth.committed_at + TOLD || self.leader() != Some(target);
        let since = |node: &Node| node.agent != Agent::Down && node.started < disk.copied;
        disk.copy.is_some() && told && self.all_others(target, since)
    }

    /// Whether a machine that starts now is answered by all others: they are up, and no link is cut.
    pub(super) fn reaches_everybody(&self, target: usize) -> bool {
        let well = |node: &Node| {
            let asks = node.core.as_ref().is_none_or(|core| core.inspect().asks);
            node.agent == Agent::Running
                && node.is_awake()
                && node.disturbance == Disturbance::None
                && node.restarting.is_none()
                && !asks
        };
        let quiet = self.network.extra_loss == 0 && self.network.extra_delay == 0;
        let mut links = (0..self.nodes.len()).filter(|other| *other != target);
        quiet
            && self.all_others(target, well)
            && links.all(|other| self.network.stream_is_up(target, other))
    }

    fn all_others(&self, target: usize, well: impl Fn(&Node) -> bool) -> bool {
        let others = self.nodes.iter().enumerate();
        others
            .filter(|(number, node)| {
                *number != target && node.member != MemberId(0) && node.removal != Removal::Done
            })
            .all(|(_, node)| well(node))
    }

    /// Members that vote, as the newest state has them.
    pub(super) fn voters(&self) -> usize {
        let states = self
            .nodes
            .iter()
            .filter_map(|node| Some(node.core.as_ref()?.inspect().state));
        states.max_by_key(|state| state.applied).map_or(0, |state| {
            state.members.values().filter(|member| member.voter).count()
        })
    }

    /// Faults that happen once.
    fn strike(&mut self, fault: &Fault, target: usize) {
        let down = fault.duration;
        match fault.kind {
            Kind::AgentKilled => self.kill_agent(target, down),
            Kind::AgentKilledInStep => self.disturb(target, Disturbance::Kill(down)),
            Kind::PowerLoss => self.power_off(target, Some(down)),
            Kind::BootJump => self.jump(target, down, false),
            Kind::RawJump => self.jump(target, down, true),
            Kind::DiskLost => {
                self.power_off(target, Some(down));
                self.nodes[target].disk.lose();
                self.nodes[target].disk_taint = Taint::Lost;
            }
            Kind::FolderLost => {
                self.kill_agent(target, down.min(1_000_000));
                self.nodes[target].disk.lose();
                self.nodes[target].disk_taint = Taint::Lost;
            }
            Kind::DiskRolledBack(_) => {
                self.power_off(target, Some(down));
                let node = &mut self.nodes[target];
                if node.disk.roll_back() {
                    // Back to when it had just been lost: that shows.
                    node.disk_taint = match node.disk.condition {
                        DiskCondition::Lost => Taint::Lost,
                        _ => Taint::RolledBack,
                    };
                }
            }
            Kind::Exit(resource, times) => {
                if let Some(node) = self.runner(resource) {
                    self.nodes[node].units[resource].exits += times;
                    self.next_exit(node, resource);
                }
            }
            Kind::KeeperKilled(resource) => self.on_runner(resource, true, "the keeper died"),
            Kind::Unhealthy(resource) => self.on_runner(resource, false, "no answer"),
            Kind::Damage(resource) => {
                if let Some(node) = self.runner(resource) {
                    self.tell(
                        node,
                        resource,
                        InstanceChange::Damaged("192.0.2.1 is gone".to_owned()),
                    );
                }
            }
            // Each second one is asked for by somebody else, as in an upgrade.
            Kind::PlannedRestart if down % 2 == 1 => self.ask_upgrade(target, down),
            Kind::PlannedRestart => self.ask_restart(target, down),
            Kind::RollingRestart => self.roll(0),
            Kind::AskRestart => self.ask_for_restart(target, down),
            Kind::Leave => self.ask_to_leave(target, down),
            Kind::Upgrade => self.upgrade(0),
            Kind::Draft => self.ask_draft(),
            Kind::TotalOutage | Kind::AllKilled => self.strike_all(fault),
            Kind::Switchover(group) => self.ask_switchover(target, group),
            Kind::Apply(edit) => self.ask_apply(target, edit),
            Kind::Cleanup(group) => self.ask_cleanup(group),
            Kind::Order(what, group) => self.ask_order((target, group), what, down),
            Kind::Join => self.install_new(),
            Kind::Reinstall => self.reinstall(target, down),
            // The rest lasts.
            _ => {}
        }
    }

    /// Faults that last: begins or ends one. False for those that do not.
    fn lasts(&mut self, fault: &Fault, target: usize, begins: bool) -> bool {
        let change = |count: &mut u32| {
            *count = if begins {
                *count + 1
            } else {
                count.saturating_sub(1)
            };
        };
        let add = |sum: &mut u64, by: u64| {
            *sum = if begins {
                *sum + by
            } else {
                sum.saturating_sub(by)
            };
        };
        match fault.kind {
            Kind::Pause if begins => self.pause(target),
            Kind::PauseInStep if begins => {
                self.nodes[target].pauses += 1;
                // Each second one strikes where it is worst: between deciding to start something and doing it.
                let at_start = self.time % 2 == 1;
                self.disturb(target, Disturbance::Pause { at_start });
            }
            Kind::Pause | Kind::PauseInStep => self.resume(target),
            Kind::Suspend if begins => self.suspend(target),
            Kind::Suspend => self.unsuspend(target),
            Kind::Isolate(..) | Kind::CutPair(..) | Kind::Split(_) => {
                self.for_each_cut(fault.kind, target, begins);
            }
            Kind::Loss(by) => add(&mut self.network.extra_loss, by),
            Kind::Delay(by) => add(&mut self.network.extra_delay, by),
            Kind::Duplicates(by) => add(&mut self.network.extra_duplicates, by),
            Kind::Reordering(by) => add(&mut self.network.extra_stragglers, by),
            Kind::Repeats(by) => add(&mut self.repeats, by),
            Kind::DiskSlow(by) => add(&mut self.nodes[target].disk.slowdown, by),
            Kind::DiskFails => self.nodes[target].disk.ailment = begins.then_some(Ailment::Fails),
            Kind::DiskFull => self.nodes[target].disk.ailment = begins.then_some(Ailment::Full),
            Kind::StartSlow(by) => add(&mut self.nodes[target].troubles.start_slow, by),
            Kind::StopSlow(by) => add(&mut self.nodes[target].troubles.stop_slow, by),
            Kind::StartFails => change(&mut self.nodes[target].troubles.start_fails),
            Kind::StartHangs => change(&mut self.nodes[target].troubles.start_hangs),
            Kind::StopFails => change(&mut self.nodes[target].troubles.stop_fails),
            Kind::StopHangs => change(&mut self.nodes[target].troubles.stop_hangs),
            Kind::NetworkSick => {
                change(&mut self.nodes[target].sick);
                self.tell_network(target);
            }
            Kind::Drain => self.ask_drain(target, begins),
            Kind::Downgrade if begins => self.downgrade(target),
            Kind::Downgrade => self.nodes[target].level = FEATURE_LEVEL,
            Kind::Remove if begins => self.begin_removal(target),
            Kind::Remove => self.end_removal(target),
            _ => return false,
        }
        true
    }

    fn disturb(&mut self, node: usize, how: Disturbance) {
        if self.nodes[node].agent == Agent::Running {
            self.nodes[node].disturbance = how;
        }
    }

    fn jump(&mut self, number: usize, by: u64, raw: bool) {
        let time = self.time;
        let node = &mut self.nodes[number];
        let other_jumped = node
            .jumped
            .is_some_and(|(at, was_raw)| was_raw != raw && time < at + ONE_CLOCK);
        if node.machine != Machine::On || other_jumped {
            return;
        }
        node.jumped = Some((time, raw));
        if raw {
            node.raw.jump(time, by);
        } else {
            node.boot.jump(time, by);
        }
        self.check_guards(number);
    }

    fn strike_all(&mut self, fault: &Fault) {
        for number in 0..self.nodes.len() {
            let down = self.draw_node.spread(20_000, 2 * fault.duration + 100_000);
            if fault.kind == Kind::TotalOutage {
                self.power_off(number, Some(down));
            } else {
                self.kill_agent(number, down);
            }
        }
    }

    fn on_runner(&mut self, resource: usize, ends: bool, why: &str) {
        let Some(node) = self.runner(resource) else {
            return;
        };
        if ends {
            self.unit_ends(node, resource);
            self.tell(node, resource, InstanceChange::Exited(why.to_owned()));
        } else {
            self.tell(node, resource, InstanceChange::Unhealthy(why.to_owned()));
        }
    }

    fn for_each_cut(&mut self, kind: Kind, target: usize, begins: bool) {
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                let (hit, link) = match kind {
                    Kind::Isolate(way, link) => (goes(way, from, to, target, None), link),
                    Kind::CutPair(other, way) => (goes(way, from, to, target, Some(other)), None),
                    Kind::Split(mask) => (mask >> (from % 64) & 1 != mask >> (to % 64) & 1, None),
                    _ => (false, None),
                };
                if from == to || !hit {
                    continue;
                }
                if begins {
                    self.network.cut(from, to, link);
                } else {
                    self.network.mend(from, to, link);
                }
            }
        }
    }

    pub(super) fn copy_disks(&mut self) {
        for node in &mut self.nodes {
            node.disk.copied = self.time;
            node.disk.copy = Some((node.disk.durable.clone(), node.disk.condition));
        }
    }

    /// A new machine is unpacked and asks to join.
    fn install_new(&mut self) {
        let absent = |node: &Node| node.machine == Machine::Absent && !node.joining;
        if let Some(number) = self.nodes.iter().position(absent) {
            self.nodes[number].joining = true;
            self.ask_to_join(number);
        }
    }

    /// A machine is lost, and a new one gets its name.
    fn reinstall(&mut self, number: usize, down: u64) {
        self.power_off(number, None);
        self.install(number);
        self.nodes[number].disk_taint = Taint::Lost;
        self.later(down, Happening::Join(number));
    }

    /// An empty disk, another key, and no member yet; it is to join.
    pub(super) fn install(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        node.disk = Disk::new(node.disk.fsync);
        node.disk.condition = DiskCondition::Fresh;
        node.member = MemberId(0);
        node.machine = Machine::Absent;
        node.joining = true;
        node.removal = Removal::None;
        node.key += 1;
        node.keys = None;
        node.highest_level = 0;
    }

    /// A planned restart: the operator asks, and waits for the word.
    pub(super) fn ask_restart(&mut self, number: usize, down: u64) {
        if self.nodes[number].agent == Agent::Running && self.nodes[number].restarting.is_none() {
            self.nodes[number].restarting = Some(down);
            let id = self.new_request(super::clients::Purpose::Restart);
            let author = String::new();
            let request = standfast_model::request::Request::Restart { author };
            self.deliver(number, Event::Request { id, request });
        }
    }

    /// The same as an upgrade does it: somebody else asks, and a leader gives leadership away first.
    fn ask_upgrade(&mut self, number: usize, down: u64) {
        if self.nodes[number].agent == Agent::Running && self.nodes[number].restarting.is_none() {
            self.nodes[number].restarting = Some(down);
            let request = standfast_model::request::Request::AskRestart {
                node: self.nodes[number].name.clone(),
                author: "operator".to_owned(),
            };
            let purpose = super::clients::Purpose::Upgrade(number);
            self.ask_someone(number + 1, purpose, request);
        }
    }

    /// One agent after the other.
    pub(super) fn roll(&mut self, number: usize) {
        if number < self.nodes.len() && self.time < self.scenario.quiet_from {
            if self
                .nodes
                .iter()
                .all(|node| node.disk_taint != Taint::RolledBack)
            {
                self.ask_upgrade(number, 500_000);
            }
            self.later(4_000_000, Happening::Roll(number + 1));
        }
    }
}

fn goes(way: Way, from: usize, to: usize, target: usize, other: Option<usize>) -> bool {
    let out = from == target && other.is_none_or(|other| other == to);
    let into = to == target && other.is_none_or(|other| other == from);
    match way {
        Way::Both => out || into,
        Way::Out => out,
        Way::In => into,
    }
}

/// Faults after which an agent starts anew, and has forgotten what it did not write.
const fn is_a_crash(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::AgentKilled
            | Kind::AgentKilledInStep
            | Kind::PowerLoss
            | Kind::PlannedRestart
            | Kind::RollingRestart
            | Kind::AskRestart
            | Kind::Leave
            | Kind::TotalOutage
            | Kind::AllKilled
            | Kind::Join
            | Kind::Remove
            | Kind::Upgrade
            | Kind::Downgrade
            | Kind::Reinstall
    )
}

/// Faults that take a machine, or its word, away from the others.
fn is_structural(kind: Kind) -> bool {
    match kind {
        Kind::AgentKilled
        | Kind::AgentKilledInStep
        | Kind::PowerLoss
        | Kind::Pause
        | Kind::PauseInStep
        | Kind::Suspend
        | Kind::Isolate(..)
        | Kind::CutPair(..)
        | Kind::Split(_)
        | Kind::Loss(_)
        | Kind::Delay(_)
        | Kind::DiskSlow(_)
        | Kind::DiskFails
        | Kind::DiskFull
        | Kind::DiskLost
        | Kind::FolderLost
        | Kind::DiskRolledBack(_)
        | Kind::PlannedRestart
        | Kind::RollingRestart
        | Kind::AskRestart
        | Kind::Leave
        | Kind::TotalOutage
        | Kind::AllKilled
        | Kind::Join
        | Kind::Remove
        | Kind::Upgrade
        | Kind::Downgrade
        | Kind::Reinstall => true,
        Kind::BootJump
        | Kind::RawJump
        | Kind::Duplicates(_)
        | Kind::Reordering(_)
        | Kind::Repeats(_)
        | Kind::StartSlow(_)
        | Kind::StartFails
        | Kind::StartHangs
        | Kind::StopSlow(_)
        | Kind::StopFails
        | Kind::StopHangs
        | Kind::Exit(..)
        | Kind::KeeperKilled(_)
        | Kind::Unhealthy(_)
        | Kind::Damage(_)
        | Kind::NetworkSick
        | Kind::Switchover(_)
        | Kind::Drain
        | Kind::Apply(_)
        | Kind::Draft
        | Kind::Order(..)
        | Kind::Cleanup(_) => false,
    }
}

/// What is counted when a fault strikes; a planned restart counts when it is granted.
fn case_of(kind: Kind) -> Option<Case> {
    Some(match kind {
        Kind::AgentKilled => Case::AgentKilled,
        Kind::AgentKilledInStep => Case::AgentKilledInStep,
        Kind::PowerLoss => Case::PowerLoss,
        Kind::Pause => Case::Pause,
        Kind::PauseInStep => Case::PauseInStep,
        Kind::Suspend => Case::Suspend,
        Kind::BootJump => Case::BootJump,
        Kind::RawJump => Case::RawJump,
        Kind::Isolate(_, Some(_)) => Case::OneLink,
        Kind::Isolate(Way::Both, None) => Case::Isolate,
        Kind::Isolate(Way::In | Way::Out, None) => Case::OneWay,
        Kind::CutPair(..) => Case::CutPair,
        Kind::Split(_) => Case::Split,
        Kind::Loss(_) => Case::Loss,
        Kind::Delay(_) => Case::Delay,
        Kind::Duplicates(_) => Case::Duplicates,
        Kind::Reordering(_) => Case::Reordering,
        Kind::DiskSlow(_) => Case::DiskSlow,
        Kind::DiskFails => Case::DiskFails,
        Kind::DiskFull => Case::DiskFull,
        Kind::DiskLost => Case::DiskLost,
        Kind::FolderLost => Case::FolderLost,
        Kind::DiskRolledBack(_) => Case::DiskRolledBack,
        Kind::StartSlow(_) => Case::StartSlow,
        Kind::StartFails => Case::StartFails,
        Kind::StartHangs => Case::StartHangs,
        Kind::StopSlow(_) => Case::StopSlow,
        Kind::StopFails => Case::StopFails,
        Kind::StopHangs => Case::StopHangs,
        Kind::Exit(..) => Case::Exit,
        Kind::KeeperKilled(_) => Case::KeeperKilled,
        Kind::Unhealthy(_) => Case::Unhealthy,
        Kind::Damage(_) => Case::Damage,
        Kind::NetworkSick => Case::NetworkSick,
        Kind::PlannedRestart => return None,
        Kind::RollingRestart => Case::RollingRestart,
        Kind::TotalOutage => Case::TotalOutage,
        Kind::AllKilled => Case::AllKilled,
        Kind::Switchover(_) => Case::Switchover,
        Kind::Drain => Case::Drain,
        Kind::Apply(Edit::Prefer(_)) => Case::ApplyPrefer,
        Kind::Apply(Edit::Timing) => Case::ApplyTiming,
        Kind::Apply(Edit::Maintenance(_)) => Case::ApplyMaintenance,
        Kind::Apply(Edit::Group(_)) => Case::ApplyGroup,
        Kind::Apply(Edit::Observe) => Case::ApplyObserve,
        Kind::Apply(Edit::MaintenanceOfAll) => Case::ApplyMaintenanceOfAll,
        Kind::Apply(Edit::Resource(_)) => Case::ApplyResource,
        Kind::Apply(Edit::Regroup(_)) => Case::ApplyRegroup,
        Kind::Apply(Edit::Command(_)) => Case::ApplyCommand,
        Kind::Apply(Edit::Profile) => Case::ApplyProfile,
        Kind::Apply(Edit::Attribute(_)) => Case::AttributeChanged,
        Kind::Apply(Edit::Location(_)) => Case::LocationChanged,
        Kind::AskRestart => Case::AskRestart,
        Kind::Leave => Case::Leave,
        Kind::Cleanup(_) => Case::Cleanup,
        Kind::Order(..) => return None,
        Kind::Join => Case::Join,
        Kind::Remove => Case::Remove,
        Kind::Upgrade => Case::Upgrade,
        Kind::Downgrade => Case::Downgrade,
        Kind::Draft => Case::Draft,
        Kind::Reinstall => Case::Reinstall,
        Kind::Repeats(_) => Case::Repeats,
    })
}
