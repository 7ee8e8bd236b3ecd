//! How long a group does not run while a plan's actions are carried out: estimated before anything is done,
//! and from what.
//!
//! Not for unplanned losses: that is `rto`.

use standfast_model::{
    config::{ClusterConfig, ResourceKind},
    id::{GroupId, NodeId, ResourceId},
    plan::{Action, ActionKind, Plan},
    request::{Interruption, InterruptionPart, Source},
    time::Micros,
};

/// What addresses take to come or go where nobody has measured it: the probe for conflicts is most of it.
const ADDRESS: Micros = Micros::from_millis(60);

/// How long a start or stop took, and where: on that node, or else on another.
pub type Measured<'m> = dyn Fn(&NodeId, &ResourceId, ActionKind) -> Option<(NodeId, Micros)> + 'm;

/// What is interrupted. Plans and configurations: before and after. `decide`: what lies between stops and starts on
/// another node.
#[must_use]
pub fn interruptions(
    (before, after): (&Plan, &Plan),
    actions: &[Action],
    configs: (&ClusterConfig, &ClusterConfig),
    decide: Micros,
    measured: &Measured<'_>,
) -> Vec<Interruption> {
    let found = before.groups.iter().filter_map(|(group, old)| {
        let from = old.node.as_ref()?;
        let new = after.groups.get(group);
        let mine = |action: &&Action| {
            old.members.contains(&action.resource)
                || new.is_some_and(|new| new.members.contains(&action.resource))
        };
        let mine: Vec<&Action> = actions.iter().filter(mine).collect();
        mine.iter().find(|action| action.kind == ActionKind::Stop)?;
        let mut parts = Vec::new();
        for action in &mine {
            let config = match action.kind {
                ActionKind::Stop => configs.0,
                ActionKind::Start => configs.1,
            };
            parts.push(part(action, config, measured));
        }
        let to = new.and_then(|new| new.node.clone());
        if to.as_ref().is_some_and(|to| to != from) {
            let stops = mine.iter().filter(|a| a.kind == ActionKind::Stop).count();
            parts.insert(stops, decision(decide));
        }
        Some(whole(group, from, to, parts))
    });
    found.collect()
}

/// An interruption that lasts as long as its parts together.
#[must_use]
pub fn whole(
    group: &GroupId,
    from: &NodeId,
    to: Option<NodeId>,
    parts: Vec<InterruptionPart>,
) -> Interruption {
    let sum = parts
        .iter()
        .fold(Micros::ZERO, |sum, part| sum.plus(part.length));
    Interruption {
        group: group.clone(),
        from: from.clone(),
        length: to.is_some().then_some(sum),
        to,
        parts,
    }
}

fn decision(length: Micros) -> InterruptionPart {
    InterruptionPart {
        what: String::from("release and grant"),
        length,
        source: Source::Usual,
    }
}

/// How long one action takes, and from what that is known.
#[must_use]
pub fn part(action: &Action, config: &ClusterConfig, measured: &Measured<'_>) -> InterruptionPart {
    let verb = match action.kind {
        ActionKind::Stop => "stop",
        ActionKind::Start => "start",
    };
    let what = format!("{verb} {} on {}", action.resource, action.node);
    if let Some((node, length)) = measured(&action.node, &action.resource, action.kind) {
        let source = Source::Measured(node);
        return InterruptionPart {
            what,
            length,
            source,
        };
    }
    let resource = config.resources.get(&action.resource);
    let (length, source) = match (resource.map(|r| &r.kind), action.kind) {
        (Some(ResourceKind::Process(process)), ActionKind::Stop) => {
            (process.stop_timeout, Source::Limit)
        }
        (Some(ResourceKind::Process(process)), ActionKind::Start) => {
            (process.start_timeout, Source::Limit)
        }
        (Some(ResourceKind::Vip(_)) | None, _) => (ADDRESS, Source::Usual),
    };
    InterruptionPart {
        what,
        length,
        source,
    }
}
