//! Golden scenarios: a cluster in, placement and reasons and actions out, as text.
//!
//! Each `tests/golden/*.txt` is a scenario, a line of dashes, and what it gives. `UPDATE=1` writes
//! what it gives at present; read the difference before you commit it.
//!
//! Lines of a scenario: `node NAME online|offline [drained] [witness] [ATTRIBUTE=VALUE …]`, `unknown-node NAME`,
//! `group NAME [priority=N] [stickiness=N] [prefer=NODE:N,…] [members=A,B] [maintenance]`,
//! `location NAME GROUP SCORE [ATTRIBUTE is|not VALUE,… | ATTRIBUTE defined yes|no | ATTRIBUTE at-least NUMBER | ATTRIBUTE below-version VERSION] …`,
//! `colocation NAME GROUP with OTHER SCORE`, `waiting GROUP NODE`,
//! `current GROUP NODE`, `blocked GROUP NODE why…`, `failures RESOURCE NODE N`, `error hard|fatal RESOURCE NODE why…`,
//! `move GROUP NODE|*`, `disabled GROUP`, `keep GROUP NODE`, `ban GROUP NODE`, `interface NODE RESOURCE NAME`, `sick NODE INTERFACE why…`, `maintenance`.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test reads files and the environment, and may panic"
)]

use standfast_model::{
    agent::Severity,
    attribute::{Comparison, Test},
    config::{
        ClusterConfig, FailurePolicy, GroupConfig, NodeConfig, ResourceConfig, ResourceKind,
        VipConfig,
    },
    constraint::{Colocation, Constraints, Location},
    id::{GroupId, NodeId, ResourceId},
    order::{Given, Orders, Wish},
    plan::{ActionKind, Assignment, INFINITY, Plan, PlanNumber},
};
use standfast_schedule::{Facts, NodeFacts, Placement, actions, place};
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

const LINE: &str = "--------";

#[derive(Default)]
struct Scenario {
    config: ClusterConfig,
    nodes: BTreeMap<NodeId, NodeFacts>,
    current: BTreeMap<GroupId, NodeId>,
    blocked: BTreeMap<GroupId, (NodeId, String)>,
    failures: BTreeMap<ResourceId, BTreeMap<NodeId, u32>>,
    errors: BTreeMap<ResourceId, BTreeMap<NodeId, (Severity, String)>>,
    moves: BTreeMap<GroupId, Option<NodeId>>,
    orders: BTreeMap<GroupId, Orders>,
    waiting: BTreeMap<GroupId, NodeId>,
    promotion: BTreeMap<GroupId, BTreeMap<NodeId, i64>>,
}

#[test]
fn every_scenario_gives_what_its_file_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("folder of scenarios")
        .map(|entry| entry.expect("entry").path())
        .collect();
    files.sort();
    assert!(files.len() >= 10, "scenarios are missing");
    let mut wrong = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("scenario");
        let input = text.split(LINE).next().expect("first part").trim_end();
        let expected = format!("{input}\n{LINE}\n{}", outcome(&read(input)));
        if std::env::var("UPDATE").is_ok() {
            fs::write(&file, expected).expect("write");
        } else if text != expected {
            wrong.push(format!("{}:\n{expected}", file.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "these give something else:\n{}",
        wrong.join("\n")
    );
}

fn read(text: &str) -> Scenario {
    let mut s = Scenario::default();
    for line in text
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        read_line(&mut s, &words);
    }
    s
}

fn score(text: &str) -> i64 {
    match text {
        "inf" => INFINITY,
        "-inf" => -INFINITY,
        points => points.parse().expect("score"),
    }
}

fn severity(reach: &str) -> Severity {
    match reach {
        "hard" => Severity::Hard,
        "fatal" => Severity::Fatal,
        other => panic!("{other:?} is no error that lasts"),
    }
}

fn read_line(s: &mut Scenario, words: &[&str]) {
    match *words {
        ["node", name, online, ref flags @ ..] => read_node(s, name, online, flags),
        ["unknown-node", name] => {
            s.nodes.entry(name.into()).or_default().online = true;
        }
        ["group", name, ref settings @ ..] => read_group(s, name, settings),
        ["current", group, node] => {
            s.current.insert(group.into(), node.into());
        }
        ["waiting", group, node] => {
            s.waiting.insert(group.into(), node.into());
        }
        ["location" | "colocation", ..] => read_constraint(&mut s.config.constraints, words),
        ["blocked", group, node, ref why @ ..] => {
            s.blocked.insert(group.into(), (node.into(), why.join(" ")));
        }
        ["failures", resource, node, count] => {
            let by = s.failures.entry(resource.into()).or_default();
            by.insert(node.into(), count.parse().expect("count"));
        }
        ["error", reach, resource, node, ref why @ ..] => {
            let by = s.errors.entry(resource.into()).or_default();
            by.insert(node.into(), (severity(reach), why.join(" ")));
        }
        ["move", group, node] => {
            let to = (node != "*").then(|| NodeId::from(node));
            s.moves.insert(group.into(), to);
        }
        ["disabled", group] => {
            let orders = s.orders.entry(group.into()).or_default();
            orders.disabled = Some(operator());
        }
        [kind @ ("keep" | "ban"), group, node] => {
            let wish = Wish {
                node: node.into(),
                ban: kind == "ban",
                given: operator(),
                until_ms: None,
            };
            s.orders.entry(group.into()).or_default().wishes.push(wish);
        }
        ["interface", node, resource, name] => {
            let node = s.nodes.entry(node.into()).or_default();
            node.interfaces.insert(resource.into(), name.into());
        }
        ["sick", node, interface, ref why @ ..] => {
            let node = s.nodes.entry(node.into()).or_default();
            node.sick_interfaces.insert(interface.into(), why.join(" "));
        }
        ["maintenance"] => s.config.maintenance = true,
        _ => panic!("what is {words:?}?"),
    }
}

fn read_node(s: &mut Scenario, name: &str, online: &str, flags: &[&str]) {
    let given = flags.iter().filter_map(|flag| flag.split_once('='));
    let settings = NodeConfig {
        witness: flags.contains(&"witness"),
        attributes: given
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        ..NodeConfig::default()
    };
    let node = s.nodes.entry(name.into()).or_default();
    node.online = online == "online";
    node.drained = flags.contains(&"drained");
    node.witness = settings.witness;
    s.config.nodes.insert(name.into(), settings);
}

fn read_constraint(constraints: &mut Constraints, words: &[&str]) {
    match *words {
        ["location", name, group, points, ref asked @ ..] => {
            let location = Location {
                group: group.into(),
                tests: asked.chunks(3).map(test).collect(),
                score: score(points),
            };
            constraints.locations.insert(name.into(), location);
        }
        ["colocation", name, group, "with", with, points] => {
            let colocation = Colocation {
                group: group.into(),
                with: with.into(),
                score: score(points),
            };
            constraints.colocations.insert(name.into(), colocation);
        }
        _ => panic!("what is {words:?}?"),
    }
}

fn test(words: &[&str]) -> (String, Test) {
    let list = |values: &str| values.split(',').map(String::from).collect();
    let (name, test) = match *words {
        [name, "is", values] => (name, Test::Is(list(values))),
        [name, "not", values] => (name, Test::Not(list(values))),
        [name, "defined", there] => (name, Test::Defined(there == "yes")),
        [name, "at-least", number] => (name, Test::Number(Comparison::AtLeast, number.into())),
        [name, "below-version", with] => (name, Test::Version(Comparison::Below, with.into())),
        _ => panic!("what is {words:?}?"),
    };
    (name.into(), test)
}

fn operator() -> Given {
    Given {
        by: String::from("root@alpha"),
        ..Given::default()
    }
}

fn read_group(s: &mut Scenario, name: &str, settings: &[&str]) {
    let mut group = GroupConfig {
        members: vec![name.into()],
        stickiness: INFINITY,
        ..GroupConfig::default()
    };
    for setting in settings {
        match setting.split_once('=') {
            Some(("priority", n)) => group.priority = n.parse().expect("priority"),
            Some(("stickiness", n)) => group.stickiness = n.parse().expect("stickiness"),
            Some(("members", list)) => group.members = list.split(',').map(Into::into).collect(),
            Some(("prefer", list)) => {
                for item in list.split(',') {
                    let (node, score) = item.split_once(':').expect("node:score");
                    group
                        .prefer
                        .insert(node.into(), score.parse().expect("score"));
                }
            }
            None if *setting == "maintenance" => group.maintenance = true,
            _ => panic!("what is {setting}?"),
        }
    }
    for member in &group.members {
        let resource = ResourceConfig {
            kind: ResourceKind::Vip(VipConfig::default()),
            failure: FailurePolicy::default(),
            needs_fencing: false,
        };
        s.config.resources.insert(member.clone(), resource);
    }
    s.config.groups.insert(name.into(), group);
}

fn outcome(s: &Scenario) -> String {
    let placements = place(&Facts {
        config: &s.config,
        nodes: s.nodes.clone(),
        current: s.current.clone(),
        blocked: s.blocked.clone(),
        failures: s.failures.clone(),
        errors: s.errors.clone(),
        moves: s.moves.clone(),
        orders: s.orders.clone(),
        waiting: s.waiting.clone(),
        promotion: s.promotion.clone(),
    });
    let mut text = String::new();
    for (group, placement) in &placements {
        let node = placement.node.as_ref().map_or("nowhere", NodeId::as_str);
        writeln!(text, "{group} on {node}").expect("text");
        for reason in &placement.reasons {
            let node = reason.node.as_ref().map_or("-", NodeId::as_str);
            let score = match reason.score {
                INFINITY => String::from("+inf"),
                score if score == -INFINITY => String::from("-inf"),
                score => score.to_string(),
            };
            writeln!(text, "  {node:<8} {score:>5}  {}", reason.text).expect("text");
        }
    }
    let list = actions(&before(s), &after(s, &placements));
    for (index, action) in list.iter().enumerate() {
        let verb = match action.kind {
            ActionKind::Stop => "stop",
            ActionKind::Start => "start",
        };
        let (resource, node) = (&action.resource, &action.node);
        write!(text, "{index}: {verb} {resource} on {node}").expect("text");
        if !action.after.is_empty() {
            write!(text, " after {:?}", action.after).expect("text");
        }
        text.push('\n');
    }
    text
}

fn before(s: &Scenario) -> Plan {
    plan(s, |group| s.current.get(group).cloned(), 1)
}

fn after(s: &Scenario, placements: &BTreeMap<GroupId, Placement>) -> Plan {
    plan(s, |group| placements.get(group)?.node.clone(), 1)
}

fn plan(s: &Scenario, node_of: impl Fn(&GroupId) -> Option<NodeId>, generation: u64) -> Plan {
    let groups = s.config.groups.iter().map(|(id, group)| {
        let assignment = Assignment {
            node: node_of(id),
            members: group.members.clone(),
            reasons: vec![],
            since: PlanNumber {
                term: 1,
                generation,
            },
            maintenance: s.config.maintenance || group.maintenance,
            ..Assignment::default()
        };
        (id.clone(), assignment)
    });
    Plan {
        number: PlanNumber {
            term: 1,
            generation,
        },
        groups: groups.collect(),
    }
}

fn assignment(node: Option<&str>, members: &[&str], generation: u64) -> Assignment {
    Assignment {
        node: node.map(Into::into),
        members: members.iter().map(|m| ResourceId::from(*m)).collect(),
        reasons: vec![],
        since: PlanNumber {
            term: 1,
            generation,
        },
        ..Assignment::default()
    }
}

fn one(group: &str, assignment: Assignment) -> Plan {
    Plan {
        groups: BTreeMap::from([(group.into(), assignment)]),
        ..Plan::default()
    }
}

#[test]
fn a_member_added_to_a_running_group_is_the_only_thing_started() {
    let before = one("site", assignment(Some("alpha"), &["ip", "web"], 1));
    let after = one(
        "site",
        assignment(Some("alpha"), &["ip", "cache", "web"], 1),
    );
    let list = actions(&before, &after);
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].resource, "cache".into());
    assert_eq!(list[0].kind, ActionKind::Start);
}

#[test]
fn a_resource_that_changes_its_group_waits_for_its_own_stop() {
    let before = one("site", assignment(Some("alpha"), &["web"], 1));
    let after = one("shop", assignment(Some("beta"), &["web"], 2));
    let list = actions(&before, &after);
    assert_eq!(list.len(), 2);
    assert_eq!(
        (list[0].kind, list[1].kind),
        (ActionKind::Stop, ActionKind::Start)
    );
    assert_eq!(list[1].after, [0]);
}

#[test]
fn a_group_given_anew_to_its_node_is_restarted() {
    let before = one("site", assignment(Some("alpha"), &["ip"], 1));
    let after = one("site", assignment(Some("alpha"), &["ip"], 2));
    assert_eq!(actions(&before, &after).len(), 2);
}
