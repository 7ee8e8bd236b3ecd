//! `simulate`: what would happen. The agent's core works it out, with what it decides with; nothing changes.

mod cib;

pub(super) use cib::{now, read};

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
    if let Some(file) = &args.apply {
        let config = Box::new(apply::read_whole(file, args.json)?);
        imagined.push(Imagined::Apply { config });
    }
    imagined.extend(args.fail_resource.iter().map(|resource| {
        let resource = resource.as_str().into();
        Imagined::ResourceFails { resource }
    }));
    imagined.extend(args.fail.iter().map(|nodes| Imagined::NodesLost {
        nodes: nodes.split(',').map(Into::into).collect(),
    }));
    if imagined.is_empty() {
        let text = "say what is to happen: --fail NODE, --fail-resource RESOURCE, --apply FILE; or --cib FILE";
        return Err(Failure::usage(String::from(text)));
    }
    let (mut agent, _) = look_at_state(socket)?;
    show(&mut agent, imagined, args.json)
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
