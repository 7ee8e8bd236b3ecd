//! Random clusters with the features that are asked for.
//!
//! Not for what has happened in them: see `history`.

use crate::{
    element::Element,
    history::{self, Instance},
    knobs::{Knobs, knobs},
    odd::odd,
    old::old,
    random::Random,
};

/// What a random cluster is made from.
pub(crate) struct Making {
    pub(crate) random: Random,
    pub(crate) knobs: Knobs,
    pub(crate) nodes: Vec<String>,
    /// Names that constraints may use, with whether they can be promoted.
    pub(crate) names: Vec<(String, bool)>,
    pub(crate) instances: Vec<Instance>,
    number: usize,
}

/// The cluster that a feature and a seed make.
#[must_use]
pub fn generate(feature: &str, seed: u64) -> Element {
    let salt = feature.bytes().fold(seed, |sum, byte| {
        sum.wrapping_mul(131).wrapping_add(byte.into())
    });
    let mut random = Random::new(salt);
    let knobs = knobs(feature);
    let count = 2 + random.below(if knobs.big > 0 { 6 } else { 3 });
    let mut making = Making {
        random,
        knobs,
        nodes: (1..=count).map(|number| format!("n{number}")).collect(),
        names: Vec::new(),
        instances: Vec::new(),
        number: 0,
    };
    let mut cluster = making.cib();
    if making.random.percent(making.knobs.old) {
        cluster = old(&cluster, seed);
    }
    if making.random.percent(knobs.odd) {
        let places = 1 + making.random.below(8);
        return odd(&cluster, seed, places);
    }
    cluster
}

impl Making {
    pub(crate) fn id(&mut self, prefix: &str) -> String {
        self.number += 1;
        format!("{prefix}{}", self.number)
    }

    pub(crate) fn block(&mut self, kind: &str, values: &[(&str, String)]) -> Option<Element> {
        if values.is_empty() {
            return None;
        }
        let mut block = Element::new(kind, &[("id", &self.id("v"))]);
        for (name, value) in values {
            let id = self.id("v");
            let pair = Element::new("nvpair", &[("id", &id), ("name", name), ("value", value)]);
            block.children.push(pair);
        }
        Some(block)
    }

    fn cib(&mut self) -> Element {
        let fencing = self.knobs.unclean > 0 || self.random.percent(25);
        let quorum = !self.random.percent(self.knobs.no_quorum);
        let options = self.options(fencing);
        let nodes = self.node_elements();
        let resources = self.resources(fencing);
        let constraints = self.constraints();
        let mut configuration = Element::new("configuration", &[])
            .with(Element::new("crm_config", &[]).with_all(options))
            .with(Element::new("nodes", &[]).with_all(nodes))
            .with(Element::new("resources", &[]).with_all(resources))
            .with(Element::new("constraints", &[]).with_all(constraints));
        if self.random.percent(self.knobs.templates)
            || self.random.percent(self.knobs.stickiness / 2)
        {
            let mut values = vec![("resource-stickiness", self.score())];
            if self.random.percent(30) {
                values.push(("migration-threshold", "3".to_owned()));
            }
            let block = self.block("meta_attributes", &values);
            configuration = configuration.with(Element::new("rsc_defaults", &[]).with_all(block));
        }
        let states = history::states(self);
        let tickets = self.tickets();
        let quorum = if quorum { "1" } else { "0" };
        Element::new(
            "cib",
            &[
                ("crm_feature_set", "3.16.1"),
                ("validate-with", "pacemaker-3.7"),
                ("epoch", "1"),
                ("num_updates", "0"),
                ("admin_epoch", "0"),
                ("have-quorum", quorum),
                ("dc-uuid", "1"),
            ],
        )
        .with(configuration)
        .with(Element::new("status", &[]).with_all(states.into_iter().chain(tickets)))
    }

    fn score(&mut self) -> String {
        self.random
            .pick(&[
                "1", "5", "10", "50", "100", "100", "1000", "INFINITY", "0", "-5",
            ])
            .to_owned()
    }

    pub(crate) fn wide_score(&mut self) -> String {
        let all = [
            "1",
            "10",
            "100",
            "500",
            "INFINITY",
            "INFINITY",
            "-INFINITY",
            "-10",
            "-100",
            "-1",
        ];
        self.random.pick(&all).to_owned()
    }

    fn options(&mut self, fencing: bool) -> Option<Element> {
        let knobs = self.knobs;
        let mut values = vec![("stonith-enabled", fencing.to_string())];
        if knobs.no_quorum > 0 || self.random.percent(10) {
            let policy = self
                .random
                .pick(&["stop", "ignore", "freeze", "demote", "suicide"]);
            values.push(("no-quorum-policy", policy.to_owned()));
        }
        if self.random.percent(knobs.opt_in) {
            values.push(("symmetric-cluster", "false".to_owned()));
        }
        if self.random.percent(knobs.utilization) {
            let all = ["utilization", "minimal", "balanced"];
            values.push(("placement-strategy", self.random.pick(&all).to_owned()));
        }
        if self.random.percent(knobs.health) {
            let all = [
                "migrate-on-red",
                "only-green",
                "progressive",
                "custom",
                "none",
            ];
            values.push(("node-health-strategy", self.random.pick(&all).to_owned()));
            if self.random.percent(50) {
                values.push(("node-health-yellow", "-10".to_owned()));
            }
        }
        if knobs.unmanaged > 0 && self.random.percent(10) {
            values.push(("maintenance-mode", "true".to_owned()));
        }
        if knobs.target_role > 0 && self.random.percent(8) {
            values.push(("stop-all-resources", "true".to_owned()));
        }
        if knobs.unclean > 0 && self.random.percent(20) {
            values.push(("startup-fencing", "false".to_owned()));
        }
        if knobs.unclean > 0 && self.random.percent(20) {
            values.push(("concurrent-fencing", "false".to_owned()));
        }
        if knobs.orphans > 0 && self.random.percent(15) {
            values.push(("stop-orphan-resources", "false".to_owned()));
        }
        self.block("cluster_property_set", &values)
    }

    fn node_elements(&mut self) -> Vec<Element> {
        let mut all = Vec::new();
        for (at, name) in self.nodes.clone().iter().enumerate() {
            let id = (at + 1).to_string();
            let mut values = Vec::new();
            if self.random.percent(40) {
                values.push(("rack", self.random.pick(&["a", "b"]).to_owned()));
            }
            if self.random.percent(30) {
                values.push(("size", self.random.pick(&["1", "5", "10"]).to_owned()));
            }
            if self.random.percent(self.knobs.node_states / 3) {
                values.push(("standby", "on".to_owned()));
            }
            if self.random.percent(self.knobs.node_states / 6) {
                values.push(("maintenance", "true".to_owned()));
            }
            if self.random.percent(self.knobs.health / 2) {
                values.push((
                    "#health-disk",
                    self.random
                        .pick(&["red", "yellow", "green", "-5"])
                        .to_owned(),
                ));
            }
            let mut node = Element::new("node", &[("id", &id), ("uname", name)]);
            node.children
                .extend(self.block("instance_attributes", &values));
            if self.random.percent(self.knobs.utilization) {
                let amounts = [
                    ("cpu", self.random.pick(&["1", "2", "4", "8"]).to_owned()),
                    ("ram", self.random.pick(&["100", "200", "400"]).to_owned()),
                ];
                node.children.extend(self.block("utilization", &amounts));
            }
            all.push(node);
        }
        all
    }

    fn resources(&mut self, fencing: bool) -> Vec<Element> {
        let mut all = Vec::new();
        if self.random.percent(self.knobs.templates) {
            let mut template = Element::new(
                "template",
                &[
                    ("id", "tmpl"),
                    ("class", "ocf"),
                    ("provider", "heartbeat"),
                    ("type", "Dummy"),
                ],
            );
            let values = self.meta();
            template
                .children
                .extend(self.block("meta_attributes", &values));
            all.push(template);
        }
        if fencing && !self.random.percent(5) {
            let device = [
                ("id", "fence"),
                ("class", "stonith"),
                ("type", "fence_dummy"),
            ];
            all.push(Element::new("primitive", &device));
            self.instances
                .push(Instance::single("fence", "stonith", false));
        }
        let count = if self.knobs.big > 0 {
            6 + self.random.below(12)
        } else {
            2 + self.random.below(4)
        };
        for _ in 0..count {
            let element = self.resource(!all.is_empty() && all[0].name == "template");
            all.push(element);
        }
        all
    }

    fn resource(&mut self, template: bool) -> Element {
        let group = self.random.percent(self.knobs.groups);
        let clone = self.random.percent(self.knobs.clones);
        let promotable = clone && self.random.percent(self.knobs.promotable);
        let unique = clone && self.random.percent(self.knobs.unique);
        let before = self.instances.len();
        let inner = if group {
            self.group()
        } else {
            self.primitive(template, !clone)
        };
        if !clone {
            let id = inner.attributes.first().map(|(_, id)| id.clone());
            self.names.extend(id.map(|id| (id, false)));
            return inner;
        }
        let id = self.id("c");
        let mut values = self.meta();
        if promotable {
            values.push(("promotable", "true".to_owned()));
            if self.random.percent(25) {
                values.push(("promoted-max", "2".to_owned()));
            }
        }
        if unique {
            values.push(("globally-unique", "true".to_owned()));
        }
        let max = if unique || self.random.percent(35) {
            1 + self.random.below(5)
        } else {
            self.nodes.len()
        };
        values.push(("clone-max", max.to_string()));
        if unique && self.random.percent(60) {
            values.push(("clone-node-max", "2".to_owned()));
        }
        if self.random.percent(40) {
            values.push(("interleave", "true".to_owned()));
        }
        if self.random.percent(25) {
            values.push(("ordered", "true".to_owned()));
        }
        for instance in self.instances.iter_mut().skip(before) {
            instance.copies = max;
            instance.unique = unique;
            instance.promotable = promotable;
        }
        self.names.push((id.clone(), promotable));
        let mut clone = Element::new("clone", &[("id", &id)]);
        clone
            .children
            .extend(self.block("meta_attributes", &values));
        clone.with(inner)
    }

    fn group(&mut self) -> Element {
        let id = self.id("g");
        let mut group = Element::new("group", &[("id", &id)]);
        let values = self.meta();
        group
            .children
            .extend(self.block("meta_attributes", &values));
        let count = 1 + self.random.below(3);
        for _ in 0..count {
            let member = self.primitive(false, false);
            group.children.push(member);
        }
        group
    }

    fn primitive(&mut self, template: bool, _alone: bool) -> Element {
        let id = self.id("r");
        let mut primitive = Element::new("primitive", &[("id", &id)]);
        if template && self.random.percent(60) {
            primitive.set("template", "tmpl");
        } else {
            primitive.set("class", "ocf");
            primitive.set("provider", "heartbeat");
            primitive.set("type", "Dummy");
        }
        let values = self.meta();
        primitive
            .children
            .extend(self.block("meta_attributes", &values));
        let mut on_fail = None;
        if self.random.percent(60) {
            let op = self.id("o");
            let mut monitor = Element::new(
                "op",
                &[("id", &op), ("name", "monitor"), ("interval", "10s")],
            );
            if self.random.percent(self.knobs.failures / 2) {
                let all = [
                    "ignore", "block", "stop", "restart", "standby", "fence", "demote",
                ];
                let policy = self.random.pick(&all);
                monitor.set("on-fail", policy);
                on_fail = Some(policy.to_owned());
            }
            primitive
                .children
                .push(Element::new("operations", &[]).with(monitor));
        }
        if self.random.percent(self.knobs.utilization) {
            let amounts = [
                ("cpu", self.random.pick(&["1", "2", "3"]).to_owned()),
                ("ram", self.random.pick(&["50", "100", "150"]).to_owned()),
            ];
            primitive
                .children
                .extend(self.block("utilization", &amounts));
        }
        let _ = on_fail;
        self.instances.push(Instance::single(&id, "ocf", true));
        primitive
    }

    fn meta(&mut self) -> Vec<(&'static str, String)> {
        let knobs = self.knobs;
        let mut values = Vec::new();
        if self.random.percent(knobs.stickiness / 2) {
            values.push(("resource-stickiness", self.score()));
        }
        if self.random.percent(knobs.priority / 2) {
            values.push((
                "priority",
                self.random.pick(&["1", "5", "10", "-1"]).to_owned(),
            ));
        }
        if self.random.percent(knobs.target_role / 2) {
            let all = ["Stopped", "Started", "Unpromoted", "Promoted"];
            values.push(("target-role", self.random.pick(&all).to_owned()));
        }
        if self.random.percent(knobs.unmanaged / 3) {
            values.push(("is-managed", "false".to_owned()));
        }
        if self.random.percent(knobs.unmanaged / 6) {
            values.push(("maintenance", "true".to_owned()));
        }
        if self.random.percent(knobs.failures / 3) {
            values.push((
                "migration-threshold",
                self.random.pick(&["1", "2", "5"]).to_owned(),
            ));
        }
        if self.random.percent(knobs.failures / 4) {
            values.push((
                "failure-timeout",
                self.random.pick(&["60", "86400"]).to_owned(),
            ));
        }
        if self.random.percent(knobs.multiple / 2) {
            let all = ["block", "stop_only", "stop_start", "stop_unexpected"];
            values.push(("multiple-active", self.random.pick(&all).to_owned()));
        }
        if self.random.percent(knobs.migrate) {
            values.push(("allow-migrate", "true".to_owned()));
        }
        if self.random.percent(knobs.requires / 2) {
            let all = ["nothing", "quorum", "fencing"];
            values.push(("requires", self.random.pick(&all).to_owned()));
        }
        if self.random.percent(knobs.health / 6) {
            values.push(("allow-unhealthy-nodes", "true".to_owned()));
        }
        if self.random.percent(knobs.colocation / 8) {
            values.push(("critical", "false".to_owned()));
        }
        values
    }
}
