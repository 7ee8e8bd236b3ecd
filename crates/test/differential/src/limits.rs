//! Random constraints.

use crate::{element::Element, generate::Making};

impl Making {
    fn two(&mut self) -> Option<((String, bool), (String, bool))> {
        if self.names.len() < 2 {
            return None;
        }
        let one = self.random.below(self.names.len());
        let other = (one + 1 + self.random.below(self.names.len() - 1)) % self.names.len();
        Some((self.names.get(one)?.clone(), self.names.get(other)?.clone()))
    }

    pub(crate) fn constraints(&mut self) -> Vec<Element> {
        let mut all = Vec::new();
        for name in self.names.clone() {
            for _ in 0..3 {
                if self.random.percent(self.knobs.location / 2) {
                    let location = self.location(&name);
                    all.push(location);
                }
            }
        }
        for _ in 0..self.names.len() {
            if self.random.percent(self.knobs.colocation / 2) {
                let colocation = self.colocation();
                all.extend(colocation);
            }
            if self.random.percent(self.knobs.order / 2) {
                let order = self.order();
                all.extend(order);
            }
        }
        for pair in self.names.clone().windows(2) {
            if let [below, above] = pair
                && self.random.percent(self.knobs.stacks)
            {
                let stack = self.stack(below, above);
                all.extend(stack);
            }
        }
        if self.random.percent(self.knobs.sets) {
            let set = self.set_constraint();
            all.extend(set);
        }
        if self.knobs.tickets > 0 {
            let tickets = self.needs_tickets();
            all.extend(tickets);
        }
        all
    }

    /// One after and with the other, as most people write it.
    fn stack(&mut self, below: &(String, bool), above: &(String, bool)) -> [Element; 2] {
        let (id, other) = (self.id("k"), self.id("d"));
        let score = self
            .random
            .pick(&["INFINITY", "INFINITY", "INFINITY", "100"]);
        let mut together = Element::new(
            "rsc_colocation",
            &[
                ("id", &id),
                ("rsc", &above.0),
                ("with-rsc", &below.0),
                ("score", score),
            ],
        );
        let mut after = Element::new(
            "rsc_order",
            &[("id", &other), ("first", &below.0), ("then", &above.0)],
        );
        if below.1 && self.random.percent(80) {
            together.set("with-rsc-role", "Promoted");
            after.set("first-action", "promote");
            after.set("then-action", "start");
        }
        if above.1 && self.random.percent(30) {
            together.set("rsc-role", "Promoted");
        }
        [together, after]
    }

    fn needs_tickets(&mut self) -> Vec<Element> {
        let mut all = Vec::new();
        for (name, promotable) in self.names.clone() {
            if !self.random.percent(self.knobs.tickets) {
                continue;
            }
            let id = self.id("t");
            let ticket = self.random.pick(&["east", "west", "nowhere"]);
            let mut need = Element::new(
                "rsc_ticket",
                &[("id", &id), ("rsc", &name), ("ticket", ticket)],
            );
            if promotable && self.random.percent(60) {
                need.set("rsc-role", "Promoted");
            }
            if self.random.percent(70) {
                let policy = self.random.pick(&["stop", "demote", "fence", "freeze"]);
                need.set("loss-policy", policy);
            }
            all.push(need);
        }
        all
    }

    /// What is known of tickets; nothing of some.
    pub(crate) fn tickets(&mut self) -> Option<Element> {
        if self.knobs.tickets == 0 {
            return None;
        }
        let mut states = Vec::new();
        for ticket in ["east", "west"] {
            let granted = self.random.percent(50).to_string();
            let mut state = Element::new("ticket_state", &[("id", ticket), ("granted", &granted)]);
            if self.random.percent(40) {
                let asleep = self.random.percent(60).to_string();
                state.set("standby", &asleep);
            }
            states.push(state);
        }
        Some(Element::new("tickets", &[]).with_all(states))
    }

    fn location(&mut self, name: &(String, bool)) -> Element {
        let id = self.id("l");
        let mut location = Element::new("rsc_location", &[("id", &id), ("rsc", &name.0)]);
        if self.random.percent(self.knobs.discovery / 2) {
            let how = self.random.pick(&["always", "never", "exclusive"]);
            location.set("resource-discovery", how);
        }
        if self.random.percent(self.knobs.rules) {
            let rule = self.rule(name.1);
            return location.with(rule);
        }
        let node = self.random.choose(&self.nodes.clone());
        let score = self.wide_score();
        location.set("node", &node);
        location.set("score", &score);
        if name.1 && self.random.percent(40) {
            location.set("role", "Promoted");
        }
        location
    }

    fn rule(&mut self, promotable: bool) -> Element {
        let id = self.id("u");
        let mut rule = Element::new("rule", &[("id", &id)]);
        if self.random.percent(20) {
            rule.set("score-attribute", "size");
        } else {
            let score = self.wide_score();
            rule.set("score", &score);
        }
        if self.random.percent(40) {
            rule.set("boolean-op", self.random.pick(&["and", "or"]));
        }
        if promotable && self.random.percent(40) {
            rule.set("role", "Promoted");
        }
        let count = 1 + self.random.below(2);
        for _ in 0..count {
            let part = self.expression();
            rule.children.push(part);
        }
        rule
    }

    fn expression(&mut self) -> Element {
        let id = self.id("e");
        match self.random.below(6) {
            0 => {
                let node = self.random.choose(&self.nodes.clone());
                let operation = self.random.pick(&["eq", "ne"]);
                Element::new(
                    "expression",
                    &[
                        ("id", &id),
                        ("attribute", "#uname"),
                        ("operation", operation),
                        ("value", &node),
                    ],
                )
            }
            1 => {
                let operation = self.random.pick(&["defined", "not_defined"]);
                let attribute = [
                    ("id", id.as_str()),
                    ("attribute", "rack"),
                    ("operation", operation),
                ];
                Element::new("expression", &attribute)
            }
            2 | 3 => {
                let operation = self.random.pick(&["lt", "gte", "gt", "lte", "eq"]);
                let mut part = Element::new(
                    "expression",
                    &[
                        ("id", &id),
                        ("attribute", "size"),
                        ("operation", operation),
                        ("value", "5"),
                    ],
                );
                if self.random.percent(70) {
                    let kind = self.random.pick(&["integer", "number", "string"]);
                    part.set("type", kind);
                }
                part
            }
            4 => self.date_range(&id),
            _ => self.date_pattern(&id),
        }
    }

    fn date_range(&mut self, id: &str) -> Element {
        let mut part = Element::new("date_expression", &[("id", id)]);
        let all: [&[(&str, &str)]; 4] = [
            &[("operation", "gt"), ("start", "2020-01-01")],
            &[("operation", "lt"), ("end", "2020-01-01")],
            &[
                ("operation", "in_range"),
                ("start", "2023-11-01"),
                ("end", "2023-12-01"),
            ],
            &[("operation", "in_range"), ("start", "2023-11-14T22:13:21")],
        ];
        let at = self.random.below(all.len());
        for (name, value) in all.get(at).copied().unwrap_or_default() {
            part.set(name, value);
        }
        part
    }

    fn date_pattern(&mut self, id: &str) -> Element {
        let spec = self.id("e");
        let all = [
            ("hours", "22-23"),
            ("weekdays", "1-5"),
            ("years", "2024-"),
            ("months", "11"),
        ];
        let at = self.random.below(all.len());
        let (name, value) = all.get(at).copied().unwrap_or(("hours", "1"));
        Element::new("date_expression", &[("id", id), ("operation", "date_spec")])
            .with(Element::new("date_spec", &[("id", &spec), (name, value)]))
    }

    fn colocation(&mut self) -> Option<Element> {
        let (one, other) = self.two()?;
        let id = self.id("k");
        let score = self.wide_score();
        let mut colocation = Element::new(
            "rsc_colocation",
            &[
                ("id", &id),
                ("rsc", &one.0),
                ("with-rsc", &other.0),
                ("score", &score),
            ],
        );
        if one.1 && self.random.percent(30) {
            colocation.set("rsc-role", "Promoted");
        }
        if other.1 && self.random.percent(60) {
            colocation.set(
                "with-rsc-role",
                self.random.pick(&["Promoted", "Promoted", "Unpromoted"]),
            );
        }
        if self.random.percent(10) {
            colocation.set("node-attribute", "rack");
        }
        if self.random.percent(10) {
            colocation.set("influence", "false");
        }
        Some(colocation)
    }

    fn order(&mut self) -> Option<Element> {
        let (one, other) = self.two()?;
        let id = self.id("d");
        let mut order = Element::new(
            "rsc_order",
            &[("id", &id), ("first", &one.0), ("then", &other.0)],
        );
        if one.1 && self.random.percent(60) {
            order.set(
                "first-action",
                self.random.pick(&["promote", "demote", "start"]),
            );
            order.set("then-action", "start");
        } else if self.random.percent(8) {
            order.set("first-action", "stop");
            order.set("then-action", self.random.pick(&["start", "stop"]));
        }
        if self.random.percent(50) {
            order.set(
                "kind",
                self.random
                    .pick(&["Optional", "Mandatory", "Mandatory", "Serialize"]),
            );
        }
        if self.random.percent(15) {
            order.set("symmetrical", "false");
        }
        if self.random.percent(8) {
            order.set("require-all", "false");
        }
        Some(order)
    }

    fn set_constraint(&mut self) -> Option<Element> {
        let mut names: Vec<String> = self.names.iter().map(|(name, _)| name.clone()).collect();
        if names.len() < 2 {
            return None;
        }
        let id = self.id("s");
        let colocate = self.random.percent(50);
        let mut constraint = if colocate {
            let score = self.wide_score();
            Element::new("rsc_colocation", &[("id", &id), ("score", &score)])
        } else {
            let mut order = Element::new("rsc_order", &[("id", &id)]);
            order.set("kind", self.random.pick(&["Mandatory", "Optional"]));
            order
        };
        let sets = 1 + self.random.below(2);
        for at in 0..sets {
            let count = if at + 1 == sets {
                names.len()
            } else {
                1 + self.random.below(names.len() - 1)
            };
            let id = self.id("s");
            let mut set = Element::new("resource_set", &[("id", &id)]);
            if self.random.percent(40) {
                set.set("sequential", self.random.pick(&["true", "false"]));
            }
            if !colocate && self.random.percent(25) {
                set.set("require-all", "false");
            }
            for name in names.drain(..count) {
                set.children
                    .push(Element::new("resource_ref", &[("id", &name)]));
            }
            constraint.children.push(set);
            if names.is_empty() {
                break;
            }
        }
        Some(constraint)
    }
}
