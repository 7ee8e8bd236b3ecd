//! Sets of resources in colocations and orders, taken apart into pairs.
//!
//! Not for sets in locations and tickets, which are only lists.

use standfast_scheduler::input::{Colocation, Constraint, Order, OrderEnd, Symmetry};
use standfast_scheduler::score::{self, truth};

use crate::{Reader, Xml, children};

/// A set with its members.
struct Set {
    id: String,
    members: Vec<String>,
    sequential: bool,
    role: Option<String>,
    action: Option<String>,
    require_all: bool,
    score: Option<i32>,
}

impl<'a> Reader<'a> {
    fn sets(&self, element: Xml<'a>) -> Vec<Set> {
        let sets = children(element, "resource_set").map(|set| self.resolve(set));
        let read = |set: Xml<'a>| {
            let sequential = truth(set.attribute("sequential")).unwrap_or(true);
            let mut members = Vec::new();
            for member in children(set, "resource_ref") {
                let id = member.attribute("id").unwrap_or_default();
                members.extend(self.members(id));
            }
            let text = |name: &str| set.attribute(name).map(str::to_owned);
            Set {
                id: text("id").unwrap_or_default(),
                members,
                sequential,
                role: text("role"),
                action: text("action"),
                require_all: truth(set.attribute("require-all")).unwrap_or(true),
                score: set.attribute("score").map(score::parse),
            }
        };
        sets.map(read).collect()
    }

    pub(crate) fn colocate_sets(&self, element: Xml<'a>, all: &mut Vec<Constraint>) {
        let sets = self.sets(element);
        let own = element
            .attribute("score")
            .map_or(score::INFINITY, score::parse);
        let influence = truth(element.attribute("influence"));
        let mut push = |dependent: (&String, &Set), primary: (&String, &Set), score: i32| {
            all.push(Constraint::Colocation(Colocation {
                id: element.attribute("id").unwrap_or_default().to_owned(),
                dependent: dependent.0.clone(),
                primary: primary.0.clone(),
                dependent_role: dependent.1.role.clone(),
                primary_role: primary.1.role.clone(),
                score,
                attribute: element.attribute("node-attribute").map(str::to_owned),
                influence,
            }));
        };
        for set in &sets {
            let score = set.score.unwrap_or(own);
            if !set.sequential {
                continue;
            }
            for (position, member) in set.members.iter().enumerate() {
                // With a negative score none of the members goes with any other.
                let skipped = position.saturating_sub(1) * usize::from(score >= 0);
                let earlier = set.members.iter().take(position).skip(skipped);
                earlier.for_each(|earlier| push((member, set), (earlier, set), score));
            }
        }
        for pair in sets.windows(2) {
            let [dependent, primary] = pair else {
                continue;
            };
            // Within a set the first one leads, and its last one follows all others.
            let leads = ends(&primary.members, primary.sequential, true);
            let follows = ends(&dependent.members, dependent.sequential, false);
            let pairs = follows
                .iter()
                .flat_map(|one| leads.iter().map(move |other| (one, other)));
            for (follower, leader) in pairs {
                push((follower, dependent), (leader, primary), own);
            }
        }
    }

    pub(crate) fn order_sets(&self, element: Xml<'a>, base: &Order, all: &mut Vec<Constraint>) {
        let sets = self.sets(element);
        let symmetric = base.symmetry == Symmetry::Symmetric;
        for set in &sets {
            order_within(set, base, symmetric, all);
        }
        for pair in sets.windows(2) {
            let [first, then] = pair else {
                continue;
            };
            order_between(first, then, base, base.symmetry, all);
            if symmetric {
                order_between(then, first, base, Symmetry::Inverse, all);
            }
        }
    }
}

/// The members of a set that the next one meets.
fn ends(members: &[String], sequential: bool, last: bool) -> Vec<String> {
    if !sequential {
        return members.to_vec();
    }
    let end = if last {
        members.last()
    } else {
        members.first()
    };
    end.cloned().into_iter().collect()
}

fn inverse(action: &str) -> &'static str {
    match action {
        "stop" => "start",
        "promote" => "demote",
        "demote" => "promote",
        _ => "stop",
    }
}

fn action_of(set: &Set) -> &str {
    set.action.as_deref().unwrap_or("start")
}

fn order_within(set: &Set, base: &Order, symmetric: bool, all: &mut Vec<Constraint>) {
    if !set.sequential {
        return;
    }
    let action = action_of(set);
    for pair in set.members.windows(2) {
        let [first, then] = pair else {
            continue;
        };
        let order = |first: &str, then: &str, action: &str, symmetry| {
            Constraint::Order(Order {
                first: OrderEnd::Resource(first.to_owned(), action.to_owned()),
                then: OrderEnd::Resource(then.to_owned(), action.to_owned()),
                symmetry,
                invert: false,
                require_all: None,
                ..base.clone()
            })
        };
        all.push(order(first, then, action, base.symmetry));
        if symmetric {
            all.push(order(then, first, inverse(action), Symmetry::Inverse));
        }
    }
}

fn order_between(
    first: &Set,
    then: &Set,
    base: &Order,
    symmetry: Symmetry,
    all: &mut Vec<Constraint>,
) {
    let back = symmetry == Symmetry::Inverse;
    let act = |set: &Set| {
        if back {
            inverse(action_of(set)).to_owned()
        } else {
            action_of(set).to_owned()
        }
    };
    let (first_action, then_action) = (act(first), act(then));
    let mut push = |first: OrderEnd, then: OrderEnd| {
        all.push(Constraint::Order(Order {
            first,
            then,
            symmetry,
            invert: false,
            require_all: None,
            ..base.clone()
        }));
    };
    let end = |id: &String, action: &String| OrderEnd::Resource(id.clone(), action.clone());
    if !first.require_all && !back {
        let point = OrderEnd::AnyOf(first.id.clone());
        for member in &first.members {
            push(end(member, &first_action), point.clone());
        }
        for member in &then.members {
            push(point.clone(), end(member, &then_action));
        }
        return;
    }
    let leaving = ends(&first.members, first.sequential, !back);
    let coming = ends(&then.members, then.sequential, back);
    for one in &leaving {
        for other in &coming {
            push(end(one, &first_action), end(other, &then_action));
        }
    }
}
