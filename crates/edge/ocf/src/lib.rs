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
//!
//! Everything that an agent starts lives under the keeper, with the runner, and is killed with it: this crate ends
//! no lease. It decides nothing: not whether something is started again, and not where.

mod ask;
mod asking;
mod check;
mod code;
mod enclose;
mod environment;
mod find;
mod machine;
mod metadata;
mod order;
mod output;
mod runner;
mod spawn;

pub use ask::{Reason, ask, reason};
pub use check::{Problem, problems, repeated};
pub use code::Dialect;
pub use environment::{PREFIX, environment, environment_of_script};
pub use find::{ROOT, find, find_script};
pub use metadata::{Kind, Metadata, Parameter, metadata};
pub use order::{Deep, Order, Task};
pub use runner::run;

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
