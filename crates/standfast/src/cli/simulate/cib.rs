//! `simulate --cib`: where the resources of a Pacemaker cluster end up. Asks no agent and changes nothing.

use super::super::{SimulateArgs, exit, print, style};
use crate::{
    failure::Failure,
    render::{self, Account},
};
use serde::Serialize;
use standfast_cib::When;
use standfast_scheduler::{
    Outcome,
    inject::{Error, fail_node, fail_resource},
    input::{Cluster, Resource},
};
use std::{
    fmt::Write as _,
    fs,
    io::{self, Read as _},
    path::Path,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

/// Chains of thousands of resources are followed one call deep each.
const STACK: usize = 512 << 20;

#[derive(Serialize)]
struct Simulated<'o> {
    schema: &'static str,
    #[serde(flatten)]
    outcome: &'o Outcome,
}

pub(super) fn simulate(args: &SimulateArgs, cib: &Path) -> Result<(), Failure> {
    let text = read(cib)?;
    let when = when(args.at.as_deref())?;
    let mut cluster = standfast_cib::read(&text, when)
        .map_err(|error| Failure::data(format!("{}: {error}", cib.display())))?;
    fail(args, &mut cluster)?;
    if let Some(resource) = &args.explain {
        return explain(cluster, resource, args.json);
    }
    let outcome = deep(move || standfast_scheduler::simulate(&cluster))?;
    if args.json {
        return print(&json(&outcome)?);
    }
    print(&said(&outcome))
}

/// What the scheduler says, with room for calls that go deep.
fn deep<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let deep = thread::Builder::new().stack_size(STACK);
    let worker = deep
        .spawn(work)
        .map_err(|error| Failure::cannot("start a thread", &error))?;
    let early = |_| Failure::new(70, "the simulation ended early; this is a bug");
    worker.join().map_err(early)
}

fn explain(cluster: Cluster, resource: &str, json: bool) -> Result<(), Failure> {
    let mut names = Vec::new();
    collect(&cluster.resources, &mut names);
    let asked = resource.to_owned();
    let account = deep(move || Account::of(&cluster, &asked))?;
    let Some(account) = account else {
        let near = render::did_you_mean(resource, names.iter().map(String::as_str));
        let all = names.join(", ");
        let text = format!("there is no resource {resource}; resources are: {all}{near}");
        return Err(Failure::new(exit::NO_SUCH_ITEM, text));
    };
    print(&if json {
        render::json(&account)
    } else {
        render::account(&account, style())
    })
}

fn collect(resources: &[Resource], names: &mut Vec<String>) {
    for resource in resources {
        names.push(resource.id.clone());
        collect(&resource.children, names);
    }
}

/// Edits the status as if these had just failed.
fn fail(args: &SimulateArgs, cluster: &mut Cluster) -> Result<(), Failure> {
    for named in &args.fail_resource {
        let (id, node) = match named.split_once('@') {
            Some((id, node)) => (id, Some(node)),
            None => (named.as_str(), None),
        };
        fail_resource(cluster, id, node).map_err(|error| refusal(id, node, &error))?;
    }
    for node in args.fail.iter().flat_map(|nodes| nodes.split(',')) {
        fail_node(cluster, node).map_err(|error| refusal(node, Some(node), &error))?;
    }
    Ok(())
}

fn refusal(what: &str, node: Option<&str>, error: &Error) -> Failure {
    let text = match error {
        Error::NoNode(names) => {
            let node = node.unwrap_or(what);
            format!("there is no node {node}; nodes are: {}", names.join(", "))
        }
        Error::NoResource(names) => format!(
            "there is no primitive {what}; these can fail: {}",
            names.join(", ")
        ),
        Error::NoMonitor => format!("nothing checks {what} again and again: nobody would notice"),
        Error::NotActive => {
            format!("{what} is not known to run; {what}@NODE fails it on a node all the same")
        }
        Error::OnSeveral(nodes) => format!(
            "{what} runs on {}: say where it fails with {what}@NODE",
            nodes.join(", ")
        ),
    };
    let code = match error {
        Error::NoMonitor | Error::NotActive | Error::OnSeveral(_) => exit::USAGE,
        Error::NoNode(_) | Error::NoResource(_) => exit::NO_SUCH_ITEM,
    };
    Failure::new(code, text)
}

fn json(outcome: &Outcome) -> Result<String, Failure> {
    let simulated = Simulated {
        schema: "standfast/simulate/1",
        outcome,
    };
    let mut line =
        serde_json::to_string(&simulated).map_err(|error| Failure::cannot("write JSON", &error))?;
    line.push('\n');
    Ok(line)
}

/// The text of a file, or of the standard input.
pub(in crate::cli) fn read(file: &Path) -> Result<String, Failure> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    text.map_err(|error| {
        Failure::new(
            exit::NO_INPUT,
            format!("cannot read {}: {error}", file.display()),
        )
    })
}

/// Seconds since 1970.
pub(in crate::cli) fn now() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

fn when(at: Option<&str>) -> Result<When, Failure> {
    let Some(at) = at else {
        return Ok(When::RecordedOr(now()));
    };
    let time = standfast_cib::date(at);
    let time = time.ok_or_else(|| Failure::usage(format!("--at {at}: not a date and time")))?;
    Ok(When::At(time))
}

fn said(outcome: &Outcome) -> String {
    let mut text = String::new();
    for row in &outcome.resources {
        let instance = row
            .instance
            .map_or(String::new(), |number| format!(":{number}"));
        let place = row
            .node
            .as_ref()
            .map_or(String::new(), |node| format!(" on {node}"));
        let unmanaged = if row.managed { "" } else { ", unmanaged" };
        writeln!(
            text,
            "{}{instance}: {}{place}{unmanaged}",
            row.resource, row.role
        )
        .ok();
    }
    for node in &outcome.nodes {
        let mut states = vec![if node.online { "online" } else { "offline" }];
        states.extend(node.standby.then_some("standby"));
        states.extend(node.maintenance.then_some("maintenance"));
        states.extend(node.fenced.then_some("fenced"));
        writeln!(text, "{}: {}", node.name, states.join(", ")).ok();
    }
    text
}
