//! What goes on when its processes are gone: an agent's mount, its export, its address. A keeper that has ended says nothing of it.
//! The agent itself is called again, outside of any lease, until it says that it is stopped; until then it counts as running.
//!
//! Not for when that is tried (the core says so), nor for what releases it otherwise: that is fencing.

use crate::{
    running::{Running, Stage},
    secret, spec,
    worker::{Order, Worker},
};
use rustix::process::{Pid, Signal, kill_process};
use standfast_model::{
    config::ProcessConfig, event::InstanceChange, id::ResourceId, plan::PlanNumber,
};
use standfast_ocf::Task;
use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::Sender,
    thread,
    time::{Duration, Instant},
};

/// Besides the agent's own times, the runner may take so long.
const LATE: Duration = Duration::from_millis(2000);
/// A runner that was killed may take so long to be gone before it is left behind.
const DIES_WITHIN: Duration = Duration::from_millis(200);
/// How often a runner under way is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// Locked with the rest of the agent's memory, hence small.
const STACK_BYTES: usize = 128 * 1024;

/// What may be there still, and how its agent is asked.
#[derive(Debug)]
pub(crate) struct Remains {
    /// As it was started.
    command: Vec<String>,
    environment: BTreeMap<String, String>,
    /// Values that nobody is to be told.
    secrets: Vec<String>,
    /// Its agent is being called.
    under_way: bool,
    /// What is told when it is known to be over.
    then: InstanceChange,
    /// Why it is not known to be over.
    why: String,
}

/// What came of a call.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is stopped.
    Over,
    /// It is not known to be stopped.
    There(String),
    /// The runner was killed and is not gone: nobody else is called before.
    Stuck(String, Child),
}

impl Worker {
    /// The keeper of something has ended that it cannot end. `change` is told when the rest is over too.
    pub(crate) fn undo(
        &mut self,
        resource: &ResourceId,
        running: &Running,
        change: InstanceChange,
    ) {
        let spec = running.handle.spec();
        let then = match (&change, running.stage) {
            (
                InstanceChange::Exited(why) | InstanceChange::AgentFailed { why, .. },
                Stage::Active,
            ) => {
                // That it does not work can be said at once, that it is over cannot.
                self.tell(resource, InstanceChange::Unhealthy(why.clone()));
                InstanceChange::Stopped
            }
            _ => change,
        };
        let environment = running.environment();
        let remains = Remains {
            command: spec.command.clone(),
            secrets: secret::values(&running.config, &environment),
            environment,
            under_way: false,
            then,
            why: String::new(),
        };
        self.remains.insert(resource.clone(), remains);
        self.call(resource, Task::End);
    }

    /// Nothing is known of it here: its agent is asked. False where there is no such agent.
    pub(crate) fn look_for(&mut self, resource: &ResourceId, config: &ProcessConfig) -> bool {
        let Ok(Some(program)) = spec::program(&self.settings, config) else {
            return false;
        };
        let since = PlanNumber::default();
        // A secret that cannot be read is no reason not to ask.
        let open = ProcessConfig {
            secret_environment: BTreeMap::new(),
            ..config.clone()
        };
        let spec_of = |config| {
            let program = Some(program.clone());
            spec::keeper_spec(&self.settings, resource, config, since, program)
        };
        let spec = match spec_of(config).or_else(|_unreadable| spec_of(&open)) {
            Ok(spec) => spec,
            Err(why) => {
                self.refuse(resource, &why);
                return true;
            }
        };
        let remains = Remains {
            command: spec.command,
            secrets: secret::values(config, &spec.environment),
            environment: spec.environment,
            under_way: false,
            then: InstanceChange::Stopped,
            why: String::new(),
        };
        self.remains.insert(resource.clone(), remains);
        self.call(resource, Task::Look);
        true
    }

    /// A stop was ordered, or a probe. True when this is where it is answered.
    pub(crate) fn end_remains(&mut self, resource: &ResourceId, task: Task) -> bool {
        let Some(remains) = self.remains.get_mut(resource) else {
            return false;
        };
        remains.then = InstanceChange::Stopped;
        if !remains.under_way {
            self.call(resource, task);
        }
        true
    }

    fn call(&mut self, resource: &ResourceId, task: Task) {
        let folder = self
            .settings
            .run_dir
            .join(".remains")
            .join(resource.as_str());
        let Some(remains) = self.remains.get_mut(resource) else {
            return;
        };
        let call = Call::new(remains, task, folder);
        let (orders, name) = (self.orders.clone(), resource.clone());
        let began = call.and_then(|call| {
            thread::Builder::new()
                .name("remains".to_owned())
                .stack_size(STACK_BYTES)
                .spawn(move || call.run(&orders, &name))
                .map_err(|error| error.to_string())
        });
        match began {
            Ok(_thread) => remains.under_way = true,
            Err(why) => self.refuse(resource, &format!("its agent cannot be called: {why}")),
        }
    }

    pub(crate) fn on_called(&mut self, resource: &ResourceId, outcome: Outcome) {
        let Some(remains) = self.remains.get_mut(resource) else {
            return;
        };
        remains.under_way = false;
        match outcome {
            Outcome::Over => {
                let over = self.remains.remove(resource);
                if let Some(over) = over {
                    self.tell(resource, over.then);
                }
            }
            Outcome::There(why) => {
                remains.why = secret::without(&remains.secrets, &why);
                let why = remains.why.clone();
                self.refuse(resource, &why);
            }
            Outcome::Stuck(why, mut child) => {
                // Whoever asks meanwhile has this answer.
                remains.under_way = true;
                remains.why = why.clone();
                self.refuse(resource, &why);
                let (orders, name) = (self.orders.clone(), resource.clone());
                let waits = move || {
                    child.wait().ok();
                    drop(orders.send(Order::Called(name, Outcome::There(why))));
                };
                let waiting = thread::Builder::new().stack_size(STACK_BYTES).spawn(waits);
                if let Err(error) = waiting {
                    tracing::error!(%resource, %error, "nobody waits for its runner");
                }
            }
        }
    }
}

/// One call of an agent, outside of any lease.
struct Call {
    command: Vec<String>,
    environment: BTreeMap<String, String>,
    /// The runner's own.
    folder: PathBuf,
    longest: Duration,
}

impl Call {
    fn new(remains: &Remains, task: Task, folder: PathBuf) -> Result<Self, String> {
        let [program, runner, order] = remains.command.as_slice() else {
            return Err("it was started by no runner".to_owned());
        };
        let mut order: standfast_ocf::Order =
            serde_json::from_str(order).map_err(|error| error.to_string())?;
        order.task = task;
        order.run_dir.clone_from(&folder);
        let longest = Duration::from_millis(order.stop_ms.saturating_add(order.monitor_ms));
        let order = serde_json::to_string(&order).map_err(|error| error.to_string())?;
        Ok(Self {
            command: vec![program.clone(), runner.clone(), order],
            environment: remains.environment.clone(),
            folder,
            longest: longest.saturating_add(LATE),
        })
    }

    fn run(self, orders: &Sender<Order>, resource: &ResourceId) {
        let outcome = self.outcome();
        fs::remove_dir_all(&self.folder).ok();
        drop(orders.send(Order::Called(resource.clone(), outcome)));
    }

    fn outcome(&self) -> Outcome {
        let cannot =
            |error: std::io::Error| Outcome::There(format!("its agent cannot be called: {error}"));
        fs::remove_dir_all(&self.folder).ok();
        if let Err(error) = fs::create_dir_all(&self.folder) {
            return cannot(error);
        }
        let Some((program, arguments)) = self.command.split_first() else {
            return Outcome::There(String::new());
        };
        let spawned = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => return cannot(error),
        };
        match wait(&mut child, self.longest) {
            Ended::Success => return Outcome::Over,
            Ended::Otherwise => {}
            Ended::NotYet => {
                // Not waited for yet: the number is still its own.
                let _gone = kill_process(Pid::from_child(&child), Signal::KILL);
                let why = format!(
                    "its agent did not stop it within {} ms",
                    self.longest.as_millis()
                );
                return match wait(&mut child, DIES_WITHIN) {
                    Ended::NotYet => Outcome::Stuck(why, child),
                    Ended::Success | Ended::Otherwise => Outcome::There(why),
                };
            }
        }
        let said = standfast_ocf::reason(&self.folder).map(|said| said.why);
        Outcome::There(said.unwrap_or_else(|| "its agent's runner ended without a word".to_owned()))
    }
}

enum Ended {
    Success,
    Otherwise,
    NotYet,
}

fn wait(child: &mut Child, longest: Duration) -> Ended {
    let until = Instant::now() + longest;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ended::Success,
            Ok(Some(_)) | Err(_) => return Ended::Otherwise,
            Ok(None) if Instant::now() >= until => return Ended::NotYet,
            Ok(None) => thread::sleep(LOOK),
        }
    }
}
