//! What an operator asks for, as the command that it becomes: checked against the state, so that what is only tried
//! (`simulating`) is refused for the same reasons.
//!
//! What orders are refused for is in `orders`. Not for configurations (`configuring`), fencing (`fences`) and members (`removal`).

use crate::core::Core;
use standfast_model::{
    command::Change,
    request::{Refusal, RefusalKind, Request},
};

impl Core {
    /// # Errors
    /// Why not.
    pub(crate) fn asked(&self, request: &Request) -> Result<Change, Refusal> {
        if let Request::Switchover { group, to, author } = request {
            self.check_move(group, to.as_ref())?;
            return Ok(Change::Move {
                group: group.clone(),
                to: to.clone(),
                by: author.clone(),
            });
        }
        if let Request::Drain {
            node,
            drained,
            author,
        } = request
        {
            self.check_node(node)?;
            if *drained {
                self.check_acts()?;
            }
            return Ok(Change::Drain {
                node: node.clone(),
                drained: *drained,
                by: author.clone(),
            });
        }
        if let Request::Order {
            group,
            order,
            author,
        } = request
        {
            return self.order(group, (order, author));
        }
        if let Request::Maintain { what, on, author } = request {
            return self.maintain(what, (*on, author));
        }
        if let Request::Standby {
            node,
            lifetime_ms,
            author,
        } = request
        {
            return self.standby(node, (*lifetime_ms, author));
        }
        let text = "this cannot be asked for in that way";
        Err(Self::refusal(RefusalKind::Invalid, text))
    }
}
