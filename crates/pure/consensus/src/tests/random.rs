//! Random faults: crashes, loss, delay, duplication, one-way cuts, slow disks, changes of members,
//! snapshots. The world checks safety at every step; at the end everything heals and must converge.

use super::world::World;
use standfast_model::{event::Restored, id::MemberId};

#[derive(Default)]
struct Counts {
    crashes: u64,
    cuts: u64,
    installed: u64,
    changes: u64,
    transfers: u64,
    terms: u64,
    commands: u64,
}

fn fault(world: &mut World, counts: &mut Counts, next_member: &mut u64) {
    let ids = world.ids();
    let choice = usize::try_from(world.below(ids.len().try_into().unwrap())).unwrap();
    let id = ids[choice];
    let leader = world.leader();
    match world.below(12) {
        0 | 1 if world.is_up(id) => {
            world.crash(id);
            counts.crashes += 1;
        }
        2..=4 if !world.is_up(id) => world.start(id),
        5 => {
            let to = ids[usize::try_from(world.below(ids.len().try_into().unwrap())).unwrap()];
            world.cut.insert((id, to));
            counts.cuts += 1;
        }
        6 => world.cut.clear(),
        7 => {
            let fsync = [0, 1, 1, 5, 60][usize::try_from(world.below(5)).unwrap()];
            world.hosts.get_mut(&id).unwrap().fsync = fsync;
        }
        8 => {
            let host = world.hosts.get_mut(&id).unwrap();
            host.may_vote = !host.may_vote;
        }
        9 => {
            if let Some(leader) = leader {
                world.act(leader, |consensus| consensus.transfer(MemberId(id)));
                counts.transfers += 1;
            }
        }
        10 => {
            if let Some(leader) = leader {
                change(world, counts, leader, next_member);
            }
        }
        _ => world.loss = [0, 0, 50, 300][usize::try_from(world.below(4)).unwrap()],
    }
}

/// Between two and five voters; who is gone does not come back.
fn change(world: &mut World, counts: &mut Counts, leader: u64, next_member: &mut u64) {
    let voters = world.of(leader).voters();
    let learners = world.of(leader).learners();
    let command = format!("change {}", world.now).into_bytes();
    let done = if let Some(learner) = learners.first() {
        world.act(leader, |consensus| {
            consensus.propose_promote(*learner, command)
        })
    } else if voters.len() > 3 {
        let goes = voters[usize::try_from(world.below(4)).unwrap()];
        world.act(leader, |consensus| consensus.propose_remove(goes, command))
    } else {
        let member = *next_member;
        let added = world.act(leader, |consensus| {
            consensus.propose_add_learner(MemberId(member), command)
        });
        if added.is_ok() {
            *next_member += 1;
            world.add(member, Restored::default());
        }
        added
    };
    counts.changes += u64::from(done.is_ok());
}

fn run(seed: u64, counts: &mut Counts) -> Vec<String> {
    let founders: Vec<u64> = (1..=3 + seed % 3).collect();
    let mut next_member = 100;
    let mut world = World::new(seed, &founders);
    world.delay = 1 + seed % 4;
    world.compact_after = 10 + seed % 50;
    for step in 0..1500 {
        world.run(1);
        if world.below(8) == 0 {
            fault(&mut world, counts, &mut next_member);
        }
        if world.below(3) == 0 {
            // Refused or lost is all right; the world sees what is committed.
            world.propose(&format!("{seed}/{step}")).ok();
        }
    }
    heal(&mut world);
    counts.installed += world
        .hosts
        .values()
        .map(|host| u64::from(host.installed))
        .sum::<u64>();
    counts.terms += u64::try_from(world.leaders.len()).unwrap();
    counts.commands += u64::try_from(world.history.len()).unwrap();
    world.trace
}

fn heal(world: &mut World) {
    world.loss = 0;
    world.cut.clear();
    for id in world.ids() {
        let host = world.hosts.get_mut(&id).unwrap();
        host.fsync = 1;
        host.may_vote = true;
        if !world.is_up(id) {
            world.start(id);
        }
    }
    // A slow write of 60 ticks may be queued many times.
    world.until(8000, "a leader after healing", |world| {
        world.leader().is_some()
    });
    world.run(400);
    world.propose("the last").ok();
    world.until(8000, "converged", |world| {
        let Some(leader) = world.leader() else {
            return false;
        };
        let leader = world.of(leader);
        leader.commit_index() == leader.last_index()
            && leader
                .voters()
                .into_iter()
                .chain(leader.learners())
                .all(|id| world.of(id.0).applied_index() == leader.last_index())
    });
}

#[test]
fn random_faults_lose_nothing() {
    let mut counts = Counts::default();
    for seed in 0..100 {
        run(seed, &mut counts);
    }
    for (what, count) in [
        ("crashes", counts.crashes),
        ("cuts", counts.cuts),
        ("snapshots installed", counts.installed),
        ("changes of members", counts.changes),
        ("transfers", counts.transfers),
        ("leaders", counts.terms),
        ("commands", counts.commands),
    ] {
        assert!(count > 60, "{what}: only {count}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [7, 8] {
        let mut counts = Counts::default();
        let first = run(seed, &mut counts);
        assert_eq!(first, run(seed, &mut counts));
        assert_ne!(first, run(seed + 10, &mut counts));
    }
}
