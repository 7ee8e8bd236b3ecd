//! `pair teardown`: the primary goes on as a cluster of one, the other node is out.
//!
//! Each step is the agents' own and goes on by itself; given again, it goes on where it was. Asked for on either node.

use super::{Document, confirm, late, pair_of};
use crate::{
    cli::{
        ask::{Agent, look_at_state},
        exit,
        pair_args::TeardownArgs,
        print,
        wait::until,
    },
    failure::Failure,
    render::{self, Ending, length},
};
use standfast_model::{
    id::NodeId,
    pair::{PairOrder, PairView},
    request::{Request, View},
    time::Micros,
};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Between two attempts while something else is on its way to the disk.
const PAUSE: Duration = Duration::from_millis(300);

pub(super) fn teardown(socket: &Path, args: &TeardownArgs) -> Result<(), Failure> {
    let (mut agent, view) = look_at_state(socket)?;
    let Some(before) = &view.pair else {
        return ended(
            &view,
            "This is no pair: there is nothing to do.\n",
            args,
            None,
        );
    };
    let start = Instant::now();
    let node = NodeId::from(view.node.as_str());
    let ending = Ending::of(&view, before);
    if !is_out(&node, before) {
        if !args.yes {
            confirm(&ending.warning(), &view.node)?;
        }
        order(&mut agent, Duration::from_secs(args.order.wait), start)?;
    }
    let mut said = before.sentence.clone();
    let last = until(
        socket,
        Duration::from_secs(args.order.wait),
        |view| {
            let Some(pair) = &view.pair else {
                return Ok(Some(view.clone()));
            };
            let is_so = is_out(&node, pair);
            if !args.order.json && !is_so && pair.sentence != said {
                print(&format!("{}\n", pair.sentence))?;
                said.clone_from(&pair.sentence);
            }
            Ok(is_so.then(|| view.clone()))
        },
        |last| late(last, args.order.wait),
    )?;
    ended(&last, &ending.outcome(&last), args, Some(start.elapsed()))
}

/// Gives the order, again while another write has to be on the disk first.
fn order(agent: &mut Agent, most: Duration, start: Instant) -> Result<(), Failure> {
    let request = Request::Pair {
        order: PairOrder::Teardown,
        author: String::new(),
    };
    loop {
        match agent.change(&request) {
            Err(failure) if failure.code == exit::TIMEOUT && start.elapsed() < most => {
                thread::sleep(PAUSE);
            }
            other => return other.map(drop),
        }
    }
}

/// The pair has ended for the node that was asked, and it is the one that is out. The other one is done when there
/// is no pair.
pub(super) fn is_out(node: &NodeId, pair: &PairView) -> bool {
    pair.state == "dissolved" && pair.primary.as_ref() != Some(node)
}

fn ended(
    view: &View,
    text: &str,
    args: &TeardownArgs,
    took: Option<Duration>,
) -> Result<(), Failure> {
    let took_ms = took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    if args.order.json {
        let none = PairView {
            state: "none".to_owned(),
            sentence: "This is no pair.".to_owned(),
            ..PairView::default()
        };
        return print(&render::json(&Document {
            schema: "standfast/pair/1",
            node: &view.node,
            pair: &pair_of(view).unwrap_or(none),
            took_ms,
        }));
    }
    let after = took_ms.map_or_else(String::new, |ms| {
        format!("Done after {}.\n", length(Micros::from_millis(ms)))
    });
    print(&format!("{text}{after}"))
}
