//! What is configured about a pair: two nodes with one arbiter.
//!
//! Not for what the two do: crate `pair`. Not for parsing: crate `config`.

use crate::{
    config::{ClusterConfig, GroupConfig, Profile, ResourceKind, Timing},
    id::{GroupId, NodeId, ResourceId},
    plan::INFINITY,
    time::Micros,
};
use serde::{Deserialize, Serialize};

/// The resource that has the addresses of the file that a pair names.
pub const PAIR_ADDRESSES: &str = "pair-addresses";

/// Who says which of two nodes may go on alone. Exactly one, chosen by the operator. A witness is not
/// among them: two nodes and a witness are a cluster of three voters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arbiter {
    /// A fence device: whoever goes on alone has had the other's power cut and confirmed.
    Fence,
    /// Ping targets. Best effort: when both nodes reach a target and not each other, both go on.
    Ping,
    /// Nobody: the primary goes on alone, and the other one takes over only by an operator's word.
    None,
}

impl Arbiter {
    /// As it is written in a configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fence => "fence",
            Self::Ping => "ping",
            Self::None => "none",
        }
    }
}

/// What an operator may want of a pair. Each may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairOrder {
    /// This node is to be primary; a primary hands over.
    Promote,
    /// This node is to be no primary, and nobody becomes one by itself.
    Demote,
    /// Primary and secondary change places.
    Swap,
    /// This node is to be a secondary in sync again, after a temporary outage.
    Recover,
    /// This node's copy is given up; it gets the peer's.
    Rebuild,
    /// The operator has seen that the peer is off.
    PeerIsOff,
    /// This node is to lead with what it has, whatever the peer had.
    ForcePrimary,
    /// The pair is to end: the primary goes on as a cluster of one, the other node is out.
    Teardown,
}

/// How a pair is, as one of its nodes knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairView {
    /// For programs: one of a fixed list.
    pub state: String,
    /// For operators: one plain sentence.
    pub sentence: String,
    /// What this node is: `waiting`, `following`, `claiming`, `rising`, `primary`, `handing-over` or `dissolved`.
    pub role: String,
    /// The primary, as far as this node knows.
    pub primary: Option<NodeId>,
    /// Who says which one goes on alone.
    pub arbiter: String,
    /// Number of the newest generation that this node knows; zero when nothing is known about its copy.
    pub generation: u64,
    /// A change is confirmed when both nodes have it.
    pub in_sync: bool,
    /// The other node is heard.
    pub peer_seen: bool,
    /// What a leader of the log and its copy have: the last index on this node's disk.
    pub index: u64,
    /// What this node knows of its ping targets, where they are the arbiter.
    #[serde(default)]
    pub ping: Option<PingView>,
}

/// Ping targets, as one node of a pair has asked them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingView {
    /// Those that answered the last time, the gateway first.
    pub answering: Vec<String>,
    /// Those that did not.
    pub silent: Vec<String>,
    /// What the rules say while the peer is not heard, as one sentence; empty while it is.
    pub verdict: String,
}

/// One round of pings: everybody is asked once. Answered by [`PingRound`]s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingOrder {
    /// Its number in this run of the agent. A later round ends the interest in this one.
    pub round: u64,
    /// Addresses of the peer: one that answers is enough.
    pub peer: Vec<String>,
    /// The gateway, then the further targets.
    pub targets: Vec<String>,
    /// Whoever has not answered by then did not.
    pub timeout: Micros,
}

/// What came of a round so far. Told with every answer, and at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingRound {
    /// Number of the round.
    pub round: u64,
    /// The peer has answered.
    pub peer: bool,
    /// Which targets have answered, in the order in which they were named.
    pub targets: Vec<bool>,
    /// Its time is over.
    pub over: bool,
}

/// Who becomes primary when both nodes have started and see each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootPolicy {
    /// The one with the newer history; of two equal ones, the one that was primary last.
    #[default]
    Automatic,
    /// Nobody, until an operator promotes one.
    Operator,
}

/// Who goes on when both could.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Survivor {
    /// Whoever is primary, and so runs more.
    #[default]
    Primary,
    /// Always this node.
    Node(NodeId),
}

/// A pair as it is configured, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairConfig {
    /// The two nodes in the order of their names.
    pub nodes: [NodeId; 2],
    /// Who says which one goes on alone.
    pub arbiter: Arbiter,
    /// Between two keep-alives, both ways.
    pub keep_alive: Micros,
    /// So many keep-alives in a row without an answer are said to the operator.
    pub misses: u32,
    /// A node that is back within this is normal again by itself; after it the other one acts. Also the
    /// length of the lease that a secondary gives with each answer, where the arbiter needs one.
    pub downtime: Micros,
    /// Largest relative difference between the two clocks, in parts per million.
    pub drift_ppm: u64,
    /// Who goes on when both could.
    pub survivor: Survivor,
    /// The other one waits this long before it fences.
    pub fence_delay: Micros,
    /// Up to this much more, drawn at random, on both. For pairs without the other delay: it alone keeps two from firing at once.
    pub fence_random_delay: Micros,
    /// Between two attempts to fence.
    pub fence_retry: Micros,
    /// Who becomes primary after both have started.
    pub boot: BootPolicy,
    /// The survivor that was configured becomes primary again by itself, once it is in sync for `downtime`.
    pub failback: bool,
    /// File with the addresses that follow the primary.
    pub addresses_file: Option<String>,
    /// Rules for ping targets; with `Arbiter::Ping` only.
    pub ping: Option<PingConfig>,
}

impl ClusterConfig {
    /// The file whose addresses follow the primary.
    #[must_use]
    pub fn addresses_file(&self) -> Option<&str> {
        self.pair.as_ref()?.addresses_file.as_deref()
    }

    /// What a new configuration of a pair does not say stays as it is in force: the whole of `[pair]` when that is not
    /// there, and the addresses when their file was not read with it. False: that file has never been read.
    pub fn keep_pair(&mut self, in_force: &Self) -> bool {
        if self.pair.is_none() {
            self.pair.clone_from(&in_force.pair);
        }
        if self.addresses_file().is_none() {
            self.pair_addresses = None;
            return true;
        }
        if self.pair_addresses.is_some() {
            return true;
        }
        let id = ResourceId::from(PAIR_ADDRESSES);
        let known = in_force.resources.get(&id);
        let (Some(text), Some(known), true) = (
            &in_force.pair_addresses,
            known,
            self.addresses_file() == in_force.addresses_file(),
        ) else {
            return false;
        };
        self.pair_addresses = Some(text.clone());
        self.resources.insert(id.clone(), known.clone());
        if !self
            .groups
            .values()
            .any(|group| group.members.contains(&id))
        {
            let group = GroupConfig {
                members: vec![id],
                stickiness: INFINITY,
                ..GroupConfig::default()
            };
            self.groups.insert(GroupId::from(PAIR_ADDRESSES), group);
        }
        true
    }

    /// Gives the resource of that file its addresses, and keeps the file's text.
    pub fn set_addresses(&mut self, addresses: Vec<String>, text: String) {
        let resource = self.resources.get_mut(&ResourceId::from(PAIR_ADDRESSES));
        if let Some(ResourceKind::Vip(vip)) = resource.map(|resource| &mut resource.kind) {
            vip.addresses = addresses;
            self.pair_addresses = Some(text);
        }
    }
}

impl PairConfig {
    /// A new pair: every default filled in. `nodes` in the order of their names.
    #[must_use]
    pub fn of(nodes: [NodeId; 2], arbiter: Arbiter) -> Self {
        let (keep_alive, misses, downtime) = Self::timing(Profile::default());
        Self {
            nodes,
            arbiter,
            keep_alive,
            misses,
            downtime,
            drift_ppm: Timing::of(Profile::default()).drift_ppm,
            survivor: Survivor::Primary,
            fence_delay: Micros::from_millis(2000),
            fence_random_delay: Micros::ZERO,
            fence_retry: Micros::from_millis(10_000),
            boot: BootPolicy::Automatic,
            failback: false,
            addresses_file: None,
            ping: None,
        }
    }

    /// Keep-alive, misses and downtime threshold of a profile.
    #[must_use]
    pub const fn timing(profile: Profile) -> (Micros, u32, Micros) {
        let (keep_alive, misses, downtime) = match profile {
            Profile::Fast => (50, 3, 400),
            Profile::Lan => (100, 3, 800),
            Profile::Wan => (500, 4, 5000),
            Profile::Appliance => (2000, 5, 30_000),
        };
        let (keep_alive, downtime) = (
            Micros::from_millis(keep_alive),
            Micros::from_millis(downtime),
        );
        (keep_alive, misses, downtime)
    }
}

/// What ping targets cannot promise, wherever they are chosen.
pub const PING_WARNING: &str = "ping targets are best effort: when both nodes reach one and not each other, both become primary, \
     and what one of them did then is lost; a witness or a fence device prevents that";

/// When a failover may rest on ping targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingConfig {
    /// So many pings of the peer in a row have to fail, 2 to 20.
    pub iterations: u32,
    /// Between two pings.
    pub interval: Micros,
    /// The default gateway of this network.
    pub gateway: String,
    /// Up to three more machines.
    pub targets: Vec<String>,
}
