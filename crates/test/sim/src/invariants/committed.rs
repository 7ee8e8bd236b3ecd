//! Invariant 3: one leader per term; committed commands are never lost or reordered.
//!
//! What any core applies at an index has to be what every other core applies there, and equal
//! histories have to give equal states. What a client was told is done has to stay done.

use crate::{
    node::Taint,
    truth::{News, Truth},
    world::World,
};
use standfast_model::id::Incarnation;

pub(crate) fn after_step(world: &mut World, node: usize) {
    let Some(core) = &world.nodes[node].core else {
        return;
    };
    let seen = core.inspect();
    let (leads, applied) = (seen.leads, seen.applied);
    let length = seen.state.config.timing.lease.0;
    let members = seen.state.members.iter();
    let voters: Vec<u64> = members
        .filter(|(_, member)| member.voter)
        .map(|(id, _)| id.0)
        .collect();
    let alone = voters.len() <= 1;
    let boot = world.nodes[node].boot.read(world.time);
    let of = &mut world.truth.nodes[node];
    of.lease_length(length, boot);
    of.voters_are(voters);
    let run = world.nodes[node].incarnation;
    if let Some(term) = leads {
        world.truth.nodes[node].led = leads;
        if alone {
            world.truth.nodes[node].alone_at = Some(boot);
        }
        // The only voter elects itself before its vote is on the disk, and tells nobody before that.
        let durable = world.nodes[node].disk.durable.hard_state.term >= term;
        if durable || !alone {
            one_leader(world, term, node, run);
        }
    }
    let checked = world.truth.nodes[node].checked;
    if world.nodes[node].disk_taint != Taint::None {
        is_well_again(world, node);
    }
    if applied == checked {
        return;
    }
    if applied < checked {
        let text = format!("n{} went back from index {checked} to {applied}", node + 1);
        world.broken(3, text);
        return;
    }
    same_commands(world, node, checked, applied);
    world.truth.nodes[node].checked = applied;
    same_state(world, node, applied);
}

/// A disk that was lost or rolled back no longer matters once its machine votes and knows everything; one
/// that was rolled back either finds out by asking, or has forgotten nothing that mattered.
fn is_well_again(world: &mut World, node: usize) {
    let newest = world.truth.committed.keys().next_back();
    let newest = newest.copied().unwrap_or(0);
    let Some(core) = &world.nodes[node].core else {
        return;
    };
    let seen = core.inspect();
    let member = seen.state.members.get(&seen.member);
    let well = seen.votes && seen.applied >= newest && member.is_some_and(|member| member.voter);
    let (asks, votes) = (seen.asks, seen.votes);
    match world.nodes[node].disk_taint {
        Taint::RolledBack if !asks => {
            world.nodes[node].disk_taint = if votes { Taint::None } else { Taint::Lost };
        }
        Taint::Lost if well => {
            world.nodes[node].disk_taint = Taint::None;
            world.hit(crate::coverage::Case::MemberRejoined);
        }
        Taint::None | Taint::Lost | Taint::RolledBack => {}
    }
}

fn one_leader(world: &mut World, term: u64, node: usize, run: Incarnation) {
    let last = world
        .truth
        .leaders
        .last_key_value()
        .map(|(_, (node, _))| *node);
    let known = *world.truth.leaders.entry(term).or_insert((node, run));
    if known != (node, run) {
        let text = format!(
            "n{} and n{} both lead in term {term}",
            known.0 + 1,
            node + 1
        );
        world.broken(3, text);
    } else if last.is_some_and(|last| last != node) {
        world.hit(crate::coverage::Case::LeaderChanged);
    }
}

fn same_commands(world: &mut World, node: usize, from: u64, to: u64) {
    let mut index = from;
    while index < to {
        index += 1;
        let disk = &world.nodes[node].disk;
        let Some(entry) = disk.known(index) else {
            let snapshot = disk.issued.snapshot_index();
            if snapshot >= index && world.truth.committed.contains_key(&snapshot) {
                index = snapshot;
                continue;
            }
            let text = format!(
                "n{} applied index {index}, which it has neither received nor written",
                node + 1
            );
            world.broken(3, text);
            return;
        };
        let print = Truth::fingerprint(&entry);
        match world.truth.committed.get(&index) {
            Some(known) if *known == print || known.hash == 0 => {}
            Some(known) => {
                let text = format!(
                    "index {index}: n{} applied another command (term {}) than was committed there (term {})",
                    node + 1,
                    print.term,
                    known.term
                );
                world.broken(3, text);
                return;
            }
            None => commit(world, node, &entry),
        }
    }
}

fn commit(world: &mut World, node: usize, entry: &standfast_model::message::LogEntry) {
    let last = world
        .truth
        .committed
        .keys()
        .next_back()
        .copied()
        .unwrap_or(0);
    if entry.index != last + 1 {
        let text = format!(
            "n{} applied index {} when {last} was the last committed",
            node + 1,
            entry.index
        );
        world.broken(3, text);
        return;
    }
    world.truth.committed_at = world.time;
    if world.scenario.orders {
        super::ordered::on_entry(world, node, &entry.data);
    }
    let news = world.truth.commit(entry);
    match news {
        News::Nothing => {}
        News::Raised | News::Unknown(_) | News::New => {
            super::fitness::on_news(world, entry.index, &news);
        }
        News::Removed(member) => super::removed::on_removal(world, member, entry.index),
        News::RestartGrant(name, run, length) => {
            world.truth.restart_granted = Some(world.time);
            let Some(restarting) = world.number_of(&name) else {
                return;
            };
            let same = world.nodes[restarting].incarnation == run;
            let of = &mut world.truth.nodes[restarting];
            if let Some((asked, _)) = of.restart_asked.filter(|_| same) {
                of.restart_until = asked.saturating_add(length.0);
            }
        }
    }
}

fn same_state(world: &mut World, node: usize, applied: u64) {
    let Some(core) = &world.nodes[node].core else {
        return;
    };
    let state = core.inspect().state;
    // Whoever came to this index earlier was compared with those before it: one of them is enough.
    let mut others = world
        .nodes
        .iter()
        .enumerate()
        .filter_map(|(other, machine)| {
            let seen = machine.core.as_ref()?.inspect();
            (other != node && seen.applied == applied).then_some((other, seen.state != state))
        });
    let differs = others
        .next()
        .and_then(|(other, differs)| differs.then_some(other));
    if let Some(other) = differs {
        let text = format!(
            "n{} and n{} disagree about the state at index {applied}",
            node + 1,
            other + 1
        );
        world.broken(3, text);
    }
}
