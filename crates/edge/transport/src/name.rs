//! Names as they stand in certificates: node names, cluster ids, and the DNS name made of both.
//!
//! Not for network addresses, and not for the display names of the configuration.

use std::fmt;

use rustls::pki_types::ServerName;
use thiserror::Error;

/// What follows the cluster id in every DNS name that a certificate of ours carries.
const SUFFIX: &str = "standfast";
/// A label between node name and cluster id, so that a node name can never be read as another part.
const NODE_LABEL: &str = "node";
/// Longest node name in bytes; with the suffix it stays below the 253 bytes of a DNS name.
const MAX_NODE_NAME: usize = 128;

/// Why a text is not a node name or a cluster id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{text:?} is not a valid {kind}: use lower-case letters, digits and '-' in labels of at most 63, \
     at most {max} characters in all"
)]
pub struct NameError {
    kind: &'static str,
    text: String,
    max: usize,
}

/// The name of a node: one or more DNS labels in lower case, as in a host name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

/// The id of a cluster: one DNS label in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(String);

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl NodeName {
    /// Checks `text` and makes a node name of it.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.len() <= MAX_NODE_NAME && text.split('.').all(is_label) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError {
            kind: "node name",
            text: text.chars().take(MAX_NODE_NAME).collect(),
            max: MAX_NODE_NAME,
        })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The DNS name that this node's certificate carries in `cluster`.
    #[must_use]
    pub fn dns_name(&self, cluster: &ClusterId) -> String {
        format!("{}.{NODE_LABEL}.{}.{SUFFIX}", self.0, cluster.0)
    }

    /// The same as [`Self::dns_name`], as TLS wants it.
    pub(crate) fn server_name(&self, cluster: &ClusterId) -> Option<ServerName<'static>> {
        ServerName::try_from(self.dns_name(cluster)).ok()
    }
}

impl ClusterId {
    /// Checks `text` and makes a cluster id of it.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if is_label(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError {
            kind: "cluster id",
            text: text.chars().take(63).collect(),
            max: 63,
        })
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Takes the DNS name of a certificate apart; `None` when it is not one of ours.
pub(crate) fn parse_dns_name(dns: &str) -> Option<(NodeName, ClusterId)> {
    let rest = dns.strip_suffix(SUFFIX)?.strip_suffix('.')?;
    let (rest, cluster) = rest.rsplit_once('.')?;
    let (node, label) = rest.rsplit_once('.')?;
    if label != NODE_LABEL {
        return None;
    }
    Some((NodeName::new(node).ok()?, ClusterId::new(cluster).ok()?))
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for NodeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_name_comes_apart_into_what_it_was_made_of() {
        let cluster = ClusterId::new("c1").unwrap();
        for name in ["alpha", "db-1.example.com", "a.node.b"] {
            let node = NodeName::new(name).unwrap();
            let dns = node.dns_name(&cluster);
            assert_eq!(parse_dns_name(&dns), Some((node, cluster.clone())), "{dns}");
        }
        assert_eq!(parse_dns_name("alpha.c1.standfast"), None);
        assert_eq!(parse_dns_name("alpha.node.c1.standfast.com"), None);
    }

    #[test]
    fn names_that_do_not_fit_a_certificate_are_refused() {
        for bad in ["", "Alpha", "a b", "-a", "a..b", "a/b", &"x".repeat(64)] {
            assert!(NodeName::new(bad).is_err(), "{bad}");
        }
        assert!(ClusterId::new("a.b").is_err());
    }
}
