//! The lease word: one resource's deadline in shared memory, read by keeper and network guard, extended by the agent.
//! Not for deciding a deadline.
//!
//! One word holds both the deadline and the latch, so that no order of stores can reopen what was closed: 0 is never
//! armed (born closed), 1 is closed for good, anything else is the absolute deadline in `CLOCK_BOOTTIME` nanoseconds.
//! All three mean "past" to the network guard unless the deadline lies in the future. Transitions:
//! unset → deadline (once), deadline → later deadline (only before it has passed), deadline → earlier deadline,
//! anything → closed.

use std::sync::atomic::Ordering;

use crate::clock::boot_now_ns;
use crate::sys::SharedWord;

/// Never armed.
const UNSET: u64 = 0;
/// Closed for good. As a deadline, one nanosecond after boot: always past.
const CLOSED: u64 = 1;

/// What the word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// Born closed; nothing may start.
    Unset,
    /// Absolute `CLOCK_BOOTTIME` nanoseconds.
    Until(u64),
    /// Ended for good.
    Closed,
}

/// A refused extension. The resource is ending or has ended; a new start needs a new keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExtendError {
    /// The old deadline has passed, whether or not the keeper has acted on it already.
    #[error("the lease has expired and can't be extended any more")]
    Expired,
    /// The keeper has begun to end the resource.
    #[error("the lease is closed: its keeper has begun to end the resource")]
    Closed,
    /// There is no first deadline yet.
    #[error("the lease was never armed")]
    Unset,
}

/// A mapping of the word.
#[derive(Debug)]
pub struct LeaseWord {
    word: SharedWord,
}

impl LeaseWord {
    /// Wraps a mapping.
    pub(crate) fn new(word: SharedWord) -> Self {
        Self { word }
    }

    /// What the word says now. A deadline that has passed is still reported as [`LeaseState::Until`].
    #[must_use]
    pub fn state(&self) -> LeaseState {
        match self.word.get().load(Ordering::SeqCst) {
            UNSET => LeaseState::Unset,
            CLOSED => LeaseState::Closed,
            deadline => LeaseState::Until(deadline),
        }
    }

    /// Whether the lease holds at this instant.
    #[must_use]
    pub fn holds(&self) -> bool {
        matches!(self.state(), LeaseState::Until(deadline) if boot_now_ns() < deadline)
    }

    /// Sets the first deadline.
    ///
    /// # Errors
    /// When the word was armed or closed before.
    pub fn arm(&self, deadline_boot_ns: u64) -> Result<(), ExtendError> {
        let deadline = deadline_boot_ns.max(CLOSED);
        match self
            .word
            .get()
            .compare_exchange(UNSET, deadline, Ordering::SeqCst, Ordering::SeqCst)
        {
            Ok(_) => Ok(()),
            Err(_) => Err(ExtendError::Closed),
        }
    }

    /// Moves the deadline later. An earlier one changes nothing: reports that arrive out of order shorten no lease.
    ///
    /// # Errors
    /// When the present deadline has passed or the word is closed or unset. Nothing is changed then.
    pub fn extend(&self, deadline_boot_ns: u64) -> Result<(), ExtendError> {
        loop {
            let present = match self.state() {
                LeaseState::Unset => return Err(ExtendError::Unset),
                LeaseState::Closed => return Err(ExtendError::Closed),
                LeaseState::Until(deadline) if boot_now_ns() >= deadline => {
                    return Err(ExtendError::Expired);
                }
                LeaseState::Until(deadline) => deadline,
            };
            if deadline_boot_ns <= present {
                return Ok(());
            }
            let word = self.word.get();
            if word
                .compare_exchange(
                    present,
                    deadline_boot_ns,
                    Ordering::SeqCst,
                    Ordering::SeqCst,
                )
                .is_ok()
            {
                return Ok(());
            }
        }
    }

    /// Moves the deadline earlier; to one that has passed, and the lease is over. A later one changes nothing.
    pub fn shorten(&self, deadline_boot_ns: u64) {
        let wanted = deadline_boot_ns.max(CLOSED);
        while let LeaseState::Until(present) = self.state() {
            let word = self.word.get();
            if present <= wanted
                || word
                    .compare_exchange(present, wanted, Ordering::SeqCst, Ordering::SeqCst)
                    .is_ok()
            {
                return;
            }
        }
    }

    /// Closes the word for good.
    pub fn close(&self) {
        self.word.get().store(CLOSED, Ordering::SeqCst);
    }

    /// Closes the word if its deadline has passed. Returns the deadline while the lease still holds.
    #[must_use]
    pub fn close_if_expired(&self) -> Option<u64> {
        loop {
            let LeaseState::Until(deadline) = self.state() else {
                self.close();
                return None;
            };
            if boot_now_ns() < deadline {
                return Some(deadline);
            }
            let word = self.word.get();
            if word
                .compare_exchange(deadline, CLOSED, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
            {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One second.
    const S: u64 = 1_000_000_000;

    fn word() -> LeaseWord {
        LeaseWord::new(SharedWord::anonymous().unwrap())
    }

    #[test]
    fn is_born_closed_and_armed_once() {
        let lease = word();
        assert!(!lease.holds());
        assert_eq!(lease.extend(boot_now_ns() + S), Err(ExtendError::Unset));
        lease.arm(boot_now_ns() + S).unwrap();
        assert!(lease.holds());
        assert_eq!(lease.arm(boot_now_ns() + S), Err(ExtendError::Closed));
    }

    #[test]
    fn an_expired_lease_is_never_extended() {
        let lease = word();
        let past = boot_now_ns() - 1;
        lease.arm(past).unwrap();
        assert_eq!(lease.extend(boot_now_ns() + S), Err(ExtendError::Expired));
        assert_eq!(lease.state(), LeaseState::Until(past));
        assert_eq!(lease.close_if_expired(), None);
        assert_eq!(lease.extend(boot_now_ns() + S), Err(ExtendError::Closed));
        assert_eq!(lease.state(), LeaseState::Closed);
    }

    #[test]
    fn is_not_extended_backwards_and_closing_is_final() {
        let lease = word();
        let (near, far) = (boot_now_ns() + S, boot_now_ns() + 2 * S);
        lease.arm(far).unwrap();
        lease.extend(near).unwrap();
        assert_eq!(lease.close_if_expired(), Some(far));
        lease.close();
        assert_eq!(lease.extend(far + S), Err(ExtendError::Closed));
        assert!(!lease.holds());
    }

    #[test]
    fn is_shortened_only_on_purpose_and_not_reopened_by_it() {
        let lease = word();
        let (near, far) = (boot_now_ns() + S, boot_now_ns() + 2 * S);
        lease.arm(far).unwrap();
        lease.shorten(near);
        lease.shorten(far);
        assert_eq!(lease.state(), LeaseState::Until(near));
        lease.shorten(boot_now_ns() - 1);
        assert_eq!(lease.extend(far), Err(ExtendError::Expired));
        lease.close();
        lease.shorten(far);
        assert_eq!(lease.state(), LeaseState::Closed);
    }

    #[test]
    fn a_deadline_of_zero_refuses() {
        let lease = word();
        lease.arm(0).unwrap();
        assert_eq!(lease.state(), LeaseState::Closed);
    }
}
