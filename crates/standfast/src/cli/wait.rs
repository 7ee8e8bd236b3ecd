//! Waiting until a change that was asked for has taken effect.

use super::{ask::Agent, exit};
use crate::failure::Failure;
use standfast_api::ClientError;
use standfast_model::request::View;
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again until `done` gives something, an error, or time is up.
///
/// A connection that breaks is made anew: agents may restart meanwhile.
pub(super) fn until<T>(
    socket: &Path,
    most: Duration,
    mut done: impl FnMut(&View) -> Result<Option<T>, Failure>,
    late: impl FnOnce(Option<&View>) -> String,
) -> Result<T, Failure> {
    let start = Instant::now();
    let mut agent: Option<Agent> = None;
    let mut last = None;
    loop {
        match look(&mut agent, socket) {
            Ok(view) => {
                if let Some(result) = done(&view)? {
                    return Ok(result);
                }
                last = Some(view);
            }
            Err(error @ ClientError::Permission(_)) => return Err(error.into()),
            Err(_) => agent = None,
        }
        if start.elapsed() >= most {
            return Err(Failure::new(exit::TIMEOUT, late(last.as_ref())));
        }
        thread::sleep(PAUSE);
    }
}

fn look(agent: &mut Option<Agent>, socket: &Path) -> Result<View, ClientError> {
    let connected = match agent.take() {
        Some(connected) => connected,
        None => Agent::connect(socket)?,
    };
    agent.insert(connected).view()
}
