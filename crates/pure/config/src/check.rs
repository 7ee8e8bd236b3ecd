//! What can only be checked once everything is read.

use crate::{
    mistake::{Mistake, Report},
    references::Found,
};
use standfast_model::config::ClusterConfig;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

/// An address belongs to one resource, and never to a node as well: moving it would take the node's
/// own link with it.
pub(crate) fn addresses_are_unique(config: &ClusterConfig, found: &Found, report: &mut Report<'_>) {
    let mut owners: BTreeMap<IpAddr, String> = BTreeMap::new();
    for (id, node) in &config.nodes {
        for link in &node.addresses {
            if let Ok(link) = link.parse::<SocketAddr>() {
                owners.insert(link.ip(), format!("nodes.{id}.addresses"));
            }
        }
    }
    for (address, path, at) in &found.vip_addresses {
        let Some((ip, _)) = address.split_once('/') else {
            continue;
        };
        let Ok(ip) = ip.parse::<IpAddr>() else {
            continue;
        };
        if let Some(owner) = owners.insert(ip, path.clone()) {
            let mistake = Mistake::new(path, format!("{ip} is taken already by {owner}"));
            report.mistake(
                at.clone(),
                mistake.allowed("an address that nothing else has"),
            );
        }
    }
}
