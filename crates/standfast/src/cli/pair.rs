//! `pair`: how it is, and what an operator may want of it. The node that is asked is the one that is meant.
//!
//! An order is given once; then the view is looked at until what was wanted is so. Each may be given again.

mod teardown;

use super::{
    ask::look_at_state,
    exit,
    pair_args::{ForcePrimaryArgs, PairCommand, PairOrderArgs},
    print,
    wait::until,
};
use crate::{
    failure::Failure,
    render::{self, length},
};
use serde::Serialize;
use standfast_model::{
    id::NodeId,
    pair::{PairOrder, PairView},
    request::{Request, View},
    time::Micros,
};
use std::{
    io::{self, IsTerminal as _},
    path::Path,
    time::{Duration, Instant},
};

/// `standfast/pair/1`
#[derive(Serialize)]
struct Document<'d> {
    schema: &'static str,
    node: &'d str,
    #[serde(flatten)]
    pair: &'d PairView,
    /// From asking until it was so; none when nothing was asked.
    took_ms: Option<u64>,
}

pub(super) fn dispatch(socket: &Path, command: &PairCommand) -> Result<(), Failure> {
    match command {
        PairCommand::Show(args) => show(socket, args.json),
        PairCommand::Promote(args) => order(socket, PairOrder::Promote, args),
        PairCommand::Demote(args) => order(socket, PairOrder::Demote, args),
        PairCommand::Swap(args) => order(socket, PairOrder::Swap, args),
        PairCommand::Recover(args) => order(socket, PairOrder::Recover, args),
        PairCommand::Rebuild(args) => order(socket, PairOrder::Rebuild, args),
        PairCommand::ForcePrimary(args) => force_primary(socket, args),
        PairCommand::Teardown(args) => teardown::teardown(socket, args),
    }
}

/// The pair of a view.
fn pair_of(view: &View) -> Result<PairView, Failure> {
    view.pair.clone().ok_or_else(|| {
        let text = "this cluster is no pair: its nodes are voters, and a majority of them decides";
        Failure::new(exit::NO_SUCH_ITEM, text)
    })
}

fn show(socket: &Path, json: bool) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    let pair = pair_of(&view)?;
    say(&view, &pair, json, None)
}

fn say(view: &View, pair: &PairView, json: bool, took: Option<Duration>) -> Result<(), Failure> {
    let took_ms = took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    if json {
        return print(&render::json(&Document {
            schema: "standfast/pair/1",
            node: &view.node,
            pair,
            took_ms,
        }));
    }
    let after = took_ms.map_or_else(String::new, |ms| {
        format!("Done after {}.\n", length(Micros::from_millis(ms)))
    });
    print(&format!("{}{after}", render::pair_text(pair)))
}

fn order(socket: &Path, order: PairOrder, args: &PairOrderArgs) -> Result<(), Failure> {
    let (mut agent, view) = look_at_state(socket)?;
    let before = pair_of(&view)?;
    let start = Instant::now();
    agent.change(&Request::Pair {
        order,
        author: String::new(),
    })?;
    let node = NodeId::from(view.node.as_str());
    let mut said = before.sentence.clone();
    let most = Duration::from_secs(args.wait);
    let after = until(
        socket,
        most,
        |view| {
            let pair = pair_of(view)?;
            let is_so = is_done(order, &node, &before, &pair);
            if !args.json && !is_so && pair.sentence != said {
                print(&format!("{}\n", pair.sentence))?;
                said.clone_from(&pair.sentence);
            }
            Ok(is_so.then(|| (view.clone(), pair)))
        },
        |last| late(last, args.wait),
    )?;
    let (view, pair) = after;
    say(&view, &pair, args.json, Some(start.elapsed()))
}

fn late(last: Option<&View>, seconds: u64) -> String {
    let pair = last.and_then(|view| view.pair.as_ref());
    let how = pair.map_or("the agent does not answer", |pair| pair.sentence.as_str());
    format!("not so after {seconds} s, and it goes on: {how}")
}

/// Whether what was wanted is so.
fn is_done(order: PairOrder, node: &NodeId, before: &PairView, pair: &PairView) -> bool {
    let leads = pair.role == "primary";
    match order {
        PairOrder::Promote | PairOrder::ForcePrimary => leads,
        PairOrder::Demote => !leads && pair.role != "handing-over",
        PairOrder::Swap => {
            let was = before.primary.as_ref();
            let other = pair.primary.is_some() && pair.primary.as_ref() != was;
            other && (leads || pair.primary.as_ref() != Some(node))
        }
        PairOrder::Recover | PairOrder::Rebuild => pair.in_sync,
        PairOrder::Teardown => teardown::is_out(node, pair),
        PairOrder::PeerIsOff => true,
    }
}

fn force_primary(socket: &Path, args: &ForcePrimaryArgs) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    let pair = pair_of(&view)?;
    let warning = format!(
        "{}\n{} becomes primary with what it has (generation {}, index {}). If the other node still runs, both run: its \
         power has to be off, and somebody has to have seen it. What it confirmed and this node does not have is lost \
         here; it is kept there, and an operator chooses between the two when it comes back.\n",
        pair.sentence, view.node, pair.generation, pair.index
    );
    if !args.yes {
        confirm(&warning, &view.node)?;
    }
    order(socket, PairOrder::ForcePrimary, &args.order)
}

/// Says what is about to be done, and goes on if the name of this node is typed.
fn confirm(warning: &str, node: &str) -> Result<(), Failure> {
    print(warning)?;
    if !io::stdin().is_terminal() {
        let text = "nothing was changed: --yes answers where nobody can be asked";
        return Err(Failure::new(exit::UNSAFE, text));
    }
    print("Type the name of this node to go on: ")?;
    let mut line = String::new();
    io::stdin()
        .read_line(&mut line)
        .map_err(|error| Failure::new(exit::IO, format!("cannot read the answer: {error}")))?;
    if line.trim() == node {
        Ok(())
    } else {
        Err(Failure::new(exit::UNSAFE, "nothing was changed"))
    }
}
