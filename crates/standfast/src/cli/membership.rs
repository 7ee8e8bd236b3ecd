//! Commands about who belongs to the cluster: remove.
//!
//! Not for joining (`local`): that is done by the machine that joins.

use super::{ask::look_at_state, exit, member_args::RemoveArgs, operate::Done};
use crate::failure::Failure;
use standfast_model::request::Request;
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Between two attempts while something else has to be committed first.
const PAUSE: Duration = Duration::from_millis(300);

pub(super) fn remove(socket: &Path, args: &RemoveArgs) -> Result<(), Failure> {
    let (mut agent, view) = look_at_state(socket)?;
    let start = Instant::now();
    let request = Request::Remove {
        node: args.node.as_str().into(),
        author: String::new(),
    };
    let index = loop {
        match agent.change(&request) {
            // Leadership goes to another node first, or another change is on its way.
            Err(failure)
                if failure.code == exit::TRY_AGAIN
                    && start.elapsed() < Duration::from_secs(args.wait) =>
            {
                thread::sleep(PAUSE);
            }
            other => break other?,
        }
    };
    let node = &args.node;
    let online = view
        .state
        .nodes
        .get(&node.as_str().into())
        .is_some_and(|known| known.online);
    let next = if online {
        format!("`standfast destroy` on {node} takes away what it still knows")
    } else {
        format!("if {node} comes back, nobody lets it in")
    };
    Done::new("standfast/remove/1", node, index, start).print(
        args.json,
        &format!("{node} is no longer a member and its certificate is worth nothing; {next}"),
    )
}
