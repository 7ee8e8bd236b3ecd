//! Commands that only look: status, history, explain, check.

use super::{
    CheckArgs, ExplainArgs, HistoryArgs, StatusArgs,
    ask::{Agent, look, look_at_state, no_such},
    print, style,
};
use crate::failure::Failure;
use crate::render::{self, Explanation, Status, Verdict};
use crate::watch::{self, Watch};
use serde::Serialize;
use standfast_api::ClientError;
use standfast_model::{id::GroupId, request::View};
use std::{
    io::{self, IsTerminal as _},
    path::Path,
    thread,
    time::Duration,
};

/// Cursor home, and everything after it cleared.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(super) fn status(socket: &Path, args: &StatusArgs) -> Result<(), Failure> {
    let Some(seconds) = args.watch else {
        let (_, view) = look(socket)?;
        return print(&show(&Status::of(&view), args.json));
    };
    let terminal = io::stdout().is_terminal() && !args.json;
    if terminal && io::stdin().is_terminal() && !is_dumb() {
        return watch::run(&Watch {
            sockets: std::iter::once(socket.to_owned())
                .chain(args.also.clone())
                .collect(),
            every: Duration::from_secs(seconds),
            colour: style() != render::Style::default(),
            faults: args.faults.as_deref(),
        });
    }
    loop {
        // An agent that restarts comes back: watching goes on.
        let text = match look(socket) {
            Ok((_, view)) => show(&Status::of(&view), args.json),
            Err(failure) if args.json => return Err(failure),
            Err(failure) => format!("{}\n", failure.text),
        };
        let before = if terminal { CLEAR } else { "" };
        print(&format!("{before}{text}"))?;
        thread::sleep(Duration::from_secs(seconds));
    }
}

/// A terminal that can do nothing but print gets text again and again.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

fn show(status: &Status, json: bool) -> String {
    if json {
        render::json(status)
    } else {
        render::status(status, style())
    }
}

pub(super) fn history(socket: &Path, args: &HistoryArgs) -> Result<(), Failure> {
    let (_, view) = look(socket)?;
    let text = if args.json {
        render::history_json(&view, args.number)
    } else {
        render::history(&view, args.number)
    };
    print(&text)
}

/// Each copy of a group, one after the other.
fn explain_copies(view: &View, group: &GroupId, json: bool) -> Result<(), Failure> {
    let copies = view.state.config.copies_of(group);
    let each: Result<Vec<Explanation>, String> = copies
        .map(|(copy, _)| Explanation::of(view, copy))
        .collect();
    let each = each.map_err(no_such)?;
    if json {
        return print(&render::json(&Copies {
            schema: "standfast/explain-copies/1",
            group: group.as_str(),
            copies: each,
        }));
    }
    let texts: Vec<String> = each
        .iter()
        .map(|one| render::explain(one, style()))
        .collect();
    print(&texts.join("\n"))
}

/// The explanations of all copies of a group.
#[derive(Serialize)]
struct Copies<'c> {
    schema: &'static str,
    group: &'c str,
    copies: Vec<Explanation>,
}

pub(super) fn explain(socket: &Path, args: &ExplainArgs) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    let group = args.group.as_str().into();
    if view.state.config.copies.groups.contains_key(&group) {
        return explain_copies(&view, &group, args.json);
    }
    let explanation = Explanation::of(&view, &group).map_err(no_such)?;
    let text = if args.json {
        render::json(&explanation)
    } else {
        render::explain(&explanation, style())
    };
    print(&text)
}

/// A plugin says everything on the standard output, and its exit codes are its own.
pub(super) fn check(socket: &Path, args: &CheckArgs) -> Result<(), Failure> {
    let view = Agent::connect(socket).and_then(|mut agent| agent.view());
    let (verdict, text) = match view {
        Ok(view) => {
            let status = Status::of(&view);
            let (verdict, line) = render::check(&status);
            let text = if args.json {
                render::json(&status)
            } else {
                line
            };
            (verdict, text)
        }
        Err(error) => {
            // Without an agent this node protects nothing; any other error says nothing of the cluster.
            let verdict = match error {
                ClientError::NotConnected { .. } => Verdict::Critical,
                _ => Verdict::Unknown,
            };
            let failure = Failure::from(error);
            (verdict, format!("{}\n", verdict.line(&failure.text)))
        }
    };
    print(&text)?;
    match verdict {
        Verdict::Ok => Ok(()),
        other => Err(Failure::new(other.code(), "")),
    }
}
