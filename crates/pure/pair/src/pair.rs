//! One node of a pair: its state, what an event does to it, and what follows from the state.
//!
//! What the peer says is judged in `meeting`, what an operator wants in `operator`.

use crate::{
    event::{
        Alarm, BootId, Confirms, Contents, Effect, Event, FenceOutcome, Record, Refusal, Role,
        Session, Settings,
    },
    history::{Beginning, History, Relation, Side},
    planted::Planted,
    purpose::{Purpose, Shown},
};
use standfast_model::pair::{Arbiter, BootPolicy};

/// One node of a pair.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    pub(crate) settings: Settings,
    pub(crate) session: Session,
    /// What the disk has. The length in it is always the one that is told.
    pub(crate) record: Record,
    /// How many writes this node's copy has, as it was told last. Nothing else says so: a record that is taken over
    /// may be on the disk before the contents that it speaks of.
    pub(crate) length: u64,
    pub(crate) role: Role,
    /// The one write that is under way; what follows from it happens when the disk has it.
    pub(crate) writing: Option<(Purpose, Record)>,
    /// The run of the peer that spoke last, and its own count of meetings.
    pub(crate) heard: Option<(Session, u32)>,
    /// How many times another run of the peer was heard.
    pub(crate) meeting: u32,
    /// The peer knows this run of ours, and was not lost since.
    pub(crate) seen: bool,
    /// Each copy has what the other one lacks, as far as the peer has said.
    pub(crate) diverged: bool,
    /// The follower has said that it knows to be in sync.
    pub(crate) follower_knows: bool,
    /// This boot of the peer was confirmed off, and has not spoken since.
    pub(crate) fenced: Option<BootId>,
    /// Our lease as a leader, where the arbiter needs one.
    pub(crate) leased: bool,
    /// Number of the last question "may I lead?".
    pub(crate) asked: u32,
    /// A write of ours that the follower has to have before it is confirmed.
    pub(crate) unconfirmed: Option<u64>,
    /// An operator wants this node to lead.
    pub(crate) wants: bool,
    /// An operator wants the pair dissolved.
    pub(crate) teardown: bool,
    /// An earlier run of the agent led in this boot: that it leads again is not a boot policy's business.
    pub(crate) led_before: bool,
    /// What a primary runs was told to start.
    pub(crate) started: bool,
    /// It was told to stop, and that is not confirmed yet.
    pub(crate) stopping: bool,
    /// The fence that a generation under way rests on was voided.
    pub(crate) voided: bool,
    pub(crate) shown: Shown,
    pub(crate) effects: Vec<Effect>,
}

impl Pair {
    /// A node after a start of its agent, with what its disk has: the record, and how many writes. `running`: something
    /// of what only a primary runs outlived the last agent.
    #[must_use]
    pub fn start(
        settings: Settings,
        session: Session,
        (record, length): (Record, u64),
        running: bool,
    ) -> Self {
        let led_before = record.led_in == Some(session.boot);
        let alone = record.history.as_ref().is_some_and(|history| history.alone);
        let role = if record.dissolved {
            Role::Dissolved
        } else if led_before && alone {
            let (partner, confirms) = (None, Confirms::Alone);
            Role::Primary { partner, confirms }
        } else {
            Role::Waiting { ask: None }
        };
        Self {
            settings,
            session,
            record: record.measured(length),
            length,
            role,
            writing: None,
            heard: None,
            meeting: 0,
            seen: false,
            diverged: false,
            follower_knows: false,
            fenced: None,
            leased: false,
            asked: 0,
            unconfirmed: None,
            wants: false,
            teardown: false,
            led_before,
            started: running,
            stopping: false,
            voided: false,
            shown: Shown::default(),
            effects: Vec::new(),
        }
    }

    /// Takes one event and says what is to be done.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Word(word) => self.on_word(&word),
            Event::PeerLost => self.on_peer_lost(),
            Event::FenceDue => self.on_fence_due(),
            Event::Fenced(boot, outcome) => self.on_fenced(boot, outcome),
            Event::Expired => self.on_expired(),
            Event::Leased => self.leased = true,
            Event::LeaseOver => self.on_lease_over(),
            Event::PingGrant => self.on_ping_grant(),
            Event::Length(length) => self.on_length(length),
            Event::Persisted(length) => self.on_persisted(length),
            Event::Stopped => self.stopping = false,
            Event::Propose => self.on_propose(),
            Event::FailbackDue => self.on_failback_due(),
            Event::Operator(order) => self.on_order(order),
        }
        self.settle();
        std::mem::take(&mut self.effects)
    }

    /// Whether this node may run what only a primary runs.
    #[must_use]
    pub fn acts(&self) -> bool {
        match self.role {
            Role::Primary { confirms, .. } => confirms == Confirms::Alone || self.has_lease(),
            Role::Dissolved => self.record.keeps,
            Role::Waiting { .. }
            | Role::Following { .. }
            | Role::Claiming { .. }
            | Role::Rising
            | Role::Releasing { .. }
            | Role::Handing { .. } => false,
        }
    }

    /// Whether its right to act ends by itself with a lease: without that somebody else never waits for
    /// one, but for a fence or an operator.
    #[must_use]
    pub fn acts_by_lease(&self) -> bool {
        let alone = matches!(
            self.role,
            Role::Primary {
                confirms: Confirms::Alone,
                ..
            }
        );
        self.settings.arbiter == Arbiter::Ping && self.leased && !alone
    }

    pub(crate) fn has_lease(&self) -> bool {
        self.settings.arbiter != Arbiter::Ping || self.leased || self.bug(Planted::LeaseKept)
    }

    pub(crate) fn may_lead(&self) -> bool {
        self.settings.boot == BootPolicy::Automatic || self.wants || self.led_before
    }

    pub(crate) fn bug(&self, bug: Planted) -> bool {
        cfg!(feature = "planted") && self.settings.planted == Some(bug)
    }

    /// What follows from the state, whatever event led to it.
    fn settle(&mut self) {
        if let Role::Releasing { partner } = self.role
            && self.has_stopped()
        {
            self.become_(Role::Handing { partner });
        }
        if self.writing.is_none() && self.fenced.is_some() && self.fenced == self.lost_boot() {
            self.go_alone(Beginning::Alone);
        }
        let alone = matches!(
            self.role,
            Role::Primary {
                confirms: Confirms::Alone,
                ..
            }
        );
        if self.teardown && alone && !self.seen {
            // By right: whoever is not there stays out.
            self.dissolve(true);
        }
        let leads = matches!(
            self.role,
            Role::Primary { .. } | Role::Rising | Role::Releasing { .. }
        );
        if !leads && self.writing.is_none() && self.record.led_in.is_some() {
            let led_in = None;
            self.persist(
                Purpose::Mark,
                Record {
                    led_in,
                    ..self.record.clone()
                },
                Contents::Keep,
            );
        }
        if self.started && !self.acts() {
            self.started = false;
            self.stopping = true;
            self.effects.push(Effect::Stop);
        } else if !self.started && self.acts() && !self.stopping {
            self.started = true;
            self.effects.push(Effect::Start);
        }
    }

    /// Nothing of what a primary runs is left here.
    fn has_stopped(&self) -> bool {
        (!self.started && !self.stopping) || self.bug(Planted::HandedBeforeStop)
    }

    /// The boot of the peer that has to be off before this node may be alone.
    #[must_use]
    pub const fn lost_boot(&self) -> Option<BootId> {
        match self.role {
            Role::Claiming { leader, .. } => Some(leader.boot),
            Role::Primary {
                partner: Some(partner),
                confirms: Confirms::Nobody,
            } => Some(partner.boot),
            Role::Primary { .. }
            | Role::Waiting { .. }
            | Role::Following { .. }
            | Role::Rising
            | Role::Releasing { .. }
            | Role::Handing { .. }
            | Role::Dissolved => None,
        }
    }

    pub(crate) fn become_(&mut self, role: Role) {
        if self.role != role {
            self.shown.gave_up &= matches!(role, Role::Waiting { .. });
            self.role = role;
            self.effects.push(Effect::Speak);
        }
    }

    pub(crate) fn step_down(&mut self) {
        self.unconfirmed = None;
        self.become_(Role::Waiting { ask: None });
    }

    pub(crate) fn persist(&mut self, purpose: Purpose, record: Record, contents: Contents) {
        let record = if self.bug(Planted::LengthWithRecord) {
            record
        } else {
            record.measured(self.length)
        };
        self.effects.push(Effect::Persist(record.clone(), contents));
        if purpose.is_alone() && self.bug(Planted::AloneBeforeDisk) {
            self.writing = Some((Purpose::Mark, record.clone()));
            self.record = record;
            self.finish(purpose);
        } else {
            self.writing = Some((purpose, record));
        }
    }

    /// A new generation with this node as its leader.
    pub(crate) fn rise(&mut self, partner: Option<Session>, beginning: Beginning) {
        let Some(history) = self.begun(beginning) else {
            return;
        };
        let record = Record {
            history: Some(history),
            led_in: Some(self.session.boot),
            took_over: beginning != Beginning::Together,
            ..Record::default()
        };
        self.leased = false;
        self.voided = false;
        self.become_(Role::Rising);
        self.persist(Purpose::Rise { partner, beginning }, record, Contents::Keep);
    }

    /// The arbiter, or an operator, grants that this node is alone.
    pub(crate) fn go_alone(&mut self, beginning: Beginning) {
        self.voided = false;
        if !matches!(self.role, Role::Primary { .. }) {
            return self.rise(None, beginning);
        }
        let Some(history) = self.begun(beginning) else {
            return;
        };
        let record = Record {
            history: Some(history),
            ..self.record.clone()
        };
        self.persist(Purpose::GoAlone, record, Contents::Keep);
    }

    fn begun(&self, beginning: Beginning) -> Option<History> {
        let history = self.record.history.as_ref()?;
        if beginning == Beginning::Alone && self.bug(Planted::AloneWithoutGeneration) {
            return Some(history.clone());
        }
        Some(history.begun(self.settings.side, self.session.run, beginning))
    }

    /// This node's copy has so many writes now, whatever the record says about them.
    fn on_length(&mut self, length: u64) {
        self.length = length;
        self.record = std::mem::take(&mut self.record).measured(length);
    }

    fn on_persisted(&mut self, length: u64) {
        if let Some((purpose, record)) = self.writing.take() {
            let theirs = record.history.as_ref().map(|history| history.index);
            self.record = record;
            let adopts = matches!(purpose, Purpose::Adopt { .. });
            let as_written = theirs.filter(|_| adopts && self.bug(Planted::LengthWithRecord));
            self.on_length(as_written.unwrap_or(length));
            self.finish(purpose);
            self.effects.push(Effect::Speak);
        }
    }

    fn finish(&mut self, purpose: Purpose) {
        if purpose.is_alone() && self.voided {
            return self.step_down();
        }
        match purpose {
            Purpose::Rise { partner, .. } => {
                let confirms = if purpose.is_alone() {
                    Confirms::Alone
                } else {
                    Confirms::Nobody
                };
                if self.role == Role::Rising {
                    self.wants = false;
                    self.become_(Role::Primary { partner, confirms });
                }
            }
            Purpose::GoAlone => self.set_primary(None, Confirms::Alone),
            Purpose::EndAlone { partner } => self.set_primary(Some(partner), Confirms::Nobody),
            Purpose::Propose => self.after_propose(),
            Purpose::Adopt { leader } => self.after_adopt(leader),
            Purpose::Hold => {
                self.step_down();
                self.effects.push(Effect::Done);
            }
            Purpose::Dissolve => {
                self.become_(Role::Dissolved);
                self.effects.push(Effect::Done);
            }
            Purpose::Mark => {}
        }
    }

    /// Changes who has to have a write, if this node still leads.
    pub(crate) fn set_primary(&mut self, partner: Option<Session>, confirms: Confirms) {
        if !matches!(self.role, Role::Primary { .. }) {
            return;
        }
        self.become_(Role::Primary { partner, confirms });
        let confirmed = confirms != Confirms::Nobody;
        if let (true, Some(index)) = (confirmed, self.unconfirmed) {
            self.unconfirmed = None;
            self.effects.push(Effect::Confirm(index));
        }
    }

    fn on_propose(&mut self) {
        let Role::Primary { confirms, .. } = self.role else {
            return self.effects.push(Effect::Refuse(Refusal::ReadOnly));
        };
        let refusal = if self.writing.is_some() || self.unconfirmed.is_some() {
            Some(Refusal::Busy)
        } else if confirms == Confirms::Nobody {
            Some(Refusal::NoArbiter)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.effects.push(Effect::Refuse(refusal));
        }
        if self.record.history.is_some() {
            self.persist(Purpose::Propose, self.record.clone(), Contents::Append);
        }
    }

    fn after_propose(&mut self) {
        let Role::Primary { confirms, .. } = self.role else {
            return;
        };
        if confirms == Confirms::Alone || self.bug(Planted::ConfirmBeforePeer) {
            self.effects.push(Effect::Confirm(self.length));
        } else {
            self.unconfirmed = Some(self.length);
        }
    }

    fn on_peer_lost(&mut self) {
        self.seen = false;
        match self.role {
            Role::Waiting { .. } => {
                if self.bug(Planted::AloneAfterRestart) && self.writing.is_none() {
                    return self.rise(None, Beginning::Alone);
                }
                self.become_(Role::Waiting { ask: None });
            }
            Role::Following {
                leader, in_sync, ..
            } => {
                if in_sync || self.bug(Planted::AloneOutOfSync) {
                    self.become_(Role::Claiming {
                        leader,
                        expired: false,
                    });
                } else {
                    self.become_(Role::Waiting { ask: None });
                }
            }
            // The one that it was handed to may lead by now.
            Role::Handing { partner } => self.become_(Role::Claiming {
                leader: partner,
                expired: false,
            }),
            Role::Primary {
                partner: Some(partner),
                confirms,
            } if confirms != Confirms::Alone => {
                self.set_primary(Some(partner), Confirms::Nobody);
                if self.settings.arbiter == Arbiter::None && self.writing.is_none() {
                    self.go_alone(Beginning::Alone);
                }
            }
            Role::Primary { .. }
            | Role::Claiming { .. }
            | Role::Rising
            | Role::Releasing { .. }
            | Role::Dissolved => {}
        }
    }

    fn on_fence_due(&mut self) {
        if let (Arbiter::Fence, Some(boot), None) =
            (self.settings.arbiter, self.lost_boot(), self.fenced)
        {
            self.effects.push(Effect::Fence(boot));
        }
    }

    pub(crate) fn on_fenced(&mut self, boot: BootId, outcome: FenceOutcome) {
        let mut boot = boot;
        if let (true, Some(lost)) = (self.bug(Planted::AnyBootIsOff), self.lost_boot()) {
            boot = lost;
        }
        if outcome == FenceOutcome::Off || self.bug(Planted::FailedFenceIsOff) {
            // What a device said about another boot says nothing about this one.
            if self.lost_boot() == Some(boot) {
                self.fenced = Some(boot);
                self.shown.fence_failed = false;
            }
        } else if self.lost_boot() == Some(boot) {
            self.shown.fence_failed = true;
            self.effects.push(Effect::Alarm(Alarm::FenceFailed(boot)));
        }
    }

    fn on_expired(&mut self) {
        if let Role::Claiming { leader, .. } = self.role {
            self.become_(Role::Claiming {
                leader,
                expired: true,
            });
            let pings = self.settings.arbiter == Arbiter::Ping;
            if pings && self.bug(Planted::TargetsIgnored) && self.writing.is_none() {
                self.go_alone(Beginning::Alone);
            }
        }
    }

    fn on_lease_over(&mut self) {
        self.leased = false;
        let going_alone = matches!(self.writing, Some((Purpose::GoAlone, _)));
        let needs_it = match self.role {
            Role::Primary { confirms, .. } => confirms != Confirms::Alone,
            Role::Releasing { .. } => true,
            Role::Waiting { .. }
            | Role::Following { .. }
            | Role::Claiming { .. }
            | Role::Rising
            | Role::Handing { .. }
            | Role::Dissolved => false,
        };
        if self.settings.arbiter == Arbiter::Ping
            && needs_it
            && !going_alone
            && !self.bug(Planted::LeaseKept)
        {
            self.step_down();
            self.shown.gave_up = !self.seen;
        }
    }

    fn on_ping_grant(&mut self) {
        if self.settings.arbiter != Arbiter::Ping || self.writing.is_some() {
            return;
        }
        match self.role {
            Role::Claiming { expired, .. } => {
                if expired || self.bug(Planted::LeaseIgnored) {
                    self.go_alone(Beginning::Alone);
                }
            }
            Role::Primary { confirms, .. } => {
                if confirms == Confirms::Nobody && self.leased && !self.seen {
                    self.go_alone(Beginning::Alone);
                }
            }
            Role::Waiting { .. }
            | Role::Following { .. }
            | Role::Rising
            | Role::Releasing { .. }
            | Role::Handing { .. }
            | Role::Dissolved => {}
        }
    }

    fn on_failback_due(&mut self) {
        let preferred = self.settings.failback_to == Some(self.settings.side.other());
        if let (
            true,
            Role::Primary {
                partner: Some(partner),
                confirms: Confirms::Both,
            },
        ) = (preferred, self.role)
        {
            self.hand_over(partner);
        }
    }

    /// Hands over to a follower that knows it is in sync; otherwise whoever wants it asks again.
    pub(crate) fn hand_over(&mut self, partner: Session) -> bool {
        let ready = self.writing.is_none() && self.unconfirmed.is_none() && self.follower_knows;
        if ready {
            self.become_(Role::Releasing { partner });
        }
        ready
    }

    pub(crate) fn relation(&self, theirs: Option<&History>) -> Relation {
        let mine = self.record.history.as_ref();
        let relation = Relation::of(self.settings.side, mine, theirs);
        if relation != Relation::Diverged || !self.bug(Planted::NumberIsEnough) {
            return relation;
        }
        let newness = |history: Option<&History>| {
            history.and_then(|history| Some((history.last()?.number, history.index)))
        };
        match newness(mine).cmp(&newness(theirs)) {
            std::cmp::Ordering::Less => Relation::Behind,
            std::cmp::Ordering::Equal => Relation::Same,
            std::cmp::Ordering::Greater => Relation::Ahead,
        }
    }

    /// Which of the two this node is.
    #[must_use]
    pub const fn side(&self) -> Side {
        self.settings.side
    }
}
