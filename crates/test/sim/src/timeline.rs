//! What happened, for people: kept only while a violation is being explained, because text is slow.
//! Also the trace hash, which is kept always. Decides nothing.

use std::collections::VecDeque;

/// A hash over everything that happens in a run, in order. Not cryptographic: it tells whether two
/// runs were the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceHash(u64);

impl Default for TraceHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl TraceHash {
    pub(crate) fn add(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

/// Hash of bytes, eight at a time.
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = TraceHash::default();
    hash.add(u64::try_from(bytes.len()).unwrap_or(0));
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        hash.add(u64::from_le_bytes(word));
    }
    hash.value()
}

/// The last lines of a run.
#[derive(Debug)]
pub(crate) struct Timeline {
    lines: VecDeque<String>,
    limit: usize,
}

impl Timeline {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            lines: VecDeque::new(),
            limit,
        }
    }

    pub(crate) fn write(&mut self, now: u64, who: &str, what: &str) {
        if self.lines.len() >= self.limit {
            self.lines.pop_front();
        }
        let (seconds, micros) = (now / 1_000_000, now % 1_000_000);
        self.lines
            .push_back(format!("{seconds:>4}.{micros:06}  {who:<6} {what}"));
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
