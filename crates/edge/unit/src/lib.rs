//! Units of systemd as resources: whether one may be, and the actions that a runner under a keeper calls: start, stop,
//! status, and waiting for the unit's end.
//!
//! A lease ends a unit as it ends every process: its processes are in a slice of ours, which the keeper freezes and kills,
//! and which the network guard silences. A slice belongs to one run and stays frozen for good when that run has ended by
//! force: a start that systemd still had in its queue begins nothing there. So systemd is asked to start and to stop, and
//! is not needed for ending a lease. Not for deciding what is started, and not for time limits: the runner has those.

mod action;
mod bus;
mod dropin;
mod examine;
mod facts;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

pub use action::run;
pub use examine::examine;

/// All slices of ours, below the root of the hierarchy.
pub const SLICES: &str = "standfast.slice";

/// Which unit, and where its processes go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The resource, for people.
    pub resource: String,
    /// Such as `nginx.service`.
    pub unit: String,
    /// The slice of this run, such as `standfast-web.1f.slice`.
    pub slice: String,
    /// Where the hierarchy has the folders of all slices of ours.
    pub slices: PathBuf,
}

/// The slice of one run of a resource. A dash would make it a part of another one.
#[must_use]
pub fn slice(resource: &str, run: u64) -> String {
    format!("{}{run:x}.slice", slices_of(resource))
}

/// What the names of all slices of a resource begin with, and of no other one: names of resources have no point.
fn slices_of(resource: &str) -> String {
    format!("standfast-{}.", resource.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_slice_is_part_of_another_resources_or_begins_like_it() {
        assert_eq!(slice("my-web", 31), "standfast-my_web.1f.slice");
        assert_eq!(slice("web:alpha", 31), "standfast-web:alpha.1f.slice");
        for other in ["my-web", "my:web", "my2"] {
            assert!(!slice(other, 31).starts_with(&slices_of("my")), "{other}");
        }
    }
}
