//! The program: agent, keeper and command line in one binary.
//!
//! A library as well, so that the manual and the completions are made from the one definition of the
//! flags ([`cli::Cli`]), and so that tests reach the renderers.
#![warn(missing_docs)]

pub mod agent;
pub mod cli;
pub mod demo;
pub mod render;
