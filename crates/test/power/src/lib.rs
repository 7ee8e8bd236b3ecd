//! Power cuts without a machine: what a program wrote is recorded call by call, and then its power is cut everywhere.
//!
//! [`Recording::of`] runs a program below `strace`. [`Recording::cut_everywhere`] puts in a folder what may be on the disk
//! after a cut, at every point and for several choices of what the kernel had written back by itself, and asks whether what
//! was confirmed is there. [`Recording::without`] takes the calls of one kind away, as if that `fsync` were not in the code:
//! what is asked has to fail then, or the call is not needed, or the question is too weak.
//!
//! The disk is as bad as POSIX allows, which is worse than any one file system: what is written to a file is there after
//! `fsync` of that file, what happens to a name after `fsync` of its folder, each in any order until then, and what was
//! written before a failed `fsync` never. Not for what a real kernel does: that is for emulated machines.

mod disk;
mod recording;
mod trace;

pub use recording::{Check, Recording};
