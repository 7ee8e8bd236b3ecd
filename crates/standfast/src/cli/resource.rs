//! `resource move`, `ban`, `clear`, `disable`, `enable`, `restart`, `unmanage`, `manage` and `refresh`: orders of operators, what they are refused for
//! here already, and waiting until they are followed.

use super::{
    ask::{look_at_state, no_such},
    copies, exit,
    operate::{self, Done},
    resource_args::{
        BanArgs, ClearArgs, MoveArgs, OrderHow, ResourceCommand, RestartArgs, SwitchArgs,
    },
    simulate::dry_run,
    wait::until,
};
use crate::cli::SwitchoverArgs;
use crate::render::{self, Explanation, length, other_homes, running_on};
use crate::{connection, failure::Failure};
use standfast_model::{
    id::{GroupId, NodeId, ResourceId},
    order::Order,
    request::{Request, View},
    state::{InstanceReport, Phase},
    time::Micros,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

const SCHEMA: &str = "standfast/order/1";

/// So long after an order is in force a decision that changes nothing has been made, on a machine that stands still at
/// times, too.
const DECIDED: Duration = Duration::from_secs(10);

pub(super) fn dispatch(socket: &Path, command: &ResourceCommand) -> Result<(), Failure> {
    match command {
        ResourceCommand::Cleanup(args) => operate::cleanup(socket, args),
        ResourceCommand::Move(args) => move_to(socket, args),
        ResourceCommand::Ban(args) => ban(socket, args),
        ResourceCommand::Clear(args) => clear(socket, args),
        ResourceCommand::Disable(args) => disable(socket, args),
        ResourceCommand::Enable(args) => enable(socket, args),
        ResourceCommand::Restart(args) => restart(socket, args),
        ResourceCommand::Unmanage(args) => unmanage(socket, args),
        ResourceCommand::Manage(args) => manage(socket, args),
        ResourceCommand::Refresh(args) => refresh(socket, args),
    }
}

/// An order, and when it has been followed.
struct Wanted<'w> {
    group: &'w GroupId,
    order: Order,
    how: &'w OrderHow,
    /// What stops or moves by it, for whoever works through its address.
    touches: bool,
}

/// Whether an order has been followed: the node that runs the group now, if any does.
type Followed<'f> = &'f dyn Fn(&View, u64) -> Result<Option<Option<NodeId>>, Failure>;

/// What is said then: of the node that runs the group now, and of how long it took.
type Said<'s> = &'s dyn Fn(Option<&NodeId>, &str) -> String;

impl Wanted<'_> {
    fn carry_out(
        self,
        socket: &Path,
        followed: Followed<'_>,
        said: Said<'_>,
    ) -> Result<(), Failure> {
        let (mut agent, view) = look_at_state(socket)?;
        let request = Request::Order {
            group: self.group.clone(),
            order: self.order,
            author: String::new(),
        };
        if self.how.dry_run {
            return dry_run(&mut agent, request, self.how.json);
        }
        if self.touches {
            connection::refuse(&view, self.how.force, |moved| moved == self.group)?;
        }
        let start = Instant::now();
        let index = agent.change(&request)?;
        let mut done = Done::new(SCHEMA, self.group.as_str(), index, start);
        if self.how.wait == 0 {
            let group = self.group;
            let text = format!("{group}: ordered; `standfast status` shows what becomes of it");
            return done.print(self.how.json, &text);
        }
        let most = Duration::from_secs(self.how.wait);
        let mut seen = None;
        let look = |view: &View| {
            if view.state.applied < index {
                return Ok(None);
            }
            let seen: Instant = *seen.get_or_insert_with(Instant::now);
            match followed(view, index)? {
                None if seen.elapsed() > DECIDED => stuck(view, self.group).map_or(Ok(None), Err),
                other => Ok(other),
            }
        };
        let node = until(socket, most, look, |view| late(view, self.group))?;
        done.end(start, node.as_ref());
        let took = length(Micros::from_millis(done.took_ms()));
        done.print(self.how.json, &said(node.as_ref(), &took))
    }
}

/// It was decided that it runs nowhere, although it is not disabled.
fn stuck(view: &View, group: &GroupId) -> Option<Failure> {
    let given = view.state.plan.groups.get(group)?;
    let orders = view.state.orders.get(group);
    let disabled = orders.is_some_and(|orders| orders.disabled.is_some());
    // Whoever waits for one that runs nowhere waits for ever.
    let waits = given.waiting.as_ref().is_some_and(|waiting| {
        let on = view.state.plan.groups.get(&waiting.on);
        on.is_some_and(|on| on.node.is_some() || on.waiting.is_some())
    });
    if disabled || given.node.is_some() || waits {
        return None;
    }
    let text = format!("{group} runs nowhere; `standfast explain {group}` says why");
    Some(Failure::new(exit::UNAVAILABLE, text))
}

fn late(view: Option<&View>, group: &GroupId) -> String {
    let line = view.map(render::Status::of).map(|status| status.sentence);
    let line = line.unwrap_or_else(|| String::from("the agent does not answer"));
    format!("what was ordered for {group} is in force, and not done yet. {line}")
}

/// The group of that name.
fn group_named(view: &View, name: &str) -> Result<GroupId, Failure> {
    let group = GroupId::from(name);
    let config = &view.state.config;
    if config.has_group(&group) {
        return Ok(group);
    }
    if let Some((whole, Some(_))) = copies::named_by(view, name) {
        let text =
            format!("{name} is a resource of {whole}, and a group is one thing: name {whole}");
        return Err(no_such(text));
    }
    if let Some(whole) = config.group_of(&name.into()) {
        let text = format!(
            "{name} is a resource of {whole}, and a group is one thing: name {whole}, or take {name} out of it"
        );
        return Err(no_such(text));
    }
    Explanation::of(view, &group).map_err(no_such)?;
    Ok(group)
}

fn move_to(socket: &Path, args: &MoveArgs) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    let group = group_named(&view, &args.group)?;
    let how = &args.how;
    let Some(lifetime_ms) = args.lifetime else {
        let args = SwitchoverArgs {
            group: args.group.clone(),
            to: args.node.clone(),
            wait: how.wait,
            force: how.force,
            dry_run: how.dry_run,
            json: how.json,
        };
        return operate::switchover(socket, &args);
    };
    let Some(node) = args.node.as_deref().map(NodeId::from) else {
        return keep_away(socket, &view, &group, None, Some(lifetime_ms), how);
    };
    let wanted = Wanted {
        group: &group,
        order: Order::Keep {
            node: node.clone(),
            lifetime_ms: Some(lifetime_ms),
        },
        how,
        touches: running_on(&view, &group) != Some(&node),
    };
    let start = Instant::now();
    let followed = |view: &View, _| {
        if running_on(view, &group) == Some(&node) {
            return Ok(Some(Some(node.clone())));
        }
        let given = view.state.plan.groups.get(&group);
        let planned = given.and_then(|given| given.node.as_ref());
        if planned == Some(&node) || start.elapsed() < DECIDED {
            return Ok(None);
        }
        let text = format!(
            "{group} is to be kept on {node}, which cannot run it now; `standfast explain {group}` says why"
        );
        Err(Failure::new(exit::UNAVAILABLE, text))
    };
    wanted.carry_out(socket, &followed, &|_, took| {
        format!("{group} runs on {node} after {took}, and is kept there; `standfast status` says until when")
    })
}

fn ban(socket: &Path, args: &BanArgs) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    let group = group_named(&view, &args.group)?;
    let node = args.node.as_deref().map(NodeId::from);
    keep_away(socket, &view, &group, node, args.lifetime, &args.how)
}

fn keep_away(
    socket: &Path,
    view: &View,
    group: &GroupId,
    node: Option<NodeId>,
    lifetime_ms: Option<u64>,
    how: &OrderHow,
) -> Result<(), Failure> {
    if copies::has_copies(view, group) {
        return keep_copy_away(socket, view, group, (node, lifetime_ms), how);
    }
    let given = view.state.plan.groups.get(group);
    let home = given.and_then(|given| given.node.clone());
    let Some(node) = node.or_else(|| home.clone()) else {
        let text = format!("{group} runs nowhere: name the node that it is to be kept away from");
        return Err(Failure::usage(text));
    };
    let moves = home.as_ref() == Some(&node);
    if moves && !how.force && !how.dry_run && other_homes(view, group).is_empty() {
        let text = format!(
            "no other node can run {group} now: this would stop it; --force does so all the same"
        );
        return Err(Failure::new(exit::UNSAFE, text));
    }
    let wanted = Wanted {
        group,
        order: Order::Ban {
            node: node.clone(),
            lifetime_ms,
        },
        how,
        touches: moves,
    };
    let followed = |view: &View, _| {
        if !moves {
            return Ok(Some(running_on(view, group).cloned()));
        }
        let there = running_on(view, group).filter(|now| **now != node);
        Ok(there.map(|now| Some(now.clone())))
    };
    wanted.carry_out(socket, &followed, &|now, took| {
        let now = now.map_or_else(String::new, |now| {
            format!(", and runs on {now} after {took}")
        });
        format!(
            "{group} is kept away from {node}{now}; `standfast resource clear {group}` ends that"
        )
    })
}

/// The copy on a node stops, and is not missed.
fn keep_copy_away(
    socket: &Path,
    view: &View,
    group: &GroupId,
    (node, lifetime_ms): (Option<NodeId>, Option<u64>),
    how: &OrderHow,
) -> Result<(), Failure> {
    let Some(node) = node else {
        let text = format!("{group} has copies: name the node that it is to be kept away from");
        return Err(Failure::usage(text));
    };
    let copy = copies::on(view, group, &node)?;
    let runs = running_on(view, &copy).is_some();
    if runs && !how.force && !how.dry_run && other_homes(view, &copy).is_empty() {
        let text = format!(
            "no other node can run a copy of {group} now: this would stop the last one; --force does so all the same"
        );
        return Err(Failure::new(exit::UNSAFE, text));
    }
    let wanted = Wanted {
        group,
        order: Order::Ban {
            node: node.clone(),
            lifetime_ms,
        },
        how,
        touches: false,
    };
    let followed = |view: &View, _| Ok(copies::is_stopped(view, &copy).then_some(None));
    wanted.carry_out(socket, &followed, &|_, took| {
        format!(
            "no copy of {group} runs on {node} after {took}; `standfast resource clear {group}` ends that"
        )
    })
}

fn clear(socket: &Path, args: &ClearArgs) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    let group = group_named(&view, &args.group)?;
    let how = OrderHow {
        wait: 10,
        force: true,
        dry_run: args.dry_run,
        json: args.json,
    };
    let wanted = Wanted {
        group: &group,
        order: Order::Clear {
            node: args.node.as_deref().map(NodeId::from),
        },
        how: &how,
        touches: false,
    };
    let followed = |view: &View, _| Ok(Some(running_on(view, &group).cloned()));
    wanted.carry_out(socket, &followed, &|_, _| {
        format!("nothing keeps {group} on a node or away from one any more")
    })
}

fn disable(socket: &Path, args: &SwitchArgs) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    let group = group_named(&view, &args.group)?;
    let wanted = Wanted {
        group: &group,
        order: Order::Disable,
        how: &args.how,
        touches: true,
    };
    let followed = |view: &View, _| Ok(copies::is_stopped(view, &group).then_some(None));
    wanted.carry_out(socket, &followed, &|_, took| {
        format!(
            "{group} is stopped after {took}; `standfast resource enable {group}` lets it run again"
        )
    })
}

fn enable(socket: &Path, args: &SwitchArgs) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    let group = group_named(&view, &args.group)?;
    let wanted = Wanted {
        group: &group,
        order: Order::Enable,
        how: &args.how,
        touches: false,
    };
    let places = std::cell::RefCell::new(String::new());
    let followed = |view: &View, _| {
        *places.borrow_mut() = copies::places(view, &group);
        let started = copies::is_started(view, &group);
        Ok(started.then(|| running_on(view, &group).cloned()))
    };
    wanted.carry_out(socket, &followed, &|_, took| {
        let places = places.borrow();
        format!("{group} runs on {places} after {took}")
    })
}

fn restart(socket: &Path, args: &RestartArgs) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    match copies::named_by(&view, &args.group) {
        Some((group, member)) => {
            copies::restart(socket, &view, (&group, member.as_ref()), &args.how)
        }
        None => restart_group(socket, args),
    }
}

/// Restarts one group, or one copy of one.
pub(super) fn restart_group(socket: &Path, args: &RestartArgs) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    let named = GroupId::from(args.group.as_str());
    let member = ResourceId::from(args.group.as_str());
    let config = &view.state.config;
    let whole = config.groups.contains_key(&named);
    let group = match config.group_of(&member).filter(|_| !whole) {
        Some(group) => group.clone(),
        None => group_named(&view, &args.group)?,
    };
    let wanted = Wanted {
        group: &group,
        order: Order::Restart {
            from: (!whole).then_some(member),
        },
        how: &args.how,
        touches: true,
    };
    let followed = |view: &View, index: u64| {
        let state = &view.state;
        let orders = state.orders.get(&group);
        let waits = orders.is_some_and(|orders| orders.restart.is_some());
        let anew = !waits && runs_as_planned(view, &group) && state.applied > index;
        let node = running_on(view, &group).filter(|_| anew);
        Ok(node.map(|node| Some(node.clone())))
    };
    wanted.carry_out(socket, &followed, &|node, took| {
        let node = node.map_or("", |node| node.as_str());
        format!(
            "{} was restarted: {group} runs on {node} after {took}",
            args.group
        )
    })
}

/// Whether the plan says of the group what is ordered by now.
pub(super) fn left_alone(view: &View, group: &GroupId) -> bool {
    let given = view.state.plan.groups.get(group);
    given.is_some_and(|given| given.maintenance)
}

fn unmanage(socket: &Path, args: &SwitchArgs) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    let group = group_named(&view, &args.group)?;
    let wanted = Wanted {
        group: &group,
        order: Order::Unmanage,
        how: &args.how,
        touches: false,
    };
    let followed = |view: &View, _| {
        Ok(copies::all_left_alone(view, &group, true).then(|| running_on(view, &group).cloned()))
    };
    wanted.carry_out(socket, &followed, &|_, took| {
        format!(
            "{group} is left alone after {took}: nothing of it is started, stopped, moved or restarted; `standfast resource manage {group}` ends that"
        )
    })
}

fn manage(socket: &Path, args: &SwitchArgs) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    let group = group_named(&view, &args.group)?;
    let wanted = Wanted {
        group: &group,
        order: Order::Manage,
        how: &args.how,
        touches: false,
    };
    let followed = |view: &View, _| {
        let observes = view.state.config.observes();
        let decided = copies::targets(view, &group).iter().all(|target| {
            left_alone(view, target) == (view.state.in_maintenance(target) || observes)
        });
        Ok(decided.then(|| running_on(view, &group).cloned()))
    };
    wanted.carry_out(socket, &followed, &|_, took| {
        format!(
            "{group} is looked after again after {took}: what runs as it should goes on untouched"
        )
    })
}

fn refresh(socket: &Path, args: &SwitchArgs) -> Result<(), Failure> {
    let (mut agent, view) = look_at_state(socket)?;
    let group = group_named(&view, &args.group)?;
    if !args.how.dry_run {
        agent.change(&Request::Cleanup {
            group: group.clone(),
            author: String::new(),
        })?;
    }
    let wanted = Wanted {
        group: &group,
        order: Order::Refresh,
        how: &args.how,
        touches: false,
    };
    let followed = |view: &View, _| Ok(Some(running_on(view, &group).cloned()));
    wanted.carry_out(socket, &followed, &|_, _| {
        format!(
            "failures of {group} are forgotten, and every node looks again at what it has of it"
        )
    })
}

fn instances<'v>(view: &'v View, group: &GroupId) -> impl Iterator<Item = &'v InstanceReport> {
    let config = view.state.config.groups.get(group);
    let members = config
        .map(|config| config.members.as_slice())
        .unwrap_or_default();
    members.iter().flat_map(move |member| {
        let nodes = view.state.nodes.values().filter(|known| known.online);
        nodes.filter_map(move |known| known.report.instances.get(member))
    })
}

/// Whether anything of a group may still be running anywhere.
pub(super) fn may_run(view: &View, group: &GroupId) -> bool {
    let config = view.state.config.groups.get(group);
    let mut members = config.iter().flat_map(|config| &config.members);
    let held = members.any(|member| view.state.may_hold.contains_key(member));
    held || instances(view, group).any(|instance| instance.phase.may_run())
}

/// Whether every member runs as the instance that the plan wants, and not as an earlier one.
fn runs_as_planned(view: &View, group: &GroupId) -> bool {
    let Some(given) = view.state.plan.groups.get(group) else {
        return false;
    };
    let known = given
        .node
        .as_ref()
        .and_then(|node| view.state.nodes.get(node));
    let Some(known) = known else { return false };
    given.members.iter().all(|member| {
        let instance = known.report.instances.get(member);
        instance.is_some_and(|i| i.phase == Phase::Active && i.since == given.since_of(member))
    })
}
