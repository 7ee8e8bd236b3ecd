//! Whether a request makes sense with the state as it is; if not, what to tell the operator.
//!
//! Not for carrying a request out (`serving`).

use crate::core::Core;
use standfast_model::{
    config::{ClusterConfig, Profile, ResourceConfig},
    copies::{is_role, written},
    id::{GroupId, NodeId, ResourceId},
    pair::{Arbiter, PairConfig},
    plan::INFINITY,
    request::{Refusal, RefusalKind},
    time::Micros,
};

impl Core {
    pub(crate) fn check_config(&self, config: &ClusterConfig) -> Result<(), Refusal> {
        for info in self.state.members.values() {
            if !config.nodes.contains_key(&info.node) {
                return Err(Self::refusal(
                    RefusalKind::Invalid,
                    format!(
                        "node {} is a member of the cluster and must stay in [nodes]",
                        info.node
                    ),
                ));
            }
        }
        let unguarded: Vec<&str> = self
            .state
            .nodes
            .iter()
            .filter(|(_, known)| {
                known.report.version > 0 && known.report.guards.extra_wait() > Micros::ZERO
            })
            .map(|(node, _)| node.as_str())
            .collect();
        if config.profile == Profile::Fast && !unguarded.is_empty() {
            return Err(Self::refusal(
                RefusalKind::Unsafe,
                format!(
                    "profile fast needs the address guard on every node; {} offers none (`status` says why); use lan",
                    unguarded.join(", ")
                ),
            ));
        }
        self.check_ends(config)
    }

    /// Whether something ends every resource on every node: a guard with its lease, or a fence device.
    fn check_ends(&self, config: &ClusterConfig) -> Result<(), Refusal> {
        let asks_nobody = |pair: &PairConfig| !matches!(pair.arbiter, Arbiter::Fence);
        let outliving = config
            .resources
            .iter()
            .find(|(_, r)| r.kind.only_power_ends());
        if let (Some(pair), Some((id, _))) = (&config.pair, outliving)
            && asks_nobody(pair)
        {
            let text = format!(
                "what {id} does goes on when its processes are killed, and only a fence device as the pair's arbiter ends it \
                 before the other node goes on alone"
            );
            return Err(Self::refusal(RefusalKind::Unsafe, text));
        }
        let nodes = config.nodes.iter().filter(|(node, settings)| {
            !settings.witness && config.fencing.levels_of(node).is_empty()
        });
        let wrong = nodes
            .flat_map(|(node, _)| config.resources.iter().map(move |found| (node, found)))
            .find_map(|(node, (id, resource))| {
                Some((node, self.needs_device(node, id, resource)?))
            });
        let Some((node, why)) = wrong else {
            return Ok(());
        };
        let text = format!(
            "{why}, and nothing can fence {node}: no [fence.NAME] has it in its `nodes`, or fencing is switched off"
        );
        Err(Self::refusal(RefusalKind::Unsafe, text))
    }

    /// Why a resource needs a device on a node.
    fn needs_device(
        &self,
        node: &NodeId,
        id: &ResourceId,
        resource: &ResourceConfig,
    ) -> Option<String> {
        if resource.needs_fencing {
            return Some(format!("{id} requires fencing"));
        }
        let report = &self.state.nodes.get(node)?.report;
        let bare = report.version > 0 && !report.guards.covers(&resource.kind);
        bare.then(|| {
            format!("no guard of {node} ends {id} with its lease (`status` says what is missing)")
        })
    }

    pub(crate) fn check_node(&self, node: &NodeId) -> Result<(), Refusal> {
        if self.state.config.nodes.contains_key(node) {
            return Ok(());
        }
        let names: Vec<&str> = self.state.config.nodes.keys().map(NodeId::as_str).collect();
        Err(Self::refusal(
            RefusalKind::NoSuchItem,
            format!("there is no node {node}; nodes are: {}", names.join(", ")),
        ))
    }

    /// Nothing is moved where nothing is done.
    pub(crate) fn check_acts(&self) -> Result<(), Refusal> {
        if self.state.config.observes() {
            let text = "the cluster only observes, and moves nothing; `mode = \"active\"` in [cluster] lets it act";
            return Err(Self::refusal(RefusalKind::Unsafe, text));
        }
        Ok(())
    }

    pub(crate) fn check_group(&self, group: &GroupId) -> Result<(), Refusal> {
        let config = &self.state.config;
        if config.has_group(group) {
            return Ok(());
        }
        let names: Vec<&str> = config.written_groups().map(GroupId::as_str).collect();
        Err(Self::refusal(
            RefusalKind::NoSuchItem,
            format!(
                "there is no group {group}; groups are: {}",
                names.join(", ")
            ),
        ))
    }

    /// A copy belongs to its node.
    pub(crate) fn check_copies_stay(&self, group: &GroupId) -> Result<(), Refusal> {
        let config = &self.state.config;
        let name = GroupId::from(written(group.as_str()));
        if is_role(group.as_str()) || !config.copies.groups.contains_key(&name) {
            return Ok(());
        }
        let text = format!(
            "{name} has copies, and each belongs to its node: `standfast resource ban {name} NODE` stops the one there, \
             `standfast node drain NODE` all that a node runs"
        );
        Err(Self::refusal(RefusalKind::Invalid, text))
    }

    pub(crate) fn check_move(&self, group: &GroupId, to: Option<&NodeId>) -> Result<(), Refusal> {
        self.check_group(group)?;
        self.check_copies_stay(group)?;
        self.check_acts()?;
        let unsafe_now = |text: String| Err(Self::refusal(RefusalKind::Unsafe, text));
        let assignment = self.state.plan.groups.get(group);
        if assignment.is_some_and(|assignment| assignment.maintenance) {
            return unsafe_now(format!(
                "{group} is in maintenance: nothing is moved until that is over"
            ));
        }
        let Some(to) = to else { return Ok(()) };
        self.check_node(to)?;
        if assignment.and_then(|assignment| assignment.node.as_ref()) == Some(to) {
            return Err(Self::refusal(
                RefusalKind::Exists,
                format!("{group} is on {to} already"),
            ));
        }
        if self
            .state
            .config
            .nodes
            .get(to)
            .is_some_and(|node| node.witness)
        {
            return unsafe_now(format!("{to} is a witness and runs no resources"));
        }
        let config = &self.state.config;
        let mut located = config.locations_on(group, to);
        if let Some((name, location)) = located.find(|(_, one)| one.score <= -INFINITY) {
            let has = config.nodes.get(to).map(|node| &node.attributes);
            let has = has.map_or_else(String::new, |has| location.met_by(has));
            return unsafe_now(format!(
                "location {name} keeps {group} away from {to}: {has}"
            ));
        }
        match self.state.nodes.get(to) {
            Some(known) if known.drained => {
                unsafe_now(format!("{to} is drained; `node resume {to}` first"))
            }
            Some(known) if known.online => Ok(()),
            Some(_) | None => unsafe_now(format!("{to} is offline")),
        }
    }
}
