//! The network: links between nodes with delay, loss, duplication and reordering; partitions of one
//! link or all, in one direction or both; ordered streams that break. Carries messages, reads none.

use crate::rng::Rng;
use standfast_model::message::Message;
use std::collections::VecDeque;

/// How an ordinary message travels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quality {
    /// Shortest delay of a message, microseconds.
    pub(crate) delay: u64,
    /// Random part on top.
    pub(crate) jitter: u64,
    /// Lost, in a million.
    pub(crate) loss: u64,
    /// Delivered twice, in a million.
    pub(crate) duplicates: u64,
    /// Delayed by up to ten times the jitter more, in a million: overtaken by others.
    pub(crate) stragglers: u64,
}

/// A stream of one pair of nodes in one direction.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// When each was sent, and what.
    pub(crate) queue: VecDeque<(u64, Box<Message>)>,
    /// A delivery is scheduled.
    pub(crate) pumping: bool,
}

/// All links.
#[derive(Debug)]
pub(crate) struct Network {
    nodes: usize,
    pub(crate) links: usize,
    /// So many faults cut this direction of this link.
    cuts: Vec<u16>,
    streams: Vec<Stream>,
    pub(crate) quality: Quality,
    /// Added by faults.
    pub(crate) extra_delay: u64,
    pub(crate) extra_loss: u64,
    pub(crate) extra_duplicates: u64,
    pub(crate) extra_stragglers: u64,
}

/// A stream that cannot deliver for this long is broken, and what waits in it is lost.
pub(crate) const STREAM_TIMEOUT: u64 = 1_500_000;

impl Network {
    pub(crate) fn new(nodes: usize, links: usize, quality: Quality) -> Self {
        let mut streams = Vec::new();
        streams.resize_with(nodes * nodes, Stream::default);
        Self {
            nodes,
            links,
            cuts: vec![0; nodes * nodes * links],
            streams,
            quality,
            extra_delay: 0,
            extra_loss: 0,
            extra_duplicates: 0,
            extra_stragglers: 0,
        }
    }

    fn at(&self, from: usize, to: usize, link: usize) -> usize {
        (from * self.nodes + to) * self.links + link
    }

    /// Cuts one direction of one link, or of all.
    pub(crate) fn cut(&mut self, from: usize, to: usize, link: Option<usize>) {
        for each in 0..self.links {
            if link.is_none_or(|link| link % self.links == each) {
                let at = self.at(from, to, each);
                self.cuts[at] += 1;
            }
        }
    }

    /// Takes one cut back.
    pub(crate) fn mend(&mut self, from: usize, to: usize, link: Option<usize>) {
        for each in 0..self.links {
            if link.is_none_or(|link| link % self.links == each) {
                let at = self.at(from, to, each);
                self.cuts[at] = self.cuts[at].saturating_sub(1);
            }
        }
    }

    pub(crate) fn is_up(&self, from: usize, to: usize, link: usize) -> bool {
        self.cuts[self.at(from, to, link)] == 0
    }

    /// Whether some link works in both directions: what a stream needs.
    pub(crate) fn stream_is_up(&self, from: usize, to: usize) -> bool {
        (0..self.links).any(|link| self.is_up(from, to, link) && self.is_up(to, from, link))
    }

    pub(crate) fn stream(&mut self, from: usize, to: usize) -> &mut Stream {
        let at = from * self.nodes + to;
        &mut self.streams[at]
    }

    /// A node's process ended: its connections break in both directions. Returns what it had sent
    /// that was still on its way, with the receivers: some of it may yet arrive.
    pub(crate) fn break_streams(&mut self, node: usize) -> Vec<(usize, Box<Message>)> {
        let mut sent = Vec::new();
        for other in 0..self.nodes {
            let queue = std::mem::take(&mut self.stream(node, other).queue);
            sent.extend(queue.into_iter().map(|(_, message)| (other, message)));
            self.stream(other, node).queue.clear();
        }
        sent
    }

    /// Delay of one message; `None` when it is lost.
    pub(crate) fn travel(&self, rng: &mut Rng) -> Option<u64> {
        if rng.chance(self.quality.loss + self.extra_loss) {
            return None;
        }
        Some(self.delay(rng))
    }

    fn delay(&self, rng: &mut Rng) -> u64 {
        let quality = &self.quality;
        let mut delay = quality.delay + rng.below(quality.jitter + 1);
        if self.extra_delay > 0 {
            delay += rng.range(self.extra_delay / 2, self.extra_delay);
        }
        if rng.chance(quality.stragglers + self.extra_stragglers) {
            delay += rng.below(10 * (quality.jitter + 1) + self.extra_delay);
        }
        delay
    }

    /// Delay of the next message of a stream: losses cost a repetition, not the message.
    pub(crate) fn stream_delay(&self, rng: &mut Rng) -> u64 {
        let mut delay = self.delay(rng);
        while rng.chance((self.quality.loss + self.extra_loss).min(800_000)) {
            delay += 2 * self.quality.delay + 20_000;
        }
        delay
    }

    pub(crate) fn is_duplicated(&self, rng: &mut Rng) -> bool {
        rng.chance(self.quality.duplicates + self.extra_duplicates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUALITY: Quality = Quality {
        delay: 100,
        jitter: 50,
        loss: 0,
        duplicates: 0,
        stragglers: 0,
    };

    #[test]
    fn one_direction_of_one_link_can_be_cut() {
        let mut network = Network::new(3, 2, QUALITY);
        network.cut(0, 1, Some(0));
        assert!(!network.is_up(0, 1, 0) && network.is_up(1, 0, 0) && network.is_up(0, 1, 1));
        assert!(network.stream_is_up(0, 1), "the other link carries streams");
        network.cut(1, 0, None);
        assert!(!network.stream_is_up(0, 1), "no link works both ways");
        network.mend(1, 0, None);
        network.mend(0, 1, Some(0));
        assert!(network.is_up(0, 1, 0));
    }
}
