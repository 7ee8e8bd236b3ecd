//! The agent's main loop, and what sets a machine up. Being written.

use crate::cli::{AgentArgs, Failure, InitArgs, JoinArgs, KeeperArgs, TokenArgs, exit};

fn unfinished(what: &str) -> Result<(), Failure> {
    Err(Failure::new(
        exit::UNAVAILABLE,
        format!("{what} is not built yet"),
    ))
}

/// Runs the agent until it is told to end.
///
/// # Errors
/// It cannot run here.
pub fn run(_args: &AgentArgs) -> Result<(), Failure> {
    unfinished("the agent")
}

/// Makes this machine the first of a new cluster.
///
/// # Errors
/// It cannot be made.
pub fn init(_args: &InitArgs) -> Result<(), Failure> {
    unfinished("init")
}

/// Prints a token that another machine joins with.
///
/// # Errors
/// None can be made here.
pub fn token(_args: &TokenArgs) -> Result<(), Failure> {
    unfinished("token")
}

/// Makes this machine a member of a cluster.
///
/// # Errors
/// The cluster does not take it.
pub fn join(_args: &JoinArgs) -> Result<(), Failure> {
    unfinished("join")
}

/// Runs as the keeper of one resource.
///
/// # Errors
/// It cannot keep it.
pub fn keeper(_args: &KeeperArgs) -> Result<(), Failure> {
    unfinished("the keeper")
}
