//! `standfast upgrade`: the new program is installed on the nodes; their agents take over from the old ones, one after the
//! other. Nothing is remembered between two steps or two runs: what is left to do is what the nodes report.
//!
//! Not for keeping two restarts apart: the replicated state refuses the second (`cluster::upgrading`).

use super::{UpgradeArgs, ask::look_at_state, exit, print, wait::until};
use crate::failure::Failure;
use crate::render::{self, length, running_on};
use serde::Serialize;
use standfast_model::{
    FEATURE_LEVEL,
    id::{GroupId, Incarnation, NodeId},
    request::{Request, View},
    state::NodeReport,
    time::Micros,
};
use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

/// The version that is to run everywhere: that of the program which is asked to see to it.
const TARGET: &str = env!("CARGO_PKG_VERSION");

#[derive(Debug, Serialize)]
struct Upgraded {
    schema: &'static str,
    version: &'static str,
    /// Those that were restarted, in order; with --dry-run those that would be.
    nodes: Vec<Step>,
    /// Feature level in use at the end.
    feature_level: u32,
    took_ms: u64,
}

#[derive(Debug, Serialize)]
struct Step {
    name: String,
    from: String,
    /// From asking until it was back and everything ran; none with --dry-run.
    took_ms: Option<u64>,
}

pub(super) fn upgrade(socket: &Path, args: &UpgradeArgs) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    let todo = todo(&view, args);
    let mut done = Upgraded {
        schema: "standfast/upgrade/1",
        version: TARGET,
        nodes: Vec::new(),
        feature_level: view.state.level(),
        took_ms: 0,
    };
    if args.dry_run {
        done.nodes = todo
            .into_iter()
            .map(|(node, from)| Step {
                name: node.to_string(),
                from,
                took_ms: None,
            })
            .collect();
        return done.print(args.json, &done.preview());
    }
    let start = Instant::now();
    let running: Vec<GroupId> = view.state.config.groups.keys().cloned().collect();
    let running: BTreeSet<GroupId> = running
        .into_iter()
        .filter(|group| running_on(&view, group).is_some())
        .collect();
    let run = Run {
        socket,
        args,
        running,
    };
    for (node, from) in todo {
        let took = run.step(&node, &from)?;
        if !args.json {
            let took = length(Micros::from_millis(took));
            print(&format!("{node}: {from} -> {TARGET}, back after {took}\n"))?;
        }
        done.nodes.push(Step {
            name: node.to_string(),
            from,
            took_ms: Some(took),
        });
    }
    done.feature_level = run.level()?;
    done.took_ms = millis(start);
    done.print(args.json, &done.text())
}

impl Upgraded {
    fn print(&self, json: bool, text: &str) -> Result<(), Failure> {
        if json {
            print(&render::json(self))
        } else {
            print(text)
        }
    }

    fn preview(&self) -> String {
        if self.nodes.is_empty() {
            return self.text();
        }
        let mut text = format!("Agents would be restarted with {TARGET} in this order:\n");
        for (place, step) in (1..).zip(&self.nodes) {
            text.push_str(&format!("  {place}. {} (runs {})\n", step.name, step.from));
        }
        text
    }

    fn text(&self) -> String {
        let level = self.feature_level;
        if self.nodes.is_empty() {
            return format!(
                "{TARGET} runs already; nothing was restarted. Feature level {level}.\n"
            );
        }
        let took = length(Micros::from_millis(self.took_ms));
        format!("{TARGET} runs after {took}. Feature level {level}.\n")
    }
}

/// The nodes to restart with the versions that they run: who does least for others first, the leader last.
fn todo(view: &View, args: &UpgradeArgs) -> Vec<(NodeId, String)> {
    let state = &view.state;
    let members: BTreeSet<&NodeId> = state.members.values().map(|member| &member.node).collect();
    let mut todo: Vec<(NodeId, String)> = members
        .into_iter()
        .filter(|node| !args.here || node.as_str() == view.node)
        .map(|node| (node.clone(), report(view, node)))
        .filter(|(_, report)| args.again || !is_new(report))
        .map(|(node, report)| (node, report.program_version))
        .collect();
    todo.sort_by_key(|(node, _)| {
        let leads = view.leader.as_ref() == Some(node);
        let groups = state.plan.groups.values();
        let runs = groups.filter(|given| given.node.as_ref() == Some(node));
        let witness = state.config.nodes.get(node).is_some_and(|n| n.witness);
        (leads, runs.count(), !witness, node.clone())
    });
    todo
}

fn report(view: &View, node: &NodeId) -> NodeReport {
    let known = view.state.nodes.get(node);
    known.map(|known| known.report.clone()).unwrap_or_default()
}

fn is_new(report: &NodeReport) -> bool {
    report.program_version == TARGET && report.level() >= FEATURE_LEVEL
}

fn millis(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

struct Run<'r> {
    socket: &'r Path,
    args: &'r UpgradeArgs,
    /// What ran at the beginning has to run after each step.
    running: BTreeSet<GroupId>,
}

impl Run<'_> {
    /// One node: everything is well, it is asked, it is back with the new version, everything is well.
    fn step(&self, node: &NodeId, from: &str) -> Result<u64, Failure> {
        let old = self.wait(&format!("before {node}"), |view| match self.missing(view) {
            Some(_) => Ok(None),
            None => Ok(Some(report(view, node).incarnation)),
        })?;
        let start = Instant::now();
        self.ask(node, old)?;
        self.wait(&format!("after {node}"), |view| {
            self.is_back(view, node, (old, from))
        })?;
        Ok(millis(start))
    }

    /// Asks a node's agent to restart, unless somebody else's command has had that done meanwhile.
    fn ask(&self, node: &NodeId, old: Incarnation) -> Result<(), Failure> {
        let start = Instant::now();
        loop {
            let asked = look_at_state(self.socket).and_then(|(mut agent, view)| {
                if report(&view, node).incarnation != old {
                    return Ok(0);
                }
                agent.change(&Request::AskRestart {
                    node: node.clone(),
                    author: String::new(),
                })
            });
            match asked {
                Ok(_) => return Ok(()),
                // Somebody else is restarted just now, or there is no leader for a moment.
                Err(failure)
                    if matches!(
                        failure.code,
                        exit::TRY_AGAIN | exit::NO_QUORUM | exit::NOT_CONNECTED
                    ) && start.elapsed() < self.patience() => {}
                Err(failure) => return Err(failure),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn is_back(
        &self,
        view: &View,
        node: &NodeId,
        (old, from): (Incarnation, &str),
    ) -> Result<Option<()>, Failure> {
        let report = report(view, node);
        if report.incarnation == old {
            return Ok(None);
        }
        if !is_new(&report) {
            let text = format!(
                "{node} came back with version {} again: install {TARGET} there and run `standfast upgrade` again; \
                 the other nodes were left as they are (it ran {from} before)",
                report.program_version
            );
            return Err(Failure::new(exit::UNAVAILABLE, text));
        }
        Ok(self.missing(view).is_none().then_some(()))
    }

    /// What is not as it has to be before the next agent may be restarted.
    fn missing(&self, view: &View) -> Option<String> {
        let state = &view.state;
        if !view.quorum {
            return Some("no leader with a majority is heard".to_owned());
        }
        for member in state.members.values() {
            let node = &member.node;
            if !state.nodes.get(node).is_some_and(|known| known.online) {
                return Some(format!("{node} is offline"));
            }
        }
        if let Some(node) = state.restart_grants.keys().next() {
            return Some(format!("{node} is being restarted"));
        }
        let stopped = self
            .running
            .iter()
            .find(|group| running_on(view, group).is_none());
        stopped.map(|group| format!("{group} does not run"))
    }

    fn wait<T>(
        &self,
        when: &str,
        done: impl FnMut(&View) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        until(self.socket, self.patience(), done, |view| {
            let why = view.map_or_else(
                || "the agent of this machine does not answer".to_owned(),
                |view| {
                    self.missing(view)
                        .unwrap_or_else(|| "its agent did not restart".to_owned())
                },
            );
            format!(
                "the upgrade stopped {when}: {why}. Nothing else is restarted; look at `standfast status`, and run \
                 `standfast upgrade` again: it goes on with what is left"
            )
        })
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.args.wait)
    }

    /// The feature level in use, once it is what the nodes have in common.
    fn level(&self) -> Result<u32, Failure> {
        self.wait("at the end", |view| {
            let members = view.state.members.values();
            let lowest = members
                .map(|member| report(view, &member.node).level())
                .min();
            let level = view.state.level();
            Ok((Some(level) >= lowest).then_some(level))
        })
    }
}
