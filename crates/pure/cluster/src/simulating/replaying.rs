//! What was decided once is decided again: from a view that somebody has kept, without a cluster. And what a time that
//! passes does to it.
//!
//! Not for reading a view from anywhere.

use super::World;
use crate::{Init, core::Core};
use standfast_model::{
    command::Change,
    event::Restored,
    id::{GroupId, Incarnation, MemberId, NodeId, ResourceId},
    order::Order,
    request::{Refusal, View},
    simulation::{Imagined, Simulation, Stage},
    time::Now,
};

/// What would happen, from what a view shows.
///
/// # Errors
/// What cannot be imagined, and why.
pub fn replay(view: &View, imagined: &[Imagined]) -> Result<Simulation, Refusal> {
    let node = NodeId::from(view.node.as_str());
    let known = view.state.nodes.get(&node);
    let init = Init {
        node,
        member: MemberId(0),
        incarnation: Incarnation(0),
        boot: 0,
        restored: Restored::default(),
        peers: Vec::new(),
        seed: 0,
        guards: known
            .map(|known| known.report.guards.clone())
            .unwrap_or_default(),
        wall_offset: 0,
        level: view.state.feature_level,
        planted: None,
    };
    let (mut core, _) = Core::new(init, Now::default());
    core.state = view.state.clone();
    core.imagine(view, imagined)
}

impl World<'_> {
    /// Time has passed: what was to hold until then is over.
    pub(super) fn pass(&mut self, wall_ms: u64) -> Result<Stage, Refusal> {
        let mut over = Vec::new();
        for (group, index, text) in self.orders_over(wall_ms) {
            over.push(text);
            let order = Order::Over { index };
            let by = String::new();
            self.apply(Change::Order { group, order, by })?;
        }
        for (resource, node) in self.failures_over(wall_ms) {
            over.push(format!("failures of {resource} on {node} are forgotten"));
            self.apply(Change::ForgetFailures {
                resource,
                node,
                by: None,
                counted: None,
            })?;
        }
        let before = self.decide(&[])?;
        let old = before.config.clone();
        let over = over.join("; ");
        let what = match over.as_str() {
            "" => String::from("it is decided again"),
            over => format!("it is decided again: {over}"),
        };
        Ok(self.follow(what, &before, &old))
    }

    fn orders_over(&self, wall_ms: u64) -> Vec<(GroupId, u64, String)> {
        let orders = self.state.orders.iter();
        let wishes = orders.flat_map(|(group, orders)| {
            let wishes = orders.wishes.iter();
            wishes.map(move |wish| (group, wish))
        });
        let over = wishes.filter(|(_, wish)| wish.until_ms.is_some_and(|until| until <= wall_ms));
        over.map(|(group, wish)| {
            let away = if wish.ban { "away from" } else { "on" };
            let text = format!("{group} is no longer kept {away} {}", wish.node);
            (group.clone(), wish.given.index, text)
        })
        .collect()
    }

    fn failures_over(&self, wall_ms: u64) -> Vec<(ResourceId, NodeId)> {
        let mut over = Vec::new();
        for (resource, records) in &self.state.failures {
            let settings = self.state.config.resources.get(resource);
            let window = settings.map(|settings| settings.failure.window.as_millis_ceil());
            let Some(window) = window else { continue };
            let old = records.iter().filter(|(_, record)| {
                record.count > 0
                    && record.severity.is_soft()
                    && record.wall_ms.saturating_add(window) <= wall_ms
            });
            over.extend(old.map(|(node, _)| (resource.clone(), node.clone())));
        }
        over
    }
}
