//! Constraints between single resources, with tags and templates taken apart.
//!
//! Not for sets: see `sets`.

use standfast_scheduler::input::{
    Attributes, Colocation, Constraint, Location, Order, OrderEnd, OrderKind, Symmetry,
    TicketConstraint,
};
use standfast_scheduler::score::{self, INFINITY, truth};

use crate::rule::About;
use crate::{Reader, Xml, child, children, pattern};

/// Resource with the role or action that a constraint means.
pub(crate) type Who = (String, Option<String>);

impl<'a> Reader<'a> {
    pub(crate) fn constraints(&self) -> Vec<Constraint> {
        let Some(section) = child(self.configuration, "constraints") else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for element in section.children().filter(Xml::is_element) {
            if !self.in_lifetime(element) {
                continue;
            }
            match element.tag_name().name() {
                "rsc_location" => self.location(element, &mut all),
                "rsc_colocation" => self.colocation(element, &mut all),
                "rsc_order" => self.order(element, &mut all),
                "rsc_ticket" => self.ticket(element, &mut all),
                _ => {}
            }
        }
        all
    }

    fn in_lifetime(&self, element: Xml<'a>) -> bool {
        child(element, "lifetime").is_none_or(|lifetime| self.applies(lifetime, About::default()))
    }

    /// The resources that a name stands for.
    pub(crate) fn members(&self, name: &str) -> Vec<String> {
        match self.many.get(name) {
            Some(members) => members.clone(),
            None => vec![name.to_owned()],
        }
    }

    fn location(&self, element: Xml<'a>, all: &mut Vec<Constraint>) {
        let mut targets: Vec<Who> = Vec::new();
        let role = element.attribute("role").map(str::to_owned);
        if let Some(name) = element.attribute("rsc") {
            targets.extend(self.members(name).into_iter().map(|id| (id, role.clone())));
        } else if let Some(wanted) = element.attribute("rsc-pattern") {
            for id in self.matching(wanted) {
                targets.push((id, role.clone()));
            }
        }
        for set in children(element, "resource_set") {
            let set = self.resolve(set);
            let role = set
                .attribute("role")
                .map(str::to_owned)
                .or_else(|| role.clone());
            for member in children(set, "resource_ref") {
                let id = member.attribute("id").unwrap_or_default();
                targets.extend(self.members(id).into_iter().map(|id| (id, role.clone())));
            }
        }
        let discovery = element.attribute("resource-discovery").map(str::to_owned);
        for (resource, role) in targets {
            let base = Location {
                id: element.attribute("id").unwrap_or_default().to_owned(),
                resource,
                role,
                discovery: discovery.clone(),
                scores: Vec::new(),
            };
            self.place(element, &base, all);
        }
    }

    /// Resources at the top whose name matches; an exclamation mark inverts.
    fn matching(&self, wanted: &str) -> Vec<String> {
        let (wanted, invert) = match wanted.strip_prefix('!') {
            Some(rest) => (rest, true),
            None => (wanted, false),
        };
        let resources = child(self.configuration, "resources");
        let all = resources.into_iter().flat_map(|all| all.children());
        let ids = all.filter(|node| !node.has_tag_name("template"));
        let ids = ids.filter_map(|node| node.attribute("id"));
        ids.filter(|id| pattern::matches(wanted, id) != invert)
            .map(str::to_owned)
            .collect()
    }

    fn place(&self, element: Xml<'a>, base: &Location, all: &mut Vec<Constraint>) {
        if let (Some(node), Some(score)) = (element.attribute("node"), element.attribute("score")) {
            all.push(Constraint::Location(Location {
                scores: vec![(node.to_owned(), score::parse(score))],
                ..base.clone()
            }));
            return;
        }
        for rule in children(element, "rule") {
            let rule = self.resolve(rule);
            let role = rule
                .attribute("role")
                .map(str::to_owned)
                .or_else(|| base.role.clone());
            let has_source = |part: &Xml<'a>| part.attribute("value-source").is_some();
            let looks_up = rule.descendants().any(|part| has_source(&part));
            let mut scores = Vec::new();
            for (name, attributes) in &self.node_attributes {
                // Parameters may have rules of their own, about the node.
                let own = |kind| match looks_up {
                    true => self.own_values(&base.resource, kind, attributes),
                    false => Attributes::new(),
                };
                let (parameters, meta) = (own("instance_attributes"), own("meta_attributes"));
                let about = About {
                    node: Some(attributes),
                    role: role.as_deref(),
                    parameters: Some(&parameters),
                    meta: Some(&meta),
                    ..About::default()
                };
                let fixed = rule.attribute("score").unwrap_or("0");
                let by = rule.attribute("score-attribute");
                let given = by.map_or(Some(fixed), |by| attributes.get(by).map(String::as_str));
                let score = given.map_or(-INFINITY, score::parse);
                scores.extend(self.holds(rule, about).then(|| (name.clone(), score)));
            }
            all.push(Constraint::Location(Location {
                role,
                scores,
                ..base.clone()
            }));
        }
    }

    fn own_values(&self, id: &str, kind: &'a str, node: &Attributes) -> Attributes {
        let element = self.by_id.get(id).copied();
        let sources = element.map(|element| self.sources(element));
        let sources = sources.unwrap_or_default();
        let about = About {
            node: Some(node),
            ..About::default()
        };
        self.values(&sources, kind, about)
    }

    fn colocation(&self, element: Xml<'a>, all: &mut Vec<Constraint>) {
        if child(element, "resource_set").is_some() {
            return self.colocate_sets(element, all);
        }
        let (Some(dependent), Some(primary)) =
            (element.attribute("rsc"), element.attribute("with-rsc"))
        else {
            return;
        };
        // Two names that stand for many cannot be colocated: the constraint counts for nothing.
        if self.many.contains_key(dependent) && self.many.contains_key(primary) {
            return;
        }
        let text = |name: &str| element.attribute(name).map(str::to_owned);
        let base = Colocation {
            id: element.attribute("id").unwrap_or_default().to_owned(),
            dependent_role: text("rsc-role"),
            primary_role: text("with-rsc-role"),
            score: element.attribute("score").map_or(0, score::parse),
            attribute: text("node-attribute"),
            influence: truth(element.attribute("influence")),
            ..Colocation::default()
        };
        for primary in self.members(primary) {
            for dependent in self.members(dependent) {
                all.push(Constraint::Colocation(Colocation {
                    dependent,
                    primary: primary.clone(),
                    ..base.clone()
                }));
            }
        }
    }

    fn order(&self, element: Xml<'a>, all: &mut Vec<Constraint>) {
        let base = order_base(element);
        if child(element, "resource_set").is_some() {
            return self.order_sets(element, &base, all);
        }
        let (Some(first), Some(then)) = (element.attribute("first"), element.attribute("then"))
        else {
            return;
        };
        let first_action = element.attribute("first-action").unwrap_or("start");
        let then_action = element.attribute("then-action").unwrap_or(first_action);
        for first in self.members(first) {
            for then in self.members(then) {
                all.push(Constraint::Order(Order {
                    first: OrderEnd::Resource(first.clone(), first_action.to_owned()),
                    then: OrderEnd::Resource(then, then_action.to_owned()),
                    invert: base.symmetry == Symmetry::Symmetric,
                    ..base.clone()
                }));
            }
        }
    }

    fn ticket(&self, element: Xml<'a>, all: &mut Vec<Constraint>) {
        let text = |name: &str| element.attribute(name).map(str::to_owned);
        let Some(ticket) = text("ticket") else {
            return;
        };
        let mut targets: Vec<Who> = Vec::new();
        if let Some(name) = element.attribute("rsc") {
            let role = text("rsc-role");
            targets.extend(self.members(name).into_iter().map(|id| (id, role.clone())));
        }
        for set in children(element, "resource_set") {
            let set = self.resolve(set);
            let role = set.attribute("role").map(str::to_owned);
            for member in children(set, "resource_ref") {
                let id = member.attribute("id").unwrap_or_default();
                targets.extend(self.members(id).into_iter().map(|id| (id, role.clone())));
            }
        }
        for (resource, role) in targets {
            all.push(Constraint::Ticket(TicketConstraint {
                id: text("id").unwrap_or_default(),
                resource,
                role,
                ticket: ticket.clone(),
                loss_policy: text("loss-policy").unwrap_or_default(),
            }));
        }
    }
}

fn order_base(element: Xml<'_>) -> Order {
    let kind = match element.attribute("kind") {
        Some(kind) if kind.eq_ignore_ascii_case("optional") => OrderKind::Optional,
        Some(kind) if kind.eq_ignore_ascii_case("serialize") => OrderKind::Serialize,
        Some(_) => OrderKind::Mandatory,
        None => match element.attribute("score").map(score::parse) {
            Some(0) => OrderKind::Optional,
            _ => OrderKind::Mandatory,
        },
    };
    let symmetrical = truth(element.attribute("symmetrical"));
    let symmetrical = match kind {
        OrderKind::Serialize => false,
        OrderKind::Optional | OrderKind::Mandatory => symmetrical.unwrap_or(true),
    };
    Order {
        id: element.attribute("id").unwrap_or_default().to_owned(),
        first: OrderEnd::AnyOf(String::new()),
        then: OrderEnd::AnyOf(String::new()),
        kind,
        symmetry: if symmetrical {
            Symmetry::Symmetric
        } else {
            Symmetry::Asymmetric
        },
        invert: false,
        require_all: truth(element.attribute("require-all")),
    }
}
