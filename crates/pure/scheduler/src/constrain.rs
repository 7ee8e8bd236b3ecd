//! Constraints of the configuration, tied to the instances that exist.
//!
//! Not for applying them, except for locations, which only add to scores.

use std::cmp::Ordering as Cmp;

use crate::account::Cause;
use crate::input::{self, Constraint, OrderEnd, OrderKind, Symmetry};
use crate::role::{Role, Task};
use crate::score::{self, INFINITY, is_true};
use crate::work::{
    Colocation, ColocationId, Discovery, End, Location, NodeId, Ordering, RscId, Work, flag, order,
};

impl Work<'_> {
    pub(crate) fn unpack_constraints(&mut self) {
        let input = self.input;
        for (at, constraint) in input.constraints.iter().enumerate() {
            match constraint {
                Constraint::Location(location) => self.unpack_location(location, at),
                Constraint::Colocation(colocation) => self.unpack_colocation(colocation, at),
                Constraint::Order(order) => self.unpack_order(order),
                Constraint::Ticket(ticket) => self.unpack_ticket(ticket),
            }
        }
    }

    fn unpack_location(&mut self, location: &input::Location, at: usize) {
        let Some(rsc) = self.find_for_constraint(&location.resource) else {
            return;
        };
        let role = match location.role.as_deref().and_then(Role::parse) {
            Some(role @ (Role::Promoted | Role::Stopped)) => role,
            _ => Role::Unknown,
        };
        let discovery = match location.discovery.as_deref() {
            Some("never") => Discovery::Never,
            Some("exclusive") => Discovery::Exclusive,
            _ => Discovery::Always,
        };
        let scores = location.scores.iter();
        let nodes = scores.filter_map(|(name, score)| Some((self.node_named(name)?, *score)));
        let nodes = nodes.collect();
        self.add_location(Location {
            rsc,
            role,
            discovery,
            nodes,
            source: Some(at),
        });
    }

    pub(crate) fn add_location(&mut self, location: Location) {
        let rsc = location.rsc;
        if location.discovery == Discovery::Exclusive {
            self.rscs[rsc].exclusive_discovery = true;
        }
        self.locations.push(location);
        let index = self.locations.len() - 1;
        self.rscs[rsc].locations.insert(0, index);
    }

    /// Adds the scores of all location constraints, the last one first.
    pub(crate) fn apply_locations(&mut self) {
        let locations = std::mem::take(&mut self.locations);
        for location in locations.iter().rev() {
            self.apply_location(location.rsc, location, false);
            self.note(|work| work.because_of_location(location.source));
        }
        self.locations = locations;
    }

    fn apply_location(&mut self, rsc: RscId, location: &Location, zeroed: bool) {
        self.apply_scores(rsc, location, zeroed);
        let spec = self.spec(rsc);
        let is_group = spec.kind == input::Kind::Group;
        let mut zeroed = zeroed;
        for child in self.rscs[rsc].children.clone() {
            self.apply_location(child, location, zeroed);
            // A colocated group's first member speaks for the others.
            zeroed |= is_group && spec.colocated;
        }
    }

    fn apply_scores(&mut self, rsc: RscId, location: &Location, zeroed: bool) {
        let role = location.role;
        if role > Role::Unknown && role != self.rscs[rsc].next_role {
            return;
        }
        let discovery = location.discovery;
        for (node, score) in &location.nodes {
            let score = if zeroed { 0 } else { *score };
            let me = &mut self.rscs[rsc];
            match me.allowed.get_mut(*node) {
                Some(slot) => slot.score = score::add(slot.score, score),
                None => me.allowed.entry(*node, score).score = score,
            }
            if let Some(slot) = me.allowed.get_mut(*node)
                && slot.discovery < discovery
            {
                slot.discovery = discovery;
                me.exclusive_discovery |= discovery == Discovery::Exclusive;
            }
        }
    }

    fn unpack_colocation(&mut self, colocation: &input::Colocation, at: usize) {
        let dependent = self.find_for_constraint(&colocation.dependent);
        let primary = self.find_for_constraint(&colocation.primary);
        let (Some(dependent), Some(primary)) = (dependent, primary) else {
            return;
        };
        let role = |role: &Option<String>| match role.as_deref().and_then(Role::parse) {
            Some(Role::Started) | None => Role::Unknown,
            Some(role) => role,
        };
        let critical = self.rscs[dependent].spec.critical;
        self.add_colocation(Colocation {
            dependent,
            primary,
            dependent_role: role(&colocation.dependent_role),
            primary_role: role(&colocation.primary_role),
            score: colocation.score,
            attribute: colocation.attribute.clone(),
            influence: colocation.influence.unwrap_or(critical),
            source: Some(at),
        });
    }

    pub(crate) fn add_colocation(&mut self, colocation: Colocation) {
        let Colocation {
            dependent, primary, ..
        } = colocation;
        let (dependent_role, primary_role) = (colocation.dependent_role, colocation.primary_role);
        let score = colocation.score;
        if score == 0 {
            return;
        }
        let id = self.colocations.add(colocation);
        self.add_this_with(dependent, id);
        self.add_with_this(primary, id);
        if score <= -INFINITY {
            self.order_apart((dependent, dependent_role), (primary, primary_role));
            self.order_apart((primary, primary_role), (dependent, dependent_role));
        }
    }

    /// Lets a resource follow a colocation.
    pub(crate) fn add_this_with(&mut self, rsc: RscId, id: ColocationId) {
        let mut list = std::mem::take(&mut self.rscs[rsc].this_with);
        self.insert_by_rank(&mut list, id, |colocation| colocation.primary);
        self.rscs[rsc].this_with = list;
    }

    /// Lets a resource be followed by a colocation.
    pub(crate) fn add_with_this(&mut self, rsc: RscId, id: ColocationId) {
        let mut list = std::mem::take(&mut self.rscs[rsc].with_this);
        self.insert_by_rank(&mut list, id, |colocation| colocation.dependent);
        self.rscs[rsc].with_this = list;
    }

    fn insert_by_rank(
        &self,
        list: &mut Vec<ColocationId>,
        id: ColocationId,
        who: impl Fn(&Colocation) -> RscId,
    ) {
        let new = who(&self.colocations[id]);
        let old = |known: &ColocationId| who(&self.colocations[*known]);
        let later = list
            .iter()
            .position(|known| self.rank(new, old(known)) != Cmp::Greater);
        list.insert(later.unwrap_or(list.len()), id);
    }

    /// Which of two resources' colocations count first.
    fn rank(&self, one: RscId, other: RscId) -> Cmp {
        let (a, b) = (&self.rscs[one], &self.rscs[other]);
        let by_priority = b.priority.cmp(&a.priority);
        let by_kind = b.spec.kind.cmp(&a.spec.kind);
        let promotable =
            |spec: &crate::settings::Spec<'_>| spec.kind == input::Kind::Clone && spec.promotable;
        let by_promotion = promotable(&b.spec).cmp(&promotable(&a.spec));
        by_priority
            .then(by_kind)
            .then(by_promotion)
            .then_with(|| a.id.cmp(&b.id))
    }

    /// What must not be together leaves before the other comes.
    fn order_apart(&mut self, first: (RscId, Role), then: (RscId, Role)) {
        let leave: &[Task] = match first.1 {
            Role::Promoted => &[Task::Demote],
            Role::Unpromoted => &[Task::Stop, Task::Promote],
            Role::Unknown | Role::Stopped | Role::Started => &[Task::Stop],
        };
        let come: &[Task] = match then.1 {
            Role::Promoted => &[Task::Promote],
            Role::Unpromoted => &[Task::Start, Task::Demote],
            Role::Unknown | Role::Stopped | Role::Started => &[Task::Start],
        };
        for leave in leave {
            for come in come {
                self.order_tasks((first.0, *leave), (then.0, *come), order::ANTI_COLOCATION);
            }
        }
    }

    fn unpack_order(&mut self, given: &input::Order) {
        let (Some(first), Some(then)) = (self.end(&given.first), self.end(&given.then)) else {
            return;
        };
        let mut flags = kind_flags(given.kind, first.1, given.symmetry);
        let restarts = |rsc: Option<RscId>| rsc.is_some_and(|rsc| self.rscs[rsc].spec.restart_type);
        let optional = given.kind == OrderKind::Optional;
        let restart = optional && given.invert && restarts(then.0);
        if restart {
            flags |= order::IMPLIES_THEN;
        }
        match (first.0, then.0) {
            (Some(a), Some(b)) => {
                let minimum = self.minimum(a, given.require_all);
                if minimum > 0 {
                    self.order_after_some(given, (a, first.1), (b, then.1), (flags, minimum));
                } else {
                    self.order_tasks((a, first.1), (b, then.1), flags);
                }
                if given.invert {
                    self.order_inverse(given.kind, (a, first.1), (b, then.1));
                }
            }
            (Some(a), None) => {
                let point = self.any_of(&given.then);
                let flags = order::ONE_OR_MORE | order::PRINTED_THEN;
                self.order(End::Task(a, first.1), End::Action(point), flags);
            }
            (None, Some(b)) => {
                let point = self.any_of(&given.first);
                let flags = flags | order::RUNNABLE_LEFT;
                self.order(End::Action(point), End::Task(b, then.1), flags);
            }
            (None, None) => {}
        }
    }

    fn end(&self, end: &OrderEnd) -> Option<(Option<RscId>, Task)> {
        match end {
            OrderEnd::Resource(id, task) => {
                Some((Some(self.find_for_constraint(id)?), Task::parse(task)?))
            }
            OrderEnd::AnyOf(_) => Some((None, Task::Start)),
        }
    }

    fn any_of(&mut self, end: &OrderEnd) -> crate::work::ActionId {
        let name = match end {
            OrderEnd::AnyOf(name) | OrderEnd::Resource(name, _) => name.clone(),
        };
        let point = self.pseudo(&format!("one-or-more:{name}"), Task::AnyOf);
        self.actions[point].flags |= flag::REQUIRES_ANY;
        point
    }

    /// How many instances of a clone have to be up, if that is less than all.
    fn minimum(&self, rsc: RscId, require_all: Option<bool>) -> i32 {
        if !self.is_clone(rsc) {
            return 0;
        }
        let one = i32::from(require_all == Some(false));
        self.rscs[rsc].spec.clone_min.unwrap_or(one)
    }

    fn order_after_some(
        &mut self,
        given: &input::Order,
        first: (RscId, Task),
        then: (RscId, Task),
        (flags, minimum): (u32, i32),
    ) {
        let point = self.pseudo(&format!("clone-one-or-more:{}", given.id), Task::AnyOf);
        self.actions[point].required_before = minimum;
        self.actions[point].flags |= flag::REQUIRES_ANY;
        for child in self.rscs[first.0].children.clone() {
            let flags = order::ONE_OR_MORE | order::PRINTED_THEN;
            self.order(End::Task(child, first.1), End::Action(point), flags);
        }
        let flags = flags | order::RUNNABLE_LEFT;
        self.order(End::Action(point), End::Task(then.0, then.1), flags);
    }

    fn order_inverse(&mut self, kind: OrderKind, first: (RscId, Task), then: (RscId, Task)) {
        let (Some(first_task), Some(then_task)) = (first.1.inverse(), then.1.inverse()) else {
            return;
        };
        let mut flags = kind_flags(kind, first_task, Symmetry::Inverse);
        if kind == OrderKind::Optional && self.rscs[then.0].spec.restart_type {
            flags |= order::IMPLIES_FIRST;
        }
        self.order_tasks((then.0, then_task), (first.0, first_task), flags);
    }

    pub(crate) fn order_tasks(&mut self, first: (RscId, Task), then: (RscId, Task), flags: u32) {
        self.order(
            End::Task(first.0, first.1),
            End::Task(then.0, then.1),
            flags,
        );
    }

    /// Notes an ordering, and what it means while something migrates.
    pub(crate) fn order(&mut self, first: End, then: End, flags: u32) {
        self.orderings.push(Ordering { first, then, flags });
        let (Some(one), Some(other)) = (self.who(first), self.who(then)) else {
            return;
        };
        let related =
            one.0 == other.0 || self.is_within(one.0, other.0) || self.is_within(other.0, one.0);
        let migrates = |rsc: RscId| self.rscs[rsc].allow_migrate;
        if !related && (migrates(one.0) || migrates(other.0)) {
            self.order_migrations(one, other);
        }
    }

    fn who(&self, end: End) -> Option<(RscId, Task)> {
        match end {
            End::Task(rsc, task) => Some((rsc, task)),
            End::Action(id) => Some((self.actions[id].rsc?, self.actions[id].task)),
        }
    }

    fn order_migrations(&mut self, first: (RscId, Task), then: (RscId, Task)) {
        let first_migrates = self.rscs[first.0].allow_migrate;
        let then_migrates = self.rscs[then.0].allow_migrate;
        let partial = self.rscs[then.0].partial.is_some();
        let mut add = |first: (RscId, Task), task: Task, flags: u32| {
            let (first, then) = (End::Task(first.0, first.1), End::Task(then.0, task));
            self.orderings.push(Ordering { first, then, flags });
        };
        let unless = if first_migrates {
            order::FIRST_NOT_MIGRATING
        } else {
            0
        };
        match (first.1, then.1) {
            (Task::Start, Task::Start) if then_migrates => {
                if first_migrates {
                    let first = (first.0, Task::MigrateFrom);
                    add(first, Task::MigrateTo, order::OPTIONAL);
                }
                add(first, Task::MigrateTo, order::OPTIONAL | unless);
            }
            (Task::Stop, Task::Stop) if then_migrates => {
                add(first, Task::MigrateTo, order::OPTIONAL | unless);
                if partial {
                    add(first, Task::MigrateFrom, order::OPTIONAL | unless);
                }
            }
            (Task::Promote, Task::Start) if then_migrates => {
                add(first, Task::MigrateTo, order::OPTIONAL);
            }
            (Task::Demote, Task::Stop) if then_migrates => {
                add(first, Task::MigrateTo, order::OPTIONAL);
                if partial {
                    add(first, Task::MigrateFrom, order::OPTIONAL);
                }
            }
            _ => {}
        }
    }

    /// Everything that depends on single nodes: health, locks, locations, stickiness, failures.
    pub(crate) fn apply_node_criteria(&mut self) {
        self.apply_shutdown_locks();
        self.apply_locations();
        let all = self.top.iter().map(|rsc| (*rsc, self.primitives(*rsc)));
        let all: Vec<(RscId, Vec<RscId>)> = all.collect();
        for primitive in all.iter().flat_map(|(_, primitives)| primitives) {
            self.apply_stickiness(*primitive);
        }
        for node in self.nodes.ids() {
            let failing = !self.nodes[node].failures.is_empty();
            for (rsc, primitives) in &all {
                let primitives = primitives.iter().filter(|_| failing);
                primitives.for_each(|primitive| self.apply_threshold(*primitive, node));
                self.apply_exclusive(*rsc, node);
            }
        }
    }

    fn apply_stickiness(&mut self, rsc: RscId) {
        let me = &self.rscs[rsc];
        let &[node] = me.running_on.as_slice() else {
            return;
        };
        let stickiness = me.spec.stickiness;
        let allowed = self.options.symmetric || me.allowed.get(node).is_some();
        if me.managed && stickiness > 0 && allowed {
            self.locate(rsc, Some(node), stickiness, false);
            self.note(|_| Cause::new("it runs here (resource-stickiness)"));
        }
    }

    fn apply_threshold(&mut self, rsc: RscId, node: NodeId) {
        let me = &self.rscs[rsc];
        let threshold = me.spec.migration_threshold;
        let cleared = self
            .first_action(rsc, Task::ClearFailures, Some(node))
            .is_some();
        if cleared || threshold == 0 || me.failure_ignored {
            return;
        }
        let failures = self.failures_with_fillers(node, rsc);
        if failures > 0 && threshold <= failures {
            let unique = self.rscs[rsc].spec.unique;
            let whole = if unique { rsc } else { self.top_of(rsc) };
            self.locate(whole, Some(node), -INFINITY, false);
            self.note(|_| Cause::of_failures(failures, threshold));
        }
    }

    fn apply_exclusive(&mut self, rsc: RscId, node: NodeId) {
        let top = self.top_of(rsc);
        if !self.rscs[rsc].exclusive_discovery && !self.rscs[top].exclusive_discovery {
            return;
        }
        for child in self.rscs[rsc].children.clone() {
            self.apply_exclusive(child, node);
        }
        if let Some(slot) = self.rscs[rsc].allowed.get_mut(node)
            && slot.discovery != Discovery::Exclusive
        {
            slot.score = -INFINITY;
        }
        self.note(|_| Cause::new("a constraint with exclusive discovery names other nodes only"));
    }

    /// Scores for the health of nodes.
    pub(crate) fn apply_health(&mut self) {
        let health = self.options.health.clone();
        if !matches!(
            health.strategy.as_str(),
            "migrate-on-red" | "only-green" | "progressive" | "custom"
        ) {
            return;
        }
        for node in self.nodes.ids() {
            let attributes = self.nodes[node].attributes.iter();
            let values = attributes.filter(|(name, _)| name.starts_with("#health"));
            let scores = values.map(|(_, value)| health.score(value));
            let total = scores.fold(health.base, score::add);
            if total == 0 {
                continue;
            }
            let concerned = |rsc: &RscId| {
                let meta = &self.rscs[*rsc].spec.config.meta;
                let immune = is_true(meta.get("allow-unhealthy-nodes").map(String::as_str));
                total > 0 || !immune
            };
            let concerned: Vec<RscId> = self.top.iter().copied().filter(concerned).collect();
            for rsc in concerned {
                self.add_location(Location {
                    rsc,
                    role: Role::Unknown,
                    discovery: Discovery::Always,
                    nodes: vec![(node, total)],
                    source: None,
                });
            }
        }
    }

    /// Resources of a node that shuts down cleanly wait for it, if that is wanted.
    fn apply_shutdown_locks(&mut self) {
        if !self.options.shutdown_lock {
            return;
        }
        for rsc in self.top.clone() {
            if self.is_clone(rsc) {
                continue;
            }
            for primitive in self.primitives(rsc) {
                self.lock_to_node(primitive);
            }
        }
    }

    fn lock_to_node(&mut self, rsc: RscId) {
        let me = &self.rscs[rsc];
        if me.spec.fence_device || me.spec.remote {
            return;
        }
        let lock = match (me.lock_node, me.running_on.as_slice()) {
            (Some(_), [_, ..]) => None,
            (Some(node), []) => Some(node),
            (None, &[node]) => {
                let there = &self.nodes[node];
                (there.shutdown && !there.unclean).then_some(node)
            }
            (None, _) => None,
        };
        self.rscs[rsc].lock_node = lock;
        if let Some(lock) = lock {
            for node in self.nodes.ids().filter(|node| *node != lock) {
                self.locate(rsc, Some(node), -INFINITY, false);
            }
            self.note(|work| {
                let lock = &work.nodes[lock].name;
                Cause::new(format!("it waits for {lock} to come back (shutdown-lock)"))
            });
        }
    }
}

fn kind_flags(kind: OrderKind, first: Task, symmetry: Symmetry) -> u32 {
    match (kind, symmetry) {
        (OrderKind::Optional, _) => order::OPTIONAL,
        (OrderKind::Serialize, _) => order::SERIALIZE,
        (OrderKind::Mandatory, Symmetry::Asymmetric) => order::OPTIONAL | order::ASYMMETRICAL,
        (OrderKind::Mandatory, Symmetry::Symmetric) => {
            let needs = if matches!(first, Task::Start | Task::Promote) {
                order::RUNNABLE_LEFT
            } else {
                0
            };
            order::OPTIONAL | order::IMPLIES_THEN | needs
        }
        (OrderKind::Mandatory, Symmetry::Inverse) => order::OPTIONAL | order::IMPLIES_FIRST,
    }
}
