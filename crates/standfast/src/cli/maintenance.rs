//! `cluster maintenance` and `node maintenance`: orders in the cluster's state, which need no file applied again.
//!
//! Not for a group's (`resource unmanage`), nor for that of the configuration.

use super::{
    ask::look_at_state,
    maintenance_args::{ClusterMaintenanceArgs, MaintenanceHow, NodeMaintenanceArgs, Switch},
    operate::Done,
    simulate::dry_run,
    wait::until,
};
use crate::{
    failure::Failure,
    render::{Status, length},
};
use standfast_model::{
    id::GroupId,
    order::Maintained,
    request::{Request, View},
    time::Micros,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

pub(super) fn cluster(socket: &Path, args: &ClusterMaintenanceArgs) -> Result<(), Failure> {
    maintain(socket, &Maintained::Cluster, args.switch, &args.how)
}

pub(super) fn node(socket: &Path, args: &NodeMaintenanceArgs) -> Result<(), Failure> {
    let what = Maintained::Node(args.node.as_str().into());
    maintain(socket, &what, args.switch, &args.how)
}

fn maintain(
    socket: &Path,
    what: &Maintained,
    switch: Switch,
    how: &MaintenanceHow,
) -> Result<(), Failure> {
    let (mut agent, view) = look_at_state(socket)?;
    let on = switch == Switch::On;
    let request = Request::Maintain {
        what: what.clone(),
        on,
        author: String::new(),
    };
    if how.dry_run {
        return dry_run(&mut agent, request, how.json);
    }
    let (schema, name) = match what {
        Maintained::Cluster => ("standfast/cluster/1", String::from("the cluster")),
        Maintained::Node(node) => ("standfast/node/1", node.to_string()),
    };
    let concerned = groups(&view, what);
    let start = Instant::now();
    let index = agent.change(&request)?;
    let mut done = Done::new(schema, &name, index, start);
    if how.wait > 0 {
        let look = |view: &View| {
            let decided = concerned.iter().all(|group| is_decided(view, group));
            Ok((view.state.applied >= index && decided).then_some(()))
        };
        let late = |view: Option<&View>| {
            let line = view.map(Status::of).map(|status| status.sentence);
            let line = line.unwrap_or_else(|| String::from("the agent does not answer"));
            format!("it is ordered, and not decided yet. {line}")
        };
        until(socket, Duration::from_secs(how.wait), look, late)?;
        done.end(start, None);
    }
    let took = length(Micros::from_millis(done.took_ms()));
    let text = match (what, on) {
        (Maintained::Cluster, true) => format!(
            "the cluster is in maintenance after {took}: nothing is started, stopped, moved or restarted; `standfast cluster maintenance off` ends that"
        ),
        (Maintained::Node(node), true) => format!(
            "{node} is in maintenance after {took}: what it runs is left alone, and nothing new comes to it; `standfast node maintenance {node} off` ends that"
        ),
        (_, false) => format!(
            "the maintenance of {name} is over after {took}: what runs as it should goes on untouched"
        ),
    };
    done.print(how.json, &text)
}

/// The groups that it is about.
fn groups(view: &View, what: &Maintained) -> Vec<GroupId> {
    let plan = view.state.plan.groups.iter();
    let concerned = plan.filter(|(group, given)| match what {
        Maintained::Cluster => true,
        Maintained::Node(node) => {
            let maintained = view.state.maintenance.nodes.get(node);
            given.node.as_ref() == Some(node)
                || maintained.is_some_and(|maintained| maintained.groups.contains(*group))
        }
    });
    concerned.map(|(group, _)| group.clone()).collect()
}

/// Whether the plan says of a group what was ordered.
fn is_decided(view: &View, group: &GroupId) -> bool {
    let wanted = view.state.in_maintenance(group) || view.state.config.observes();
    let given = view.state.plan.groups.get(group);
    given.is_none_or(|given| given.maintenance == wanted)
}
