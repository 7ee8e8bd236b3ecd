//! `fence`: what the fence devices of a node say, asked from this machine.

use super::{
    ask::{look_at_state, no_such},
    exit, print, style,
};
use crate::{
    failure::Failure,
    render::{self, Asked, FenceTest},
};
use clap::{Args, Subcommand};
use standfast_model::{fence::Fencing, id::NodeId, time::Micros};
use std::{path::Path, time::Instant};

/// Things to do with fence devices
#[derive(Debug, Subcommand)]
pub enum FenceCommand {
    /// Ask every device that can fence a node whether it answers, and whether the node has power; switches nothing
    Test(FenceTestArgs),
}

/// `fence test`
#[derive(Debug, Args)]
pub struct FenceTestArgs {
    /// The node
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Print JSON (standfast/fence-test/1)
    #[arg(long)]
    pub json: bool,
}

pub(super) fn dispatch(socket: &Path, command: &FenceCommand) -> Result<(), Failure> {
    match command {
        FenceCommand::Test(args) => test(socket, args),
    }
}

fn test(socket: &Path, args: &FenceTestArgs) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    let config = &view.state.config;
    let node = NodeId::from(args.node.as_str());
    if !config.nodes.contains_key(&node) {
        let known: Vec<&str> = config.nodes.keys().map(NodeId::as_str).collect();
        let text = format!("there is no node {node}; there are {}", known.join(", "));
        return Err(no_such(text));
    }
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
    for (level, devices) in (1..).zip(levels) {
        for id in devices {
            let Some(device) = fencing.devices.get(&id) else {
                continue;
            };
            let began = Instant::now();
            let answer = standfast_fence::status(device, &node);
            let took = Micros(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
            asked.push(Asked::of((level, &id, &device.agent), answer, took, online));
        }
    }
    let report = FenceTest {
        schema: "standfast/fence-test/1",
        node: node.to_string(),
        from: view.node.clone(),
        off: config.fencing.off,
        devices: asked,
    };
    let text = if args.json {
        render::json(&report)
    } else {
        render::fence_test(&report, style())
    };
    print(&text)?;
    if report.devices.iter().all(|asked| asked.problem.is_empty()) {
        Ok(())
    } else {
        Err(Failure::new(exit::UNAVAILABLE, ""))
    }
}
