//! Constraints: groups that live and start together.
//!
//! Not for members of one group: their order is the group's own. Not for locations: see `location`.

use std::collections::BTreeMap;

use standfast_scheduler::{
    input::{Colocation, Constraint, Order, OrderEnd, OrderKind, Symmetry},
    score::INFINITY,
};

use crate::{
    between,
    draft::{Draft, Group, PROMOTED},
    groups::join,
    location,
    source::{Source, Xml},
};

/// An order between two groups, or two members of one.
pub(crate) struct Follows {
    pub(crate) id: String,
    pub(crate) what: String,
    pub(crate) first: String,
    pub(crate) then: String,
    pub(crate) optional: bool,
    pub(crate) one_way: bool,
}

/// A colocation of two groups.
pub(crate) struct Together {
    pub(crate) id: String,
    pub(crate) what: String,
    pub(crate) dependent: String,
    pub(crate) primary: String,
    pub(crate) score: i32,
}

pub(crate) fn read(source: &Source<'_>, draft: &mut Draft) {
    let section = source.section("constraints").into_iter();
    let elements = section.flat_map(|section| section.children().collect::<Vec<_>>());
    let elements: Vec<Xml<'_>> = elements.filter(Xml::is_element).collect();
    let mut parts: BTreeMap<&str, Vec<&Constraint>> = BTreeMap::new();
    for constraint in &source.cluster.constraints {
        let id = match constraint {
            Constraint::Location(location) => &location.id,
            Constraint::Colocation(colocation) => &colocation.id,
            Constraint::Order(order) => &order.id,
            Constraint::Ticket(ticket) => &ticket.id,
        };
        parts.entry(id).or_default().push(constraint);
    }
    let (mut orders, mut together) = (Vec::new(), Vec::new());
    for element in &elements {
        let id = element.attribute("id").unwrap_or_default();
        let parts = parts.get(id).map(Vec::as_slice).unwrap_or_default();
        match element.tag_name().name() {
            "rsc_location" => location::read(source, *element, parts, draft),
            "rsc_order" => read_order(*element, id, parts, (draft, &mut orders)),
            _ => {}
        }
    }
    for element in &elements {
        let id = element.attribute("id").unwrap_or_default();
        let parts = parts.get(id).map(Vec::as_slice).unwrap_or_default();
        match element.tag_name().name() {
            "rsc_colocation" => {
                together.extend(read_colocation(*element, id, parts, (draft, &orders)));
            }
            "rsc_location" | "rsc_order" => {}
            "rsc_ticket" => {
                draft.not_expressed(&format!("{id} (ticket)"), "there are no tickets here");
            }
            other => {
                draft.not_expressed(&format!("{id} ({other})"), "there is nothing like it here")
            }
        }
    }
    // What has to be is written first: what is in its way is left out.
    together.sort_by_key(|one: &Together| one.score.abs() < INFINITY);
    for one in &together {
        between::colocate(one, draft);
    }
    settle_orders(&orders, draft);
}

fn read_order(
    element: Xml<'_>,
    id: &str,
    parts: &[&Constraint],
    (draft, orders): (&mut Draft, &mut Vec<Follows>),
) {
    let what = format!("{id} (order)");
    if element
        .children()
        .any(|part| part.attribute("require-all") == Some("false"))
    {
        return draft.not_expressed(
            &what,
            "a member starts after all before it, never after any",
        );
    }
    if parts.is_empty() {
        return draft.not_expressed(&what, "it says nothing that could be understood");
    }
    for part in parts {
        let Constraint::Order(order) = part else {
            continue;
        };
        if order.symmetry != Symmetry::Inverse
            && let Err(reason) = note_order((id, &what), order, draft, orders)
        {
            draft.not_expressed(&what, &reason);
            return;
        }
    }
}

fn note_order(
    (id, what): (&str, &str),
    order: &Order,
    draft: &Draft,
    orders: &mut Vec<Follows>,
) -> Result<(), String> {
    let promoted = |id: &str| {
        let group = draft.group_of(id).and_then(|at| draft.groups.get(at));
        group.is_some_and(|group| group.promoted)
    };
    let end = |end: &OrderEnd| match end {
        OrderEnd::Resource(id, action) if action == "start" => Ok(id.clone()),
        OrderEnd::Resource(id, action) if action == "promote" && promoted(id) => {
            Ok(format!("{id}{PROMOTED}"))
        }
        OrderEnd::Resource(_, action) => Err(format!(
            "members start in order, nothing is ordered by {action}"
        )),
        OrderEnd::AnyOf(_) => {
            Err("a member starts after all before it, never after any".to_owned())
        }
    };
    let (first, then) = (end(&order.first)?, end(&order.then)?);
    if order.kind == OrderKind::Serialize {
        return Err("nothing keeps two starts apart here that are in no order".to_owned());
    }
    for id in [&first, &then] {
        if draft.group_of(id).is_none() {
            return Err(format!("{id} is not expressed"));
        }
    }
    orders.push(Follows {
        id: id.to_owned(),
        what: what.to_owned(),
        first,
        then,
        optional: order.kind == OrderKind::Optional,
        one_way: order.symmetry == Symmetry::Asymmetric,
    });
    Ok(())
}

fn read_colocation(
    element: Xml<'_>,
    id: &str,
    parts: &[&Constraint],
    (draft, orders): (&mut Draft, &[Follows]),
) -> Vec<Together> {
    let what = format!("{id} (colocation)");
    let colocations = parts.iter().filter_map(|part| match part {
        Constraint::Colocation(colocation) => Some(colocation),
        Constraint::Location(_) | Constraint::Order(_) | Constraint::Ticket(_) => None,
    });
    let colocations: Vec<&Colocation> = colocations.collect();
    if colocations.is_empty() {
        draft.not_expressed(&what, "it says nothing that could be understood");
        return Vec::new();
    }
    if element
        .attribute("node-attribute")
        .is_some_and(|by| by != "#uname")
    {
        draft.not_expressed(&what, "together means on the same node here");
        return Vec::new();
    }
    for colocation in &colocations {
        if let Err(reason) = check_colocation(colocation, draft) {
            draft.not_expressed(&what, &reason);
            return Vec::new();
        }
    }
    let mut together = Vec::new();
    for colocation in colocations {
        let (Some(dependent), Some(primary)) = (
            draft.group_of(&colocation.dependent),
            draft.group_of(&colocation.primary),
        ) else {
            continue;
        };
        if dependent == primary {
            draft.not_needed(&what, "members of a group are together");
            continue;
        }
        let within = |at: usize, id: &str| draft.group_of(id) == Some(at);
        let leads = |first: usize, then: usize| {
            let mut orders = orders
                .iter()
                .filter(|order| !order.optional && !order.one_way);
            orders.any(|order| within(first, &order.first) && within(then, &order.then))
        };
        let copied = |at: usize| {
            draft
                .groups
                .get(at)
                .is_some_and(|group| group.copies.is_some())
        };
        let one = colocation.score >= INFINITY && !copied(dependent) && !copied(primary);
        if one && leads(dependent, primary) {
            join(draft, dependent, primary, &what);
        } else if one && leads(primary, dependent) {
            join(draft, primary, dependent, &what);
        } else {
            together.push(Together {
                id: id.to_owned(),
                what: what.clone(),
                dependent: in_role(&colocation.dependent, colocation.dependent_role.as_ref()),
                primary: in_role(&colocation.primary, colocation.primary_role.as_ref()),
                score: colocation.score,
            });
        }
    }
    together
}

/// Whether a role is the promoted one, by its present or its old name.
fn is_promoted(role: &str) -> bool {
    role.eq_ignore_ascii_case("promoted") || role.eq_ignore_ascii_case("master")
}

/// What an id means in a role.
fn in_role(id: &str, role: Option<&String>) -> String {
    match role.filter(|role| is_promoted(role)) {
        Some(_) => format!("{id}{PROMOTED}"),
        None => id.to_owned(),
    }
}

fn check_colocation(colocation: &Colocation, draft: &Draft) -> Result<(), String> {
    let ends = [
        (&colocation.dependent, &colocation.dependent_role),
        (&colocation.primary, &colocation.primary_role),
    ];
    for (id, role) in ends {
        let Some(role) = role.as_deref() else {
            continue;
        };
        let group = draft.group_of(id).and_then(|at| draft.groups.get(at));
        let promoted = group.is_some_and(|group| group.promoted);
        let fits = role.eq_ignore_ascii_case("started") || (promoted && is_promoted(role));
        if !fits && promoted {
            return Err(format!(
                "the role {role} has no name here; the promoted one has"
            ));
        } else if !fits {
            return Err(format!("{id} has no promoted copy here"));
        }
    }
    for id in [&colocation.dependent, &colocation.primary] {
        if draft.device(id).is_some() {
            return Err(format!("{id} is a device, which is not placed"));
        }
        if draft.group_of(id).is_none() {
            return Err(format!("{id} is not expressed"));
        }
    }
    Ok(())
}

/// The place of what an id means among a group's members: of the first or the last of several.
fn place(draft: &Draft, group: &Group, id: &str, last: bool) -> Option<usize> {
    let name = |resource: &&crate::draft::Resource| resource.id == id;
    if let Some(resource) = draft.resources.iter().find(name) {
        return group
            .members
            .iter()
            .position(|member| *member == resource.name);
    }
    let mut members = group.members.iter().enumerate();
    let mut of_it = members.by_ref().filter(|(_, member)| {
        let of = draft
            .resources
            .iter()
            .find(|resource| resource.name == **member);
        of.is_some_and(|resource| group.belongs(&resource.id, id))
    });
    let found = if last { of_it.last() } else { of_it.next() };
    found.map(|(at, _)| at)
}

fn settle_orders(orders: &[Follows], draft: &mut Draft) {
    for order in orders {
        let (first, then) = (draft.group_of(&order.first), draft.group_of(&order.then));
        let (Some(first), Some(then)) = (first, then) else {
            continue;
        };
        if first != then {
            between::follow(order, draft);
            continue;
        }
        let Some(group) = draft.groups.get(first) else {
            continue;
        };
        let before = place(draft, group, &order.first, true);
        let after = place(draft, group, &order.then, false);
        if before < after {
            let text = format!("In order by {}.", order.what);
            if let Some(group) = draft.groups.get_mut(first)
                && !group.comments.contains(&text)
            {
                group.comments.push(text);
            }
        } else {
            let reason = format!("group {} starts them the other way round", group.name);
            draft.not_expressed(&order.what, &reason);
        }
    }
}
