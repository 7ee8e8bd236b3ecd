//! Orders of operators that hold until they are over or taken back: how they get into the state and out of it, and which
//! of them are refused. Part of `apply`: pure, the same on every node, bounded by groups and nodes.
//!
//! A time is over when the leader says so by a command. It goes by the wall clock, like the date that people are shown;
//! no lease depends on it.
//!
//! Not for what they do to a placement (crate `schedule`).

use crate::{
    apply::{Entry, refuse},
    core::Core,
};
use standfast_model::{
    command::Change,
    id::{GroupId, NodeId},
    order::{Given, Order, Orders, Restart, Wish},
    request::{Refusal, RefusalKind},
    state::ClusterState,
    time::{Micros, Now},
};

/// So long the leader waits before it says again that a time is over.
const AGAIN: Micros = Micros::from_millis(1_000);

/// Takes an order in. One for a group or node that has left the configuration in the meantime changes nothing.
///
/// # Errors
/// There is no such group or node.
pub(crate) fn apply(
    state: &mut ClusterState,
    entry: &mut Entry,
    group: &GroupId,
    (order, by): (&Order, &str),
) -> Result<(), Refusal> {
    if let Order::Over { index } = order {
        over(state, entry, group, *index);
        return Ok(());
    }
    exists(state, group, order)?;
    let given = Given {
        by: by.to_owned(),
        index: entry.index,
        wall_ms: entry.wall_ms,
    };
    let mut orders = state.orders.remove(group).unwrap_or_default();
    let text = take(&mut orders, group, order, given);
    if !orders.is_empty() {
        state.orders.insert(group.clone(), orders);
    }
    entry.write(state, "order", text, Vec::new());
    Ok(())
}

fn exists(state: &ClusterState, group: &GroupId, order: &Order) -> Result<(), Refusal> {
    let config = &state.config;
    let node = match order {
        Order::Keep { node, .. } | Order::Ban { node, .. } => Some(node),
        Order::Disable
        | Order::Enable
        | Order::Restart { .. }
        | Order::Clear { .. }
        | Order::Over { .. }
        | Order::Unmanage
        | Order::Manage
        | Order::Refresh => None,
    };
    let gone = if !config.has_group(group) {
        format!("group {group}")
    } else if let Some(node) = node.filter(|node| !config.nodes.contains_key(*node)) {
        format!("node {node}")
    } else {
        return Ok(());
    };
    let text = format!("there is no {gone} any more");
    Err(refuse(RefusalKind::NoSuchItem, text))
}

/// Changes the orders of a group. What to write into the journal.
fn take(orders: &mut Orders, group: &GroupId, order: &Order, given: Given) -> String {
    let by = given.by.clone();
    match order {
        Order::Disable => {
            orders.disabled.get_or_insert(given);
            orders.restart = None;
            format!("{group} was disabled by {by}: it is to run nowhere")
        }
        Order::Enable => {
            orders.disabled = None;
            format!("{group} was enabled by {by}")
        }
        Order::Restart { from } => {
            let from = from.clone();
            let what = from
                .as_ref()
                .map_or_else(String::new, |member| format!(" from {member} on"));
            orders.restart = Some(Restart { from, given });
            format!("{by} asked for a restart of {group}{what}")
        }
        Order::Keep { node, lifetime_ms } => {
            orders.wishes.retain(|wish| wish.ban && wish.node != *node);
            let lasts = wish(orders, (node, false), *lifetime_ms, given);
            format!("{by} asked for {group} to be kept on {node}{lasts}")
        }
        Order::Ban { node, lifetime_ms } => {
            orders.wishes.retain(|wish| wish.node != *node);
            let lasts = wish(orders, (node, true), *lifetime_ms, given);
            format!("{by} asked for {group} to be kept away from {node}{lasts}")
        }
        Order::Clear { node } => {
            let about = |wish: &Wish| node.as_ref().is_none_or(|node| wish.node == *node);
            orders.wishes.retain(|wish| !about(wish));
            let what = node
                .as_ref()
                .map_or_else(String::new, |node| format!(" about {node}"));
            format!("{by} cleared what was asked for {group}{what}")
        }
        Order::Unmanage => {
            orders.unmanaged.get_or_insert(given);
            format!("{by} ordered {group} to be left alone")
        }
        Order::Manage => {
            orders.unmanaged = None;
            format!("{by} ordered {group} to be looked after again")
        }
        Order::Refresh => format!("{by} asked for {group} to be looked at again"),
        Order::Over { .. } => String::new(),
    }
}

fn wish(
    orders: &mut Orders,
    (node, ban): (&NodeId, bool),
    lifetime_ms: Option<u64>,
    given: Given,
) -> String {
    let until_ms = lifetime_ms.map(|length| given.wall_ms.saturating_add(length));
    orders.wishes.push(Wish {
        node: node.clone(),
        ban,
        given,
        until_ms,
    });
    lifetime_ms.map_or_else(
        || String::from(", until it is cleared"),
        |length| format!(", for {}", spoken(length)),
    )
}

/// In the largest unit that it is a whole number of.
fn spoken(length_ms: u64) -> String {
    let seconds = length_ms / 1000;
    let units = [(86_400, "d"), (3600, "h"), (60, "min")];
    let whole = units
        .iter()
        .find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    whole.map_or_else(
        || format!("{seconds} s"),
        |(unit, name)| format!("{} {name}", seconds / unit),
    )
}

fn over(state: &mut ClusterState, entry: &mut Entry, group: &GroupId, index: u64) {
    let Some(orders) = state.orders.get_mut(group) else {
        return;
    };
    let mut wishes = orders.wishes.iter();
    let Some(position) = wishes.position(|wish| wish.given.index == index) else {
        return;
    };
    let wish = orders.wishes.remove(position);
    if orders.is_empty() {
        state.orders.remove(group);
    }
    let away = if wish.ban { "away from" } else { "on" };
    let (node, by) = (wish.node, wish.given.by);
    let text = format!("{group} is no longer kept {away} {node}: the time that {by} gave is over");
    entry.write(state, "order", text, Vec::new());
}

/// A switchover is the newer order: nothing keeps the group where it was.
pub(crate) fn forget_kept(state: &mut ClusterState, group: &GroupId) {
    if let Some(orders) = state.orders.get_mut(group) {
        orders.wishes.retain(|wish| wish.ban);
    }
    state.orders.retain(|_, orders| !orders.is_empty());
}

/// Restarts that a decision has considered.
pub(crate) fn restarted(state: &mut ClusterState, groups: &[GroupId]) {
    for group in groups {
        if let Some(orders) = state.orders.get_mut(group) {
            orders.restart = None;
        }
    }
    state.orders.retain(|_, orders| !orders.is_empty());
}

/// What the configuration has no more.
pub(crate) fn forget_removed(state: &mut ClusterState) {
    let config = &state.config;
    state.orders.retain(|group, orders| {
        orders
            .wishes
            .retain(|wish| config.nodes.contains_key(&wish.node));
        config.has_group(group) && !orders.is_empty()
    });
}

impl Core {
    /// The command of an order.
    ///
    /// # Errors
    /// Why it cannot be followed.
    pub(crate) fn order(
        &self,
        group: &GroupId,
        (order, by): (&Order, &str),
    ) -> Result<Change, Refusal> {
        self.check_group(group)?;
        self.check_order(group, order)?;
        Ok(Change::Order {
            group: group.clone(),
            order: order.clone(),
            by: by.to_owned(),
        })
    }

    fn check_order(&self, group: &GroupId, order: &Order) -> Result<(), Refusal> {
        let refuse = |kind, text: String| Err(Self::refusal(kind, text));
        let given = self.state.plan.groups.get(group);
        let orders = self.state.orders.get(group);
        let disabled = orders.is_some_and(|orders| orders.disabled.is_some());
        let unmanaged = orders.is_some_and(|orders| orders.unmanaged.is_some());
        let in_pair = self.state.config.pair.is_some();
        let acts = matches!(
            order,
            Order::Disable | Order::Restart { .. } | Order::Keep { .. } | Order::Ban { .. }
        );
        if acts {
            self.check_acts()?;
        }
        if acts && given.is_some_and(|given| given.maintenance) {
            return refuse(
                RefusalKind::Unsafe,
                format!("{group} is in maintenance: nothing is done with it until that is over"),
            );
        }
        self.check_copies(group, order)?;
        match order {
            Order::Disable if disabled => {
                refuse(RefusalKind::Exists, format!("{group} is disabled already"))
            }
            Order::Enable if !disabled => {
                refuse(RefusalKind::Exists, format!("{group} is not disabled"))
            }
            Order::Restart { .. } if given.is_none_or(|given| given.node.is_none()) => refuse(
                RefusalKind::Unsafe,
                format!("{group} runs nowhere; `standfast explain {group}` says why"),
            ),
            Order::Restart { from: Some(member) }
                if !given.is_some_and(|given| given.members.contains(member)) =>
            {
                let text = format!("there is no {member} in {group}");
                refuse(RefusalKind::NoSuchItem, text)
            }
            Order::Keep { .. } | Order::Ban { .. } if in_pair => refuse(
                RefusalKind::Invalid,
                String::from(
                    "everything of a pair runs on its primary: `standfast pair swap` lets the two change places",
                ),
            ),
            Order::Keep { node, .. } | Order::Ban { node, .. } => self.check_node(node),
            Order::Over { .. } => {
                let text = String::from("only the leader says that a time is over");
                refuse(RefusalKind::Invalid, text)
            }
            Order::Unmanage if unmanaged => refuse(
                RefusalKind::Exists,
                format!("{group} is left alone already"),
            ),
            Order::Manage if !unmanaged => refuse(
                RefusalKind::Exists,
                format!(
                    "nobody has ordered {group} to be left alone; `standfast status` says why it is in maintenance, if it is"
                ),
            ),
            Order::Disable
            | Order::Enable
            | Order::Restart { .. }
            | Order::Clear { .. }
            | Order::Unmanage
            | Order::Manage
            | Order::Refresh => Ok(()),
        }
    }

    /// What is refused for a group with copies, and for one of them.
    fn check_copies(&self, group: &GroupId, order: &Order) -> Result<(), Refusal> {
        let config = &self.state.config;
        if matches!(order, Order::Keep { .. }) {
            return self.check_copies_stay(group);
        }
        if !matches!(order, Order::Restart { .. }) || !config.copies.groups.contains_key(group) {
            return Ok(());
        }
        let copies = config.copies_of(group).map(|(copy, _)| copy.as_str());
        let names: Vec<&str> = copies.collect();
        let names = names.join(", ");
        let text = format!("one copy of {group} is restarted after the other: {names}");
        Err(Self::refusal(RefusalKind::Invalid, text))
    }

    /// Ends what was ordered for a time, when that is over.
    pub(crate) fn end_orders(&mut self, now: Now) {
        let wall_ms = self.wall_ms(now);
        let orders = self.state.orders.iter();
        let wishes = orders.flat_map(|(group, orders)| {
            let wishes = orders.wishes.iter();
            wishes.map(move |wish| (group, wish))
        });
        let over = wishes.filter(|(_, wish)| wish.until_ms.is_some_and(|until| until <= wall_ms));
        let over: Vec<(GroupId, u64)> = over
            .map(|(group, wish)| (group.clone(), wish.given.index))
            .collect();
        for (group, index) in over {
            let last = self.lead.as_ref().and_then(|lead| lead.order_ended);
            // Until it is applied, once is enough for a while.
            if last.is_some_and(|(same, at)| same == index && now.waited_since(at) < AGAIN) {
                continue;
            }
            if let Some(lead) = &mut self.lead {
                lead.order_ended = Some((index, now));
            }
            let change = Change::Order {
                group,
                order: Order::Over { index },
                by: String::new(),
            };
            self.propose(now, None, change);
        }
    }
}
