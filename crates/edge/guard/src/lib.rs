//! Guards: the kernel ends a resource at its lease's deadline although the agent is dead, stopped or starved.
//!
//! - [`keeper`]: a small process that holds one resource's process tree and kills it at the deadline. It outlives the agent.
//! - [`network`]: a cgroup-BPF program that drops the resource's traffic from the same deadline on.
//! - [`lease::LeaseWord`]: the deadline itself, one word of shared memory that both guards read. Extending is one atomic store.
//! - [`support`]: which of these this machine offers, and why not.
//!
//! Not here: when a deadline is due (the core), what a resource's command is and whether it is healthy
//! (`standfast-process`), the address guard (`standfast-address`).
//!
//! Every deadline is an absolute `CLOCK_BOOTTIME` in nanoseconds: [`clock::boot_now_ns`] gives the present one.

mod bpf;
pub mod cgroup;
pub mod clock;
mod identity;
pub mod keeper;
pub mod lease;
pub mod network;
mod process_id;
pub mod spec;
pub mod status;
pub mod support;
mod sys;

pub use keeper::{KeeperError, KeeperEvent, KeeperHandle, KeeperProgram, Keepers};
pub use lease::{ExtendError, LeaseState};
pub use network::NetworkGuard;
pub use spec::{KeeperSpec, Output, StopRequest};
pub use status::{Exit, Guard, Missing, Phase, Reason, Status};
pub use support::{GuardSupport, Support};
