//! Seeing that a resource's agent has the parameters that are configured, while it runs: what can be taken over is told to its runner.
//!
//! The runner knows what its agent has. So the same may be ordered again, by the next run of this program as well. Not for how the
//! agent is called: that is the runner's.

use crate::{
    roles::LATE,
    running::{Running, Stage},
    secret,
    worker::{Order, Worker},
};
use standfast_model::{
    config::ProcessConfig, copies::is_role, event::InstanceChange, id::ResourceId, time::Micros,
};
use standfast_ocf::{Done, PREFIX, Refusal, Word, is_parameter};
use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::Duration,
};

/// Locked with the rest of the agent's memory, hence small.
const STACK_BYTES: usize = 128 * 1024;

impl Worker {
    pub(crate) fn reconfigure(&mut self, resource: &ResourceId, config: ProcessConfig) {
        if is_role(resource.as_str()) {
            // Its copy is told.
            return self.reconfigure_role(resource, config);
        }
        let running = self.running.get_mut(resource);
        // What is being stopped is started with what is configured then.
        let Some(running) = running.filter(|running| running.stage == Stage::Active) else {
            return;
        };
        let Some(agent) = config.agent.as_deref() else {
            return;
        };
        let secrets = match secret::read(&config) {
            Ok(secrets) => secrets,
            Err(why) => match secrets_known(running, &config) {
                Some(known) => {
                    tracing::warn!(%resource, "{why}; what it has stays in force");
                    known
                }
                None => return self.tell(resource, InstanceChange::Unhealthy(why)),
            },
        };
        let reloadable = agent.reloadable.iter();
        let reloadable: BTreeSet<String> =
            reloadable.map(|name| format!("{PREFIX}{name}")).collect();
        let all = agent.parameters.iter();
        let mut parameters: BTreeMap<String, String> = all
            .map(|(name, value)| (format!("{PREFIX}{name}"), value.clone()))
            .collect();
        let given = secrets.iter().filter(|(name, _)| is_parameter(name));
        for (name, value) in given {
            // A file is read at a start. What is in it since then starts nothing anew.
            let had = running.handle.spec().environment.get(name);
            let had = had.filter(|_| !reloadable.contains(name));
            parameters.insert(name.clone(), had.unwrap_or(value).clone());
        }
        secret::remember(running);
        running.secrets = secrets;
        let patience = patience(&config);
        running.config = config;
        let word = Word::Reload {
            parameters,
            reloadable,
        };
        running.waiting = Some((word, patience));
        self.talk_of_parameters(resource);
    }

    /// Tells the runner what is waiting to be told, once it has answered the last word.
    fn talk_of_parameters(&mut self, resource: &ResourceId) {
        let Some(running) = self.running.get_mut(resource) else {
            return;
        };
        if running.offered.is_some() {
            return;
        }
        let Some((word, patience)) = running.waiting.take() else {
            return;
        };
        if let Word::Reload { parameters, .. } = &word {
            running.offered = Some(parameters.clone());
        }
        self.serial += 1;
        let serial = self.serial;
        running.told = serial;
        let run_dir = running.handle.spec().run_dir.clone();
        let (orders, name) = (self.orders.clone(), resource.clone());
        let spawned = thread::Builder::new()
            .name("reload".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let said = standfast_ocf::say(&run_dir, &word, patience);
                drop(orders.send(Order::Reloaded(name, serial, said)));
            });
        if let Err(error) = spawned {
            running.offered = None;
            let why = format!("its agent cannot be told of its parameters: {error}");
            self.tell(resource, InstanceChange::Unhealthy(why));
        }
    }

    pub(crate) fn on_reloaded(
        &mut self,
        resource: &ResourceId,
        serial: u64,
        said: Result<Done, Refusal>,
    ) {
        let running = self.running.get_mut(resource);
        let Some(running) = running.filter(|running| running.told == serial) else {
            return;
        };
        let offered = running.offered.take().unwrap_or_default();
        let said = match said {
            // It may be of an older program, or has no time for anybody: what it was given last is what it has.
            Err(refusal) if refusal.unknown => Ok(running.compared(&offered, &refusal.why)),
            said => said,
        };
        if matches!(said, Ok(Done::Now)) || matches!(said, Ok(Done::Before)) {
            running.given = Some(offered);
        }
        if running.stage != Stage::Active {
            return;
        }
        if running.waiting.is_some() && !matches!(said, Ok(Done::Now)) {
            // What comes of the newest word counts.
            return self.talk_of_parameters(resource);
        }
        match said {
            Ok(Done::Now) => self.tell(resource, InstanceChange::Reloaded),
            Ok(Done::Before) => {}
            Ok(Done::Outdated(variables)) => {
                let names = variables
                    .iter()
                    .filter_map(|name| name.strip_prefix(PREFIX));
                let names: Vec<&str> = names.collect();
                let why = format!("it runs with another value of {}", names.join(", "));
                self.tell(resource, InstanceChange::Outdated(why));
            }
            Err(refusal) => {
                let why = secret::hide(running, &refusal.why);
                self.tell(resource, InstanceChange::Unhealthy(why));
            }
        }
        self.talk_of_parameters(resource);
    }
}

impl Running {
    /// What is to be done where its runner cannot be told: nothing, or another start.
    fn compared(&self, wanted: &BTreeMap<String, String>, why: &str) -> Done {
        let environment = self.environment();
        let had = environment.iter().filter(|(name, _)| is_parameter(name));
        let had: BTreeMap<&String, &String> = had.collect();
        let names = had.keys().copied().chain(wanted.keys());
        let differing = names.filter(|name| had.get(name).copied() != wanted.get(*name));
        let differing: BTreeSet<String> = differing.cloned().collect();
        if differing.is_empty() {
            tracing::warn!("its parameters cannot be compared: {why}");
            return Done::Before;
        }
        Done::Outdated(differing)
    }
}

/// The secrets that it has, where their files cannot be read and nothing has to be started. None where one is new.
fn secrets_known(running: &Running, config: &ProcessConfig) -> Option<BTreeMap<String, String>> {
    let names = config.secret_environment.keys();
    let had = running.environment();
    names
        .map(|name| {
            let value = running.secrets.get(name).or_else(|| had.get(name))?;
            Some((name.clone(), value.clone()))
        })
        .collect()
}

/// It has its turn after a `monitor` that is under way, and after a role that is taken up or given up.
fn patience(config: &ProcessConfig) -> Duration {
    let deep = config.agent.iter().flat_map(|agent| &agent.monitors);
    let deep = deep.map(|monitor| monitor.timeout);
    let monitors = config
        .health
        .iter()
        .map(|health| health.timeout)
        .chain(deep);
    let role = if config.is_promotable() {
        [config.start_timeout, config.stop_timeout]
    } else {
        [Micros::ZERO; 2]
    };
    let all = role
        .into_iter()
        .chain(monitors.max())
        .chain([config.start_timeout]);
    let all = all.fold(0_u64, |sum, each| sum.saturating_add(each.0));
    Duration::from_micros(all) + LATE
}
