//! Members with disks and a network, in ticks of 25 ms. Checks at every step that there is one leader a
//! term and one history of committed commands.

use crate::{Consensus, MemberChange, Output, Persist, Refusal, Role, Settings};
use prost::Message as _;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use standfast_model::{
    event::Restored,
    id::MemberId,
    message::{Consensus as Message, LogSnapshot},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(super) const HEARTBEAT: u32 = 4;
pub(super) const ELECTION: u32 = 40;

pub(super) fn settings(member: u64, seed: u64) -> Settings {
    Settings {
        member: MemberId(member),
        election_min_ticks: ELECTION,
        election_max_ticks: 52,
        heartbeat_ticks: HEARTBEAT,
        seed: seed.wrapping_mul(1000).wrapping_add(member),
    }
}

/// What `init` writes, for several founders.
pub(super) fn founded(voters: &[u64]) -> Restored {
    Restored {
        snapshot: Some(LogSnapshot {
            index: 1,
            term: 1,
            voters: voters.to_vec(),
            ..LogSnapshot::default()
        }),
        ..Restored::default()
    }
}

/// A batch becomes durable.
pub(super) fn write(disk: &mut Restored, batch: Persist) {
    if let Some(hard_state) = batch.hard_state {
        disk.hard_state = hard_state;
    }
    if let Some(snapshot) = batch.snapshot {
        disk.entries.retain(|entry| entry.index > snapshot.index);
        disk.snapshot = Some(snapshot);
    }
    if let Some(first) = batch.entries.first() {
        let first = first.index;
        disk.entries.retain(|entry| entry.index < first);
        disk.entries.extend(batch.entries);
    }
}

pub(super) struct Host {
    pub(super) consensus: Option<Consensus>,
    pub(super) disk: Restored,
    /// Batches under way and when they are durable.
    writing: VecDeque<(u64, Persist)>,
    /// How long a write takes, ticks.
    pub(super) fsync: u64,
    /// Commands applied, by index.
    pub(super) state: BTreeMap<u64, Vec<u8>>,
    pub(super) may_vote: bool,
    pub(super) installed: u32,
}

impl Host {
    fn finish_writes(&mut self, now: u64) {
        let done = self.writing.partition_point(|(at, _)| *at <= now);
        for (_, batch) in self.writing.drain(..done) {
            let ticket = batch.ticket;
            write(&mut self.disk, batch);
            if let Some(consensus) = self.consensus.as_mut() {
                consensus.persisted(ticket);
            }
        }
    }
}

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) now: u64,
    pub(super) hosts: BTreeMap<u64, Host>,
    flying: Vec<(u64, Message)>,
    pub(super) random: ChaCha8Rng,
    /// Per mille.
    pub(super) loss: u64,
    /// Longest, ticks.
    pub(super) delay: u64,
    /// Cut links, one way.
    pub(super) cut: BTreeSet<(u64, u64)>,
    pub(super) leaders: BTreeMap<u64, u64>,
    pub(super) history: BTreeMap<u64, (u64, Vec<u8>)>,
    pub(super) trace: Vec<String>,
    pub(super) sent: u64,
    /// Snapshot after so many applied entries.
    pub(super) compact_after: u64,
}

impl World {
    pub(super) fn new(seed: u64, founders: &[u64]) -> Self {
        let mut world = Self {
            seed,
            now: 0,
            hosts: BTreeMap::new(),
            flying: Vec::new(),
            random: ChaCha8Rng::seed_from_u64(seed),
            loss: 0,
            delay: 1,
            cut: BTreeSet::new(),
            leaders: BTreeMap::new(),
            history: BTreeMap::new(),
            trace: Vec::new(),
            sent: 0,
            compact_after: u64::MAX,
        };
        for id in founders {
            world.add(*id, founded(founders));
        }
        world
    }

    pub(super) fn add(&mut self, id: u64, disk: Restored) {
        self.hosts.insert(
            id,
            Host {
                consensus: None,
                disk,
                writing: VecDeque::new(),
                fsync: 1,
                state: BTreeMap::new(),
                may_vote: true,
                installed: 0,
            },
        );
        self.start(id);
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.random.next_u64() % limit
    }

    pub(super) fn start(&mut self, id: u64) {
        let seed = self.seed;
        let host = self.hosts.get_mut(&id).unwrap();
        assert!(host.consensus.is_none());
        let consensus = Consensus::new(&settings(id, seed), &host.disk).unwrap();
        host.state = host
            .disk
            .snapshot
            .as_ref()
            .map_or_else(BTreeMap::new, |snapshot| decoded(&snapshot.data));
        host.consensus = Some(consensus);
        self.pump(id);
    }

    /// Power off: what was being written is lost, or is not.
    pub(super) fn crash(&mut self, id: u64) {
        let survive = self.below(4);
        let host = self.hosts.get_mut(&id).unwrap();
        host.consensus = None;
        let writing = std::mem::take(&mut host.writing);
        for (_, batch) in writing.into_iter().take(survive.try_into().unwrap()) {
            write(&mut host.disk, batch);
        }
    }

    pub(super) fn of(&self, id: u64) -> &Consensus {
        self.hosts[&id].consensus.as_ref().unwrap()
    }

    pub(super) fn is_up(&self, id: u64) -> bool {
        self.hosts[&id].consensus.is_some()
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.hosts.keys().copied().collect()
    }

    /// The leader of the highest term among the living.
    pub(super) fn leader(&self) -> Option<u64> {
        self.hosts
            .iter()
            .filter_map(|(id, host)| Some((host.consensus.as_ref()?, *id)))
            .filter(|(consensus, _)| consensus.role() == Role::Leader)
            .max_by_key(|(consensus, _)| consensus.term())
            .map(|(_, id)| id)
    }

    pub(super) fn act<T>(&mut self, id: u64, act: impl FnOnce(&mut Consensus) -> T) -> T {
        let consensus = self.hosts.get_mut(&id).unwrap().consensus.as_mut().unwrap();
        let result = act(consensus);
        self.pump(id);
        result
    }

    pub(super) fn propose(&mut self, text: &str) -> Result<(), Refusal> {
        let leader = self.leader().ok_or(Refusal::NotLeader)?;
        self.act(leader, |consensus| consensus.propose(text.into()))
    }

    pub(super) fn run(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.tick();
        }
    }

    /// Run until it holds, which must be within so many ticks.
    pub(super) fn until(&mut self, ticks: u64, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let end = self.now + ticks;
        while !holds(self) {
            assert!(self.now < end, "seed {}: never {what}", self.seed);
            self.tick();
        }
    }

    pub(super) fn has(&self, id: u64, text: &str) -> bool {
        self.hosts[&id]
            .state
            .values()
            .any(|data| data == text.as_bytes())
    }

    fn tick(&mut self) {
        self.now += 1;
        let now = self.now;
        let due: Vec<Message> = self
            .flying
            .extract_if(.., |(at, _)| *at <= now)
            .map(|(_, message)| message)
            .collect();
        for message in due {
            self.deliver(&message);
        }
        for id in self.ids() {
            let host = self.hosts.get_mut(&id).unwrap();
            host.finish_writes(now);
            let may_vote = host.may_vote;
            if let Some(consensus) = host.consensus.as_mut() {
                consensus.tick(may_vote);
                self.pump(id);
            }
        }
    }

    fn deliver(&mut self, message: &Message) {
        if self.cut.contains(&(message.from, message.to)) {
            return;
        }
        let Some(host) = self.hosts.get_mut(&message.to) else {
            return;
        };
        let may_vote = host.may_vote;
        if let Some(consensus) = host.consensus.as_mut() {
            consensus.step(message, may_vote);
            self.pump(message.to);
        }
    }

    /// Carry out what a member wants.
    fn pump(&mut self, id: u64) {
        loop {
            let host = self.hosts.get_mut(&id).unwrap();
            let Some(consensus) = host.consensus.as_mut() else {
                return;
            };
            let Some(output) = consensus.take_output() else {
                break;
            };
            self.carry_out(id, output);
        }
        self.compact(id);
        let consensus = self.of(id);
        if consensus.role() == Role::Leader {
            let earlier = *self.leaders.entry(consensus.term()).or_insert(id);
            let (term, seed) = (self.of(id).term(), self.seed);
            assert_eq!(earlier, id, "seed {seed}: two leaders in term {term}");
        }
    }

    fn carry_out(&mut self, id: u64, output: Output) {
        self.trace
            .push(format!("{} {id} {}", self.now, brief(&output)));
        for message in output.messages {
            self.send(message);
        }
        let host = self.hosts.get_mut(&id).unwrap();
        if let Some(batch) = output.persist {
            // One disk, one write after the other.
            let start = host.writing.back().map_or(self.now, |(at, _)| *at);
            host.writing.push_back((start + host.fsync, batch));
        }
        if let Some(snapshot) = output.installed {
            let state = decoded(&snapshot.data);
            let truth: BTreeMap<u64, Vec<u8>> = self
                .history
                .range(..=snapshot.index)
                .map(|(index, (_, data))| (*index, data.clone()))
                .collect();
            assert_eq!(state, truth, "seed {}: wrong snapshot", self.seed);
            host.state = state;
            host.installed += 1;
        }
        for entry in output.committed {
            let seen = (entry.term, entry.data.clone());
            let truth = self
                .history
                .entry(entry.index)
                .or_insert_with(|| seen.clone());
            assert_eq!(*truth, seen, "seed {}: index {}", self.seed, entry.index);
            let last = host.state.last_key_value().map_or(1, |(index, _)| *index);
            assert_eq!(
                entry.index,
                last + 1,
                "seed {}: host {id}: a gap",
                self.seed
            );
            host.state.insert(entry.index, entry.data);
        }
    }

    fn send(&mut self, message: Message) {
        self.sent += 1;
        let lost = self.below(1000) < self.loss;
        let twice = self.below(1000) < self.loss / 4;
        let at = self.now + 1 + self.below(self.delay);
        // What travels is bytes.
        let message = Message::decode(message.encode_to_vec().as_slice()).unwrap();
        if twice {
            self.flying.push((at + self.delay, message.clone()));
        }
        if !lost {
            self.flying.push((at, message));
        }
    }

    fn compact(&mut self, id: u64) {
        let limit = self.compact_after;
        let host = self.hosts.get_mut(&id).unwrap();
        let Some(consensus) = host.consensus.as_mut() else {
            return;
        };
        if consensus.wants_snapshot() || consensus.applied_since_snapshot() >= limit {
            let index = consensus.applied_index();
            if let Some(snapshot) = consensus.compact(index, encoded(&host.state)) {
                // On the disk behind what is being written already.
                let at = host.writing.back().map_or(self.now, |(at, _)| *at);
                let batch = Persist {
                    ticket: 0,
                    hard_state: None,
                    entries: Vec::new(),
                    snapshot: Some(snapshot),
                };
                host.writing.push_back((at, batch));
            }
        }
    }

    /// Propose a change of members and wait until it is in force everywhere among the living.
    pub(super) fn change(&mut self, change: MemberChange) {
        self.until(400, "a leader for a change", |world| {
            world.leader().is_some()
        });
        let leader = self.leader().unwrap();
        let command = format!("{change:?}").into_bytes();
        self.act(leader, |consensus| match change {
            MemberChange::AddLearner(member) => consensus.propose_add_learner(member, command),
            MemberChange::Promote(member) => consensus.propose_promote(member, command),
            MemberChange::Remove(member) => consensus.propose_remove(member, command),
        })
        .unwrap();
        let text = format!("{change:?}");
        self.until(200, &text, |world| world.has(leader, &text));
    }
}

fn brief(output: &Output) -> String {
    let messages: Vec<String> = output
        .messages
        .iter()
        .map(|m| format!("{}>{} t{} i{}", m.kind, m.to, m.term, m.index))
        .collect();
    let committed: Vec<u64> = output.committed.iter().map(|entry| entry.index).collect();
    let persist = output
        .persist
        .as_ref()
        .map(|batch| (batch.ticket, batch.hard_state, batch.entries.len()));
    format!("{messages:?} {persist:?} {committed:?}")
}

fn encoded(state: &BTreeMap<u64, Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, data) in state {
        bytes.extend_from_slice(&index.to_le_bytes());
        bytes.extend_from_slice(&u64::try_from(data.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(data);
    }
    bytes
}

fn decoded(mut bytes: &[u8]) -> BTreeMap<u64, Vec<u8>> {
    let mut state = BTreeMap::new();
    while !bytes.is_empty() {
        let index = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        let length = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
        let end = 16 + usize::try_from(length).unwrap();
        state.insert(index, bytes[16..end].to_vec());
        bytes = &bytes[end..];
    }
    state
}
