//! The `process` driver: a supervised command under a keeper, with readiness and health checks.
//! (Interface; the body follows.)

use standfast_model::{
    config::ProcessConfig, event::InstanceChange, id::ResourceId, plan::PlanNumber, time::Micros,
};
use std::path::PathBuf;

/// Where and how processes run on this node.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// Folder of the keepers' run folders, on tmpfs.
    pub run_dir: PathBuf,
    /// Folder inside the cgroup2 hierarchy under which resources get their own group.
    pub cgroup_parent: PathBuf,
    /// This node's name, told to every process as `STANDFAST_NODE`.
    pub node: String,
    /// Whether the network guard is attached.
    pub network_guard: bool,
}

/// The driver.
#[derive(Debug)]
pub struct ProcessDriver {}

impl ProcessDriver {
    /// Starts the driver's thread. `tell` is called on it and must not block.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn new(
        _settings: ProcessSettings,
        _tell: impl Fn(ResourceId, InstanceChange) + Send + 'static,
    ) -> std::io::Result<Self> {
        Ok(Self {})
    }

    /// Starts a resource under a guard that ends it at `deadline` (`CLOCK_BOOTTIME` microseconds).
    pub fn start(&self, _resource: &ResourceId, _config: &ProcessConfig, _since: PlanNumber, _deadline: u64) {}

    /// Moves the guard's deadline.
    pub fn extend(&self, _resource: &ResourceId, _deadline: u64) {}

    /// Stops it, gracefully for so long.
    pub fn stop(&self, _resource: &ResourceId, _grace: Micros) {}

    /// Finds out whether it runs here, started by an earlier agent.
    pub fn probe(&self, _resource: &ResourceId, _config: &ProcessConfig) {}
}
