//! Commands that change how the cluster works: switchover, drain, resume, cleanup, restart.

use super::{
    DrainArgs, ResumeArgs, SwitchoverArgs,
    ask::{look_at_state, no_such},
    copies, exit,
    maintenance_args::StandbyArgs,
    print,
    resource_args::CleanupArgs,
    simulate::dry_run,
    wait::until,
};
use crate::render::{self, Explanation, length, other_homes, running_on};
use crate::{connection, failure::Failure};
use serde::Serialize;
use standfast_model::{
    id::{GroupId, NodeId},
    request::{Request, View},
    time::Micros,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// A decision that leaves everything as it is shows itself within this time.
const DECIDED: Duration = Duration::from_secs(2);

/// What a command reports when it has taken effect.
#[derive(Serialize)]
pub(super) struct Done<'d> {
    schema: &'static str,
    /// The group or node that it was about.
    subject: &'d str,
    /// The node that runs it now, where there is one.
    node: Option<String>,
    /// Index of the command.
    index: u64,
    /// From asking until it was so.
    took_ms: u64,
}

impl<'d> Done<'d> {
    /// Of something that no node runs.
    pub(super) fn new(schema: &'static str, subject: &'d str, index: u64, start: Instant) -> Self {
        Self {
            schema,
            subject,
            node: None,
            index,
            took_ms: millis(start),
        }
    }

    /// It took until now, and runs there.
    pub(super) fn end(&mut self, start: Instant, node: Option<&NodeId>) {
        self.took_ms = millis(start);
        self.node = node.map(ToString::to_string);
    }

    pub(super) const fn took_ms(&self) -> u64 {
        self.took_ms
    }

    pub(super) fn print(&self, json: bool, text: &str) -> Result<(), Failure> {
        if json {
            print(&render::json(self))
        } else {
            print(&format!("{text}\n"))
        }
    }
}

fn millis(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn switchover(socket: &Path, args: &SwitchoverArgs) -> Result<(), Failure> {
    let (mut agent, view) = look_at_state(socket)?;
    let group = GroupId::from(args.group.as_str());
    // Only for its message, which names the groups and the nearest of them. That copies stay the agent says.
    if !copies::has_copies(&view, &group) {
        Explanation::of(&view, &group).map_err(no_such)?;
    }
    let to = args.to.as_deref().map(NodeId::from);
    let request = Request::Switchover {
        group: group.clone(),
        to: to.clone(),
        author: String::new(),
    };
    if args.dry_run {
        return dry_run(&mut agent, request, args.json);
    }
    connection::refuse(&view, args.force, |moved| *moved == group)?;
    let from = running_on(&view, &group).cloned();
    let start = Instant::now();
    let index = agent.change(&request)?;
    let mut done = Done {
        schema: "standfast/switchover/1",
        subject: &args.group,
        node: None,
        index,
        took_ms: 0,
    };
    if args.wait == 0 {
        let text = format!("{group} was asked to move; `standfast status` shows how it goes on");
        return done.print(args.json, &text);
    }
    let target = Target {
        group: &group,
        from: from.as_ref(),
        to: to.as_ref(),
        index,
        start,
    };
    let most = Duration::from_secs(args.wait);
    let node = until(
        socket,
        most,
        |view| target.look(view),
        |view| target.late(view),
    )?;
    done.took_ms = millis(start);
    let took = length(Micros::from_millis(done.took_ms));
    let text = format!("{group} runs on {node} after {took}");
    done.node = Some(node.to_string());
    done.print(args.json, &text)
}

/// Where a group is to be.
struct Target<'t> {
    group: &'t GroupId,
    from: Option<&'t NodeId>,
    to: Option<&'t NodeId>,
    index: u64,
    start: Instant,
}

impl Target<'_> {
    fn is_reached_by(&self, node: &NodeId) -> bool {
        match self.to {
            Some(to) => node == to,
            None => Some(node) != self.from,
        }
    }

    fn look(&self, view: &View) -> Result<Option<NodeId>, Failure> {
        let state = &view.state;
        if state.applied < self.index || state.moves.contains_key(self.group) {
            return Ok(None);
        }
        if let Some(node) = running_on(view, self.group).filter(|node| self.is_reached_by(node)) {
            return Ok(Some(node.clone()));
        }
        let assignment = state.plan.groups.get(self.group);
        // Where it is to be when its turn comes.
        let waiting = assignment.and_then(|a| a.waiting.as_ref()?.node.as_ref());
        let planned = waiting.or_else(|| assignment?.node.as_ref());
        if planned.is_some_and(|node| self.is_reached_by(node)) || self.start.elapsed() < DECIDED {
            return Ok(None);
        }
        let planned = planned.map_or("nowhere", NodeId::as_str);
        let group = self.group;
        let text = format!(
            "{group} was not moved, it stays on {planned}; `standfast explain {group}` says why"
        );
        Err(Failure::new(exit::UNAVAILABLE, text))
    }

    fn late(&self, view: Option<&View>) -> String {
        let group = self.group;
        let line = view.map(render::Status::of).map(|status| status.sentence);
        let line = line.unwrap_or_else(|| String::from("the agent does not answer"));
        format!("{group} does not run at its new place yet; it is still being moved. {line}")
    }
}

pub(super) fn drain(socket: &Path, args: &DrainArgs) -> Result<(), Failure> {
    let request = Request::Drain {
        node: args.node.as_str().into(),
        drained: true,
        author: String::new(),
    };
    empty(socket, args, request)
}

pub(super) fn standby(socket: &Path, args: &StandbyArgs) -> Result<(), Failure> {
    let request = Request::Standby {
        node: args.drain.node.as_str().into(),
        lifetime_ms: args.lifetime,
        author: String::new(),
    };
    empty(socket, &args.drain, request)
}

fn empty(socket: &Path, args: &DrainArgs, request: Request) -> Result<(), Failure> {
    let (mut agent, view) = look_at_state(socket)?;
    let node = NodeId::from(args.node.as_str());
    if args.dry_run {
        return dry_run(&mut agent, request, args.json);
    }
    if !args.force {
        refuse_to_stop(&view, &node)?;
        let here: Vec<&GroupId> = groups_on(&view, &node).collect();
        connection::refuse(&view, false, |moved| here.contains(&moved))?;
    }
    let start = Instant::now();
    let index = agent.change(&request)?;
    let mut done = Done {
        schema: "standfast/node/1",
        subject: &args.node,
        node: None,
        index,
        took_ms: 0,
    };
    if args.wait == 0 {
        return done.print(args.json, &format!("{node} is being drained"));
    }
    let most = Duration::from_secs(args.wait);
    // What does not run now, or can run nowhere else, is not waited for.
    let movable: Vec<GroupId> = groups_on(&view, &node)
        .filter(|group| view.state.config.copy_of(group).is_none())
        .filter(|group| running_on(&view, group).is_some() && !other_homes(&view, group).is_empty())
        .cloned()
        .collect();
    let empty = |view: &View| {
        let applied = view.state.applied >= index;
        let moved = movable
            .iter()
            .all(|group| running_on(view, group).is_some());
        Ok((applied && moved && left_on(view, &node).is_empty()).then_some(()))
    };
    let late = |view: Option<&View>| {
        let line = view.map(render::Status::of).map(|status| status.sentence);
        let line = line.unwrap_or_else(|| String::from("the agent does not answer"));
        format!("{node} is not empty yet, or what ran there does not run again. {line}")
    };
    until(socket, most, empty, late)?;
    done.took_ms = millis(start);
    let took = length(Micros::from_millis(done.took_ms));
    let text =
        format!("{node} is empty after {took}; `standfast node resume {node}` lets it work again");
    done.print(args.json, &text)
}

/// Draining the only node that can run something would stop it.
fn refuse_to_stop(view: &View, node: &NodeId) -> Result<(), Failure> {
    let stuck: Vec<&str> = groups_on(view, node)
        .filter(|group| other_homes(view, group).is_empty())
        .map(GroupId::as_str)
        .collect();
    if stuck.is_empty() {
        return Ok(());
    }
    let text = format!(
        "no other node can run {} now: draining {node} would stop it; --force does so all the same",
        stuck.join(", ")
    );
    Err(Failure::new(exit::UNSAFE, text))
}

fn groups_on<'v>(view: &'v View, node: &NodeId) -> impl Iterator<Item = &'v GroupId> {
    let groups = view.state.plan.groups.iter();
    let on = groups.filter(move |(_, a)| a.node.as_ref() == Some(node) && !a.maintenance);
    on.map(|(group, _)| group)
}

/// What is, or may be, on a node.
fn left_on(view: &View, node: &NodeId) -> Vec<String> {
    let state = &view.state;
    let report = state.nodes.get(node).map(|known| &known.report.instances);
    let running = report.into_iter().flatten();
    let running = running.filter(|(_, instance)| instance.phase.may_run());
    let mut left: Vec<String> = running.map(|(resource, _)| resource.to_string()).collect();
    for (resource, holders) in &state.may_hold {
        if holders.contains(node) && !left.contains(&resource.to_string()) {
            left.push(resource.to_string());
        }
    }
    // In maintenance what runs stays, by intention.
    left.retain(|resource| {
        let group = state.config.group_of(&resource.as_str().into());
        let assignment = group.and_then(|group| state.plan.groups.get(group));
        !assignment.is_some_and(|a| a.maintenance)
    });
    left
}

pub(super) fn resume(socket: &Path, args: &ResumeArgs) -> Result<(), Failure> {
    let (mut agent, _) = look_at_state(socket)?;
    let start = Instant::now();
    let request = Request::Drain {
        node: args.node.as_str().into(),
        drained: false,
        author: String::new(),
    };
    if args.dry_run {
        return dry_run(&mut agent, request, args.json);
    }
    let index = agent.change(&request)?;
    let done = Done {
        schema: "standfast/node/1",
        subject: &args.node,
        node: None,
        index,
        took_ms: millis(start),
    };
    done.print(args.json, &format!("{} may run resources again", args.node))
}

pub(super) fn cleanup(socket: &Path, args: &CleanupArgs) -> Result<(), Failure> {
    let (mut agent, view) = look_at_state(socket)?;
    let start = Instant::now();
    let resource = args.group.as_str().into();
    let named = GroupId::from(args.group.as_str());
    let config = &view.state.config;
    let group = if config.has_group(&named) {
        named
    } else if let Some((group, _)) = copies::named_by(&view, &args.group) {
        group
    } else {
        config.group_of(&resource).cloned().unwrap_or(named)
    };
    if !copies::has_copies(&view, &group) {
        Explanation::of(&view, &group).map_err(no_such)?;
    }
    let index = agent.change(&Request::Cleanup {
        group: group.clone(),
        author: String::new(),
    })?;
    let done = Done {
        schema: "standfast/cleanup/1",
        subject: group.as_str(),
        node: None,
        index,
        took_ms: millis(start),
    };
    done.print(args.json, &format!("failures of {group} are forgotten"))
}

pub(super) fn restart(socket: &Path) -> Result<(), Failure> {
    let (mut agent, view) = look_at_state(socket)?;
    // The agent may be of the version before, and knows who asks anyway.
    agent.change(&Request::PlainRestart)?;
    let grant = length(view.state.config.timing.restart_grant);
    print(&format!(
        "the agent of {} ends now; what it runs goes on for {grant} until the new agent takes over\n",
        view.node
    ))
}
