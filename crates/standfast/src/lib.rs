//! The program: agent, keeper and command line in one binary.
//!
//! A library as well, so that the manual and the completions are made from the one definition of the
//! flags ([`cli::Cli`]).
#![warn(missing_docs)]

mod agent;
pub mod cli;
mod connection;
mod demo;
mod doctor;
mod failure;
pub mod render;
mod watch;
