//! Standfast: keeps services up on a handful of machines. The binary: agent, keeper and command line.

mod agent;
mod failure;

fn main() {}
