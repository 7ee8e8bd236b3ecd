//! Where the live cluster places groups, and where the scheduler for CIBs places the same as resources: random clusters of
//! groups with preferences, priorities, stickiness, locations by attributes and colocations, some of them running, some nodes lost.
//!
//! What `import pacemaker` makes of the same CIB has to end like what it was made of, in every case.
//!
//! Both follow Pacemaker's arithmetic, so both have to come to the same end. Intended differences, which are not generated:
//! a negative finite score forbids a node there and only makes it worse here; circles of colocations are a mistake here; equal
//! scores are settled by the number of groups and by name here; a disabled follower is not heard here (only the first group,
//! which follows nobody, is ever disabled). Orders change no place; their turns are judged elsewhere.

#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

use standfast_cib::When;
use standfast_differential::{NOW, decide, random::Random};
use standfast_import::{More, pacemaker};
use standfast_model::{
    attribute::{Comparison, Test},
    config::{ClusterConfig, GroupConfig, NodeConfig},
    constraint::{Colocation, Location},
    id::{GroupId, NodeId},
    order::{Given, Orders},
    plan::INFINITY,
};
use standfast_schedule::{Facts, NodeFacts, place};
use std::{collections::BTreeMap, fmt::Write as _};

const CASES: u64 = 400;

/// A cluster, for both.
#[derive(Debug, Default)]
struct Made {
    config: ClusterConfig,
    online: BTreeMap<NodeId, bool>,
    current: BTreeMap<GroupId, NodeId>,
    orders: BTreeMap<GroupId, Orders>,
}

fn score(value: i64) -> String {
    match value {
        INFINITY => "INFINITY".to_owned(),
        value if value == -INFINITY => "-INFINITY".to_owned(),
        value => value.to_string(),
    }
}

fn number(random: &mut Random, limit: usize) -> i64 {
    i64::try_from(random.below(limit)).expect("small")
}

fn make(random: &mut Random) -> Made {
    let mut made = Made::default();
    let nodes: Vec<NodeId> = (1..=2 + random.below(4))
        .map(|number| NodeId::from(format!("n{number}")))
        .collect();
    for node in &nodes {
        made.config
            .nodes
            .insert(node.clone(), NodeConfig::default());
        made.online.insert(node.clone(), !random.percent(15));
    }
    let groups: Vec<GroupId> = (1..=2 + random.below(6))
        .map(|number| GroupId::from(format!("g{number}")))
        .collect();
    for (place, id) in groups.iter().enumerate() {
        let mut group = GroupConfig {
            priority: number(random, 3) * 10,
            stickiness: *[0, 7, 300, INFINITY]
                .get(random.below(4))
                .expect("one of four"),
            ..GroupConfig::default()
        };
        for (index, node) in nodes.iter().enumerate() {
            // Each score is another one, so that nothing is settled by a tie.
            let odd = i64::try_from(1 + 13 * index + 101 * place).expect("small");
            let like = number(random, 5) * 1009 + odd;
            let never = random.percent(10);
            let value = if never { -INFINITY } else { like };
            group.prefer.insert(node.clone(), value);
        }
        if random.percent(60) {
            let node = nodes.get(random.below(nodes.len())).expect("a node");
            made.current.insert(id.clone(), node.clone());
        }
        if random.percent(7) && place == 0 {
            let disabled = Some(Given::default());
            let orders = Orders {
                disabled,
                ..Orders::default()
            };
            made.orders.insert(id.clone(), orders);
        }
        made.config.groups.insert(id.clone(), group);
    }
    for (place, id) in groups.iter().enumerate().skip(1) {
        if random.percent(35) {
            continue;
        }
        let with = groups.get(random.below(place)).expect("one before");
        let colocation = Colocation {
            group: id.clone(),
            with: with.clone(),
            score: *[INFINITY, INFINITY, -INFINITY, 500, 40_000]
                .get(random.below(5))
                .expect("one of five"),
        };
        let colocations = &mut made.config.constraints.colocations;
        colocations.insert(format!("c-{id}"), colocation);
    }
    locate(random, &mut made, &groups);
    made
}

/// Every second cluster has attributes, and locations that ask for them.
fn locate(random: &mut Random, made: &mut Made, groups: &[GroupId]) {
    if random.percent(50) {
        return;
    }
    for node in made.config.nodes.values_mut() {
        for (name, values) in [
            ("rack", ["a", "B", "b", "c"]),
            ("cores", ["4", "8", "16", "8.5"]),
            ("os", ["6.1", "6.10", "6.2.1", "6.1.0"]),
        ] {
            if random.percent(75) {
                let value = values.get(random.below(4)).expect("one of four");
                node.attributes.insert(name.into(), (*value).into());
            }
        }
    }
    for (number, id) in groups.iter().enumerate() {
        if random.percent(40) {
            continue;
        }
        let tests = (0..=random.below(2)).map(|_| test(random)).collect();
        // Larger than what preferences differ by, so that nothing is settled by a tie.
        let odd = 20_011 + 307 * i64::try_from(number).expect("small");
        let location = Location {
            group: id.clone(),
            tests,
            // A score without end makes all nodes equal that have it.
            score: *[odd, odd, -INFINITY, 3 * odd]
                .get(random.below(4))
                .expect("one of four"),
        };
        let locations = &mut made.config.constraints.locations;
        locations.insert(format!("a-{id}"), location);
    }
}

fn test(random: &mut Random) -> (String, Test) {
    let comparisons = [
        Comparison::Below,
        Comparison::AtMost,
        Comparison::Above,
        Comparison::AtLeast,
    ];
    let comparison = *comparisons.get(random.below(4)).expect("one of four");
    let racks = |random: &mut Random| {
        let racks = ["A", "b", "c"].get(..=random.below(2)).expect("one or two");
        racks.iter().map(ToString::to_string).collect()
    };
    let (name, test) = match random.below(6) {
        0 => ("rack", Test::Is(racks(random))),
        1 => ("rack", Test::Not(racks(random))),
        2 => ("rack", Test::Defined(random.percent(50))),
        3 => ("cores", Test::Number(comparison, "8".into())),
        4 => ("cores", Test::Number(comparison, "8.5".into())),
        _ => ("os", Test::Version(comparison, "6.2".into())),
    };
    (name.into(), test)
}

fn resources(made: &Made) -> String {
    let mut text = String::new();
    for (number, (id, group)) in made.config.groups.iter().enumerate() {
        let role = if made.orders.contains_key(id) {
            "Stopped"
        } else {
            "Started"
        };
        write!(
            text,
            "<primitive id=\"{id}\" class=\"ocf\" provider=\"heartbeat\" type=\"IPaddr2\">\
             <instance_attributes id=\"{id}-i\"><nvpair id=\"{id}-a\" name=\"ip\" value=\"10.0.0.{number}\"/>\
             <nvpair id=\"{id}-n\" name=\"cidr_netmask\" value=\"24\"/></instance_attributes>\
             <meta_attributes id=\"{id}-m\">\
             <nvpair id=\"{id}-p\" name=\"priority\" value=\"{}\"/>\
             <nvpair id=\"{id}-s\" name=\"resource-stickiness\" value=\"{}\"/>\
             <nvpair id=\"{id}-r\" name=\"target-role\" value=\"{role}\"/>\
             </meta_attributes></primitive>",
            group.priority,
            score(group.stickiness)
        )
        .expect("text");
    }
    text
}

/// The same as a rule there.
fn rule(id: &str, attribute: &str, test: &Test) -> String {
    let operation = |comparison: &Comparison| match comparison {
        Comparison::Equal => "eq",
        Comparison::NotEqual => "ne",
        Comparison::Below => "lt",
        Comparison::AtMost => "lte",
        Comparison::Above => "gt",
        Comparison::AtLeast => "gte",
    };
    let expression = |number: usize, operation: &str, more: &str| {
        format!(
            "<expression id=\"{id}-{number}\" attribute=\"{attribute}\" operation=\"{operation}\" {more}/>"
        )
    };
    let each = |values: &[String], operation: &str| -> String {
        let values = values.iter().enumerate();
        values
            .map(|(number, value)| expression(number, operation, &format!("value=\"{value}\"")))
            .collect()
    };
    match test {
        Test::Is(values) => {
            let all = each(values, "eq");
            format!("<rule id=\"{id}-r\" boolean-op=\"or\">{all}</rule>")
        }
        Test::Not(values) => each(values, "ne"),
        Test::Defined(true) => expression(0, "defined", ""),
        Test::Defined(false) => expression(0, "not_defined", ""),
        Test::Number(comparison, with) => {
            expression(0, operation(comparison), &format!("value=\"{with}\""))
        }
        Test::Version(comparison, with) => {
            let more = format!("type=\"version\" value=\"{with}\"");
            expression(0, operation(comparison), &more)
        }
    }
}

fn constraints(made: &Made) -> String {
    let mut text = String::new();
    for (id, group) in &made.config.groups {
        for (node, value) in &group.prefer {
            let value = score(*value);
            write!(
                text,
                "<rsc_location id=\"l-{id}-{node}\" rsc=\"{id}\" node=\"{node}\" score=\"{value}\"/>"
            )
            .expect("text");
        }
    }
    for (name, one) in &made.config.constraints.locations {
        let tests = one.tests.iter().enumerate();
        let tests: String = tests
            .map(|(number, (attribute, test))| rule(&format!("{name}-{number}"), attribute, test))
            .collect();
        write!(
            text,
            "<rsc_location id=\"{name}\" rsc=\"{}\"><rule id=\"{name}-r\" boolean-op=\"and\" score=\"{}\">{tests}\
             </rule></rsc_location>",
            one.group,
            score(one.score)
        )
        .expect("text");
    }
    for (name, one) in &made.config.constraints.colocations {
        write!(
            text,
            "<rsc_colocation id=\"{name}\" rsc=\"{}\" with-rsc=\"{}\" score=\"{}\"/>",
            one.group,
            one.with,
            score(one.score)
        )
        .expect("text");
    }
    text
}

fn operation(id: &GroupId, runs: bool) -> String {
    let (task, rc) = if runs { ("start", 0) } else { ("monitor", 7) };
    let key = "1:1:0:11111111-2222-3333-4444-555555555555";
    format!(
        "<lrm_resource id=\"{id}\" class=\"ocf\" provider=\"heartbeat\" type=\"IPaddr2\">\
         <lrm_rsc_op id=\"{id}_last_0\" operation_key=\"{id}_{task}_0\" operation=\"{task}\" \
         crm_feature_set=\"3.16.1\" transition-key=\"{key}\" transition-magic=\"0:{rc};{key}\" call-id=\"3\" \
         rc-code=\"{rc}\" op-status=\"0\" interval=\"0\" last-rc-change=\"1699999950\" \
         op-digest=\"f2317cad3d54cec5d7d7aa7d0bf35cf8\"/></lrm_resource>"
    )
}

fn status(made: &Made) -> String {
    let mut text = String::new();
    for (number, (node, online)) in made.online.iter().enumerate() {
        let id = number + 1;
        let (ccm, crmd, join) = if *online {
            ("true", "online", "member")
        } else {
            ("false", "offline", "down")
        };
        write!(
            text,
            "<node_state id=\"{id}\" uname=\"{node}\" in_ccm=\"{ccm}\" crmd=\"{crmd}\" join=\"{join}\" \
             expected=\"{join}\"><lrm id=\"{id}\"><lrm_resources>"
        )
        .expect("text");
        for group in made.config.groups.keys() {
            let runs = made.current.get(group) == Some(node);
            text.push_str(&operation(group, runs));
        }
        text.push_str("</lrm_resources></lrm></node_state>");
    }
    text
}

fn cib(made: &Made) -> String {
    let nodes = made.config.nodes.iter().enumerate();
    let nodes: String = nodes
        .map(|(index, (node, settings))| {
            let number = index + 1;
            let pairs = settings.attributes.iter().map(|(name, value)| {
                let id = format!("{node}-{name}");
                format!("<nvpair id=\"{id}\" name=\"{name}\" value=\"{value}\"/>")
            });
            let pairs: String = pairs.collect();
            format!(
                "<node id=\"{number}\" uname=\"{node}\"><instance_attributes id=\"{node}-i\">{pairs}\
                 </instance_attributes></node>"
            )
        })
        .collect();
    format!(
        "<cib crm_feature_set=\"3.16.1\" validate-with=\"pacemaker-3.7\" epoch=\"1\" num_updates=\"0\" \
         admin_epoch=\"0\" have-quorum=\"1\" dc-uuid=\"1\"><configuration><crm_config>\
         <cluster_property_set id=\"v\"><nvpair id=\"v-s\" name=\"stonith-enabled\" value=\"false\"/>\
         </cluster_property_set></crm_config><nodes>{nodes}</nodes><resources>{}</resources>\
         <constraints>{}</constraints></configuration><status>{}</status></cib>",
        resources(made),
        constraints(made),
        status(made)
    )
}

/// Where everything ends there.
fn there(made: &Made) -> BTreeMap<GroupId, Option<NodeId>> {
    let cluster = standfast_cib::read(&cib(made), When::At(NOW)).expect("a CIB");
    let answer = decide(cluster).expect("decides");
    let mut places: BTreeMap<GroupId, Option<NodeId>> = made
        .config
        .groups
        .keys()
        .map(|group| (group.clone(), None))
        .collect();
    for row in answer.rows {
        let node = Some(NodeId::from(row.node.as_str())).filter(|node| !node.as_str().is_empty());
        places.insert(row.resource.as_str().into(), node);
    }
    places
}

/// What comes of importing the same.
fn imported(made: &Made) -> ClusterConfig {
    let more = More {
        corosync: None,
        now: NOW,
    };
    let text = pacemaker(&cib(made), "cib.xml", &more).expect("a CIB").text;
    let parsed = standfast_config::parse(&text, "cluster.toml");
    parsed.unwrap_or_else(|mistakes| panic!("{mistakes:?}")).0
}

/// Where everything is placed here.
fn here(made: &Made, config: &ClusterConfig) -> BTreeMap<GroupId, Option<NodeId>> {
    let nodes = made.online.iter().map(|(node, online)| {
        let facts = NodeFacts {
            online: *online,
            ..NodeFacts::default()
        };
        (node.clone(), facts)
    });
    let placed = place(&Facts {
        config,
        nodes: nodes.collect(),
        current: made.current.clone(),
        blocked: BTreeMap::new(),
        failures: BTreeMap::new(),
        errors: BTreeMap::new(),
        moves: BTreeMap::new(),
        orders: made.orders.clone(),
        waiting: BTreeMap::new(),
        promotion: BTreeMap::new(),
    });
    placed
        .into_iter()
        .map(|(group, placement)| (group, placement.node))
        .collect()
}

#[test]
fn groups_end_where_the_scheduler_puts_the_same_resources() {
    let (mut same, mut groups, mut placed) = (0, 0, 0);
    let mut different = Vec::new();
    for seed in 0..CASES {
        let made = make(&mut Random::new(seed + 1));
        let (here, there) = (here(&made, &made.config), there(&made));
        groups += here.len();
        placed += here.values().flatten().count();
        if here == there {
            same += 1;
        } else {
            different.push(format!(
                "seed {seed}: here {here:?}\n  there {there:?}\n  {:?}\n  on {:?} of {:?}, disabled {:?}",
                made.config.constraints,
                made.current,
                made.online,
                made.orders.keys()
            ));
        }
    }
    let shown: Vec<&String> = different.iter().take(12).collect();
    assert!(
        placed * 2 > groups,
        "most of them run: {placed} of {groups}"
    );
    assert!(
        same >= CASES * 97 / 100,
        "{same} of {CASES} the same:\n{shown:#?}"
    );
}

#[test]
fn what_is_imported_ends_where_what_it_was_made_of_does() {
    let (mut located, mut compared) = (0, 0);
    for seed in 0..CASES {
        let made = make(&mut Random::new(seed + 1));
        // What is disabled there is in maintenance here: not started, and not stopped.
        if !made.orders.is_empty() {
            continue;
        }
        let config = imported(&made);
        compared += 1;
        located += config.constraints.locations.len();
        assert_eq!(
            here(&made, &config),
            here(&made, &made.config),
            "seed {seed}: {:#?}\n{:#?}",
            config.constraints,
            made.config.constraints
        );
    }
    assert!(compared > 300 && located > 100, "{compared}, {located}");
}
