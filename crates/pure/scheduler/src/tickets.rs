//! Tickets of multi-site clusters: what happens to a resource whose ticket is elsewhere or asleep.
//!
//! Not for granting tickets.

use crate::input::{Ticket, TicketConstraint};
use crate::role::Role;
use crate::score::INFINITY;
use crate::work::{RscId, Work};

/// What happens to an active resource that loses its ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Stop,
    Demote,
    Fence,
    Freeze,
}

impl Work<'_> {
    pub(crate) fn unpack_ticket(&mut self, constraint: &TicketConstraint) {
        let Some(rsc) = self.find_for_constraint(&constraint.resource) else {
            return;
        };
        let ticket = self.input.tickets.get(&constraint.ticket);
        let ticket = ticket.copied().unwrap_or_default();
        if ticket.granted && !ticket.standby {
            return;
        }
        let role = constraint.role.as_deref().and_then(Role::parse);
        let promoted = role == Some(Role::Promoted);
        self.rscs[rsc].no_promotion_ticket |= promoted;
        let loss = self.loss(&constraint.loss_policy, promoted);
        for primitive in self.primitives(rsc) {
            // Harsh measures are for what is in that role now.
            let concerned = role.is_none_or(|role| role == self.rscs[primitive].role);
            if concerned
                || !self.is_lost(primitive, ticket)
                || !matches!(loss, Loss::Fence | Loss::Freeze)
            {
                self.withhold(primitive, ticket, loss, promoted);
            }
        }
    }

    fn loss(&self, policy: &str, promoted: bool) -> Loss {
        match policy.to_ascii_lowercase().as_str() {
            "stop" => Loss::Stop,
            "demote" => Loss::Demote,
            "fence" if self.options.fencing => Loss::Fence,
            "fence" => Loss::Stop,
            "freeze" => Loss::Freeze,
            _ if promoted => Loss::Demote,
            _ => Loss::Stop,
        }
    }

    /// Whether something active has lost its ticket.
    fn is_lost(&self, rsc: RscId, ticket: Ticket) -> bool {
        !ticket.granted && !self.rscs[rsc].running_on.is_empty()
    }

    fn withhold(&mut self, rsc: RscId, ticket: Ticket, loss: Loss, promoted: bool) {
        if !self.is_lost(rsc, ticket) {
            // Without a ticket for being promoted it may still be up.
            if !promoted || loss == Loss::Stop {
                self.locate(rsc, None, -INFINITY, false);
            }
            return;
        }
        match loss {
            Loss::Demote if promoted => {}
            Loss::Stop | Loss::Demote => self.locate(rsc, None, -INFINITY, false),
            Loss::Fence => {
                self.locate(rsc, None, -INFINITY, false);
                for node in self.rscs[rsc].running_on.clone() {
                    self.fence_node(node);
                }
            }
            Loss::Freeze => {
                self.rscs[rsc].managed = false;
                self.rscs[rsc].blocked = true;
            }
        }
    }
}
