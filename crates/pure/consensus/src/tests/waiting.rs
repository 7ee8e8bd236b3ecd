//! What waits for the disk, and what does not.

use super::world::{founded, settings};
use crate::{Consensus, MemberChange, Output, Role, wire::Kind};
use standfast_model::{
    id::MemberId,
    message::{Consensus as Message, LogEntry},
};

fn member(id: u64, voters: &[u64]) -> Consensus {
    Consensus::new(&settings(id, 1), &founded(voters)).unwrap()
}

fn message(kind: Kind, from: u64, to: u64, term: u64) -> Message {
    Message {
        kind: kind.number(),
        from,
        to,
        term,
        ..Message::default()
    }
}

fn drain(consensus: &mut Consensus) -> Output {
    let mut all = Output::default();
    while let Some(output) = consensus.take_output() {
        all.messages.extend(output.messages);
        all.committed.extend(output.committed);
        assert!(all.persist.is_none() || output.persist.is_none());
        all.persist = all.persist.or(output.persist);
        all.installed = all.installed.or(output.installed);
    }
    all
}

fn kinds(output: &Output) -> Vec<Kind> {
    output
        .messages
        .iter()
        .map(|message| Kind::of(message).unwrap())
        .collect()
}

fn request_vote(from: u64, term: u64) -> Message {
    Message {
        index: 1,
        log_term: 1,
        ..message(Kind::RequestVote, from, 1, term)
    }
}

#[test]
fn a_vote_waits_for_the_disk() {
    let mut voter = member(1, &[1, 2, 3]);
    voter.step(&request_vote(2, 2), true);
    let output = drain(&mut voter);
    assert_eq!(output.messages, []);
    let batch = output.persist.unwrap();
    assert_eq!(batch.hard_state.unwrap().vote, 2);
    voter.persisted(batch.ticket);
    assert_eq!(kinds(&drain(&mut voter)), [Kind::RequestVoteResponse]);
}

#[cfg(feature = "planted")]
#[test]
fn the_planted_bug_lets_a_vote_leave_early() {
    let mut voter = member(1, &[1, 2, 3]);
    voter.set_planted(standfast_model::planted::Planted::VoteBeforeDisk);
    voter.step(&request_vote(2, 2), true);
    assert_eq!(kinds(&drain(&mut voter)), [Kind::RequestVoteResponse]);
}

#[test]
fn a_vote_that_may_not_be_given_is_not_answered() {
    let mut voter = member(1, &[1, 2, 3]);
    voter.step(&request_vote(2, 2), false);
    voter.step(&message(Kind::TimeoutNow, 2, 1, 2), false);
    let mut early = request_vote(2, 2);
    early.kind = Kind::RequestPreVote.number();
    voter.step(&early, false);
    assert_eq!(drain(&mut voter), Output::default());
    assert_eq!(voter.term(), 1);
}

#[test]
fn an_append_is_acknowledged_after_the_disk_and_a_heartbeat_at_once() {
    let mut follower = member(1, &[1, 2, 3]);
    let append = |index: u64| Message {
        index,
        log_term: 1,
        entries: vec![LogEntry {
            index: index + 1,
            term: 1,
            data: b"x".to_vec(),
            ..LogEntry::default()
        }],
        commit: index,
        ..message(Kind::Append, 2, 1, 1)
    };
    follower.step(&append(1), true);
    let first = drain(&mut follower);
    assert_eq!(first.messages, []);
    let first = first.persist.unwrap();
    follower.step(&append(2), true);
    let second = drain(&mut follower).persist.unwrap();
    follower.step(&message(Kind::Heartbeat, 2, 1, 1), true);
    assert_eq!(kinds(&drain(&mut follower)), [Kind::HeartbeatResponse]);

    follower.persisted(first.ticket);
    let output = drain(&mut follower);
    assert_eq!(kinds(&output), [Kind::AppendResponse]);
    assert_eq!(output.messages[0].index, 2);
    // Committed and durable: applied.
    assert_eq!(output.committed.len(), 1);
    follower.persisted(second.ticket);
    assert_eq!(kinds(&drain(&mut follower)), [Kind::AppendResponse]);
    // Its commit index came after the batch: not worth a write, and the next batch has it.
    follower.step(
        &Message {
            commit: 3,
            ..message(Kind::Heartbeat, 2, 1, 1)
        },
        true,
    );
    let output = drain(&mut follower);
    assert_eq!(output.persist, None);
    assert_eq!(output.committed.len(), 1);
    follower.step(&append(3), true);
    let third = drain(&mut follower).persist.unwrap();
    assert_eq!(third.hard_state.unwrap().commit, 3);
}

#[test]
fn a_single_leader_tells_its_learner_nothing_before_its_term_is_durable() {
    let mut disk = founded(&[1]);
    disk.snapshot.as_mut().unwrap().learners = vec![2];
    let mut leader = Consensus::new(&settings(1, 1), &disk).unwrap();
    leader.tick(true);
    let output = drain(&mut leader);
    assert_eq!(output.messages, []);
    let batch = output.persist.unwrap();
    assert_eq!(batch.hard_state.unwrap().vote, 1);
    leader.persisted(batch.ticket);
    assert!(kinds(&drain(&mut leader)).contains(&Kind::Append));
    // Later entries need not wait: the term is known.
    for _ in 0..8 {
        leader.tick(true);
    }
    leader.step(
        &Message {
            index: 1,
            ..message(Kind::AppendResponse, 2, 1, 2)
        },
        true,
    );
    drain(&mut leader);
    leader.propose(b"x".to_vec()).unwrap();
    let output = drain(&mut leader);
    assert_eq!(kinds(&output), [Kind::Append]);
    assert!(output.persist.is_some());
    assert_eq!(leader.matched(MemberId(1)), Some(2));
}

#[test]
fn nobody_campaigns_with_an_unwritten_log() {
    let mut leader = member(1, &[1]);
    leader.tick(true);
    let first = drain(&mut leader).persist.unwrap();
    leader.persisted(first.ticket);
    drain(&mut leader);
    leader
        .propose_add_learner(MemberId(2), b"add".to_vec())
        .unwrap();
    let second = drain(&mut leader).persist.unwrap();
    leader.persisted(second.ticket);
    write_all(&mut leader);
    leader.propose(b"unwritten".to_vec()).unwrap();
    let third = drain(&mut leader).persist.unwrap();
    // A learner from a later term: the leader steps down with an entry under way.
    leader.step(&message(Kind::HeartbeatResponse, 2, 1, 7), true);
    let fourth = drain(&mut leader).persist.unwrap();
    for _ in 0..200 {
        leader.tick(true);
    }
    assert_eq!(leader.term(), 7);
    leader.persisted(third.ticket);
    leader.tick(true);
    assert_eq!(leader.role(), Role::Leader);
    assert_eq!(leader.term(), 8);
    leader.persisted(fourth.ticket);
    drain(&mut leader);
}

/// Member 1 of three, made leader of term 3 by member 2, with `entry` at index 2 of its log.
fn elected_with(entry: LogEntry) -> Consensus {
    let mut disk = founded(&[1, 2, 3]);
    disk.hard_state.term = 2;
    disk.entries.push(LogEntry {
        index: 2,
        term: 2,
        ..entry
    });
    let mut leader = Consensus::new(&settings(1, 1), &disk).unwrap();
    while leader.role() != Role::Candidate {
        leader.tick(true);
    }
    let pre = drain(&mut leader);
    assert_eq!(kinds(&pre), [Kind::RequestPreVote, Kind::RequestPreVote]);
    leader.step(&message(Kind::RequestPreVoteResponse, 2, 1, 3), true);
    write_all(&mut leader);
    leader.step(&message(Kind::RequestVoteResponse, 2, 1, 3), true);
    assert_eq!(leader.role(), Role::Leader);
    write_all(&mut leader);
    leader
}

fn write_all(consensus: &mut Consensus) -> Output {
    let mut output = drain(consensus);
    if let Some(batch) = &output.persist {
        consensus.persisted(batch.ticket);
        let after = drain(consensus);
        output.messages.extend(after.messages);
        output.committed.extend(after.committed);
    }
    output
}

fn acknowledged(index: u64) -> Message {
    Message {
        index,
        ..message(Kind::AppendResponse, 2, 1, 3)
    }
}

#[test]
fn a_leader_that_applies_its_own_removal_steps_down() {
    let mut removal = vec![3];
    removal.extend_from_slice(&1_u64.to_le_bytes());
    let mut leader = elected_with(LogEntry {
        kind: 1,
        data: removal,
        context: b"remove".to_vec(),
        ..LogEntry::default()
    });
    leader.step(&acknowledged(3), true);
    let output = write_all(&mut leader);
    assert_eq!(output.committed.len(), 2);
    assert_eq!(
        output.committed[0].change,
        Some(MemberChange::Remove(MemberId(1)))
    );
    assert_eq!(output.committed[0].data, b"remove");
    assert_eq!(leader.voters(), [MemberId(2), MemberId(3)]);
    assert_eq!(leader.role(), Role::Follower { leader: None });
    for _ in 0..500 {
        leader.tick(true);
    }
    assert_eq!(drain(&mut leader), Output::default());
}

#[test]
fn a_removal_counts_once_the_disk_knows_that_it_is_committed() {
    let mut removal = vec![3];
    removal.extend_from_slice(&3_u64.to_le_bytes());
    let mut leader = elected_with(LogEntry {
        kind: 1,
        data: removal,
        ..LogEntry::default()
    });
    leader.step(&acknowledged(3), true);
    let output = drain(&mut leader);
    assert_eq!(output.committed, []);
    assert_eq!(leader.voters().len(), 3);
    let batch = output.persist.unwrap();
    assert_eq!(batch.hard_state.unwrap().commit, 3);
    leader.persisted(batch.ticket);
    assert_eq!(drain(&mut leader).committed.len(), 2);
    assert_eq!(leader.voters(), [MemberId(1), MemberId(2)]);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_counts_nothing() {
    let mut leader = elected_with(LogEntry::default());
    leader.step(&acknowledged(50), true);
    assert_eq!(leader.matched(MemberId(2)), Some(0));
    assert_eq!(leader.commit_index(), 1);
    leader.step(&acknowledged(3), true);
    assert_eq!(leader.matched(MemberId(2)), Some(3));
    assert_eq!(leader.commit_index(), 3);
}

#[test]
fn a_promise_given_while_asking_holds() {
    let mut disk = founded(&[1, 2, 3]);
    disk.hard_state.term = 2;
    let mut member = Consensus::new(&settings(1, 1), &disk).unwrap();
    while member.role() != Role::Candidate {
        member.tick(true);
    }
    drain(&mut member);
    member.step(&message(Kind::RequestPreVoteResponse, 2, 1, 3), false);
    assert_eq!(member.term(), 2);
    assert_eq!(drain(&mut member), Output::default());
}
