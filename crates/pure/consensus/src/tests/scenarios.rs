//! Named scenarios: election, members, leadership, slow disks.

use super::world::{ELECTION, HEARTBEAT, World, founded, settings};
use crate::{Consensus, MemberChange, Refusal, Role};
use standfast_model::{event::Restored, id::MemberId};

fn led(seed: u64, members: &[u64]) -> World {
    let mut world = World::new(seed, members);
    world.until(400, "a leader", |world| {
        world
            .leader()
            .is_some_and(|id| world.of(id).applied_index() > 1)
    });
    world
}

#[test]
fn three_elect_one_and_all_apply() {
    let mut world = led(1, &[1, 2, 3]);
    world.propose("hello").unwrap();
    world.until(20, "applied everywhere", |world| {
        world.ids().iter().all(|id| world.has(*id, "hello"))
    });
    world.run(1000);
    assert_eq!(world.leaders.len(), 1, "a quiet cluster keeps its leader");
}

#[test]
fn a_single_voter_leads_at_its_first_tick() {
    let mut world = World::new(1, &[1]);
    world.run(1);
    assert_eq!(world.leader(), Some(1));
    world.propose("alone").unwrap();
    world.run(4);
    assert!(world.has(1, "alone"));
}

#[test]
fn a_single_voter_that_may_not_vote_waits() {
    let mut world = World::new(1, &[1]);
    world.hosts.get_mut(&1).unwrap().may_vote = false;
    world.run(500);
    assert_eq!(world.leader(), None);
    assert_eq!(world.of(1).term(), 1);
}

#[test]
fn a_joiner_is_silent() {
    let mut joiner = Consensus::new(&settings(9, 1), &Restored::default()).unwrap();
    for _ in 0..1000 {
        joiner.tick(true);
    }
    assert_eq!(joiner.take_output(), None);
    assert_eq!(joiner.role(), Role::Follower { leader: None });
}

#[test]
fn a_joiner_gets_a_snapshot_and_becomes_a_voter_and_another_goes() {
    let mut world = led(2, &[1]);
    for count in 0..5 {
        world.propose(&format!("early {count}")).unwrap();
        world.run(5);
    }
    for id in [2, 3] {
        world.add(id, Restored::default());
        world.change(MemberChange::AddLearner(MemberId(id)));
        assert!(world.of(1).learners().contains(&MemberId(id)));
        world.until(100, "caught up", |world| {
            world.has(id, "early 0")
                && world.of(1).matched(MemberId(id)) == Some(world.of(1).last_index())
        });
        assert_eq!(world.hosts[&id].installed, 1);
        world.change(MemberChange::Promote(MemberId(id)));
    }
    world.run(50);
    for id in [1, 2, 3] {
        assert_eq!(
            world.of(id).voters(),
            [MemberId(1), MemberId(2), MemberId(3)]
        );
        assert!(world.of(id).learners().is_empty());
    }
    // The first one dies; the others go on, and remove it.
    world.crash(1);
    world.until(400, "another leader", |world| world.leader().is_some());
    world.change(MemberChange::Remove(MemberId(1)));
    world.run(50);
    assert_eq!(world.of(2).voters(), [MemberId(2), MemberId(3)]);
    // Back, it disturbs nobody.
    let term = world.of(2).term();
    world.start(1);
    world.run(1000);
    assert_eq!(world.of(2).term(), term);
    assert_ne!(world.of(1).role(), Role::Leader);
}

#[test]
fn a_snapshot_lost_on_its_way_is_sent_again() {
    let mut world = led(3, &[1]);
    world.add(2, Restored::default());
    world.cut.insert((1, 2));
    world.change(MemberChange::AddLearner(MemberId(2)));
    // Only what the leader sends is lost once it has sent the snapshot.
    world.cut.clear();
    world.until(100, "a snapshot wanted and made", |world| {
        world.of(1).applied_since_snapshot() == 0
    });
    world.cut.insert((1, 2));
    world.run(u64::from(HEARTBEAT) * 2);
    world.cut.clear();
    world.until(1000, "installed", |world| world.hosts[&2].installed > 0);
}

#[test]
fn changes_that_do_not_fit_are_refused() {
    let mut world = led(4, &[1, 2, 3]);
    let leader = world.leader().unwrap();
    let other = if leader == 1 { 2 } else { 1 };
    world.act(leader, |consensus| {
        let add = |consensus: &mut Consensus, id| {
            consensus.propose_add_learner(MemberId(id), b"add".to_vec())
        };
        assert_eq!(add(consensus, other), Err(Refusal::Unfit));
        assert_eq!(add(consensus, 0), Err(Refusal::Unfit));
        let promote = consensus.propose_promote(MemberId(other), b"p".to_vec());
        assert_eq!(promote, Err(Refusal::Unfit));
        let remove = consensus.propose_remove(MemberId(leader), b"r".to_vec());
        assert_eq!(remove, Err(Refusal::Unfit));
        assert_eq!(consensus.propose(Vec::new()), Err(Refusal::Unfit));
        assert_eq!(add(consensus, 8), Ok(()));
        assert_eq!(add(consensus, 9), Err(Refusal::Busy), "one at a time");
    });
    let follower = world.act(other, |consensus| consensus.propose(b"x".to_vec()));
    assert_eq!(follower, Err(Refusal::NotLeader));
}

#[test]
fn leadership_moves_when_asked() {
    let mut world = led(5, &[1, 2, 3]);
    let old = world.leader().unwrap();
    let new = old % 3 + 1;
    let busy = world.act(old, |consensus| {
        consensus.transfer(MemberId(new));
        consensus.propose(b"late".to_vec())
    });
    assert_eq!(busy, Err(Refusal::Busy));
    world.until(10, "moved", |world| world.leader() == Some(new));
}

#[test]
fn leadership_does_not_move_to_one_that_may_not_vote() {
    let mut world = led(6, &[1, 2, 3]);
    let old = world.leader().unwrap();
    let new = old % 3 + 1;
    world.hosts.get_mut(&new).unwrap().may_vote = false;
    world.act(old, |consensus| consensus.transfer(MemberId(new)));
    world.run(u64::from(ELECTION) * 2);
    assert_eq!(world.leader(), Some(old));
    world.propose("goes on").unwrap();
}

#[test]
fn who_may_not_vote_elects_nobody() {
    let mut world = led(7, &[1, 2, 3]);
    let old = world.leader().unwrap();
    world.crash(old);
    for host in world.hosts.values_mut() {
        host.may_vote = false;
    }
    world.run(500);
    assert_eq!(world.leaders.len(), 1);
    for host in world.hosts.values_mut() {
        host.may_vote = true;
    }
    world.until(200, "a leader when votes are free again", |world| {
        world.leaders.len() == 2
    });
}

#[test]
fn slow_disks_do_not_look_like_death() {
    for seed in 0..5 {
        let mut world = led(seed, &[1, 2, 3]);
        let leader = world.leader().unwrap();
        // Two seconds a write, everywhere: twice an election timeout.
        for host in world.hosts.values_mut() {
            host.fsync = 80;
        }
        for round in 0..10 {
            world.propose(&format!("slow {round}")).unwrap();
            world.run(60);
            assert_eq!(world.leader(), Some(leader));
            assert_eq!(world.leaders.len(), 1);
        }
        world.until(2000, "everything applied", |world| {
            world.ids().iter().all(|id| world.has(*id, "slow 9"))
        });
        assert_eq!(world.leaders.len(), 1);
    }
}

#[test]
fn a_leader_without_majority_steps_down() {
    let mut world = led(8, &[1, 2, 3]);
    let old = world.leader().unwrap();
    for id in world.ids() {
        world.cut.insert((old, id));
        world.cut.insert((id, old));
    }
    world.run(u64::from(ELECTION) * 2 + 1);
    assert_ne!(world.of(old).role(), Role::Leader);
    world.until(200, "another leader", |world| world.leader().is_some());
    // Cut off it asked nobody into a higher term: coming back does not cost an election.
    let (new, term) = {
        let id = world.leader().unwrap();
        (id, world.of(id).term())
    };
    world.run(500);
    world.cut.clear();
    world.run(200);
    assert_eq!(world.leader(), Some(new));
    assert_eq!(world.of(new).term(), term);
}

#[test]
fn a_follower_behind_the_log_gets_the_state() {
    let mut world = led(10, &[1, 2, 3]);
    let leader = world.leader().unwrap();
    let late = leader % 3 + 1;
    world.crash(late);
    for count in 0..1500 {
        world.propose(&format!("{count}")).unwrap();
        world.run(1);
    }
    world.run(100);
    world.compact_after = 100;
    world.run(10);
    world.start(late);
    world.until(300, "caught up", |world| world.has(late, "1499"));
    assert_eq!(world.hosts[&late].installed, 1);
}

#[test]
fn messages_stay_few() {
    let mut world = led(11, &[1, 2, 3]);
    let late = world.leader().unwrap() % 3 + 1;
    world.crash(late);
    for count in 0..200 {
        world.propose(&format!("{count}")).unwrap();
        world.run(1);
    }
    let before = world.sent;
    world.start(late);
    world.until(100, "caught up", |world| world.has(late, "199"));
    assert!(world.sent - before < 400, "{}", world.sent - before);
    world.run(20);
    let before = world.sent;
    world.run(400);
    // A heartbeat to each of two followers and its answer, a hundred times.
    assert_eq!(world.sent - before, 400);
}

#[test]
fn a_stored_log_that_a_snapshot_replaced_is_not_believed() {
    let mut disk = founded(&[1, 2, 3]);
    disk.snapshot.as_mut().unwrap().index = 5;
    disk.snapshot.as_mut().unwrap().term = 3;
    disk.hard_state.term = 3;
    for index in 4..9 {
        disk.entries.push(standfast_model::message::LogEntry {
            index,
            term: 2,
            ..standfast_model::message::LogEntry::default()
        });
    }
    let consensus = Consensus::new(&settings(1, 1), &disk).unwrap();
    assert_eq!(consensus.last_index(), 5);
    assert_eq!(consensus.commit_index(), 5);
}
