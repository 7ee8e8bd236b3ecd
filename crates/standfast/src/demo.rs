//! `standfast demo`: three agents on this machine, with faults. Being written.

use crate::{
    cli::{DemoArgs, exit},
    failure::Failure,
};

/// Runs the demo.
///
/// # Errors
/// It cannot run here, or the service did not return, or ever had two owners.
pub(crate) fn run(_args: &DemoArgs) -> Result<(), Failure> {
    Err(Failure::new(exit::UNAVAILABLE, "the demo is not built yet"))
}
