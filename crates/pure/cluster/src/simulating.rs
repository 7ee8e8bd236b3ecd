//! What would happen if: the commands, the placement and the plan that a leader would decide by, on a copy of the
//! state. Changes nothing.
//!
//! Not for lengths (`timeline`), not for what losses lead to (`losses`), and not for what a configuration changes in
//! detail (`preview`).

mod losses;
mod replaying;
mod timeline;

pub use replaying::replay;

use crate::{
    apply::apply,
    core::Core,
    deciding::{facts, plan_from, restarts},
    stages::settled,
};
use standfast_model::{
    agent::Severity,
    command::{Change, Command, Decision},
    config::ClusterConfig,
    id::{GroupId, NodeId, ResourceId},
    order::{Maintained, Order},
    plan::{Action, Assignment, INFINITY, Plan},
    request::{Refusal, RefusalKind, Request, Response, View},
    simulation::{Imagined, MOST_IMAGINED, Simulation, Stage},
    state::{ClusterState, InstanceReport, Phase},
    time::{Micros, Now},
};
use standfast_schedule::{actions, place, restart, turns::in_turn};
use timeline::Timeline;

impl Core {
    /// # Errors
    /// What cannot be imagined, and why.
    pub(crate) fn simulate(&self, now: Now, imagined: &[Imagined]) -> Result<Response, Refusal> {
        if imagined.len() > MOST_IMAGINED {
            let text = format!("at most {MOST_IMAGINED} things can be imagined in one go");
            return Err(Self::refusal(RefusalKind::Invalid, text));
        }
        let view = self.view(now);
        self.imagine(&view, imagined)
            .map(|simulation| Response::Simulation(Box::new(simulation)))
    }

    /// What would happen from what a view shows, which this core knows, too.
    fn imagine(&self, view: &View, imagined: &[Imagined]) -> Result<Simulation, Refusal> {
        let mut simulation = Simulation {
            based_on: self.state.config_version,
            ..Simulation::default()
        };
        if !view.quorum {
            simulation.warnings.push(format!(
                "{} hears no leader with a majority: this goes by what it knew last",
                self.node
            ));
        }
        if self.state.config.observes() {
            let text = "the cluster only observes: it would say so in the journal, and do nothing";
            simulation.warnings.push(text.to_owned());
        }
        let mut world = World {
            core: self,
            state: self.state.clone(),
            leader: view.leader.clone(),
            term: view.term,
            decides: true,
        };
        let mut first = true;
        for one in imagined {
            let stage = world.imagine(one, first)?;
            first &= matches!(one, Imagined::Time { .. });
            simulation.length = simulation.length.plus(stage.length);
            simulation.stages.push(stage);
        }
        Ok(simulation)
    }
}

/// The cluster as it is imagined to be by now.
struct World<'c> {
    core: &'c Core,
    state: ClusterState,
    leader: Option<NodeId>,
    /// In which it is decided.
    term: u64,
    /// A majority is there.
    decides: bool,
}

impl World<'_> {
    fn imagine(&mut self, one: &Imagined, first: bool) -> Result<Stage, Refusal> {
        let mut stage = match one {
            Imagined::Time { .. } | Imagined::Apply { .. } | Imagined::Asked { .. } if !first => {
                let late = "this can only be imagined before everything else";
                return Err(Core::refusal(RefusalKind::Invalid, late));
            }
            Imagined::Time { wall_ms } => self.pass(*wall_ms)?,
            Imagined::Apply { config } => self.configure(config)?,
            Imagined::Asked { request } => self.ask(request)?,
            Imagined::ResourceFails { resource } => self.fail(resource)?,
            Imagined::NodesLost { nodes } => self.lose(nodes)?,
        };
        let ends = stage.steps.iter().map(|step| step.at.plus(step.length));
        stage.length = ends.max().unwrap_or(Micros::ZERO);
        let groups = self.state.plan.groups.iter();
        stage.places = groups
            .map(|(group, given)| (group.clone(), given.node.clone().filter(|_| self.decides)))
            .collect();
        if !self.decides {
            stage.warnings.push(String::from(
                "no majority of the voters is left: nothing is decided, and nothing runs once the leases are over",
            ));
        }
        Ok(stage)
    }

    fn apply(&mut self, change: Change) -> Result<(), Refusal> {
        let command = Command {
            wall_ms: 0,
            request: None,
            change,
        };
        let index = self.state.applied.saturating_add(1);
        apply(&mut self.state, index, &command)
    }

    /// Decides as a leader would, and takes it as done. The state before.
    fn decide(&mut self, lost: &[NodeId]) -> Result<ClusterState, Refusal> {
        let before = self.state.clone();
        let known = |node: &NodeId| before.nodes.get(node).is_some_and(|known| known.online);
        let online = |node: &NodeId| known(node) && !lost.contains(node);
        let acted = before.acted(&before.config);
        let placements = place(&facts(&before, &acted, &online));
        let plan = plan_from(
            &before,
            &acted,
            settled(&before, &acted, placements),
            self.term,
        );
        let decision = Decision {
            expired: lost
                .iter()
                .map(|node| (node.clone(), String::new()))
                .collect(),
            moves_done: before.moves.keys().cloned().collect(),
            restarts_done: restarts(&before),
            plan: Some(plan),
            ..Decision::default()
        };
        self.apply(Change::Decide(decision))?;
        Ok(before)
    }

    /// What a decision leads to where nobody is lost. `old`: the configuration before.
    fn follow(&self, what: String, before: &ClusterState, old: &ClusterConfig) -> Stage {
        let timeline = Timeline {
            state: before,
            configs: (old, &self.state.config),
            plans: (&before.plan, &self.state.plan),
        };
        let mut list = actions(&before.plan, &self.state.plan);
        let sequences = &self.state.config.constraints.sequences;
        in_turn(&mut list, sequences, (&before.plan, &self.state.plan));
        let mut interruptions = timeline.interruptions(&list);
        Stage {
            what,
            steps: timeline.steps(&list, &mut interruptions),
            interruptions,
            warnings: self.stranded(&before.plan),
            ..Stage::default()
        }
    }

    fn configure(&mut self, config: &ClusterConfig) -> Result<Stage, Refusal> {
        let mut config = config.clone();
        config.keep_pair(&self.state.config);
        let mut preview = self.core.preview(&config);
        let old = self.state.config.clone();
        self.apply(Change::Configure {
            config: Box::new(config),
            text: String::new(),
            based_on: self.state.config_version,
            author: String::new(),
            reason: String::new(),
            draft: None,
        })?;
        let before = self.decide(&[])?;
        let timeline = Timeline {
            state: &before,
            configs: (&old, &self.state.config),
            plans: (&before.plan, &self.state.plan),
        };
        let live = preview.live_changes.into_iter();
        let live = live.map(|line| format!("changed where it runs: {line}"));
        Ok(Stage {
            what: String::from("the configuration is applied"),
            steps: timeline.steps(&preview.actions, &mut preview.interruptions),
            interruptions: preview.interruptions,
            warnings: preview.warnings.into_iter().chain(live).collect(),
            ..Stage::default()
        })
    }

    fn ask(&mut self, request: &Request) -> Result<Stage, Refusal> {
        let change = self.core.asked(request)?;
        self.apply(change)?;
        let before = self.decide(&[])?;
        let old = before.config.clone();
        Ok(self.follow(asked(request), &before, &old))
    }

    /// A resource fails once where it runs.
    fn fail(&mut self, resource: &ResourceId) -> Result<Stage, Refusal> {
        let (node, maintenance) = self.home(resource)?;
        let (count, limit) = self.count_failure(resource, &node)?;
        let settings = self.state.config.resources.get(resource);
        let policy = settings.map(|r| r.failure).unwrap_or_default();
        let within = policy.window.as_millis_ceil() / 1000;
        let what = format!(
            "{resource} fails on {node}: {count} of the {limit} failures within {within} s that move it away"
        );
        if !self.decides || maintenance {
            let mut stage = Stage {
                what,
                ..Stage::default()
            };
            if maintenance {
                let text = format!("{resource} is in maintenance: nothing is done about it");
                stage.warnings.push(text);
            }
            return Ok(stage);
        }
        let before = self.decide(&[])?;
        let old = before.config.clone();
        let mut stage = self.follow(what, &before, &old);
        let group = self.state.config.group_of(resource).cloned();
        let given = group.and_then(|group| self.state.plan.groups.get(&group));
        let Some(given) = given else { return Ok(stage) };
        let timeline = Timeline {
            state: &before,
            configs: (&old, &old),
            plans: (&before.plan, &self.state.plan),
        };
        let mut list = actions(&before.plan, &self.state.plan);
        if given.node.as_ref() == Some(&node) {
            restart(&mut list, given, &|member| member == resource);
            self.restart_followers(&mut list, resource);
        }
        // The second restart in a row waits, each further one twice as long.
        let wait = match count {
            _ if given.node.as_ref() != Some(&node) => Micros::ZERO,
            0 | 1 => Micros::ZERO,
            n => Micros(policy.restart_delay.0.saturating_mul(1 << (n - 2).min(10))),
        };
        stage.interruptions = timeline.interruptions(&list);
        timeline::without_stop(&mut stage.interruptions, resource, &node, wait);
        stage.steps = timeline.steps(&list, &mut stage.interruptions);
        self.recover(resource, &node)?;
        Ok(stage)
    }

    /// Adds the restarts of what starts after a resource's group, and of what starts after that.
    fn restart_followers(&self, list: &mut Vec<Action>, resource: &ResourceId) {
        let config = &self.state.config;
        let mut groups: Vec<&GroupId> = config.group_of(resource).into_iter().collect();
        let mut next = 0;
        while let Some(group) = groups.get(next).copied() {
            next += 1;
            let sequences = config.constraints.sequences.values();
            let after = sequences.filter(|one| one.first == *group && one.is_strict());
            for then in after.map(|one| &one.then) {
                let given = self.state.plan.groups.get(then);
                let given = given.filter(|given| !given.maintenance && !groups.contains(&then));
                groups.extend(given.map(|_| then));
                given
                    .into_iter()
                    .for_each(|given| restart(list, given, &|_| true));
            }
        }
    }

    /// Where a resource runs by the plan, and whether it is left alone there.
    fn home(&self, resource: &ResourceId) -> Result<(NodeId, bool), Refusal> {
        let config = &self.state.config;
        if !config.resources.contains_key(resource) {
            let names: Vec<&str> = config.resources.keys().map(ResourceId::as_str).collect();
            let text = format!(
                "there is no resource {resource}; resources are: {}",
                names.join(", ")
            );
            return Err(Core::refusal(RefusalKind::NoSuchItem, text));
        }
        let given = config
            .group_of(resource)
            .and_then(|group| self.state.plan.groups.get(group));
        let home = given.and_then(|given| Some((given.node.clone()?, given.maintenance)));
        home.filter(|_| self.decides).ok_or_else(|| {
            let text = format!("{resource} runs nowhere then, and cannot fail");
            Core::refusal(RefusalKind::Invalid, text)
        })
    }

    /// Reports a failure as that node would. How many count then, and of how many.
    fn count_failure(
        &mut self,
        resource: &ResourceId,
        node: &NodeId,
    ) -> Result<(u32, u32), Refusal> {
        self.report(resource, node, |instance| {
            instance.failures = instance.failures.saturating_add(1);
            instance.phase = Phase::Failed;
        })?;
        let records = self.state.failures.get(resource);
        let count = records.and_then(|records| records.get(node));
        let settings = self.state.config.resources.get(resource);
        let limit = settings.map_or(1, |settings| settings.failure.threshold.max(1));
        Ok((count.map_or(0, |record| record.count), limit))
    }

    /// It runs again, wherever that is.
    fn recover(&mut self, resource: &ResourceId, node: &NodeId) -> Result<(), Refusal> {
        self.report(resource, node, |instance| instance.phase = Phase::Active)
    }

    fn report(
        &mut self,
        resource: &ResourceId,
        node: &NodeId,
        change: impl FnOnce(&mut InstanceReport),
    ) -> Result<(), Refusal> {
        let Some(known) = self.state.nodes.get(node) else {
            return Ok(());
        };
        let mut report = known.report.clone();
        report.version = report.version.saturating_add(1);
        let instance = report.instances.entry(resource.clone());
        change(instance.or_insert_with(|| InstanceReport {
            phase: Phase::Active,
            since: self.state.plan.number,
            failures: 0,
            last_failure: String::from("imagined"),
            severity: Severity::Soft,
            start_took: Micros::ZERO,
            stop_took: Micros::ZERO,
            promotion: None,
            reloads: 0,
        }));
        let node = node.clone();
        let report = Box::new(report);
        self.apply(Change::Report { node, report })
    }

    /// Groups that ran and do not any more, with why.
    fn stranded(&self, before: &Plan) -> Vec<String> {
        let groups = self.state.plan.groups.iter();
        let ended = groups.filter(|(group, given)| {
            let ran = before
                .groups
                .get(group)
                .is_some_and(|old| old.node.is_some());
            given.node.is_none() && ran && !self.goes_on(group)
        });
        let said = ended.map(|(group, given)| format!("{group} runs nowhere then: {}", why(given)));
        said.collect()
    }
}

impl World<'_> {
    /// Whether other copies of what a group is a copy of run.
    fn goes_on(&self, group: &GroupId) -> bool {
        let config = &self.state.config;
        let of = config.copy_of(group);
        let mut copies = of.iter().flat_map(|of| config.copies_of(&of.group));
        copies.any(|(copy, _)| {
            let given = self.state.plan.groups.get(copy);
            given.is_some_and(|given| given.node.is_some())
        })
    }
}

/// What excludes every node, or what is said of the whole group.
fn why(given: &Assignment) -> String {
    let excluded = given
        .reasons
        .iter()
        .filter(|reason| reason.score <= -INFINITY);
    let mut texts: Vec<&str> = excluded.map(|reason| reason.text.as_str()).collect();
    if texts.is_empty() {
        texts = given.reasons.iter().map(|r| r.text.as_str()).collect();
    }
    texts.join("; ")
}

/// A request as a sentence.
fn asked(request: &Request) -> String {
    if let Request::Switchover { group, to, .. } = request {
        let to = to.as_ref().map_or("another node", |node| node.as_str());
        return format!("{group} is asked to move to {to}");
    }
    if let Request::Drain { node, drained, .. } = request {
        let verb = if *drained { "drained" } else { "resumed" };
        return format!("{node} is {verb}");
    }
    if let Request::Order { group, order, .. } = request {
        return ordered(group, order);
    }
    if let Request::Standby { node, .. } = request {
        return format!("{node} is drained");
    }
    if let Request::Maintain { what, on, .. } = request {
        let verb = if *on { "begins" } else { "ends" };
        return match what {
            Maintained::Cluster => format!("the maintenance of the cluster {verb}"),
            Maintained::Node(node) => format!("the maintenance of {node} {verb}"),
        };
    }
    String::from("what was asked for is done")
}

fn ordered(group: &GroupId, order: &Order) -> String {
    match order {
        Order::Disable => format!("{group} is disabled"),
        Order::Enable => format!("{group} is enabled"),
        Order::Restart { from: None } => format!("{group} is restarted"),
        Order::Restart { from: Some(member) } => format!("{group} is restarted from {member} on"),
        Order::Keep { node, .. } => format!("{group} is kept on {node}"),
        Order::Ban { node, .. } => format!("{group} is kept away from {node}"),
        Order::Unmanage => format!("{group} is left alone"),
        Order::Manage => format!("{group} is looked after again"),
        Order::Refresh => format!("{group} is looked at again"),
        Order::Clear { .. } | Order::Over { .. } => {
            format!("what operators asked for {group} is taken back")
        }
    }
}
