//! `fence`: cutting a node's power, what came of it, and what the fence devices say.

use super::{
    ask::{Agent, look_at_state, no_such},
    disaster::confirm,
    exit,
    fence_drill::Drill,
    print, style,
    wait::until,
};
use crate::{
    failure::Failure,
    render::{self, Asked, FenceTest},
};
use clap::{Args, Subcommand};
use serde::Serialize;
use standfast_model::{
    fence::Fencing,
    fence_act::{FenceAct, FenceOutcome},
    id::NodeId,
    request::{Request, Response, View},
    simulation::Imagined,
    time::Micros,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Longest time in which it is looked whether a node is heard that is said to be off.
const HEARD: Duration = Duration::from_secs(10);

/// `fence`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct FenceArgs {
    /// What to do, if not that
    #[command(subcommand)]
    pub command: Option<FenceCommand>,
    /// The node whose power is to be cut
    #[arg(value_name = "NODE")]
    pub node: Option<String>,
    /// Leave it off; otherwise it gets its power back
    #[arg(long)]
    pub off: bool,
    /// Even if no majority is left without it
    #[arg(long)]
    pub force: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// How long to wait for the outcome
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub wait: u64,
    /// Print JSON (standfast/fence/1)
    #[arg(long)]
    pub json: bool,
}

/// Other things to do with fencing
#[derive(Debug, Subcommand)]
pub enum FenceCommand {
    /// Ask every device that can fence a node whether it answers, and whether the node has power; with --cut, cut it by each level
    Test(FenceTestArgs),
    /// Say that a node is off, as you have seen: ends a fencing that devices could not
    Confirm(FenceConfirmArgs),
    /// Say who was fenced, when, why, and what came of it
    History(FenceHistoryArgs),
}

/// `fence test`
#[derive(Debug, Args)]
pub struct FenceTestArgs {
    /// The node
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Then cut the node's power by each level in turn, and see that it was this node and that it comes back: proves the map
    #[arg(long)]
    pub cut: bool,
    /// Even if no majority is left without it
    #[arg(long, requires = "cut")]
    pub force: bool,
    /// Do not ask
    #[arg(long, requires = "cut")]
    pub yes: bool,
    /// How long each level may take until the node is back
    #[arg(long, value_name = "SECONDS", default_value_t = 600, requires = "cut")]
    pub wait: u64,
    /// Print JSON (standfast/fence-test/1)
    #[arg(long)]
    pub json: bool,
}

/// `fence confirm`
#[derive(Debug, Args)]
pub struct FenceConfirmArgs {
    /// The node
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Print JSON (standfast/fence/1)
    #[arg(long)]
    pub json: bool,
}

/// `fence history`
#[derive(Debug, Args)]
pub struct FenceHistoryArgs {
    /// Print JSON (standfast/fence-history/1)
    #[arg(long)]
    pub json: bool,
}

pub(super) fn dispatch(socket: &Path, args: &FenceArgs) -> Result<(), Failure> {
    match (&args.command, &args.node) {
        (Some(FenceCommand::Test(args)), _) => test(socket, args),
        (Some(FenceCommand::Confirm(args)), _) => confirm_off(socket, args),
        (Some(FenceCommand::History(args)), _) => history(socket, args),
        (None, Some(node)) => fence(socket, node, args),
        (None, None) => {
            let text = "fence whom? `standfast fence NODE`; `standfast fence --help` says what else there is";
            Err(Failure::new(exit::USAGE, text))
        }
    }
}

#[derive(Serialize)]
struct Done<'a> {
    schema: &'static str,
    act: &'a FenceAct,
}

fn report(act: &FenceAct, json: bool) -> Result<(), Failure> {
    let text = if json {
        let schema = "standfast/fence/1";
        render::json(&Done { schema, act })
    } else {
        render::fence_act(act)
    };
    print(&text)?;
    match act.outcome {
        FenceOutcome::Off | FenceOutcome::Confirmed => Ok(()),
        FenceOutcome::UnderWay
        | FenceOutcome::Failed
        | FenceOutcome::CalledOff
        | FenceOutcome::Void => Err(Failure::new(exit::UNAVAILABLE, "")),
    }
}

/// The act that a command began, or the one that was under way already.
pub(super) fn act_of<'v>(view: &'v View, node: &NodeId, index: u64) -> Option<&'v FenceAct> {
    let acts = || {
        view.state
            .fences
            .iter()
            .rev()
            .filter(|act| act.node == *node)
    };
    let own = acts().find(|act| act.id == index);
    own.or_else(|| acts().next().filter(|_| view.state.applied >= index))
}

fn fence(socket: &Path, name: &str, args: &FenceArgs) -> Result<(), Failure> {
    let (mut agent, view) = look_at_state(socket)?;
    let node = NodeId::from(name);
    known(&view, &node)?;
    if !args.yes {
        may_cut(&mut agent, &view, &node, "")?;
    }
    let index = agent.change(&Request::Fence {
        node: node.clone(),
        power_on: !args.off,
        force: args.force,
        author: String::new(),
    })?;
    let ended = |view: &View| {
        let act = act_of(view, &node, index).filter(|act| !act.is_under_way());
        Ok(act.cloned())
    };
    let late = |_: Option<&View>| {
        format!(
            "it goes on; `standfast fence history` shows what comes of it: whether {node} is off is not known"
        )
    };
    let act = until(socket, Duration::from_secs(args.wait), ended, late)?;
    report(&last_word(socket, act), args.json)
}

/// A device that lied, or cut another machine, is found out when the node is heard afterwards: that is waited for until the node is
/// lost, or for so long.
fn last_word(socket: &Path, act: FenceAct) -> FenceAct {
    if act.outcome != FenceOutcome::Off {
        return act;
    }
    let known = |view: &View| {
        let mut acts = view.state.fences.iter();
        let now = acts.find(|known| known.id == act.id);
        let changed = now.filter(|known| known.outcome != act.outcome);
        let node = view.state.nodes.get(&act.node);
        let lost =
            node.is_none_or(|node| !node.online || node.report.incarnation != act.incarnation);
        Ok(changed.or_else(|| now.filter(|_| lost)).cloned())
    };
    until(socket, HEARD, known, |_| String::new()).unwrap_or(act)
}

/// Says what the node runs and what becomes of it, and goes on if its name is typed.
fn may_cut(agent: &mut Agent, view: &View, node: &NodeId, how: &str) -> Result<(), Failure> {
    let lost = Imagined::NodesLost {
        nodes: vec![node.clone()],
    };
    let imagined = vec![lost];
    // Not known of a pair; the question is the same.
    let follows = match agent.ask(&Request::Simulate { imagined }) {
        Ok(Response::Simulation(simulation)) => Some(simulation),
        _ => None,
    };
    let follows = follows.as_ref().and_then(|follows| follows.stages.last());
    print(&render::before_cut(view, node, how, follows))?;
    confirm(false, node.as_str(), "nothing was switched")
}

fn confirm_off(socket: &Path, args: &FenceConfirmArgs) -> Result<(), Failure> {
    let (mut agent, view) = look_at_state(socket)?;
    let node = NodeId::from(args.node.as_str());
    known(&view, &node)?;
    if !args.yes {
        print(&format!(
            "Only if you have seen that {node} has no power. Type its name to go on: "
        ))?;
    }
    confirm(args.yes, &args.node, "nothing was changed")?;
    let index = agent.change(&Request::FenceConfirm {
        node: node.clone(),
        author: String::new(),
    })?;
    let ended = |view: &View| {
        let seen = view.state.applied >= index;
        Ok(act_of(view, &node, index).filter(|_| seen).cloned())
    };
    let late = |_: Option<&View>| {
        "this node has not heard of it yet; look at `standfast fence history`".to_owned()
    };
    let act = until(socket, Duration::from_secs(10), ended, late)?;
    report(&act, args.json)
}

fn history(socket: &Path, args: &FenceHistoryArgs) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    let text = if args.json {
        render::fence_history_json(&view)
    } else {
        render::fence_history(&view, style())
    };
    print(&text)
}

fn known(view: &View, node: &NodeId) -> Result<(), Failure> {
    let nodes = &view.state.config.nodes;
    if nodes.contains_key(node) {
        return Ok(());
    }
    let known: Vec<&str> = nodes.keys().map(NodeId::as_str).collect();
    let text = format!("there is no node {node}; there are {}", known.join(", "));
    Err(no_such(text))
}

fn test(socket: &Path, args: &FenceTestArgs) -> Result<(), Failure> {
    let (mut agent, view) = look_at_state(socket)?;
    let config = &view.state.config;
    let node = NodeId::from(args.node.as_str());
    known(&view, &node)?;
    // Devices can be tried before fencing is switched on.
    let fencing = Fencing {
        off: false,
        ..config.fencing.clone()
    };
    let levels = fencing.levels_of(&node);
    if levels.is_empty() {
        let text = format!("no device can fence {node}: no [fence.NAME] has it in its `nodes`");
        return Err(no_such(text));
    }
    let online = view
        .state
        .nodes
        .get(&node)
        .is_some_and(|known| known.online);
    let mut asked = Vec::new();
    for (level, devices) in (1..).zip(&levels) {
        for id in devices {
            let Some(device) = fencing.devices.get(id) else {
                continue;
            };
            let began = Instant::now();
            let answer = standfast_fence::status(device, &node);
            let took = Micros(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
            asked.push(Asked::of((level, id, &device.agent), answer, took, online));
        }
    }
    let mut report = FenceTest {
        schema: "standfast/fence-test/1",
        node: node.to_string(),
        from: view.node.clone(),
        off: config.fencing.off,
        devices: asked,
        cut: Vec::new(),
    };
    if !args.json {
        print(&render::fence_test(&report, style()))?;
    }
    // What cannot be relied on is mended first.
    if args.cut && report.is_good() {
        let how = match levels.len() {
            1 => String::new(),
            n => format!(", {n} times"),
        };
        if !args.yes {
            may_cut(&mut agent, &view, &node, &how)?;
        }
        let drill = Drill {
            socket,
            node: &node,
            force: args.force,
            wait: Duration::from_secs(args.wait),
            aloud: !args.json,
        };
        report.cut = drill.run(&levels)?;
    }
    if args.json {
        print(&render::json(&report))?;
    }
    if report.is_good() {
        Ok(())
    } else {
        Err(Failure::new(exit::UNAVAILABLE, ""))
    }
}
