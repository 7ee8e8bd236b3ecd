//! `cert rotate --ca`: another certificate authority for the cluster. The agents do it (`agent::certificates`),
//! whether or not anybody watches; this command begins it and waits.

use super::{
    ask::look_at_state, exit, member_args::CertRotateArgs, operate::Done, print, wait::until,
};
use crate::{
    failure::Failure,
    render::{self, length},
};
use standfast_model::{
    request::{Request, View},
    time::Micros,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

pub(super) fn rotate(socket: &Path, args: &CertRotateArgs) -> Result<(), Failure> {
    let (mut agent, view) = look_at_state(socket)?;
    let start = Instant::now();
    let request = Request::RotateAuthority {
        reason: args.reason.clone().unwrap_or_default(),
        author: String::new(),
    };
    let index = match agent.change(&request) {
        // Begun before, perhaps by a command that was interrupted: then it is waited for.
        Err(failure) if failure.code == exit::EXISTS => {
            if !args.json {
                print(&format!("{}\n", failure.text))?;
            }
            view.state.applied
        }
        other => other?,
    };
    let done = Done::new(
        "standfast/cert-rotate/1",
        &view.state.cluster_id,
        index,
        start,
    );
    if args.wait == 0 {
        return done.print(
            args.json,
            "the certificate authority is being replaced; `standfast status` shows how it goes on",
        );
    }
    let finished = |view: &View| {
        let is_over = view.state.applied >= index && view.state.authorities.change.is_none();
        Ok(is_over.then_some(()))
    };
    let late = |view: Option<&View>| {
        let line = view.and_then(render::authority_sentence);
        line.unwrap_or_else(|| String::from("the agent does not answer; the change goes on"))
    };
    until(socket, Duration::from_secs(args.wait), finished, late)?;
    let took = Micros(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
    done.print(
        args.json,
        &format!(
            "the cluster has a new certificate authority after {}; every node uses it, the old one is worth nothing, and \
             so are join tokens made before",
            length(took)
        ),
    )
}
