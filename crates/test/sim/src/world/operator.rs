//! What operators do to machines and their programs: restarts that the cluster is asked for, orderly
//! shutdowns. Requests about what runs where: `clients`.

use super::{Happening, World, clients::Purpose};
use crate::{
    attributes,
    coverage::Case,
    fault::Edit,
    invariants,
    node::{Agent, Machine, Node, Removal, Taint},
    scenario::{Scenario, key_name},
};
use standfast_model::{
    FEATURE_LEVEL,
    config::{ClusterConfig, Mode, Profile, ResourceKind, Timing},
    event::Event,
    id::{GroupId, ResourceId},
    request::Request,
};

/// An agent that ended by itself is away for so long, unless somebody has said for how long.
const RESTART_TAKES: u64 = 300_000;
/// A removal that was refused is asked for again after so long.
const REMOVE_AGAIN: u64 = 1_500_000;
/// An agent that has not restarted for its new program is asked for it again after so long.
const UPGRADE_AGAIN: u64 = 3_000_000;
/// So long an operator's word may be on its way.
const ON_ITS_WAY: u64 = 30_000_000;

impl World {
    /// The cluster is asked for the restart of a node's agent, as in an upgrade.
    pub(super) fn ask_for_restart(&mut self, number: usize, down: u64) {
        self.nodes[number].restart_takes = Some(down);
        self.truth.asked_restart_at = Some(self.time);
        let request = Request::AskRestart {
            node: Scenario::node_name(number),
            author: "operator".to_owned(),
        };
        let someone = self.draw_node.index(self.nodes.len());
        self.ask_someone(someone, Purpose::Ordinary, request);
    }

    /// The machine is shut down in order: its agent is told, and ends by itself.
    pub(super) fn ask_to_leave(&mut self, number: usize, down: u64) {
        if self.nodes[number].agent != Agent::Running || self.nodes[number].leaving.is_some() {
            return;
        }
        self.nodes[number].leaving = Some(down);
        let id = self.new_request(Purpose::Ordinary);
        let request = Request::Leave;
        self.deliver(number, Event::Request { id, request });
    }

    /// Carries out `Effect::Left`: the agent ends, and in each second case the machine with it.
    pub(super) fn left(&mut self, number: usize, idle: bool) {
        self.hash.add(8);
        self.hit(Case::Left);
        if idle {
            invariants::lease_end::on_left(self, number);
        }
        let down = self.nodes[number].leaving.take();
        let down = down.unwrap_or(RESTART_TAKES);
        self.note_at(number, || "agent has left".to_owned());
        if self.time % 2 == 1 {
            self.power_off(number, Some(down));
        } else {
            self.kill_agent(number, down);
        }
    }

    /// Carries out `Effect::RestartReady`: the agent ends, whoever has asked it to.
    pub(super) fn restart_ready(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if node.agent == Agent::Down {
            return;
        }
        let (case, down) = match (node.restarting.take(), node.restart_takes.take()) {
            (Some(down), _) => (Case::PlannedRestart, down),
            (None, down) => (Case::AskedRestart, down.unwrap_or(RESTART_TAKES)),
        };
        self.hit(case);
        self.note_at(number, || "agent may restart".to_owned());
        self.kill_agent(number, down);
    }

    /// Whether some agent may end soon because an operator wants it to.
    pub(super) fn somebody_is_to_end(&self) -> bool {
        let asked = self.truth.asked_restart_at;
        let under_way = asked.is_some_and(|at| self.time < at + ON_ITS_WAY);
        let wanted = |node: &Node| {
            node.leaving.is_some()
                || node.core.as_ref().is_some_and(|core| {
                    let nodes = &core.inspect().state.nodes;
                    nodes
                        .values()
                        .any(standfast_model::state::NodeState::is_to_restart)
                })
        };
        under_way || self.nodes.iter().any(wanted)
    }

    /// The present program is installed on one machine after the other, each of which restarts its agent then.
    pub(super) fn upgrade(&mut self, number: usize) {
        let Some(node) = self.nodes.get(number) else {
            return;
        };
        if self.time >= self.scenario.quiet_from {
            return;
        }
        let absent = node.machine == Machine::Absent || node.removal == Removal::Done;
        let done = node.agent == Agent::Running && node.runs_level == FEATURE_LEVEL;
        if absent || done {
            if done {
                self.hit(Case::Upgraded);
            }
            self.nodes[number].level = FEATURE_LEVEL;
            self.later(200_000, Happening::Upgrade(number + 1));
            return;
        }
        self.nodes[number].level = FEATURE_LEVEL;
        let unaware = |node: &Node| node.disk_taint == Taint::RolledBack;
        if !self.nodes.iter().any(unaware) {
            self.ask_for_restart(number, RESTART_TAKES);
        }
        self.later(UPGRADE_AGAIN, Happening::Upgrade(number));
    }

    /// Somebody installs the program of before, and starts it.
    pub(super) fn downgrade(&mut self, number: usize) {
        self.nodes[number].level = FEATURE_LEVEL - 1;
        self.kill_agent(number, RESTART_TAKES);
    }

    /// A draft is saved.
    pub(super) fn ask_draft(&mut self) {
        let request = Request::Draft {
            name: "next".to_owned(),
            text: Some("[cluster]".to_owned()),
            author: "operator".to_owned(),
            reason: String::new(),
        };
        let someone = self.draw_node.index(self.nodes.len());
        self.ask_someone(someone, Purpose::Ordinary, request);
    }

    /// A node is to be removed for good: it is drained, and removed as soon as the cluster lets it.
    pub(super) fn begin_removal(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if node.removal != Removal::None || node.machine == Machine::Absent {
            return;
        }
        node.removal = Removal::Wanted;
        self.ask_drain(number, true);
        self.later(100_000, Happening::Remove(number));
    }

    /// Asks for the removal, again and again until it is done or no longer wanted.
    pub(super) fn ask_to_remove(&mut self, number: usize) {
        if self.nodes[number].removal != Removal::Wanted {
            return;
        }
        if !self.may_shrink() {
            self.later(REMOVE_AGAIN, Happening::Remove(number));
            return;
        }
        self.truth.asked_removal_at = Some(self.time);
        let request = Request::Remove {
            node: Scenario::node_name(number),
            author: "operator".to_owned(),
        };
        let someone = self.draw_node.index(self.nodes.len());
        self.ask_someone(someone, Purpose::Remove(number), request);
        self.later(REMOVE_AGAIN, Happening::Remove(number));
    }

    /// Whether the cluster stands the removal of a voter: see `inject`.
    pub(super) fn may_shrink(&self) -> bool {
        let gone = |node: &Node| node.disk_taint != Taint::None;
        !self.nodes.iter().any(gone) || self.voters() > 3
    }

    /// Whether a removal may still come about that nobody has heard the end of.
    pub(super) fn removal_is_under_way(&self) -> bool {
        let asked = self.truth.asked_removal_at;
        asked.is_some_and(|at| self.time < at + ON_ITS_WAY)
    }

    /// The cluster says that a node is removed. Its machine goes on, and knows nothing of it.
    pub(super) fn was_removed(&mut self, number: usize) {
        if self.nodes[number].removal == Removal::Wanted {
            self.hit(Case::Removed);
            self.nodes[number].removal = Removal::Done;
            self.truth.asked_removal_at = None;
            self.note_at(number, || "was removed".to_owned());
        }
    }

    /// The machine is installed anew and joins, or its removal has not come about.
    pub(super) fn end_removal(&mut self, number: usize) {
        match self.nodes[number].removal {
            Removal::None => {}
            Removal::Wanted => {
                self.nodes[number].removal = Removal::None;
                self.ask_drain(number, false);
            }
            Removal::Done => self.install_removed(number),
        }
    }

    /// What was on the machine is destroyed, and it joins.
    pub(super) fn install_removed(&mut self, number: usize) {
        self.power_off(number, None);
        self.install(number);
        self.nodes[number].disk_taint = Taint::None;
        self.hit(Case::RemovedJoined);
        self.later(100_000, Happening::Join(number));
    }

    /// Machines that are no members any more, and that nobody has told the operator of: the word may have been
    /// lost on its way.
    pub(super) fn find_removed(&mut self) {
        let Some(leader) = self.leader() else { return };
        let Some(core) = &self.nodes[leader].core else {
            return;
        };
        let keys = &core.inspect().state.keys;
        let gone: Vec<usize> = (0..self.nodes.len())
            .filter(|number| {
                let node = &self.nodes[*number];
                !keys.is_empty()
                    && node.machine != Machine::Absent
                    && !keys
                        .get(&node.name)
                        .is_some_and(|keys| keys.contains(&key_name(*number, node.key)))
            })
            .collect();
        for number in gone {
            self.install_removed(number);
        }
    }

    /// A configuration as an operator changes it. None when that makes no difference.
    pub(super) fn edited(
        &mut self,
        mut config: ClusterConfig,
        (target, edit): (usize, Edit),
    ) -> Option<ClusterConfig> {
        let before = config.clone();
        let groups = &self.scenario.groups;
        let group = |number: usize| groups[number % groups.len()].clone();
        match edit {
            Edit::Observe => {
                config.mode = match config.mode {
                    Mode::Active => Mode::Observe,
                    Mode::Observe => Mode::Active,
                }
            }
            Edit::MaintenanceOfAll => config.maintenance = !config.maintenance,
            Edit::Resource(number) => toggle_resource(&mut config, &self.scenario, &group(number)),
            Edit::Regroup(number) => regroup(&mut config, &group(number), &group(number + 1)),
            Edit::Command(number) => {
                let resources = &self.scenario.resources;
                let name = &resources[number % resources.len()];
                let version = format!("{}", self.draw_node.below(1_000));
                if let Some(resource) = config.resources.get_mut(name)
                    && let ResourceKind::Process(process) = &mut resource.kind
                {
                    process.command = vec!["serve".to_owned(), version];
                }
            }
            Edit::Profile => {
                config.profile = match config.profile {
                    Profile::Lan | Profile::Appliance => Profile::Wan,
                    Profile::Wan => Profile::Fast,
                    Profile::Fast => Profile::Lan,
                };
                config.timing = Timing::of(config.profile);
            }
            Edit::Attribute(_) | Edit::Location(_) => {
                attributes::edit(&mut config, &self.scenario, (target, edit));
            }
            Edit::Prefer(_) | Edit::Timing | Edit::Maintenance(_) | Edit::Group(_) => {}
        }
        (config != before).then_some(config)
    }
}

/// Takes the last resource of a group out, if it is not the only one, or puts back what is missing.
fn toggle_resource(config: &mut ClusterConfig, scenario: &Scenario, group: &GroupId) {
    let Some(known) = scenario.config.groups.get(group) else {
        return;
    };
    let free: Vec<ResourceId> = known
        .members
        .iter()
        .filter(|name| !config.resources.contains_key(*name))
        .cloned()
        .collect();
    let Some(settings) = config.groups.get_mut(group) else {
        return;
    };
    if free.is_empty() && settings.members.len() > 1 {
        if let Some(gone) = settings.members.pop() {
            config.resources.remove(&gone);
        }
        return;
    }
    for name in free {
        if let Some(resource) = scenario.config.resources.get(&name) {
            config.resources.insert(name.clone(), resource.clone());
            settings.members.push(name);
        }
    }
}

/// The last resource of a group goes to another one.
fn regroup(config: &mut ClusterConfig, from: &GroupId, to: &GroupId) {
    if from == to || !config.groups.contains_key(to) {
        return;
    }
    let Some(settings) = config.groups.get_mut(from) else {
        return;
    };
    if settings.members.len() > 1
        && let Some(name) = settings.members.pop()
        && let Some(other) = config.groups.get_mut(to)
    {
        other.members.push(name);
    }
}
