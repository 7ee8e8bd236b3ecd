//! Whose copy is newer: generations, and how two copies relate.
//!
//! A copy is what a node has of the pair's replicated state. Every time that a node begins to lead, and
//! every time that a leader goes on alone, a new generation begins. Both remember the list of them, so one
//! look tells whether one copy is an older state of the other, or whether both went their own way.
//!
//! Not for the contents of copies: whoever carries out the effects has those.

use serde::{Deserialize, Serialize};
use standfast_model::id::Incarnation;

/// Generations that are remembered. A copy that is older than all of them counts as one that went its own
/// way, and an operator decides.
pub const MOST_GENERATIONS: usize = 64;

/// One of the two nodes, in the order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The first by name.
    First,
    /// The second by name.
    Second,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// One stretch of time with one leader that was either alone or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Generation {
    /// Grows by one with each.
    pub number: u64,
    /// Who began it.
    pub by: Side,
    /// In which run of its agent: drawn at random at each start, so a node whose disk was rolled back
    /// never begins the same generation twice.
    pub run: Incarnation,
    /// How many writes there were when it began.
    pub from: u64,
    /// An operator made its leader go on with what it had, whatever the other one had.
    pub forced: bool,
}

/// How a generation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Beginning {
    /// Both nodes are there and agree on the leader.
    Together,
    /// The arbiter granted that its leader is alone.
    Alone,
    /// An operator forced it.
    Forced,
}

/// What a copy consists of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct History {
    /// All generations, oldest first; never empty.
    pub generations: Vec<Generation>,
    /// How many writes it has.
    pub index: u64,
    /// The last generation is led alone by this copy's owner: what is in it was confirmed to clients
    /// although nobody else has it.
    pub alone: bool,
}

impl History {
    /// The first generation of a new pair.
    #[must_use]
    pub fn new(by: Side, run: Incarnation) -> Self {
        let first = Generation {
            number: 1,
            by,
            run,
            from: 0,
            forced: false,
        };
        Self {
            generations: vec![first],
            index: 0,
            alone: false,
        }
    }

    /// The newest generation.
    #[must_use]
    pub fn last(&self) -> Option<&Generation> {
        self.generations.last()
    }

    /// The same copy with a new generation.
    #[must_use]
    pub fn begun(&self, by: Side, run: Incarnation, beginning: Beginning) -> Self {
        let mut next = self.clone();
        next.generations.push(Generation {
            number: self.last().map_or(0, |last| last.number) + 1,
            by,
            run,
            from: self.index,
            forced: beginning == Beginning::Forced,
        });
        let surplus = next.generations.len().saturating_sub(MOST_GENERATIONS);
        next.generations.drain(..surplus);
        next.alone = beginning != Beginning::Together;
        next
    }

    /// Whether the newest generation of both is the same one.
    #[must_use]
    pub fn is_of_generation(&self, other: &Self) -> bool {
        self.last() == other.last()
    }

    /// Whether `self`, the copy of `side`, is an older state of `other`: nothing that a client was told
    /// is missing there.
    fn is_within(&self, side: Side, other: &Self) -> bool {
        let Some(mine) = self.last() else {
            return false;
        };
        let Some(at) = other.generations.iter().position(|theirs| theirs == mine) else {
            return false;
        };
        let Some(next) = other.generations.get(at + 1) else {
            return self.index <= other.index;
        };
        // The contents of a copy may come after its record. One that they have not come to is no newer one than what it lacks.
        let whole = other.last().is_some_and(|last| last.from <= other.index);
        if !whole && self.index > other.index {
            return false;
        }
        // A leader has each write first. Those that it had begun and nobody confirmed may be missing where
        // somebody took over who was in sync: while it was not alone, nothing was confirmed that the other
        // one did not have.
        let unconfirmed = !self.alone && !next.forced && mine.by == side;
        self.index <= next.from || unconfirmed
    }
}

/// How this node's copy relates to the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// The same.
    Same,
    /// Ours is an older state of theirs.
    Behind,
    /// Theirs is an older state of ours.
    Ahead,
    /// Each has what the other lacks. Only an operator can choose.
    Diverged,
    /// We have no copy that we know anything about: an empty disk is not an old one.
    Unknown,
    /// They have none.
    PeerUnknown,
}

impl Relation {
    /// Compares the copy of `side` with the peer's.
    #[must_use]
    pub fn of(side: Side, mine: Option<&History>, theirs: Option<&History>) -> Self {
        let (mine, theirs) = match (mine, theirs) {
            (None, _) => return Self::Unknown,
            (Some(_), None) => return Self::PeerUnknown,
            (Some(mine), Some(theirs)) => (mine, theirs),
        };
        if mine.is_of_generation(theirs) && mine.index == theirs.index {
            Self::Same
        } else if mine.is_within(side, theirs) {
            Self::Behind
        } else if theirs.is_within(side.other(), mine) {
            Self::Ahead
        } else {
            Self::Diverged
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Side = Side::First;
    const B: Side = Side::Second;

    fn relation(mine: &History, theirs: &History) -> Relation {
        Relation::of(A, Some(mine), Some(theirs))
    }

    fn with(mut history: History, index: u64) -> History {
        history.index = index;
        history
    }

    fn first() -> History {
        with(History::new(A, Incarnation(1)), 4)
    }

    #[test]
    fn a_write_that_nobody_confirmed_is_no_history_of_its_own() {
        let taken_over = first().begun(B, Incarnation(2), Beginning::Alone);
        assert_eq!(relation(&first(), &taken_over), Relation::Behind);
        assert_eq!(relation(&with(first(), 5), &taken_over), Relation::Behind);
        assert_eq!(relation(&with(first(), 9), &taken_over), Relation::Behind);
        assert_eq!(
            Relation::of(B, Some(&taken_over), Some(&with(first(), 5))),
            Relation::Ahead
        );
    }

    #[test]
    fn a_record_without_its_contents_is_no_newer_copy() {
        let alone = first().begun(A, Incarnation(1), Beginning::Alone);
        // B took the generation over, and has three of its four writes. A disk that was rolled back has all four.
        let short = with(
            History {
                alone: false,
                ..alone
            },
            3,
        );
        assert_eq!(relation(&first(), &short), Relation::Diverged);
        assert_eq!(relation(&with(first(), 3), &short), Relation::Behind);
        assert_eq!(relation(&first(), &with(short, 4)), Relation::Behind);
    }

    #[test]
    fn whoever_was_forced_may_lack_what_was_confirmed() {
        let forced = first().begun(B, Incarnation(2), Beginning::Forced);
        assert_eq!(relation(&first(), &forced), Relation::Behind);
        assert_eq!(relation(&with(first(), 5), &forced), Relation::Diverged);
    }

    #[test]
    fn what_was_confirmed_alone_is() {
        let alone = with(first().begun(A, Incarnation(1), Beginning::Alone), 5);
        let forced = with(alone.clone(), 4).begun(B, Incarnation(2), Beginning::Alone);
        assert_eq!(relation(&alone, &forced), Relation::Diverged);
    }

    #[test]
    fn a_follower_that_has_more_than_a_rolled_back_leader_is_not_overwritten() {
        let forced = with(first(), 3).begun(A, Incarnation(9), Beginning::Forced);
        assert_eq!(
            Relation::of(B, Some(&first()), Some(&forced)),
            Relation::Diverged
        );
    }

    #[test]
    fn the_same_number_is_not_the_same_generation() {
        let one = first().begun(A, Incarnation(1), Beginning::Alone);
        let other = first().begun(B, Incarnation(2), Beginning::Alone);
        assert_eq!(relation(&one, &other), Relation::Diverged);
        let again = first().begun(A, Incarnation(3), Beginning::Alone);
        assert_eq!(relation(&one, &again), Relation::Diverged);
    }

    #[test]
    fn an_empty_disk_is_unknown_and_never_older() {
        assert_eq!(Relation::of(A, None, Some(&first())), Relation::Unknown);
        assert_eq!(Relation::of(A, Some(&first()), None), Relation::PeerUnknown);
        assert_eq!(Relation::of(A, None, None), Relation::Unknown);
    }

    #[test]
    fn only_so_many_generations_are_kept() {
        let mut history = first();
        for _ in 0..100 {
            history = history.begun(A, Incarnation(1), Beginning::Alone);
        }
        assert_eq!(history.generations.len(), MOST_GENERATIONS);
        assert_eq!(relation(&first(), &history), Relation::Diverged);
    }
}
