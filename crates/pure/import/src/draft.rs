//! The result while it is made: tables with their keys, and the notes so far.
//!
//! Not for how it is written down: see `write`.

use std::collections::BTreeMap;

use crate::{
    names::Names,
    notes::{Note, Sort},
};

/// Ends the name of a promoted role.
pub(crate) const PROMOTED: &str = ":promoted";

/// A value of a key, as TOML.
pub(crate) type Key = (&'static str, String);

/// A node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) uname: String,
    pub(crate) name: String,
    pub(crate) comments: Vec<String>,
    pub(crate) addresses: Vec<String>,
    pub(crate) levels: Vec<Vec<String>>,
    /// Attributes that it has here too.
    pub(crate) attributes: BTreeMap<String, String>,
}

/// A resource of a kind that exists here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resource {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) comments: Vec<String>,
    pub(crate) keys: Vec<Key>,
}

/// Resources that live together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) comments: Vec<String>,
    /// Ids that constraints name it by: its own, and those of its members.
    pub(crate) ids: Vec<String>,
    /// Groups of the source with their members, by id.
    pub(crate) parts: Vec<(String, Vec<String>)>,
    /// Names of the members in start order.
    pub(crate) members: Vec<String>,
    pub(crate) stickiness: i32,
    pub(crate) priority: i32,
    /// How many copies it has, as TOML.
    pub(crate) copies: Option<String>,
    /// One of them is promoted.
    pub(crate) promoted: bool,
    /// Scores by the name of the node.
    pub(crate) prefer: BTreeMap<String, i32>,
}

/// A location by attributes of nodes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Located {
    pub(crate) name: String,
    pub(crate) comments: Vec<String>,
    /// An id that its group is known by; of the promoted role, with [`PROMOTED`].
    pub(crate) group: String,
    /// What is asked for, as TOML.
    pub(crate) asked: String,
    pub(crate) score: i32,
}

/// A constraint between two groups.
#[derive(Debug, Clone, Default)]
pub(crate) struct Between {
    pub(crate) name: String,
    pub(crate) comments: Vec<String>,
    /// Who follows, or comes later, and whom: names of groups.
    pub(crate) ends: (String, String),
    pub(crate) keys: Vec<Key>,
}

/// A fence device.
#[derive(Debug, Clone, Default)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) comments: Vec<String>,
    /// Names of nodes, with what the device calls each.
    pub(crate) nodes: Vec<(String, Option<String>)>,
    pub(crate) keys: Vec<Key>,
}

/// Everything so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) cluster: Vec<Key>,
    pub(crate) cluster_comments: Vec<String>,
    /// Nodes may run only what prefers them.
    pub(crate) opt_in: bool,
    pub(crate) fencing: bool,
    /// Milliseconds that an act of fencing may take, if the cluster says so.
    pub(crate) fence_timeout_ms: Option<u64>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) devices: Vec<Device>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) groups: Vec<Group>,
    pub(crate) locations: Vec<Located>,
    pub(crate) colocations: Vec<Between>,
    pub(crate) orders: Vec<Between>,
    pub(crate) names: Names,
    /// Resources that say nothing of how often they may fail.
    pub(crate) without_threshold: Vec<String>,
    /// Nodes whose addresses are not known.
    pub(crate) without_address: Vec<String>,
    pub(crate) notes: Vec<Note>,
}

impl Draft {
    fn note(&mut self, sort: Sort, what: &str, reason: &str) {
        self.notes.push(Note {
            sort,
            what: what.to_owned(),
            reason: reason.to_owned(),
        });
    }

    pub(crate) fn not_expressed(&mut self, what: &str, reason: &str) {
        self.note(Sort::NotExpressed, what, reason);
    }

    pub(crate) fn changed(&mut self, what: &str, reason: &str) {
        self.note(Sort::Changed, what, reason);
    }

    pub(crate) fn leave_to_do(&mut self, what: &str, reason: &str) {
        self.note(Sort::ToDo, what, reason);
    }

    pub(crate) fn not_needed(&mut self, what: &str, reason: &str) {
        self.note(Sort::NotNeeded, what, reason);
    }

    /// The node of the source's name, whatever its case.
    pub(crate) fn node(&self, uname: &str) -> Option<&Node> {
        let mut nodes = self.nodes.iter();
        nodes.find(|node| node.uname.eq_ignore_ascii_case(uname))
    }

    pub(crate) fn device(&self, id: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.id == id)
    }

    /// The group that a constraint means by an id; the promoted role is one's of a group.
    pub(crate) fn group_of(&self, id: &str) -> Option<usize> {
        let id = id.strip_suffix(PROMOTED).unwrap_or(id);
        let mut groups = self.groups.iter();
        groups.position(|group| group.ids.iter().any(|known| known == id))
    }
}

/// A comment that says what something was called, if that is not what it is called now.
pub(crate) fn renamed(id: &str, name: &str) -> Option<String> {
    (id != name).then(|| format!("{id} in the CIB"))
}
