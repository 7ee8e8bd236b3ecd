//! What an operator's orders lead to. Each may be repeated, and goes on where it was interrupted: what is
//! half done is in the record or shows in the role.

use crate::{
    event::{Confirms, Contents, Effect, FenceOutcome, Order, Record, Refusal, Role},
    history::Beginning,
    pair::Pair,
    purpose::Purpose,
};
use standfast_model::pair::Arbiter;

impl Pair {
    pub(crate) fn on_order(&mut self, order: Order) {
        let outcome = if self.role == Role::Dissolved && order != Order::Teardown {
            Err(Refusal::Dissolved)
        } else {
            match order {
                Order::Promote => self.promote(),
                Order::Demote => self.demote(),
                Order::Swap => self.swap(),
                Order::Recover => self.recover(),
                Order::Rebuild => self.rebuild(),
                Order::PeerIsOff(boot) => self.peer_is_off(boot),
                Order::ForcePrimary => self.force_primary(),
                Order::Teardown => self.tear_down(),
            }
        };
        match outcome {
            Ok(true) => self.effects.push(Effect::Done),
            Ok(false) => self.effects.push(Effect::Speak),
            Err(refusal) => self.effects.push(Effect::Refuse(refusal)),
        }
    }

    /// Done, or under way: the wish goes out with every word.
    fn promote(&mut self) -> Result<bool, Refusal> {
        match self.role {
            Role::Primary { .. } | Role::Rising => Ok(true),
            Role::Releasing { .. } | Role::Handing { .. } => Err(Refusal::Busy),
            Role::Claiming { .. } => Err(Refusal::NoArbiter),
            Role::Waiting { .. } | Role::Following { .. } => {
                if !self.seen {
                    return Err(Refusal::NoArbiter);
                } else if self.diverged {
                    return Err(Refusal::HistoriesDiffer);
                } else if self.record.history.is_none() {
                    return Err(Refusal::Unknown);
                }
                self.wants = true;
                Ok(false)
            }
            Role::Dissolved => Err(Refusal::Dissolved),
        }
    }

    fn demote(&mut self) -> Result<bool, Refusal> {
        self.wants = false;
        if !matches!(self.role, Role::Primary { .. }) {
            return Ok(true);
        }
        self.idle()?;
        let (held, led_in) = (true, None);
        let record = Record {
            held,
            led_in,
            ..self.record.clone()
        };
        self.persist(Purpose::Hold, record, Contents::Keep);
        Ok(false)
    }

    fn swap(&mut self) -> Result<bool, Refusal> {
        match self.role {
            Role::Primary {
                partner: Some(partner),
                confirms: Confirms::Both,
            } => {
                self.idle()?;
                self.hand_over(partner)
                    .then_some(true)
                    .ok_or(Refusal::NotInSync)
            }
            Role::Following { in_sync: true, .. } => self.promote(),
            Role::Releasing { .. } | Role::Handing { .. } => Ok(true),
            Role::Primary { .. }
            | Role::Waiting { .. }
            | Role::Following { .. }
            | Role::Claiming { .. }
            | Role::Rising
            | Role::Dissolved => Err(Refusal::NotInSync),
        }
    }

    /// A node that is back follows by itself; this says why it does not, or asks once more.
    fn recover(&mut self) -> Result<bool, Refusal> {
        self.shown.fence_failed = false;
        match self.role {
            _ if self.diverged => Err(Refusal::HistoriesDiffer),
            Role::Primary { .. } | Role::Following { in_sync: true, .. } => Ok(true),
            Role::Waiting { .. }
            | Role::Following { .. }
            | Role::Claiming { .. }
            | Role::Rising
            | Role::Releasing { .. }
            | Role::Handing { .. }
            | Role::Dissolved => Ok(false),
        }
    }

    fn rebuild(&mut self) -> Result<bool, Refusal> {
        match self.role {
            Role::Primary { .. } | Role::Rising | Role::Releasing { .. } => {
                return Err(Refusal::IsPrimary);
            }
            Role::Following { in_sync: true, .. } => return Ok(true),
            Role::Waiting { .. }
            | Role::Following { .. }
            | Role::Claiming { .. }
            | Role::Handing { .. }
            | Role::Dissolved => {}
        }
        if self.record.rebuild {
            return Ok(false);
        }
        self.idle()?;
        self.become_(Role::Waiting { ask: None });
        let rebuild = true;
        self.persist(
            Purpose::Mark,
            Record {
                rebuild,
                ..Record::default()
            },
            Contents::Discard,
        );
        Ok(false)
    }

    /// As good as a fence device's word. Where there is no device, the peer may have gone on alone without
    /// ours being off, so this word would lose what it confirmed since: that takes `force_primary`.
    fn peer_is_off(&mut self, boot: crate::event::BootId) -> Result<bool, Refusal> {
        if self.settings.arbiter != Arbiter::Fence || self.lost_boot() != Some(boot) {
            return Err(Refusal::NotTheBoot);
        }
        self.on_fenced(boot, FenceOutcome::Off);
        Ok(true)
    }

    fn force_primary(&mut self) -> Result<bool, Refusal> {
        let alone = matches!(
            self.role,
            Role::Primary {
                confirms: Confirms::Alone,
                ..
            } | Role::Rising
        );
        if alone {
            return Ok(true);
        } else if self.seen {
            return Err(Refusal::PeerIsThere);
        } else if self.record.history.is_none() {
            return Err(Refusal::Unknown);
        }
        self.idle()?;
        self.go_alone(Beginning::Forced);
        Ok(false)
    }

    /// It begins at a primary, or by its word, and the secondary is out first, so that it cannot take over afterwards. A
    /// primary that is alone by right needs no word of it.
    fn tear_down(&mut self) -> Result<bool, Refusal> {
        match self.role {
            Role::Dissolved => return Ok(true),
            Role::Primary {
                confirms: Confirms::Nobody,
                ..
            } if !self.seen => return Err(Refusal::NoArbiter),
            Role::Primary { .. } | Role::Following { ask: None, .. } => {}
            Role::Rising | Role::Releasing { .. } | Role::Handing { .. } => {
                return Err(Refusal::Busy);
            }
            Role::Waiting { .. } | Role::Following { .. } | Role::Claiming { .. } => {
                return Err(Refusal::NoPrimary);
            }
        }
        self.teardown = true;
        Ok(false)
    }

    const fn idle(&self) -> Result<(), Refusal> {
        if self.writing.is_some() {
            Err(Refusal::Busy)
        } else {
            Ok(())
        }
    }
}
