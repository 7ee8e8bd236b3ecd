//! Fencing acts: switches a machine off or on through an agent of Debian's `fence-agents`, and asks whether it worked.
//!
//! An agent is a program that reads `name=value` lines on its standard input. Nothing is ever given to it as an argument,
//! and the values of secret parameters are in no error and no log. "Off" is believed only when a question afterwards
//! is answered with "off". Every act may be repeated.
//!
//! It decides nothing: not whether a machine is to be fenced, not what a failure means, not what comes next.

mod agent;
mod check;
mod device;
mod error;
mod metadata;
mod run;
mod secret;
mod sys;

pub use device::{Power, check, monitor, power_off, power_on, status, unfence};
pub use error::{FenceError, Problem};
pub use metadata::{Kind, Metadata, Parameter};
