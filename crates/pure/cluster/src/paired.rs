//! This node as one of a pair: who is the only voter of the log, and so who leads.
//!
//! Crate `pair` decides; here its effects are carried out with what the core has. The copy that it speaks of is
//! the log with the state: the primary is the only voter, the secondary a learner, and the index of a copy is the
//! last index of its log. What is about contents is in `adoption`, what others see of it in `pairing`.
//!
//! Level-triggered like the rest: `pair_on` compares what the pair wants with what is.

use crate::{adoption::Adoption, core::Core, pair_fencing::PairFence};
use standfast_consensus::Role as LogRole;
use standfast_model::{
    effect::{Batch, Level},
    event::Restored,
    id::NodeId,
    pair::PairConfig,
    planted::{PairPlanted, Planted},
    request::Response,
    state::ClusterState,
    time::{HoldUntil, Micros, Now},
};
use standfast_pair::{
    BootId, Confirms, Effect as Wanted, Event as Told, History, Pair, Planted as Bug, Record,
    Refusal, Role, Session, Settings, Side, Word,
    clock::{Clocked, Input, Output, Packet, failback_to},
};
use standfast_schedule::Facts;

/// A node of a pair.
#[derive(Debug)]
pub(crate) struct Paired {
    pub(crate) clocked: Clocked,
    pub(crate) peer: NodeId,
    /// What of the pair is being taken over, and with which log.
    pub(crate) adoption: Option<Adoption>,
    /// Everything in this node's log came from the leader that it follows, in this run of the agent.
    pub(crate) kept: bool,
    /// The last index that both nodes have on their disks, as a leader knows it.
    pub(crate) confirmed: u64,
    /// Answers that wait for that.
    pub(crate) answers: Vec<(u64, u64, Response)>,
    /// The peer's newest packet, to be judged again when this node's copy has grown.
    pub(crate) newest: Option<Packet>,
    /// What it said with it: nothing that a primary runs is left there.
    pub(crate) peer_is_idle: bool,
    /// How far this node's copy was when it spoke last.
    pub(crate) spoken: u64,
    pub(crate) fence: Option<PairFence>,
    pub(crate) fence_turn: u32,
    /// The boot of the lost primary whose power was looked at.
    pub(crate) looked: Option<BootId>,
    /// The state by which everything is well placed on its primary.
    pub(crate) judged: Option<u64>,
    /// The role that the rest of the core has been brought in line with.
    role: Option<Role>,
    /// What came of the order of an operator that is being carried out.
    pub(crate) outcome: Option<Result<(), Refusal>>,
    /// Who wants the pair dissolved, for the journal.
    pub(crate) ended_by: String,
    /// Who forced this node, for the journal; empty when an earlier run was asked to.
    pub(crate) forced_by: String,
}

impl Paired {
    /// What the peer has said last.
    pub(crate) fn newest_word(&self) -> Option<Word> {
        self.newest.as_ref().map(|packet| packet.word.clone())
    }
}

/// What the disk knows of a pair; nothing is of one that has ended. A record that cannot be read is one about which
/// nothing is known.
pub(crate) fn read_record(restored: &Restored) -> Option<Record> {
    let json = restored.pair.as_ref()?;
    serde_json::from_slice(json).unwrap_or_else(|_| Some(Record::default()))
}

/// Which of the two a node is.
fn side(config: &PairConfig, node: &NodeId) -> Option<Side> {
    let [first, second] = &config.nodes;
    if node == first {
        Some(Side::First)
    } else if node == second {
        Some(Side::Second)
    } else {
        None
    }
}

/// The other node.
pub(crate) fn peer_of<'c>(config: &'c PairConfig, node: &NodeId) -> &'c NodeId {
    let [first, second] = &config.nodes;
    if node == first { second } else { first }
}

/// The node that may not run anything because the other one of its pair is primary, with the sentence for it.
pub(crate) fn barred(state: &ClusterState, node: &NodeId) -> Option<String> {
    let pair = state.config.pair.as_ref()?;
    side(pair, node)?;
    let votes = |name: &NodeId| {
        let mut members = state.members.values();
        members.any(|info| info.node == *name && info.voter)
    };
    let primary = pair.nodes.iter().find(|name| votes(name))?;
    (primary != node).then(|| format!("{node} is the secondary, {primary} the primary"))
}

impl Core {
    /// Everything that a node of a pair does without being asked.
    pub(crate) fn pair_on(&mut self, now: Now) {
        self.begin_pair(now);
        if self.paired.is_none() {
            return;
        }
        self.configure_pair();
        self.expect_silence_of(now);
        self.look_again(now);
        self.tell_pair(now, Input::Tick);
        self.look_at_peer(now);
        self.tell_stopped(now);
        self.hand_over_before_leaving(now);
        self.leave_unfit_primary(now);
        self.give_up_adoption();
        self.follow_role(now);
        self.end_pair(now);
        self.note_fence(now);
        self.release_answers();
    }

    fn configure_pair(&mut self) {
        let Some(config) = &self.state.config.pair else {
            return;
        };
        // What may not change its place by an order does not by itself, either; and whoever waits for an answer gets it first.
        let mut calm = None;
        let awaited = self
            .paired
            .as_ref()
            .is_some_and(|paired| !paired.answers.is_empty());
        if config.failback && (awaited || self.may_swap().is_err()) {
            let failback = false;
            calm = Some(PairConfig {
                failback,
                ..config.clone()
            });
        }
        if let Some(paired) = &mut self.paired {
            paired.clocked.configure(calm.as_ref().unwrap_or(config));
        }
    }

    /// Two members make a pair.
    fn begin_pair(&mut self, now: Now) {
        if self.paired.is_some() || self.pair_begins {
            return;
        }
        let Some(config) = self.state.config.pair.clone() else {
            return self.forget_pair();
        };
        let Some(side) = side(&config, &self.node) else {
            return;
        };
        if !self.voter.takes_part() {
            return;
        }
        if let Some(record) = self.pair_record.take() {
            return self.start_pair(now, record);
        }
        let there = |node: &NodeId| self.state.members.values().any(|info| info.node == *node);
        if !config.nodes.iter().all(there) {
            return;
        }
        if !self.consensus.voters().contains(&self.member) {
            // A copy without a record came from a leader; nothing is known about it by itself.
            return self.start_pair(now, Record::default());
        }
        let mut history = History::new(side, self.incarnation);
        history.index = self.consensus.last_index();
        history.alone = true;
        let record = Record {
            history: Some(history),
            led_in: Some(self.boot),
            ..Record::default()
        };
        self.pair_begins = true;
        self.write_record(record.clone());
        self.pair_record = Some(record);
    }

    fn start_pair(&mut self, now: Now, record: Record) {
        let Some(config) = self.state.config.pair.clone() else {
            return;
        };
        let Some(side) = side(&config, &self.node) else {
            return;
        };
        let settings = Settings {
            side,
            arbiter: config.arbiter,
            boot: config.boot,
            failback_to: failback_to(&config),
            by_log: true,
            planted: self.pair_bug(),
        };
        let session = Session {
            boot: self.boot,
            run: self.incarnation,
        };
        let length = self.consensus.last_persisted();
        let pair = Pair::start(settings, session, (record, length), false);
        let peer = peer_of(&config, &self.node).clone();
        let random = self.seed ^ self.incarnation.0;
        let budget = self.timing().stop_budget;
        self.paired = Some(Box::new(Paired {
            clocked: Clocked::new(pair, config, budget, random, now),
            peer,
            adoption: None,
            kept: false,
            confirmed: 0,
            answers: Vec::new(),
            newest: None,
            peer_is_idle: false,
            spoken: 0,
            fence: None,
            fence_turn: 0,
            looked: None,
            judged: None,
            role: None,
            outcome: None,
            ended_by: String::new(),
            forced_by: String::new(),
        }));
    }

    fn pair_bug(&self) -> Option<Bug> {
        let bugs = [
            (PairPlanted::FailedFence, Bug::FailedFenceIsOff),
            (PairPlanted::HandsRunning, Bug::HandedBeforeStop),
            (PairPlanted::AloneAfterRestart, Bug::AloneAfterRestart),
            (PairPlanted::TargetsIgnored, Bug::TargetsIgnored),
            (PairPlanted::LeaseKept, Bug::LeaseKept),
        ];
        let mut bugs = bugs.into_iter();
        let known = bugs.find(|(bug, _)| self.planted(Planted::Pair(*bug)));
        known.map(|(_, bug)| bug)
    }

    pub(crate) fn write_record(&mut self, record: Record) {
        let batch = Batch {
            pair: serde_json::to_vec(&record).ok(),
            ..Batch::default()
        };
        let effect = self.disk.write(batch, None);
        self.out.extend(effect);
    }

    /// A write of the pair is durable.
    pub(crate) fn pair_stored(&mut self, now: Now) {
        if self.pair_begins {
            self.pair_begins = false;
            if let Some(record) = self.pair_record.take() {
                self.start_pair(now, record);
            }
            return;
        }
        self.finish_adoption(now);
        let length = self.copy_index();
        self.step_pair(now, Input::Event(Told::Persisted(length)));
    }

    /// How far this node's copy is: what a leader has, and what a follower has on its disk.
    pub(crate) fn copy_index(&self) -> u64 {
        match self
            .paired
            .as_ref()
            .and_then(|paired| paired.adoption.as_ref())
        {
            Some(adoption) => adoption.index_before,
            None if self.pair_leads() => self.consensus.last_index(),
            None => self.consensus.last_persisted(),
        }
    }

    /// The pair is told how long the copy is before anything else.
    pub(crate) fn tell_pair(&mut self, now: Now, input: Input) {
        self.tell_length(now);
        self.step_pair(now, input);
    }

    pub(crate) fn tell_length(&mut self, now: Now) {
        let length = self.copy_index();
        let paired = self.paired.as_ref();
        if paired.is_some_and(|paired| paired.clocked.pair().length() != length) {
            self.step_pair(now, Input::Event(Told::Length(length)));
        }
    }

    fn step_pair(&mut self, now: Now, input: Input) {
        let Some(paired) = &mut self.paired else {
            return;
        };
        for output in paired.clocked.step(now, input) {
            match output {
                Output::Send(packet) => self.send_word(&packet),
                Output::Do(wanted) => self.carry_pair(now, wanted),
                Output::Ping(round) => self.ask_targets(round),
            }
        }
    }

    /// The one match over what the pair wants.
    fn carry_pair(&mut self, now: Now, wanted: Wanted) {
        match wanted {
            Wanted::Persist(record, contents) => self.persist_pair(now, record, contents),
            // Leases follow the role, see `follow_role`.
            Wanted::Start => {}
            Wanted::Stop => self.stop_for_pair(now),
            Wanted::Fence(boot) => self.fence_peer(now, boot),
            // Writes are confirmed by index, see `release_answers`.
            Wanted::Confirm(_) | Wanted::Speak => {}
            Wanted::Alarm(alarm) => self.pair_alarm(alarm),
            Wanted::Refuse(refusal) => {
                if let Some(paired) = &mut self.paired {
                    paired.outcome = Some(Err(refusal));
                }
            }
            Wanted::Done => {
                if let Some(paired) = &mut self.paired {
                    paired.outcome = Some(Ok(()));
                }
            }
        }
    }

    /// What may run only on a primary ends here. A planned hand-over stops it by the plan, under its leases; anything
    /// else ends the leases at once.
    fn stop_for_pair(&mut self, now: Now) {
        if matches!(self.pair_role(), Some(Role::Releasing { .. })) {
            return;
        }
        let held: Vec<_> = self
            .holder
            .leases()
            .map(|(id, lease)| (id.clone(), *lease))
            .collect();
        for (resource, mut lease) in held {
            lease.until = HoldUntil {
                from: now,
                length: Micros::ZERO,
            };
            self.holder.replace(&resource, lease);
        }
        self.local_due = None;
        self.look = true;
    }

    fn tell_stopped(&mut self, now: Now) {
        let Some(paired) = &self.paired else { return };
        if !paired.clocked.pair().is_stopping() || !self.holder.learned {
            return;
        }
        let runs = self.locals.values().any(|local| local.phase.may_run());
        let releasing = matches!(self.pair_role(), Some(Role::Releasing { .. }));
        // The next primary finds in its copy that nothing is held here any more.
        let holds = releasing
            && (self
                .state
                .may_hold
                .values()
                .any(|nodes| nodes.contains(&self.node))
                || self.consensus.last_index() != self.state.applied);
        if !runs && !holds {
            self.tell_pair(now, Input::Event(Told::Stopped));
        }
    }

    /// An agent that is told to end hands over first.
    fn hand_over_before_leaving(&mut self, now: Now) {
        let ready = matches!(
            self.pair_role(),
            Some(Role::Primary {
                confirms: Confirms::Both,
                ..
            })
        );
        if self.ending.leave_asked.is_some() && ready && self.may_swap().is_ok() {
            self.tell_pair(
                now,
                Input::Event(Told::Operator(standfast_pair::Order::Swap)),
            );
            if let Some(paired) = &mut self.paired {
                paired.outcome = None;
            }
        }
    }

    /// The other one of a pair takes over, and needs this agent until it has.
    pub(crate) fn hands_over(&self) -> bool {
        match self.pair_role() {
            Some(Role::Primary { confirms, .. }) => confirms == Confirms::Both,
            Some(Role::Releasing { .. } | Role::Handing { .. }) => true,
            Some(
                Role::Waiting { .. }
                | Role::Following { .. }
                | Role::Claiming { .. }
                | Role::Rising
                | Role::Dissolved,
            )
            | None => false,
        }
    }

    /// The rest of the core follows the role: who stands for election, and whether leases are given.
    fn follow_role(&mut self, now: Now) {
        let leads = self.pair_leads();
        let goes_on = self.planted(Planted::Pair(PairPlanted::GrantsAlways));
        if !leads && !goes_on && !matches!(self.consensus.role(), LogRole::Follower { .. }) {
            self.consensus.resign();
            self.lead_on(now);
        }
        let role = self.pair_role();
        let grants = self.pair_grants();
        let Some(paired) = &mut self.paired else {
            return;
        };
        if !leads {
            // Whether the next primary has what they are about is not known here.
            paired.answers.clear();
        }
        let changed = paired.role != role;
        if changed {
            paired.role = role;
            self.republish = true;
            self.look = true;
            self.local_due = None;
        }
        if let Some(lead) = &mut self.lead {
            lead.barred = !grants;
            if changed {
                lead.decided_at = None;
                lead.look = true;
            }
        }
        if changed {
            let text = self.pair_sentence();
            // Where one hears the other and is not heard, these two follow each other all the time.
            let level = match role {
                Some(Role::Waiting { .. } | Role::Following { in_sync: false, .. }) => Level::Debug,
                Some(
                    Role::Following { .. }
                    | Role::Claiming { .. }
                    | Role::Rising
                    | Role::Primary { .. }
                    | Role::Releasing { .. }
                    | Role::Handing { .. }
                    | Role::Dissolved,
                )
                | None => Level::Info,
            };
            self.log(level, format!("pair: {text}"));
        }
    }

    /// A primary that hands over stops everything by a plan that gives it nothing.
    pub(crate) fn bar_for_hand_over(&self, facts: &mut Facts<'_>) {
        if let (Some(Role::Releasing { .. }), Some(paired)) = (self.pair_role(), &self.paired)
            && let Some(own) = facts.nodes.get_mut(&self.node)
        {
            own.barred = Some(format!("{} hands over to {}", self.node, paired.peer));
        }
    }

    pub(crate) fn pair_role(&self) -> Option<Role> {
        let paired = self.paired.as_ref()?;
        Some(paired.clocked.pair().role())
    }

    /// Whether this node is the one that may lead the log. True outside of a pair.
    pub(crate) fn pair_leads(&self) -> bool {
        match self.pair_role() {
            Some(Role::Primary { .. } | Role::Releasing { .. } | Role::Handing { .. }) => true,
            Some(
                Role::Waiting { .. }
                | Role::Following { .. }
                | Role::Claiming { .. }
                | Role::Rising,
            ) => false,
            Some(Role::Dissolved) => self.outlives_pair(),
            // One that has been of a pair leads nothing before it knows more.
            None => {
                let record = self.pair_record.as_ref();
                record.is_none_or(|record| record.keeps) || self.pair_begins
            }
        }
    }

    /// Whether a leader may give leases.
    fn pair_grants(&self) -> bool {
        let Some(paired) = &self.paired else {
            return true;
        };
        let pair = paired.clocked.pair();
        pair.acts()
            || matches!(pair.role(), Role::Releasing { .. })
            || self.planted(Planted::Pair(PairPlanted::GrantsAlways))
    }

    /// Whether this node may ask for leases: of a pair only the primary runs anything. Its leader may still have the plan of
    /// before, in which this one was the primary.
    pub(crate) fn pair_holds(&self) -> bool {
        match self.pair_role() {
            None | Some(Role::Primary { .. } | Role::Releasing { .. }) => true,
            Some(Role::Dissolved) => self.outlives_pair(),
            Some(
                Role::Waiting { .. }
                | Role::Following { .. }
                | Role::Claiming { .. }
                | Role::Rising
                | Role::Handing { .. },
            ) => self.planted(Planted::Pair(PairPlanted::GrantsAlways)),
        }
    }

    /// Nothing is added to the log of a node that hands over: its successor has to have all of it.
    pub(crate) fn log_is_closed(&self) -> bool {
        matches!(self.pair_role(), Some(Role::Handing { .. }))
    }

    /// An agent of the other one restarts as planned: that is no loss.
    pub(crate) fn expect_silence_of(&mut self, now: Now) {
        let drift = self.wait_drift();
        let Some(paired) = &mut self.paired else {
            return;
        };
        let Some(grant) = self.state.restart_grants.get(&paired.peer) else {
            paired.clocked.expect_nothing();
            return;
        };
        let length = grant.length.stretched(drift);
        paired.clocked.expect_silence(grant.index, now, length);
    }

    pub(crate) fn next_pair(&self, now: Now) -> Micros {
        let paired = self.paired.as_ref();
        paired.map_or(Micros::MAX, |paired| paired.clocked.next_tick(now))
    }
}
