//! Orders between groups, in what is shown before anything is done: which action waits for which, and for how long.
//!
//! Not for execution: the leader gives turns one after the other (crate `cluster`).

use crate::interruption::whole;
use standfast_model::{
    constraint::Sequence,
    id::{GroupId, ResourceId},
    plan::{Action, ActionKind, Plan},
    request::{Interruption, InterruptionPart, Source},
    time::Micros,
};
use std::collections::{BTreeMap, BTreeSet};

/// All orders, by name.
pub type Sequences = BTreeMap<String, Sequence>;

/// Adds to each action what it waits for by these orders, and puts the list into an order in which it can be done.
pub fn in_turn(list: &mut Vec<Action>, sequences: &Sequences, (before, after): (&Plan, &Plan)) {
    if sequences.is_empty() {
        return;
    }
    let members = |plan: &Plan, group: &GroupId| -> Vec<ResourceId> {
        let given = plan.groups.get(group);
        given.map(|given| given.members.clone()).unwrap_or_default()
    };
    let find = |list: &[Action], kind: ActionKind, members: &[ResourceId]| -> Vec<usize> {
        let mine = list
            .iter()
            .enumerate()
            .filter(|(_, action)| action.kind == kind && members.contains(&action.resource));
        mine.map(|(index, _)| index).collect()
    };
    for sequence in sequences.values() {
        let starts = |group| find(list, ActionKind::Start, &members(after, group));
        let stops = |group| find(list, ActionKind::Stop, &members(before, group));
        let mut edges = Vec::new();
        let begins = starts(&sequence.then).first().copied();
        edges.extend(begins.zip(starts(&sequence.first).last().copied()));
        if !sequence.one_way {
            let begins = stops(&sequence.first).first().copied();
            edges.extend(begins.zip(stops(&sequence.then).last().copied()));
        }
        for (later, sooner) in edges {
            if let Some(action) = list.get_mut(later)
                && !action.after.contains(&sooner)
            {
                action.after.push(sooner);
            }
        }
    }
    sort(list);
}

/// Every action after those that it waits for; else as it was.
fn sort(list: &mut Vec<Action>) {
    let mut new_place: BTreeMap<usize, usize> = BTreeMap::new();
    let mut sorted = Vec::new();
    while sorted.len() < list.len() {
        let next = list.iter().enumerate().find(|(index, action)| {
            let ready = action
                .after
                .iter()
                .all(|sooner| new_place.contains_key(sooner));
            ready && !new_place.contains_key(index)
        });
        // Orders have no circles, and whoever waits waits for somebody in the list.
        let Some((index, action)) = next else { return };
        new_place.insert(index, sorted.len());
        let mut action = action.clone();
        for sooner in &mut action.after {
            *sooner = new_place.get(sooner).copied().unwrap_or(*sooner);
        }
        action.after.sort_unstable();
        sorted.push(action);
    }
    *list = sorted;
}

/// Groups with everything that is done or passes for them: stops, waits, starts.
pub type Parts = BTreeMap<GroupId, Vec<InterruptionPart>>;

/// Adds the waits, and says when each group's first part begins. `decide`: what lies between two turns.
#[must_use]
pub fn take_turns(
    sequences: &Sequences,
    parts: &mut Parts,
    decide: Micros,
) -> BTreeMap<GroupId, Micros> {
    let mut turns = Turns {
        sequences,
        decide,
        begins: BTreeMap::new(),
        stopped: BTreeMap::new(),
        started: BTreeMap::new(),
    };
    if sequences.is_empty() {
        return turns.begins;
    }
    let groups: Vec<GroupId> = parts.keys().cloned().collect();
    for group in &groups {
        turns.stop(group, parts, &mut BTreeSet::new());
    }
    for group in &groups {
        turns.start(group, parts, &mut BTreeSet::new());
    }
    turns.begins
}

struct Turns<'s> {
    sequences: &'s Sequences,
    decide: Micros,
    begins: BTreeMap<GroupId, Micros>,
    /// When the last stop of each is over, and the last start.
    stopped: BTreeMap<GroupId, Micros>,
    started: BTreeMap<GroupId, Micros>,
}

fn length(parts: &[InterruptionPart]) -> Micros {
    parts
        .iter()
        .fold(Micros::ZERO, |sum, part| sum.plus(part.length))
}

fn stops(parts: &[InterruptionPart]) -> usize {
    let stops = |part: &&InterruptionPart| part.what.starts_with("stop ");
    parts.iter().take_while(stops).count()
}

impl Turns<'_> {
    /// When a group's stops are over: none when it has none.
    fn stop(
        &mut self,
        group: &GroupId,
        parts: &Parts,
        open: &mut BTreeSet<GroupId>,
    ) -> Option<Micros> {
        let mine = parts.get(group)?;
        let stops = stops(mine);
        if let Some(known) = self.stopped.get(group) {
            return Some(*known);
        }
        if stops == 0 || !open.insert(group.clone()) {
            return None;
        }
        let mut begins = Micros::ZERO;
        for sequence in self.sequences.values() {
            if sequence.first == *group
                && !sequence.one_way
                && let Some(over) = self.stop(&sequence.then, parts, open)
            {
                begins = begins.max(over.plus(self.decide));
            }
        }
        let over = begins.plus(length(mine.get(..stops).unwrap_or_default()));
        self.begins.insert(group.clone(), begins);
        self.stopped.insert(group.clone(), over);
        Some(over)
    }

    /// When a group's starts are over: none when it has none.
    fn start(
        &mut self,
        group: &GroupId,
        parts: &mut Parts,
        open: &mut BTreeSet<GroupId>,
    ) -> Option<Micros> {
        if let Some(known) = self.started.get(group) {
            return Some(*known);
        }
        let first = |part: &InterruptionPart| part.what.starts_with("start ");
        let at = parts.get(group)?.iter().position(first)?;
        if !open.insert(group.clone()) {
            return None;
        }
        let begins = self.begins.get(group).copied().unwrap_or(Micros::ZERO);
        let ready = begins.plus(length(parts.get(group)?.get(..at).unwrap_or_default()));
        let mut turn: Option<(Micros, String)> = None;
        for (name, sequence) in self.sequences {
            let first = &sequence.first;
            if sequence.then == *group
                && let Some(over) = self.start(first, parts, open)
            {
                let may = over.plus(self.decide);
                let text = format!("wait until {first} is active (order {name})");
                turn = turn.into_iter().chain([(may, text)]).max();
            }
        }
        let mine = parts.get_mut(group)?;
        let mut over = begins;
        if let Some((may, what)) = turn.filter(|(may, _)| *may > ready) {
            let wait = InterruptionPart {
                what,
                length: may.minus(ready),
                source: Source::Usual,
            };
            if at == 0 {
                // What did not run is not interrupted: its steps begin later.
                self.begins.insert(group.clone(), may);
                over = may;
            } else {
                mine.insert(at, wait);
            }
        }
        let over = over.plus(length(mine));
        self.started.insert(group.clone(), over);
        Some(over)
    }
}

/// Adds the waits to what is interrupted. `starts`: the starts of what did not run.
pub fn wait_in_turn(
    sequences: &Sequences,
    interruptions: &mut [Interruption],
    starts: &Parts,
    decide: Micros,
) -> BTreeMap<GroupId, Micros> {
    if sequences.is_empty() {
        return BTreeMap::new();
    }
    let mut parts = starts.clone();
    for found in interruptions.iter_mut() {
        parts.insert(found.group.clone(), std::mem::take(&mut found.parts));
    }
    let begins = take_turns(sequences, &mut parts, decide);
    for found in interruptions {
        let unknown = found.to.is_some() && found.length.is_none();
        let mine = parts.remove(&found.group).unwrap_or_default();
        *found = whole(&found.group, &found.from, found.to.clone(), mine);
        if unknown {
            found.length = None;
        }
    }
    begins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(what: &str, millis: u64) -> InterruptionPart {
        InterruptionPart {
            what: what.to_owned(),
            length: Micros::from_millis(millis),
            source: Source::Usual,
        }
    }

    fn sequences() -> Sequences {
        let sequence = Sequence {
            first: "db".into(),
            then: "web".into(),
            optional: false,
            one_way: false,
        };
        BTreeMap::from([("turn".to_owned(), sequence)])
    }

    #[test]
    fn who_comes_after_stops_before_and_waits() {
        let mut parts = BTreeMap::from([
            (
                "db".into(),
                vec![
                    part("stop db on alpha", 100),
                    part("release and grant", 10),
                    part("start db on beta", 300),
                ],
            ),
            (
                "web".into(),
                vec![
                    part("stop web on alpha", 50),
                    part("start web on alpha", 20),
                ],
            ),
        ]);
        let begins = take_turns(&sequences(), &mut parts, Micros::from_millis(5));
        assert_eq!(begins[&"db".into()], Micros::from_millis(55));
        assert_eq!(begins[&"web".into()], Micros::ZERO);
        // 55 + 410 + 5, less the 50 that it takes to stop.
        let waits = part("wait until db is active (order turn)", 420);
        assert_eq!(parts[&"web".into()][1], waits);
        let again = take_turns(&sequences(), &mut parts, Micros::from_millis(5));
        assert_eq!((begins, 3), (again, parts[&"web".into()].len()));
    }

    #[test]
    fn what_did_not_run_begins_when_its_turn_comes() {
        let mut parts = BTreeMap::from([
            ("db".into(), vec![part("start db on beta", 300)]),
            ("web".into(), vec![part("start web on alpha", 20)]),
        ]);
        let begins = take_turns(&sequences(), &mut parts, Micros::from_millis(5));
        assert_eq!(begins[&"web".into()], Micros::from_millis(305));
        assert_eq!(parts[&"web".into()].len(), 1);
    }
}
