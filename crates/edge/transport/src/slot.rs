//! Which connection of a link is used, and which are closed: plain decisions over plain data.
//!
//! Both sides dial, so that whoever comes back first connects; a link may then have two connections,
//! one dialled by each side. Both sides prefer the one dialled by the node with the lower name, and
//! that node closes the other after a while. A connection of the same direction replaces the older
//! one; a new instance of the peer (a restart) replaces all of the old instance.
//!
//! Not for making or closing connections.

use std::time::{Duration, Instant};

/// How long two good connections stand side by side before one is closed: both sides have long
/// agreed on the other one by then, so that nothing is under way on it.
const SURPLUS_AFTER: Duration = Duration::from_secs(1);

/// What matters of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) id: u64,
    /// Dialled by the node with the lower name.
    pub(crate) by_lower: bool,
    /// Which run of the peer's program is at the other end.
    pub(crate) instance: u64,
    pub(crate) established_at: Instant,
    /// When anything authentic last arrived on it.
    pub(crate) heard_at: Instant,
}

impl Standing {
    pub(crate) fn is_silent(&self, now: Instant, silence: Duration) -> bool {
        now.saturating_duration_since(self.heard_at) > silence
    }
}

/// The connection to send on: one that is heard, else the one heard last.
pub(crate) fn preferred(
    connections: impl Iterator<Item = Standing>,
    now: Instant,
    silence: Duration,
) -> Option<Standing> {
    connections.max_by_key(|standing| {
        let heard = !standing.is_silent(now, silence);
        (
            heard,
            heard && standing.by_lower,
            standing.heard_at,
            standing.established_at,
        )
    })
}

/// Whether `new`, just established on the same link, replaces `old`.
pub(crate) fn replaces(new: &Standing, old: &Standing) -> bool {
    new.instance != old.instance || new.by_lower == old.by_lower
}

/// The connections that the node with the lower name closes, because a better one has stood long enough.
pub(crate) fn surplus(connections: &[Standing], now: Instant, silence: Duration) -> Vec<u64> {
    let Some(best) = preferred(connections.iter().copied(), now, silence) else {
        return Vec::new();
    };
    let settled = now.saturating_duration_since(best.established_at) > SURPLUS_AFTER;
    if !settled || !best.by_lower || best.is_silent(now, silence) {
        return Vec::new();
    }
    connections
        .iter()
        .filter(|other| other.id != best.id)
        .filter(|other| now.saturating_duration_since(other.established_at) > SURPLUS_AFTER)
        .map(|other| other.id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_millis(300);

    fn standing(id: u64, by_lower: bool, instance: u64, at: Instant) -> Standing {
        Standing {
            id,
            by_lower,
            instance,
            established_at: at,
            heard_at: at,
        }
    }

    #[test]
    fn both_sides_prefer_the_connection_of_the_lower_name() {
        let start = Instant::now();
        let both = [standing(1, true, 9, start), standing(2, false, 9, start)];
        let best = preferred(both.into_iter(), start, SILENCE).unwrap();
        assert_eq!(best.id, 1);
        let reversed = [both[1], both[0]];
        let best = preferred(reversed.into_iter(), start, SILENCE).unwrap();
        assert_eq!(best.id, 1);
    }

    #[test]
    fn a_silent_connection_is_used_only_when_there_is_no_other() {
        let start = Instant::now();
        let now = start + Duration::from_secs(1);
        let silent = standing(1, true, 9, start);
        let heard = standing(2, false, 9, now);
        let best = preferred([silent, heard].into_iter(), now, SILENCE).unwrap();
        assert_eq!(best.id, 2);
        let best = preferred([silent].into_iter(), now, SILENCE).unwrap();
        assert_eq!(best.id, 1);
    }

    #[test]
    fn a_restarted_peer_and_a_second_dial_replace_what_was_there() {
        let start = Instant::now();
        let old = standing(1, true, 9, start);
        assert!(replaces(&standing(2, false, 10, start), &old), "restart");
        assert!(
            replaces(&standing(2, true, 9, start), &old),
            "dialled again"
        );
        assert!(
            !replaces(&standing(2, false, 9, start), &old),
            "both dialled"
        );
    }

    #[test]
    fn the_other_of_two_good_connections_is_surplus_after_a_while() {
        let start = Instant::now();
        let soon = start + Duration::from_millis(500);
        let late = start + Duration::from_secs(2);
        let at = |now| {
            [(1, true), (2, false)].map(|(id, by_lower)| Standing {
                heard_at: now,
                ..standing(id, by_lower, 9, start)
            })
        };
        assert_eq!(surplus(&at(soon), soon, SILENCE), [0; 0]);
        assert_eq!(surplus(&at(late), late, SILENCE), [2]);
        let mut preferred_is_silent = at(late);
        preferred_is_silent[0].heard_at = start;
        assert_eq!(surplus(&preferred_is_silent, late, SILENCE), [0; 0]);
    }
}
