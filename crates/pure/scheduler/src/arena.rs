//! Lists that things are found in by number, and tables of nodes.
//!
//! Not for what the things are: see `work`.

use std::ops::{Index, IndexMut};

macro_rules! id {
    ($name:ident, $what:literal) => {
        #[doc = $what]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $name(u32);
        impl $name {
            /// Its place in a list of all.
            pub(crate) fn at(self) -> usize {
                usize::try_from(self.0).unwrap_or(usize::MAX)
            }
        }
        impl From<usize> for $name {
            fn from(index: usize) -> Self {
                Self(u32::try_from(index).unwrap_or(u32::MAX))
            }
        }
        impl From<$name> for usize {
            fn from(id: $name) -> Self {
                id.at()
            }
        }
    };
}
id!(NodeId, "A node of the working set.");
id!(RscId, "An instance, group or clone of the working set.");
id!(ActionId, "An action of the working set.");
id!(ColocationId, "A colocation of the working set.");

/// Things that are only added, found by the index that adding gave.
#[derive(Debug, Clone)]
pub(crate) struct Arena<I, T> {
    items: Vec<T>,
    id: std::marker::PhantomData<I>,
}

impl<I: From<usize> + Into<usize>, T> Arena<I, T> {
    pub(crate) const fn new() -> Self {
        Self {
            items: Vec::new(),
            id: std::marker::PhantomData,
        }
    }

    pub(crate) fn add(&mut self, item: T) -> I {
        self.items.push(item);
        I::from(self.items.len() - 1)
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn ids(&self) -> impl DoubleEndedIterator<Item = I> + use<I, T> {
        (0..self.items.len()).map(I::from)
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "an id comes from this arena, which never shrinks"
)]
impl<I: Into<usize>, T> Index<I> for Arena<I, T> {
    type Output = T;
    fn index(&self, id: I) -> &T {
        &self.items[id.into()]
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "an id comes from this arena, which never shrinks"
)]
impl<I: Into<usize>, T> IndexMut<I> for Arena<I, T> {
    fn index_mut(&mut self, id: I) -> &mut T {
        &mut self.items[id.into()]
    }
}

/// Where a resource is looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Discovery {
    #[default]
    Always,
    Never,
    Exclusive,
}

/// What a resource makes of one node.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Slot {
    pub(crate) score: i32,
    pub(crate) count: i32,
    pub(crate) discovery: Discovery,
}

/// A resource's nodes with their scores. A node that is not in it is not allowed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table(Vec<Option<Slot>>);

impl Table {
    pub(crate) fn get(&self, node: NodeId) -> Option<&Slot> {
        self.0.get(node.at()).and_then(Option::as_ref)
    }

    pub(crate) fn get_mut(&mut self, node: NodeId) -> Option<&mut Slot> {
        self.0.get_mut(node.at()).and_then(Option::as_mut)
    }

    /// Makes room for so many nodes at once.
    pub(crate) fn reserve(&mut self, nodes: usize) {
        self.0.reserve(nodes.saturating_sub(self.0.len()));
    }

    pub(crate) fn score(&self, node: NodeId) -> Option<i32> {
        self.get(node).map(|slot| slot.score)
    }

    /// The slot of a node, made with `score` if there is none.
    pub(crate) fn entry(&mut self, node: NodeId, score: i32) -> &mut Slot {
        let at = node.at();
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        let fresh = Slot {
            score,
            ..Slot::default()
        };
        #[expect(clippy::indexing_slicing, reason = "made long enough just above")]
        self.0[at].get_or_insert(fresh)
    }

    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        let all = self.0.iter().enumerate();
        all.filter(|(_, slot)| slot.is_some())
            .map(|(node, _)| NodeId::from(node))
            .collect()
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = (NodeId, &Slot)> {
        let all = self.0.iter().enumerate();
        all.filter_map(|(node, slot)| Some((NodeId::from(node), slot.as_ref()?)))
    }

    pub(crate) fn slots_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Slot)> {
        let all = self.0.iter_mut().enumerate();
        all.filter_map(|(node, slot)| Some((NodeId::from(node), slot.as_mut()?)))
    }
}
