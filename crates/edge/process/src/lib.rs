//! The `process` driver: a supervised command under a keeper, with readiness and health checks.
//!
//! It starts, stops, watches and reports. It decides nothing: whether and where a command is started
//! again is the core's business. Ending it at its lease's deadline is the keeper's (crate `guard`).

mod check;
mod driver;
mod exec;
mod hearing;
mod http;
mod leases;
mod login;
mod reloading;
mod remains;
mod roles;
mod running;
mod secret;
mod spec;
mod worker;

pub use driver::{ProcessDriver, ProcessSettings};
