//! Which guards this machine offers, found out by trying each once. Not for what a keeper really got: that is in its status.

use crate::status::{Guard, Missing};

/// Whether something is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// It was tried and works.
    Offered,
    /// It does not, and the sentence says why.
    Missing(String),
}

/// What this machine offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardSupport {
    /// Each guard once, in the order of [`Guard`].
    pub guards: Vec<(Guard, Support)>,
}

impl GuardSupport {
    /// Whether `guard` is offered.
    #[must_use]
    pub fn offers(&self, guard: Guard) -> bool {
        self.guards
            .iter()
            .any(|(each, support)| *each == guard && *support == Support::Offered)
    }

    /// Those that are not.
    #[must_use]
    pub fn missing(&self) -> Vec<Missing> {
        let missing = |(guard, support): &(Guard, Support)| match support {
            Support::Offered => None,
            Support::Missing(why) => Some(Missing {
                guard: *guard,
                why: why.clone(),
            }),
        };
        self.guards.iter().filter_map(missing).collect()
    }
}
