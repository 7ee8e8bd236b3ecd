//! Finding things by their name without comparing it with every other name.
//!
//! Not for names that hold: what was noted may be out of date, and two names may share a sum. Whoever
//! asks compares the few candidates.

/// Numbers of things by the names that they were noted under: a table of chains, each in the order of its
/// numbers. It grows by what is noted and nothing else, so it is the same in every run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// The first entry of each chain; their number is a power of two.
    heads: Vec<Option<u32>>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    sum: u64,
    number: usize,
    next: Option<u32>,
}

impl Names {
    pub(crate) fn note(&mut self, name: &str, number: usize) {
        let sum = sum(name);
        let known = self.chain(sum).any(|entry| entry.number == number);
        if known {
            return;
        }
        if self.entries.len() >= self.heads.len() {
            self.grow();
        }
        self.entries.push(Entry {
            sum,
            number,
            next: None,
        });
        self.link(self.entries.len() - 1);
    }

    fn grow(&mut self) {
        let size = (self.heads.len() * 2).max(16);
        self.heads = vec![None; size];
        for at in 0..self.entries.len() {
            self.link(at);
        }
    }

    /// Puts an entry into its chain, before the first with a larger number.
    fn link(&mut self, at: usize) {
        let Some(new) = self.entries.get(at).copied() else {
            return;
        };
        let head = self.bucket(new.sum);
        let mut before: Option<u32> = None;
        let mut next = self.heads.get(head).copied().flatten();
        while let Some(other) = self.entry(next).filter(|other| other.number < new.number) {
            before = next;
            next = other.next;
        }
        let own = u32::try_from(at).ok();
        if let Some(entry) = self.entries.get_mut(at) {
            entry.next = next;
        }
        let before = before.and_then(|before| usize::try_from(before).ok());
        if let Some(entry) = before.and_then(|before| self.entries.get_mut(before)) {
            entry.next = own;
        } else if let Some(first) = self.heads.get_mut(head) {
            *first = own;
        }
    }

    fn bucket(&self, sum: u64) -> usize {
        let mask = u64::try_from(self.heads.len()).unwrap_or(1).wrapping_sub(1);
        usize::try_from((sum ^ (sum >> 32)) & mask).unwrap_or(0)
    }

    fn entry(&self, at: Option<u32>) -> Option<&Entry> {
        self.entries.get(usize::try_from(at?).ok()?)
    }

    fn chain(&self, sum: u64) -> impl Iterator<Item = &Entry> + use<'_> {
        let first = self.heads.get(self.bucket(sum)).copied().flatten();
        let all = std::iter::successors(self.entry(first), |entry| self.entry(entry.next));
        all.filter(move |entry| entry.sum == sum)
    }

    /// What may have that name, whatever its case; the smallest number first.
    pub(crate) fn candidates(&self, name: &str) -> impl Iterator<Item = usize> + use<'_> {
        self.chain(sum(name)).map(|entry| entry.number)
    }
}

/// FNV-1a over the letters without regard to their case: the same on every machine and in every run.
fn sum(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| {
        (sum ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_a_name_is_found_in_the_order_of_its_number() {
        let mut names = Names::default();
        for (name, number) in [("web", 7), ("db", 1), ("WEB", 3), ("web", 7)] {
            names.note(name, number);
        }
        assert_eq!(names.candidates("Web").collect::<Vec<_>>(), [3, 7]);
        assert_eq!(names.candidates("web2").count(), 0);
        for number in (0..500).rev() {
            names.note(&format!("n{}", number % 100), number);
        }
        assert_eq!(
            names.candidates("N42").collect::<Vec<_>>(),
            [42, 142, 242, 342, 442]
        );
        assert_eq!(names.candidates("web").collect::<Vec<_>>(), [3, 7]);
    }
}
