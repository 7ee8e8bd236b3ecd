//! What operators order, and how they take everything back after a bad day.

use super::{World, clients::Purpose};
use crate::{fault::Ordered, scenario::Scenario};
use standfast_model::{
    order::{Maintained, Order},
    request::Request,
    state::ClusterState,
};

impl World {
    /// Gives an order; which way it goes is the cluster's business.
    pub(super) fn ask_order(
        &mut self,
        (target, group): (usize, usize),
        what: Ordered,
        length: u64,
    ) {
        let node = Scenario::node_name(target);
        let group = self.scenario.groups[group % self.scenario.groups.len()].clone();
        let author = || "operator".to_owned();
        let lifetime_ms = Some(length / 1000);
        let of_group = |order| Request::Order {
            group: group.clone(),
            order,
            author: author(),
        };
        let maintain = |what, on| Request::Maintain {
            what,
            on,
            author: author(),
        };
        let request = match what {
            Ordered::Keep => of_group(Order::Keep { node, lifetime_ms }),
            Ordered::Ban => of_group(Order::Ban { node, lifetime_ms }),
            Ordered::Clear => of_group(Order::Clear { node: None }),
            Ordered::Disable => of_group(Order::Disable),
            Ordered::Enable => of_group(Order::Enable),
            Ordered::Restart => of_group(Order::Restart { from: None }),
            Ordered::Unmanage => of_group(Order::Unmanage),
            Ordered::Manage => of_group(Order::Manage),
            Ordered::Refresh => of_group(Order::Refresh),
            Ordered::Cluster(on) => maintain(Maintained::Cluster, on),
            Ordered::Node(on) => maintain(Maintained::Node(node), on),
            Ordered::Standby => Request::Standby {
                node,
                lifetime_ms,
                author: author(),
            },
        };
        let someone = self.draw_node.index(self.nodes.len());
        self.ask_someone(someone, Purpose::Ordinary, request);
    }

    /// Takes back every order that is in force.
    pub(super) fn take_orders_back(&mut self, leader: usize) {
        let Some(core) = &self.nodes[leader].core else {
            return;
        };
        for request in taken_back(core.inspect().state) {
            self.ask_someone(leader, Purpose::Ordinary, request);
        }
    }
}

fn taken_back(state: &ClusterState) -> Vec<Request> {
    let author = || "operator".to_owned();
    let mut all = Vec::new();
    for (group, orders) in &state.orders {
        let mut ends = Vec::new();
        ends.extend(orders.disabled.as_ref().map(|_| Order::Enable));
        ends.extend(orders.unmanaged.as_ref().map(|_| Order::Manage));
        ends.extend(orders.wishes.first().map(|_| Order::Clear { node: None }));
        all.extend(ends.into_iter().map(|order| Request::Order {
            group: group.clone(),
            order,
            author: author(),
        }));
    }
    let nodes = state.maintenance.nodes.keys().cloned();
    let nodes = nodes.map(Maintained::Node);
    let cluster = state
        .maintenance
        .cluster
        .iter()
        .map(|_| Maintained::Cluster);
    all.extend(nodes.chain(cluster).map(|what| Request::Maintain {
        what,
        on: false,
        author: author(),
    }));
    all
}
