//! Messages that nobody of ours sends: mutated, misdirected, forged. Whatever they say, no panic.

use super::world::{founded, settings, write};
use crate::{Consensus, wire::Kind};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use standfast_model::{
    event::Restored,
    id::MemberId,
    message::{Consensus as Message, LogEntry, LogSnapshot},
};
use std::collections::VecDeque;

fn pick(random: &mut ChaCha8Rng, choices: &[u64]) -> u64 {
    let at = random.next_u64() % u64::try_from(choices.len()).unwrap();
    choices[usize::try_from(at).unwrap()]
}

fn number(random: &mut ChaCha8Rng, near: u64) -> u64 {
    let small = random.next_u64() % 12;
    let around = (near + random.next_u64() % 5).saturating_sub(2);
    pick(
        random,
        &[small, around, around, near, u64::MAX, u64::MAX / 4, 0],
    )
}

fn entries(random: &mut ChaCha8Rng, after: u64, term: u64) -> Vec<LogEntry> {
    let mut entries = Vec::new();
    let mut index = after;
    for _ in 0..random.next_u64() % 4 {
        index = index.wrapping_add(pick(random, &[1, 1, 1, 1, 1, 1, 2]));
        let kind = u32::try_from(pick(random, &[0, 0, 1, 9])).unwrap();
        let member = pick(random, &[1, 2, 3, 4, 0]);
        let mut data = vec![u8::try_from(pick(random, &[1, 2, 3, 9])).unwrap()];
        data.extend_from_slice(&member.to_le_bytes());
        entries.push(LogEntry {
            index,
            term: pick(random, &[term, term, term, term.wrapping_sub(1), 0]),
            kind,
            data,
            context: b"{}".to_vec(),
        });
    }
    entries
}

fn forged(random: &mut ChaCha8Rng, me: &Consensus) -> Message {
    let term = number(random, me.term() + 1);
    let index = number(random, me.last_index());
    let kind = i32::try_from(random.next_u64() % 12).unwrap();
    let snapshot =
        (kind == Kind::Snapshot.number() || random.next_u64().is_multiple_of(20)).then(|| {
            LogSnapshot {
                index: number(random, me.last_index()),
                term: number(random, me.term()),
                voters: (1..=random.next_u64() % 5).collect(),
                learners: vec![pick(random, &[4, 5, 6, 0])],
                data: Vec::new(),
            }
        });
    let carries = kind == Kind::Append.number() || random.next_u64().is_multiple_of(20);
    Message {
        kind,
        to: pick(random, &[1, 1, 1, 1, 1, 1, 1, 2]),
        from: pick(random, &[1, 2, 2, 2, 3, 3, 3, 4, 5, 0]),
        term,
        log_term: number(random, me.term()),
        index,
        entries: if carries {
            entries(random, index, term)
        } else {
            Vec::new()
        },
        commit: number(random, me.commit_index()),
        commit_term: number(random, me.term()),
        snapshot,
        request_snapshot: pick(random, &[0, 0, 0, 0, 0, index]),
        reject: random.next_u64().is_multiple_of(2),
        reject_hint: number(random, me.last_index()),
        context: if random.next_u64().is_multiple_of(4) {
            b"CampaignTransfer".to_vec()
        } else {
            Vec::new()
        },
    }
}

/// What a caller does; writes are sometimes left to wait.
fn pump(
    me: &mut Consensus,
    disk: &mut Restored,
    random: &mut ChaCha8Rng,
    writing: &mut VecDeque<crate::Persist>,
) {
    while let Some(output) = me.take_output() {
        writing.extend(output.persist);
    }
    while !writing.is_empty() && random.next_u64().is_multiple_of(3) {
        let batch = writing.pop_front().unwrap();
        let ticket = batch.ticket;
        write(disk, batch);
        me.persisted(ticket);
        if random.next_u64().is_multiple_of(2) {
            drop(me.take_output());
        }
    }
}

fn local(me: &mut Consensus, random: &mut ChaCha8Rng) {
    let member = MemberId(random.next_u64() % 7);
    match random.next_u64() % 12 {
        0 => drop(me.propose(b"x".to_vec())),
        1 => me.transfer(member),
        2 => drop(me.propose_add_learner(member, b"a".to_vec())),
        3 => drop(me.propose_promote(member, b"p".to_vec())),
        4 => drop(me.propose_remove(member, b"r".to_vec())),
        5 => drop(me.compact(me.applied_index(), b"s".to_vec())),
        6 => {
            for _ in 0..60 {
                me.tick(true);
            }
        }
        7 => drop(me.compact(me.last_index(), b"s".to_vec())),
        8 => me.persisted(random.next_u64() % 3),
        _ => me.tick(random.next_u64().is_multiple_of(2)),
    }
}

fn run(seed: u64) -> (u32, u32) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let founders: Vec<u64> = (1..=1 + seed % 3).collect();
    let mut disk = if seed % 7 == 6 {
        Restored::default()
    } else {
        founded(&founders)
    };
    let mut me = Consensus::new(&settings(1, seed), &disk).unwrap();
    let mut writing = VecDeque::new();
    let (mut led, mut restarted) = (0, 0);
    for _ in 0..3000 {
        if random.next_u64().is_multiple_of(4) {
            local(&mut me, &mut random);
        } else {
            let message = forged(&mut random, &me);
            me.step(&message, !random.next_u64().is_multiple_of(8));
        }
        if random.next_u64().is_multiple_of(2) {
            pump(&mut me, &mut disk, &mut random, &mut writing);
        }
        led += u32::from(me.role() == crate::Role::Leader);
        if random.next_u64().is_multiple_of(200) {
            writing.clear();
            // Forgeries may have led to a disk that does not fit together: then it is refused.
            if let Ok(again) = Consensus::new(&settings(1, seed), &disk) {
                me = again;
                restarted += 1;
            } else {
                disk = founded(&founders);
                me = Consensus::new(&settings(1, seed), &disk).unwrap();
            }
        }
    }
    (led, restarted)
}

#[test]
fn garbage_does_not_panic() {
    let mut total = (0, 0);
    for seed in 0..200 {
        let (led, restarted) = run(seed);
        total = (total.0 + led, total.1 + restarted);
    }
    // Otherwise the test would not have been where it hurts.
    assert!(total.0 > 10_000, "leading only {} steps", total.0);
    assert!(total.1 > 100, "restarted only {} times", total.1);
}
