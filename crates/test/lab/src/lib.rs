//! The laboratory: real agents on hosts made of namespaces, a client that measures, faults, and the baseline to compare with.
//!
//! * [`enclosure`]: namespaces around everything, chosen by itself; clean-up.
//! * [`lab`], [`host`], [`network`], [`host_init`]: machines and the networks between them.
//! * [`probe`] asks, [`measure`] judges: recovery time, failed requests, time with two owners.
//! * [`fault`]: what can happen; [`load`]: busy cores. [`system`]: what it happens to; [`standfast_system`], and the baselines,
//!   [`keepalived`] and [`pacemaker`]. [`pair`]: two nodes, whose arbiter is a real device.
//! * [`trial`]: one fault once. [`session`]: many. [`check`]: what is good, and whether the machine let it be. [`report`]: tables. [`usage`]: memory and processor time.
//! * [`demo`]: `standfast demo`. [`upgrade`]: rolling upgrades, and making a cluster; [`upgrade_state`], [`upgrade_safety`]: what
//!   they must not lose, and what happens in the middle of them. [`fencing`]: real devices ([`bmc`]) that cut the power. [`exercises`]: what an administrator does, with Debian's agents. [`evidence`]: what is kept of a failure. [`attempts`]: how these are
//!   judged.
//!
//! Nothing here belongs to the product: it sees Standfast only as an operator and a client do.

pub mod attempts;
pub mod bmc;
pub mod check;
pub mod command;
mod crm_mon;
pub mod demo;
pub mod enclosure;
pub mod error;
pub mod evidence;
pub mod exercises;
pub mod fault;
pub mod fencing;
pub mod host;
pub mod host_init;
pub mod keepalived;
pub mod lab;
mod late;
mod live;
pub mod load;
pub mod measure;
pub mod network;
pub mod pacemaker;
mod pacemaker_files;
pub mod pair;
pub mod probe;
pub mod processes;
pub mod report;
pub mod service;
pub mod session;
pub mod standfast_system;
pub mod sys;
pub mod system;
pub mod trial;
pub mod upgrade;
pub mod upgrade_safety;
pub mod upgrade_state;
pub mod usage;
