//! What is configured about a pair: two nodes with one arbiter.
//!
//! Not for what the two do: crate `pair`. Not for parsing: crate `config`.

use crate::{config::Profile, id::NodeId, time::Micros};
use serde::{Deserialize, Serialize};

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
    /// Up to this much more, drawn at random, on both.
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

impl PairConfig {
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
