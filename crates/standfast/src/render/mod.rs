//! What people and programs read: pure functions from a view of the cluster to text or JSON.
//!
//! [`Status`] is derived once from a [`View`](standfast_model::request::View); its text, its JSON and
//! the plugin's line all come from it, so that they never disagree.
//!
//! Not for asking the agent and not for writing anywhere: that is `cli`.

mod account;
mod authority;
mod check;
pub(crate) mod checks;
mod config;
mod copies;
mod diagnosis;
mod elsewhere;
mod ending;
mod explain;
mod fencing;
mod groups;
mod health;
mod history;
mod metrics;
mod movers;
mod nodes;
mod pair;
mod preview;
pub(crate) mod recovery;
mod simulation;
mod status;
mod style;
mod summary;
mod table;
mod takeover;
mod text;
mod warnings;

pub use account::{Account, account};
pub use authority::AuthorityLine;
pub(crate) use authority::{line as authority_line, sentence as authority_sentence};
pub use check::{Verdict, check};
pub use config::{config_history, config_history_json, drafts, drafts_json};
pub use diagnosis::{Answered, Diagnosis, diagnosis};
pub(crate) use ending::Ending;
pub use explain::{Explanation, explain};
pub(crate) use fencing::alarms as fence_alarms;
pub use fencing::{
    Asked, Cut, FenceTest, before_cut, fence_act, fence_cut, fence_history, fence_history_json,
    fence_test,
};
pub use groups::running_on;
pub use health::other_homes;
pub use history::{history, history_json};
pub(crate) use metrics::{DeviceSeen, Form, Local, metrics};
pub use pair::pair_text;
pub use preview::{PreviewReport, how_to_apply, preview};
pub use simulation::{simulation, simulation_json};
pub use status::status;
pub(crate) use status::{
    NODE_HEADINGS, RESOURCE_HEADINGS, group_rows, heading, node_rows, resource_rows,
};
pub use style::Style;
pub(crate) use style::Tone;
pub use summary::{GroupLine, Health, NodeLine, ResourceLine, Status, WishLine};
pub(crate) use table::Cell;
pub(crate) use text::count;
pub(crate) use text::{did_you_mean, utc};
pub use text::{json, length};

#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
mod golden_account;
#[cfg(test)]
mod golden_config;
#[cfg(test)]
mod golden_simulation;
