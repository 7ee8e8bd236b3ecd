//! Which datagrams came before on another link.
//!
//! Not for links' health, which the transport judges from what arrives on each, copies included.

use std::collections::{BTreeMap, VecDeque};

/// Datagrams of one member that are remembered: more than it sends in the time by which one link can be
/// slower than another.
const REMEMBERED: usize = 32;

/// What each member sent last, and on which links it came.
#[derive(Debug, Default)]
pub(crate) struct Copies(BTreeMap<String, VecDeque<Known>>);

#[derive(Debug)]
struct Known {
    bytes: Vec<u8>,
    /// One bit a link.
    links: u64,
}

impl Copies {
    /// Notes a datagram, and tells whether it is the copy of one that came on another link. What comes
    /// again on the same link was sent again, and is no copy.
    pub(crate) fn is_copy(&mut self, from: &str, link: u8, bytes: &[u8]) -> bool {
        let bit = 1_u64.checked_shl(u32::from(link)).unwrap_or(0);
        let known = match self.0.get_mut(from) {
            Some(known) => known,
            None => self.0.entry(from.to_owned()).or_default(),
        };
        if let Some(same) = known.iter_mut().rev().find(|known| known.bytes == bytes) {
            let is_copy = same.links & bit == 0;
            same.links = if is_copy { same.links | bit } else { bit };
            return is_copy;
        }
        // The oldest one's memory is used again.
        let mut bytes_of_old = if known.len() < REMEMBERED {
            Vec::new()
        } else {
            known.pop_front().map(|old| old.bytes).unwrap_or_default()
        };
        bytes_of_old.clear();
        bytes_of_old.extend_from_slice(bytes);
        known.push_back(Known {
            bytes: bytes_of_old,
            links: bit,
        });
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_on_another_link_is_a_copy_and_on_the_same_link_is_not() {
        let mut copies = Copies::default();
        assert!(!copies.is_copy("beta", 0, b"one"));
        assert!(copies.is_copy("beta", 1, b"one"));
        assert!(copies.is_copy("beta", 2, b"one"));
        assert!(!copies.is_copy("gamma", 1, b"one"), "another member");
        assert!(!copies.is_copy("beta", 0, b"one"), "sent again");
        assert!(copies.is_copy("beta", 1, b"one"), "and its copy");
    }

    /// The first link dies: what is sent again on the other one arrives, but for one at most.
    #[test]
    fn repetitions_on_one_link_are_not_swallowed() {
        let mut copies = Copies::default();
        assert!(!copies.is_copy("beta", 0, b"one"));
        let swallowed = (0..10)
            .filter(|_| copies.is_copy("beta", 1, b"one"))
            .count();
        assert!(swallowed <= 1, "{swallowed}");
    }

    #[test]
    fn little_is_remembered() {
        let mut copies = Copies::default();
        for number in 0..1000_u32 {
            assert!(!copies.is_copy("beta", 0, &number.to_be_bytes()));
            assert!(copies.is_copy("beta", 1, &number.to_be_bytes()));
        }
        assert!(copies.0.values().all(|known| known.len() <= REMEMBERED));
        assert!(
            !copies.is_copy("beta", 1, &0_u32.to_be_bytes()),
            "forgotten"
        );
    }
}
