//! Locations: by the name of a node they become preferences of the group, by attributes `[location.NAME]`. What a rule asks
//! that a location cannot ask, and that is settled for as long as nobody edits the configuration, becomes preferences for the
//! nodes that it holds for now.
//!
//! Not for what a rule asks: see `rule`.

use standfast_scheduler::{
    input::{Constraint, Location},
    score,
};

use crate::{
    draft::{Draft, Located, PROMOTED},
    names::Names,
    rule,
    source::{Source, Xml, child, children},
};

pub(crate) fn read(
    source: &Source<'_>,
    element: Xml<'_>,
    parts: &[&Constraint],
    draft: &mut Draft,
) {
    let id = element.attribute("id").unwrap_or_default();
    let what = format!("{id} (location)");
    if child(element, "lifetime").is_some() {
        return draft.not_expressed(&what, "a preference has no end");
    }
    let rules: Vec<Xml<'_>> = children(element, "rule")
        .map(|rule| source.referred(rule))
        .collect();
    for rule in &rules {
        if let Err(reason) = rule::is_settled(source, *rule) {
            return draft.not_expressed(&what, &reason);
        }
    }
    let discovery = element.attribute("resource-discovery");
    if discovery.is_some_and(|discovery| discovery != "always") {
        draft.not_needed(
            &format!("{what} resource-discovery"),
            "nothing is looked for: what runs is known from its keeper",
        );
    }
    if parts.is_empty() {
        return draft.not_expressed(&what, "it says nothing that could be understood");
    }
    let locations = parts.iter().filter_map(|part| match part {
        Constraint::Location(location) => Some(location),
        Constraint::Colocation(_) | Constraint::Order(_) | Constraint::Ticket(_) => None,
    });
    // Each resource has one of each rule, in their order.
    let by_node = element.attribute("node").is_some() && element.attribute("score").is_some();
    for (number, location) in locations.enumerate() {
        let rule = number.checked_rem(rules.len()).filter(|_| !by_node);
        let rule = rule.and_then(|number| rules.get(number));
        match rule.filter(|rule| rule::asks_for_attributes(**rule)) {
            Some(rule) => by_attributes((id, &what), (location, *rule), draft),
            None if has_role(location) => draft.not_expressed(&what, "there are no roles here"),
            None => prefer(&what, location, draft),
        }
    }
}

fn has_role(location: &Location) -> bool {
    let role = location.role.as_deref();
    role.is_some_and(|role| !role.eq_ignore_ascii_case("started"))
}

fn by_attributes(
    (id, what): (&str, &str),
    (location, rule): (&Location, Xml<'_>),
    draft: &mut Draft,
) {
    if draft.device(&location.resource).is_some() {
        return prefer(what, location, draft);
    }
    let Some(group) = draft.group_of(&location.resource) else {
        let reason = format!("{} is not expressed", location.resource);
        return draft.not_expressed(what, &reason);
    };
    let promoted = draft.groups.get(group).is_some_and(|group| group.promoted);
    let role = match location.role.as_deref() {
        Some(role) if has_role(location) => {
            let is_promoted = ["promoted", "master"]
                .iter()
                .any(|word| role.eq_ignore_ascii_case(word));
            if !is_promoted || !promoted {
                return draft.not_expressed(what, "there is no such role here");
            }
            PROMOTED
        }
        _ => "",
    };
    let score = score::parse(rule.attribute("score").unwrap_or("0"));
    let asked = rule::as_tables(rule, draft).filter(|_| !draft.opt_in);
    let Some(asked) = asked else {
        if !role.is_empty() {
            let reason = "its rule asks for more than a [location.NAME] can";
            return draft.not_expressed(what, reason);
        }
        let why = if draft.opt_in {
            "nodes run only what names them (symmetric-cluster=false)"
        } else {
            "its rule asks for more than a [location.NAME] can"
        };
        let text = format!("{why}: preferences for the nodes that it holds for now");
        draft.changed(what, &text);
        return prefer(what, location, draft);
    };
    for asked in asked {
        let mut names = Names::default();
        for one in &draft.locations {
            names.fresh(&one.name);
        }
        draft.locations.push(Located {
            name: names.fresh(id),
            comments: vec![format!("By {what}.")],
            group: format!("{}{role}", location.resource),
            asked,
            score,
        });
    }
}

fn prefer(what: &str, location: &Location, draft: &mut Draft) {
    if draft.device(&location.resource).is_some() {
        return draft.not_needed(
            what,
            "a device is not placed: any node but the fenced one uses it",
        );
    }
    let Some(at) = draft.group_of(&location.resource) else {
        let reason = format!("{} is not expressed", location.resource);
        return draft.not_expressed(what, &reason);
    };
    let mut scores = Vec::new();
    for (uname, score) in &location.scores {
        match draft.node(uname) {
            Some(node) => scores.push((node.name.clone(), *score)),
            None => {
                let reason = format!("there is no node {uname}");
                draft.not_expressed(what, &reason);
            }
        }
    }
    let Some(group) = draft.groups.get_mut(at) else {
        return;
    };
    let by = format!("Preference by {what}.");
    if !scores.is_empty() && !group.comments.contains(&by) {
        group.comments.push(by);
    }
    for (node, score) in scores {
        let known = group.prefer.entry(node).or_insert(0);
        *known = score::add(*known, score);
    }
    if location.id.starts_with("cli-") {
        let text =
            "left behind by a move or ban of pcs or crm_resource; drop it if it is not wanted";
        draft.changed(what, text);
    }
}
