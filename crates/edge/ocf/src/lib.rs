//! OCF resource agents, and start/stop/status scripts: what they are called and where they are, what agents say of
//! themselves, what they are given, what their exit codes mean; and the runner, which lives under a keeper and runs the
//! actions of one.
//!
//! | | who calls it |
//! |---|---|
//! | [`find()`], [`find_script()`], [`metadata()`], [`problems()`] | whoever checks a configuration |
//! | [`environment()`], [`Order`] | the process driver, before it has a keeper started |
//! | [`run()`] | the program that the keeper starts |
//! | [`ask()`], [`reason()`] | the process driver's checks, and the driver when it has ended |
//! | [`say()`] | the process driver: what runs is to be promoted, demoted, or given other parameters |
//! | [`may_be_promoted()`], [`score()`] | the process driver, of copies that may be promoted |
//! | [`attribute()`] | agents, by the names `crm_master` and `crm_attribute` |
//!
//! Everything that an agent starts lives under the keeper, with the runner, and is killed with it: this crate ends
//! no lease. It decides nothing: not whether something is started again, and not where.

mod ask;
mod asking;
mod attribute;
mod check;
mod code;
mod enclose;
mod environment;
mod find;
mod machine;
mod metadata;
mod order;
mod output;
mod role;
mod runner;
mod spawn;
mod word;

pub use ask::{Reason, ask, reason};
pub use attribute::attribute;
pub use check::{Problem, problems, repeated};
pub use code::Dialect;
pub use environment::{PREFIX, environment, environment_of_script, is_parameter};
pub use find::{ROOT, find, find_script};
pub use metadata::{Kind, Metadata, Parameter, metadata};
pub use order::{Deep, Order, Task};
pub use role::{may_be_promoted, score};
pub use runner::run;
pub use word::{Done, Refusal, Word, say};

/// The names by which agents call this program to say by how much their copy is to be promoted.
pub const COMMANDS: [&str; 2] = ["crm_master", "crm_attribute"];

/// The runner's socket in its run folder.
const SOCKET: &str = "agent";

/// Where a runner is asked for a `monitor` of a depth; 0 is the first one. Whoever connects has said all that there is to say.
fn socket(depth: u32) -> String {
    match depth {
        0 => SOCKET.to_owned(),
        depth => format!("{SOCKET}-{depth}"),
    }
}

/// Why the runner ended by itself, in its run folder.
const REASON: &str = "reason";
/// Where a runner is told to promote, to demote, and what its agent is given from now on.
const WORDS_SOCKET: &str = "words.socket";
/// There as long as the resource may be promoted; says under which plan.
const ROLE: &str = "role";
/// By how much it is to be promoted, as its agent has said.
const SCORE: &str = "promotion";
/// Where agents find `crm_master` and `crm_attribute`, beside the run folders; no resource can be called so.
const HELPERS: &str = ".helpers";
