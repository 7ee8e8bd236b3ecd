//! What a write to the disk is for, and what is only shown. Not for what follows from either.

use crate::{event::Session, history::Beginning};

/// What is only shown: nothing is decided by it, so two states that differ in it count as one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shown {
    /// The last fence failed, and the peer is still not there.
    pub(crate) fence_failed: bool,
    /// The peer took over from us, as it says.
    pub(crate) peer_took_over: bool,
    /// This node led, lost its peer, and no ping target answered it.
    pub(crate) gave_up: bool,
}

impl PartialEq for Shown {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Shown {}

impl std::hash::Hash for Shown {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

/// What a write is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// A new generation in which this node leads.
    Rise {
        partner: Option<Session>,
        beginning: Beginning,
    },
    /// A new generation in which this leader is alone.
    GoAlone,
    /// This leader is alone no more.
    EndAlone { partner: Session },
    /// A client's write.
    Propose,
    /// The leader's copy.
    Adopt { leader: Session },
    /// An operator demoted this primary.
    Hold,
    /// The pair is dissolved.
    Dissolve,
    /// A mark that nothing waits for.
    Mark,
}

impl Purpose {
    /// It makes this node a leader that is alone.
    pub(crate) const fn is_alone(self) -> bool {
        match self {
            Self::GoAlone => true,
            Self::Rise { beginning, .. } => !matches!(beginning, Beginning::Together),
            Self::EndAlone { .. }
            | Self::Propose
            | Self::Adopt { .. }
            | Self::Hold
            | Self::Dissolve
            | Self::Mark => false,
        }
    }
}
