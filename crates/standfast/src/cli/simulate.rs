//! `simulate`: what would happen. The agent's core works it out, with what it decides with; nothing changes.

mod cib;
mod saved;

pub(super) use cib::{now, read};
pub(super) use saved::replay;

use super::{
    SimulateArgs, apply,
    ask::{Agent, look_at_state, unexpected},
    print,
};
use crate::{failure::Failure, render};
use standfast_model::{
    request::{Request, Response},
    simulation::Imagined,
};
use std::path::Path;

pub(super) fn simulate(socket: &Path, args: &SimulateArgs) -> Result<(), Failure> {
    if let Some(file) = &args.cib {
        return cib::simulate(args, file);
    }
    let mut imagined = Vec::new();
    if let Some(at) = &args.at {
        imagined.push(time(at)?);
    }
    if let Some(file) = &args.apply {
        let config = Box::new(apply::read_whole(file, args.json)?);
        imagined.push(Imagined::Apply { config });
    }
    imagined.extend(failures(&args.fail_resource, &args.fail));
    if imagined.is_empty() && args.save.is_none() {
        let text = "say what is to happen: --fail NODE, --fail-resource RESOURCE, --apply FILE, --at TIME; or --cib FILE";
        return Err(Failure::usage(String::from(text)));
    }
    let (mut agent, view) = look_at_state(socket)?;
    let Some(file) = &args.save else {
        return show(&mut agent, imagined, args.json);
    };
    // What was kept is what is shown: it is decided from the file's own contents.
    let saved = saved::Saved::of(view);
    saved.write(file)?;
    saved.decide(imagined, args.json)
}

/// As if it were that time.
fn time(at: &str) -> Result<Imagined, Failure> {
    let seconds = standfast_cib::date(at).and_then(|seconds| u64::try_from(seconds).ok());
    let seconds =
        seconds.ok_or_else(|| Failure::usage(format!("--at {at}: not a date and time")))?;
    let wall_ms = seconds.saturating_mul(1000);
    Ok(Imagined::Time { wall_ms })
}

/// Resources fail one after the other, then nodes are lost.
fn failures(resources: &[String], nodes: &[String]) -> Vec<Imagined> {
    let resources = resources.iter().map(|resource| {
        let resource = resource.as_str().into();
        Imagined::ResourceFails { resource }
    });
    let nodes = nodes.iter().map(|nodes| Imagined::NodesLost {
        nodes: nodes.split(',').map(Into::into).collect(),
    });
    resources.chain(nodes).collect()
}

/// What would happen if an operator asked for that.
pub(super) fn dry_run(agent: &mut Agent, request: Request, json: bool) -> Result<(), Failure> {
    let request = Box::new(request);
    show(agent, vec![Imagined::Asked { request }], json)
}

fn show(agent: &mut Agent, imagined: Vec<Imagined>, json: bool) -> Result<(), Failure> {
    let simulation = match agent.ask(&Request::Simulate { imagined })? {
        Response::Simulation(simulation) => *simulation,
        other => return Err(unexpected(&other).into()),
    };
    if json {
        return print(&render::simulation_json(&simulation));
    }
    print(&render::simulation(&simulation))
}
