//! Fencing as it is configured: the devices that can cut a machine's power, and the order in which they are tried.
//!
//! Not for carrying it out (crate `fence`), and not for what an agent's parameters mean: only the agent knows that.

use crate::{
    id::{DeviceId, NodeId},
    time::Micros,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fencing {
    /// Switched off in so many words, although devices may be configured.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub off: bool,
    /// Lost nodes are not fenced by themselves: only who is asked for, and who cannot stop something.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub manual: bool,
    /// Who is fenced without being asked for stays off; otherwise it gets its power back once it is off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stay_off: bool,
    /// A lost node is fenced when it has been lost for so long; see [`Fencing::patience`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_after: Option<Micros>,
    /// The devices.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub devices: BTreeMap<DeviceId, FenceDevice>,
    /// Nodes whose levels were given: one level after the other, of each level all devices. See [`Fencing::levels_of`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub levels: BTreeMap<NodeId, Vec<Vec<DeviceId>>>,
}

/// One device, driven by an agent of the `fence-agents` kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceDevice {
    /// Name of the agent's program, such as `fence_ipmilan`, or its absolute path.
    pub agent: String,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// More of them, read from these files by the node that acts, each time. The values are never replicated.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_parameters: BTreeMap<String, String>,
    /// Nodes that it can fence, and what the device calls each of them: an outlet, a blade, a virtual machine. None
    /// when the whole device belongs to the node.
    pub nodes: BTreeMap<NodeId, Option<String>>,
    /// One act, the question afterwards whether it is off included, takes no longer.
    pub timeout: Micros,
    /// So many more attempts after one that failed.
    pub retries: u32,
    /// Wait before the first attempt.
    pub delay: Micros,
    /// How often the device is asked whether it answers.
    pub monitor: Micros,
}

impl Fencing {
    /// Nothing is configured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// How long a node has been lost when it is fenced, unless the configuration says otherwise.
    pub const PATIENCE: Micros = Micros::from_millis(10_000);

    /// How long a node has been lost when it is fenced.
    #[must_use]
    pub fn patience(&self) -> Micros {
        self.lost_after.unwrap_or(Self::PATIENCE)
    }

    /// Whether devices are there, and used.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.off && !self.devices.is_empty()
    }

    /// The levels of a node: those given, or else each device that can fence it by itself, by name. Empty when there is
    /// no way to fence it, and when fencing is switched off.
    #[must_use]
    pub fn levels_of(&self, node: &NodeId) -> Vec<Vec<DeviceId>> {
        if self.off {
            return Vec::new();
        }
        if let Some(levels) = self.levels.get(node) {
            return levels.clone();
        }
        let able = self.devices.iter();
        able.filter(|(_, device)| device.nodes.contains_key(node))
            .map(|(id, _)| vec![id.clone()])
            .collect()
    }
}

/// Parameters that no one configures, because Standfast sets them, or because they would do harm; with what to do instead.
pub const RESERVED: [(&str, &str); 14] = [
    ("action", "Standfast says what is to be done"),
    ("option", "Standfast says what is to be done"),
    ("plug", "`nodes` says what the device calls each node"),
    ("port", "`nodes` says what the device calls each node"),
    ("nodename", "`nodes` says what the device calls each node"),
    ("delay", "use `delay_ms`"),
    (
        "method",
        "Standfast asks for off, and for on, never for a cycle",
    ),
    ("debug", "it would write secrets into a file"),
    ("debug_file", "it would write secrets into a file"),
    ("logfile", "it would write secrets into a file"),
    ("help", "it does nothing but explain"),
    ("version", "it does nothing but explain"),
    ("separator", "Standfast asks for no list"),
    ("list", "Standfast asks for no list"),
];

/// Names of parameters that are secrets by themselves, in the agents of Debian's `fence-agents`.
const SECRETS: [&str; 10] = [
    "passwd",
    "password",
    "snmp_priv_passwd",
    "snmp_auth_passwd",
    "hexadecimal_kg",
    "secret_key",
    "access_key",
    "apikey",
    "token",
    "community",
];

/// Whether a parameter's value is a secret, by its name.
#[must_use]
pub fn is_secret(parameter: &str) -> bool {
    let like = ["password", "passwd", "passphrase", "secret"];
    let file = ["_script", "_file", "_path"];
    SECRETS.contains(&parameter)
        || like.iter().any(|part| parameter.contains(part))
            && !file.iter().any(|end| parameter.ends_with(end))
}

/// Whether this can be the name of a parameter: the protocol has one `name=value` a line.
#[must_use]
pub fn is_parameter(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !name.is_empty() && name.len() <= 64 && name.chars().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(nodes: &[&str]) -> FenceDevice {
        FenceDevice {
            agent: "fence_ipmilan".to_owned(),
            parameters: BTreeMap::new(),
            secret_parameters: BTreeMap::new(),
            nodes: nodes.iter().map(|n| (NodeId::from(*n), None)).collect(),
            timeout: Micros::from_millis(1),
            retries: 0,
            delay: Micros::ZERO,
            monitor: Micros::ZERO,
        }
    }

    #[test]
    fn without_levels_every_device_that_knows_the_node_is_one() {
        let mut fencing = Fencing::default();
        for (name, nodes) in [("b", ["x", "y"]), ("a", ["x", "z"])] {
            fencing.devices.insert(name.into(), device(&nodes));
        }
        let levels = |f: &Fencing, n: &str| f.levels_of(&n.into());
        let (a, b) = (DeviceId::from("a"), DeviceId::from("b"));
        assert_eq!(levels(&fencing, "x"), [vec![a.clone()], vec![b.clone()]]);
        assert_eq!(levels(&fencing, "y"), [vec![b.clone()]]);
        assert!(levels(&fencing, "w").is_empty());
        fencing
            .levels
            .insert("x".into(), vec![vec![b.clone(), a.clone()]]);
        assert_eq!(levels(&fencing, "x"), [vec![b, a]]);
        fencing.off = true;
        assert!(levels(&fencing, "x").is_empty());
    }

    #[test]
    fn secrets_are_known_by_name() {
        for name in [
            "password",
            "passwd",
            "snmp_priv_passwd",
            "hexadecimal_kg",
            "my_secret",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "ip",
            "username",
            "password_script",
            "passwd_script",
            "identity_file",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
