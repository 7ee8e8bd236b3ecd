//! Clients and operators: requests to any node, and what their answers promise.

use super::{Happening, World};
use crate::{
    attributes, copies,
    coverage::Case,
    fault::Edit,
    invariants::{self, Violation},
    node::{Agent, Machine},
    scenario::{Scenario, addresses, key_name},
};
use standfast_model::{
    FEATURE_LEVEL,
    config::{ClusterConfig, Timing},
    event::{Event, Reply},
    request::{JoinOffer, RefusalKind, Request, Response},
    time::Micros,
};
use std::borrow::Cow;

/// Why somebody asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Nobody does anything with the answer, but it has to be true.
    Ordinary,
    /// To restart this node's agent.
    Restart,
    /// To have the agent of that node restarted, by whoever leads.
    Upgrade(usize),
    /// For this machine to join, with this key: installed anew it has another one, and whoever asked is gone.
    Join(usize, u32),
    /// To remove this machine.
    Remove(usize),
}

/// A machine asks again to join when there was no answer for so long, or so long after a refusal.
const NO_ANSWER: u64 = 12_000_000;
const JOIN_AGAIN: u64 = 1_000_000;

impl World {
    pub(super) fn new_request(&mut self, purpose: Purpose) -> u64 {
        let id = self.draw_node.next();
        self.clients.insert(id, purpose);
        id
    }

    /// Asks a node that runs, picked by a number.
    pub(super) fn ask_someone(&mut self, hint: usize, purpose: Purpose, request: Request) {
        let count = self.nodes.len();
        let running = |number: &usize| self.nodes[*number].agent == Agent::Running;
        let Some(node) = (0..count).map(|step| (hint + step) % count).find(running) else {
            return;
        };
        let id = self.new_request(purpose);
        self.deliver(node, Event::Request { id, request });
    }

    fn somewhere(&mut self) -> usize {
        self.draw_node.index(self.nodes.len())
    }

    /// The configuration in force, as some node knows it.
    pub(super) fn config_in_force(&self) -> Option<ClusterConfig> {
        let states = self
            .nodes
            .iter()
            .filter_map(|node| Some(node.core.as_ref()?.inspect().state));
        let newest = states.max_by_key(|state| state.config_version)?;
        Some(newest.config.clone())
    }

    pub(super) fn ask_switchover(&mut self, target: usize, group: usize) {
        let group = self.scenario.groups[group % self.scenario.groups.len()].clone();
        let to = self
            .draw_node
            .chance(600_000)
            .then(|| Scenario::node_name(target));
        let request = Request::Switchover {
            group,
            to,
            author: "operator".to_owned(),
        };
        let someone = self.somewhere();
        self.ask_someone(someone, Purpose::Ordinary, request);
    }

    pub(super) fn ask_drain(&mut self, target: usize, drained: bool) {
        let request = Request::Drain {
            node: Scenario::node_name(target),
            drained,
            author: "operator".to_owned(),
        };
        let someone = self.somewhere();
        self.ask_someone(someone, Purpose::Ordinary, request);
    }

    pub(super) fn ask_cleanup(&mut self, group: usize) {
        let group = self.scenario.groups[group % self.scenario.groups.len()].clone();
        let request = Request::Cleanup {
            group,
            author: "operator".to_owned(),
        };
        let someone = self.somewhere();
        self.ask_someone(someone, Purpose::Ordinary, request);
    }

    pub(super) fn ask_apply(&mut self, target: usize, edit: Edit) {
        let Some(mut config) = self.config_in_force() else {
            return;
        };
        let group_of =
            |number: usize| self.scenario.groups[number % self.scenario.groups.len()].clone();
        let number = match edit {
            Edit::Prefer(number) | Edit::Maintenance(number) | Edit::Group(number) => Some(number),
            Edit::Timing
            | Edit::Observe
            | Edit::MaintenanceOfAll
            | Edit::Resource(_)
            | Edit::Regroup(_)
            | Edit::Command(_)
            | Edit::Attribute(_)
            | Edit::Location(_)
            | Edit::Profile => None,
        };
        let about = number.map(group_of);
        if about.is_some_and(|group| copies::edit(&mut config, &self.scenario, (&group, edit))) {
            return self.apply(config);
        }
        match edit {
            Edit::Prefer(number) => {
                if let Some(group) = config.groups.get_mut(&group_of(number)) {
                    group.prefer.insert(Scenario::node_name(target), 300);
                }
            }
            Edit::Timing => config.timing = other_timing(&config, self.draw_node.range(100, 150)),
            Edit::Maintenance(number) => {
                if let Some(group) = config.groups.get_mut(&group_of(number)) {
                    group.maintenance = !group.maintenance;
                }
            }
            Edit::Group(number) => toggle_group(&mut config, &self.scenario, &group_of(number)),
            Edit::Observe
            | Edit::MaintenanceOfAll
            | Edit::Resource(_)
            | Edit::Regroup(_)
            | Edit::Command(_)
            | Edit::Attribute(_)
            | Edit::Location(_)
            | Edit::Profile => match self.edited(config, (target, edit)) {
                Some(edited) => config = edited,
                None => return,
            },
        }
        self.apply(config);
    }

    /// Puts a configuration in force.
    pub(super) fn apply(&mut self, config: ClusterConfig) {
        invariants::copies::note(self, &config);
        let request = Request::Apply {
            config: Box::new(config),
            text: String::new(),
            based_on: None,
            author: "operator".to_owned(),
            reason: String::new(),
            draft: None,
        };
        let someone = self.somewhere();
        self.ask_someone(someone, Purpose::Ordinary, request);
    }

    /// Puts back what faults have changed in the configuration; false when there is nothing to put back.
    pub(super) fn restore_config(&mut self) -> bool {
        let Some(current) = self.config_in_force() else {
            return false;
        };
        if self.is_original(&current) {
            return false;
        }
        let mut wanted = self.scenario.config.clone();
        wanted.nodes.clone_from(&current.nodes);
        wanted.spread_copies();
        attributes::restore(&mut wanted, &self.scenario);
        self.apply(wanted);
        true
    }

    /// Whether a configuration is the one from the beginning, whoever is a member.
    pub(crate) fn is_original(&self, config: &ClusterConfig) -> bool {
        let mut wanted = Cow::Borrowed(&self.scenario.config);
        if copies::are_in(&self.scenario) {
            // A machine that has joined has its copies.
            wanted.to_mut().nodes.clone_from(&config.nodes);
            wanted.to_mut().spread_copies();
        }
        let wanted = &*wanted;
        let runs = |each: &ClusterConfig| (each.profile, each.timing, each.maintenance, each.mode);
        runs(wanted) == runs(config)
            && wanted.resources == config.resources
            && wanted.groups == config.groups
            && attributes::are_original(config, &self.scenario)
    }

    pub(super) fn ask_to_join(&mut self, number: usize) {
        if !self.nodes[number].joining || self.time < self.nodes[number].join_after {
            return;
        }
        self.nodes[number].join_after = self.time + NO_ANSWER;
        let key = self.nodes[number].key;
        let offer = JoinOffer {
            key: key_name(number, key),
            feature_level: self.nodes[number].level,
            ..JoinOffer::default()
        };
        let request = Request::Join {
            node: Scenario::node_name(number),
            addresses: addresses(number),
            offer,
        };
        let someone = self.somewhere();
        self.ask_someone(someone, Purpose::Join(number, key), request);
        self.later(NO_ANSWER, Happening::Join(number));
    }

    /// An answer reaches a client.
    pub(super) fn answered(&mut self, number: usize, reply: Reply) {
        let Some(purpose) = self.clients.remove(&reply.id) else {
            return;
        };
        self.note_at(number, || {
            format!(
                "answers request {:x}: {:?}",
                reply.id,
                brief(&reply.response)
            )
        });
        match (reply.response, purpose) {
            (Response::Done { index }, purpose) => {
                self.was_done(reply.id, index);
                if let Purpose::Remove(removed) = purpose {
                    self.was_removed(removed);
                }
            }
            (Response::Joined { member, peers, .. }, Purpose::Join(joiner, key)) => {
                let node = &mut self.nodes[joiner];
                if !node.joining || node.key != key {
                    return;
                }
                node.joining = false;
                node.member = member;
                node.peers = peers.into_iter().collect();
                node.accepts = u128::MAX;
                node.machine = Machine::Off;
                self.hit(Case::MemberJoined);
                self.later(100_000, Happening::Boot(joiner));
            }
            (Response::Refused(refusal), Purpose::Join(joiner, _)) => {
                if refusal.kind == RefusalKind::Invalid && self.nodes[joiner].level < FEATURE_LEVEL
                {
                    self.hit(Case::OldJoinerRefused);
                    self.nodes[joiner].level = FEATURE_LEVEL;
                }
                self.nodes[joiner].join_after = self.time + JOIN_AGAIN;
                self.later(JOIN_AGAIN, Happening::Join(joiner));
            }
            (Response::Refused(_), Purpose::Restart) => self.nodes[number].restarting = None,
            (Response::Refused(_), Purpose::Upgrade(target)) => {
                self.nodes[target].restarting = None;
            }
            _ => {}
        }
    }

    /// A client was told that its request is done: from here on it has to stay done.
    fn was_done(&mut self, id: u64, index: u64) {
        self.hit(Case::RequestDone);
        let committed = self.truth.committed.contains_key(&index);
        let elsewhere = self.truth.requests.get(&id).is_some_and(|at| *at != index);
        if !committed || elsewhere {
            let text = format!(
                "request {id:x} was acknowledged at index {index}, where nothing of it is committed"
            );
            self.violate(Violation {
                invariant: 3,
                at: self.time,
                text,
            });
        }
    }
}

fn other_timing(config: &ClusterConfig, percent: u64) -> Timing {
    let usual = Timing::of(config.profile);
    Timing {
        lease: Micros(usual.lease.0 * percent / 100),
        ..usual
    }
}

fn toggle_group(
    config: &mut ClusterConfig,
    scenario: &Scenario,
    group: &standfast_model::id::GroupId,
) {
    if let Some(gone) = config.groups.remove(group) {
        for resource in gone.members {
            config.resources.remove(&resource);
        }
    } else if let Some(known) = scenario.config.groups.get(group) {
        // What another group has taken over stays there.
        if known
            .members
            .iter()
            .any(|name| config.resources.contains_key(name))
        {
            return;
        }
        for resource in &known.members {
            if let Some(settings) = scenario.config.resources.get(resource) {
                config.resources.insert(resource.clone(), settings.clone());
            }
        }
        config.groups.insert(group.clone(), known.clone());
    }
}

fn brief(response: &Response) -> String {
    match response {
        Response::View(_) => "view".to_owned(),
        Response::Plan(_) => "plan".to_owned(),
        Response::Simulation(_) => "simulation".to_owned(),
        Response::Text { .. } => "text".to_owned(),
        Response::Answer(_) => "answer".to_owned(),
        Response::Token { .. } => "token".to_owned(),
        other @ (Response::Done { .. } | Response::Joined { .. } | Response::Refused(_)) => {
            format!("{other:?}")
        }
    }
}
