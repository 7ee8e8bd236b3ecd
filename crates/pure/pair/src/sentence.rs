//! How the pair is, as one plain sentence: a function of one node's state, and exactly one at any time.

use crate::{
    event::{Confirms, Role},
    history::Side,
    pair::Pair,
};
use standfast_model::pair::Arbiter;

/// The states that are told apart. The first five are the classic ones of an appliance pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Both are there and in sync.
    Normal,
    /// The primary goes on alone.
    SecondaryDown,
    /// The primary is not seen, and nobody took over yet.
    PrimaryDown,
    /// The secondary took over and is alone.
    TookOver,
    /// The secondary took over, and the old primary is back and not in sync.
    NeedsRecovery,
    /// The primary is there, and the secondary is back and not in sync.
    CatchingUp,
    /// The primary runs on; what it may write waits for the arbiter.
    Undecided,
    /// A planned change is under way.
    Changing,
    /// Nobody is primary: this node waits for its peer or an operator.
    Waiting,
    /// Nobody is primary although both are there.
    NoPrimary,
    /// Each has what the other lacks.
    Diverged,
    /// There is no pair any more.
    Dissolved,
}

impl State {
    /// For programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::SecondaryDown => "secondary-down",
            Self::PrimaryDown => "primary-down",
            Self::TookOver => "took-over",
            Self::NeedsRecovery => "needs-recovery",
            Self::CatchingUp => "catching-up",
            Self::Undecided => "undecided",
            Self::Changing => "changing",
            Self::Waiting => "waiting",
            Self::NoPrimary => "no-primary",
            Self::Diverged => "diverged",
            Self::Dissolved => "dissolved",
        }
    }
}

impl Pair {
    /// How the pair is, as far as this node knows.
    #[must_use]
    pub fn state(&self) -> State {
        match self.role {
            Role::Dissolved => State::Dissolved,
            _ if self.diverged => State::Diverged,
            Role::Primary {
                confirms: Confirms::Both,
                ..
            }
            | Role::Following { in_sync: true, .. } => State::Normal,
            Role::Primary {
                confirms: Confirms::Nobody,
                ..
            } if !self.seen => State::Undecided,
            Role::Primary {
                confirms: Confirms::Alone,
                ..
            } if !self.seen => {
                if self.record.took_over {
                    State::TookOver
                } else {
                    State::SecondaryDown
                }
            }
            Role::Primary { .. } | Role::Following { .. } => {
                if self.record.took_over || self.shown.peer_took_over {
                    State::NeedsRecovery
                } else {
                    State::CatchingUp
                }
            }
            Role::Claiming { .. } => State::PrimaryDown,
            Role::Rising | Role::Releasing { .. } | Role::Handing { .. } => State::Changing,
            Role::Waiting { .. } if self.seen => State::NoPrimary,
            Role::Waiting { .. } => State::Waiting,
        }
    }

    /// The sentence for an operator. `names` are those of the two nodes, in the order of their names.
    #[must_use]
    pub fn sentence(&self, names: [&str; 2]) -> String {
        let [first, second] = names;
        let (me, peer) = match self.settings.side {
            Side::First => (first, second),
            Side::Second => (second, first),
        };
        let leads = matches!(self.role, Role::Primary { .. });
        let (primary, secondary) = if leads { (me, peer) } else { (peer, me) };
        match self.state() {
            State::Normal => format!(
                "The pair runs normally: {primary} is primary, {secondary} is secondary and in sync."
            ),
            State::SecondaryDown => format!(
                "Primary {primary} is up, secondary {secondary} is down: the service continues, and can survive no loss."
            ),
            State::PrimaryDown => format!(
                "Secondary {secondary} is up, primary {primary} is down: not failed over yet, {}.",
                self.reason()
            ),
            State::TookOver => format!(
                "Secondary {primary} took over, primary {secondary} is down: the service continues, and can survive no loss."
            ),
            State::NeedsRecovery => format!(
                "Secondary {primary} took over; {secondary} is back and not in sync yet: it needs recovery."
            ),
            State::CatchingUp => format!(
                "Primary {primary} is up; secondary {secondary} is there and not in sync yet."
            ),
            State::Undecided => format!(
                "Primary {primary} runs on, secondary {secondary} is not seen: changes are refused, {}.",
                self.reason()
            ),
            State::Changing => format!("{first} and {second} are changing roles."),
            State::Waiting if self.shown.gave_up => format!(
                "{me} was primary and gave up: it reached neither {peer} nor a ping target. Nobody is primary here until {peer} is back or an operator says so."
            ),
            State::Waiting => format!(
                "{me} started and does not see {peer}: nobody is primary until {peer} is back or an operator says so."
            ),
            State::NoPrimary => format!(
                "{first} and {second} see each other and nobody is primary: {}.",
                self.reason()
            ),
            State::Diverged => format!(
                "{first} and {second} each have writes that the other one lacks: choose one, and rebuild the other."
            ),
            State::Dissolved if self.acts() => {
                format!("The pair is dissolved: {me} goes on as a cluster of one.")
            }
            State::Dissolved => format!(
                "The pair is dissolved: {me} is out of it and runs nothing; {peer} goes on alone."
            ),
        }
    }

    /// What a node waits for.
    fn reason(&self) -> &'static str {
        let lost = self.lost_boot().is_some();
        match self.settings.arbiter {
            _ if !lost && self.record.held => "an operator demoted one, and has promoted none",
            _ if !lost && self.record.history.is_none() => {
                "nothing is known about this node's copy: rebuild it, or force the other one"
            }
            _ if !lost && !self.may_lead() => "becoming primary waits for an operator's promote",
            _ if !lost => "they are agreeing on one",
            Arbiter::Fence if self.shown.fence_failed => {
                "because fencing failed and releases nothing"
            }
            Arbiter::Fence => "until its power is confirmed off",
            Arbiter::Ping if matches!(self.role, Role::Claiming { expired: true, .. }) => {
                "until the ping rules allow it"
            }
            Arbiter::Ping if matches!(self.role, Role::Claiming { .. }) => {
                "until its lease is over and the ping rules allow it"
            }
            Arbiter::Ping => "until a ping target answers",
            Arbiter::None => "because no arbiter is configured: an operator decides",
        }
    }
}
