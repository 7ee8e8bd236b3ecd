//! The driver as others see it: orders in, outcomes out, on one thread of its own. Extending a lease
//! does not go through that thread: it is one store, made by whoever calls.

use crate::{
    leases::Leases,
    worker::{Order, Worker},
};
use standfast_guard::KeeperProgram;
use standfast_model::{
    config::ProcessConfig, event::InstanceChange, id::ResourceId, plan::PlanNumber, time::Micros,
};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Where and how processes run on this node.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// Folder of the keepers' run folders, on tmpfs.
    pub run_dir: PathBuf,
    /// Folder of the kept output.
    pub output_dir: PathBuf,
    /// Folder inside the cgroup2 hierarchy under which resources get their own group.
    pub cgroup_parent: PathBuf,
    /// This node's name, told to every process as `STANDFAST_NODE`.
    pub node: String,
    /// Whether the network guard is attached.
    pub network_guard: bool,
    /// How a keeper is executed. The same program with `ocf-runner` runs resource agents.
    pub keeper: KeeperProgram,
    /// Where resource agents are.
    pub agents: PathBuf,
}

/// The driver. Dropping it ends its thread and its checks, and leaves what runs to its keepers.
#[derive(Debug)]
pub struct ProcessDriver {
    orders: Sender<Order>,
    leases: Arc<Leases>,
    thread: Option<JoinHandle<()>>,
}

impl ProcessDriver {
    /// Starts the driver's thread. `tell` is called on it and must not block.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn new(
        settings: ProcessSettings,
        tell: impl Fn(ResourceId, InstanceChange) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (orders, queue) = channel();
        let leases = Arc::new(Leases::default());
        let worker = Worker::new(
            settings,
            orders.clone(),
            Arc::clone(&leases),
            Box::new(tell),
        )?;
        let thread = thread::Builder::new()
            .name("processes".to_owned())
            .spawn(move || worker.run(&queue))?;
        Ok(Self {
            orders,
            leases,
            thread: Some(thread),
        })
    }

    /// Starts a resource under guards that end it at `deadline` (`CLOCK_BOOTTIME` microseconds).
    /// Answered by `Started` or `StartFailed`; by `StopFailed` when something may be left of an
    /// earlier run. What runs already under the same plan is left alone.
    pub fn start(
        &self,
        resource: &ResourceId,
        config: &ProcessConfig,
        since: PlanNumber,
        deadline: u64,
    ) {
        self.leases.order(resource, deadline);
        self.order(Order::Start {
            resource: resource.clone(),
            config: Box::new(config.clone()),
            since,
            deadline,
        });
    }

    /// Moves the guards' deadline, later or (after an adoption) earlier. One store; also counts for
    /// what is just being started. Guards that have closed stay closed.
    pub fn extend(&self, resource: &ResourceId, deadline: u64) {
        self.leases.extend(resource, deadline);
    }

    /// Stops it, gracefully for so long, then by force. Answered by `Stopped`, or by `StopFailed`
    /// and later, should it be gone after all, `Stopped`.
    pub fn stop(&self, resource: &ResourceId, grace: Micros) {
        let grace = Duration::from_micros(grace.0);
        self.order(Order::Stop(resource.clone(), grace));
    }

    /// Finds out whether it runs here, perhaps started by an earlier agent. Answered by `Adopted`,
    /// `Stopped` or `StopFailed`.
    pub fn probe(&self, resource: &ResourceId, config: &ProcessConfig) {
        self.order(Order::Probe(resource.clone(), Box::new(config.clone())));
    }

    /// Sees that what runs of an agent has the parameters of this configuration, without stopping it. Answered by `Reloaded`,
    /// by `Unhealthy` when the agent has not taken them over, and by `Outdated` when it cannot; by nothing when it has them.
    pub fn reconfigure(&self, resource: &ResourceId, config: &ProcessConfig) {
        self.order(Order::Reconfigure(
            resource.clone(),
            Box::new(config.clone()),
        ));
    }

    fn order(&self, order: Order) {
        // The thread lives as long as this value does.
        drop(self.orders.send(order));
    }
}

impl Drop for ProcessDriver {
    fn drop(&mut self) {
        self.order(Order::End);
        if let Some(thread) = self.thread.take() {
            // It only panics if `tell` does, which has been reported by then.
            drop(thread.join());
        }
    }
}
