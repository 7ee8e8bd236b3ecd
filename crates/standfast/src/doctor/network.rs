//! Managed addresses: on this machine where they should not be, and who answers for them on the network.

use super::Findings;
use serde::Deserialize;
use standfast_address::{PROBE_ROUND, VipSpec, probe_conflict};
use standfast_model::{
    config::{ResourceKind, VipConfig},
    id::{NodeId, ResourceId},
    query::Severity,
    request::View,
    state::Phase,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    process::Command,
};

pub(super) fn examine(view: Option<&View>, found: &mut Findings) {
    let Some(view) = view else { return };
    let node = NodeId::from(view.node.as_str());
    let resources = view.state.config.resources.iter();
    let managed: Vec<(&ResourceId, &ResourceKind, Vec<IpAddr>)> = resources
        .map(|(name, resource)| (name, &resource.kind, resource.kind.addresses()))
        .filter(|(_, _, addresses)| !addresses.is_empty())
        .collect();
    if managed.is_empty() {
        return;
    }
    found.check("addresses");
    let here = present();
    if here.is_none() {
        found.add(
            Severity::Note,
            "addresses",
            "the addresses of this machine could not be read",
            "install iproute2",
        );
    }
    let here = here.unwrap_or_default();
    found.check("address conflicts");
    for (resource, kind, addresses) in managed {
        let active_on = active_on(view, resource);
        let is_active = active_on.as_ref() == Some(&node);
        leftover(resource, &addresses, &here, is_active, found);
        // An agent's own network is not known well enough to ask about it.
        if let ResourceKind::Vip(vip) = kind {
            conflicts(resource, vip, active_on.as_ref(), &node, found);
        }
    }
}

/// Where a resource is active, as reported.
fn active_on(view: &View, resource: &ResourceId) -> Option<NodeId> {
    let mut nodes = view.state.nodes.iter();
    let active = nodes.find(|(_, known)| {
        let instance = known.report.instances.get(resource);
        known.online && instance.is_some_and(|instance| instance.phase == Phase::Active)
    });
    active.map(|(node, _)| node.clone())
}

fn leftover(
    resource: &ResourceId,
    addresses: &[IpAddr],
    here: &BTreeMap<IpAddr, (String, u8)>,
    is_active: bool,
    found: &mut Findings,
) {
    for address in addresses {
        match here.get(address) {
            Some((interface, prefix)) if !is_active => found.add(
                Severity::Critical,
                "addresses",
                format!("{address} of {resource} is on {interface} of this machine, which does not run it"),
                format!("take it away: `ip address del {address}/{prefix} dev {interface}`, and out of this machine's own network configuration"),
            ),
            None if is_active && !here.is_empty() => found.add(
                Severity::Critical,
                "addresses",
                format!("{address} of {resource} should be on this machine and is not"),
                "the agent puts it back by itself; if it does not, look at `standfast logs`",
            ),
            Some(_) | None => {}
        }
    }
}

/// Asks the network. A machine does not answer its own question.
fn conflicts(
    resource: &ResourceId,
    vip: &VipConfig,
    active_on: Option<&NodeId>,
    node: &NodeId,
    found: &mut Findings,
) {
    let spec = VipSpec {
        addresses: vip.addresses.clone(),
        interface: vip.interface.clone(),
        gateway: None,
    };
    let report = match probe_conflict(&spec, &[], PROBE_ROUND) {
        Ok(report) => report,
        Err(error) => {
            let text = format!("nobody could be asked about {resource}: {error}");
            found.add(
                Severity::Note,
                "address conflicts",
                text,
                "run this as root on a node whose link is up",
            );
            return;
        }
    };
    let mut claims: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    for probed in report.foreign {
        claims
            .entry(probed.address)
            .or_default()
            .insert(probed.mac.to_string());
    }
    for (address, machines) in claims {
        let expected = match active_on {
            Some(active) if active == node => 0,
            Some(_) => 1,
            None => 0,
        };
        if machines.len() <= expected {
            continue;
        }
        let list: Vec<String> = machines.into_iter().collect();
        let list = list.join(" and ");
        let should = match active_on {
            Some(active) => format!("{active} should, alone"),
            None => String::from("nobody should"),
        };
        found.add(
            Severity::Critical,
            "address conflicts",
            format!("{list} answered for {address} of {resource}; {should}"),
            "find that machine in the switch's address table and take the address away from it",
        );
    }
}

#[derive(Deserialize)]
struct Interface {
    ifname: String,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(default)]
    local: Option<IpAddr>,
    #[serde(default)]
    prefixlen: u8,
}

/// All addresses of this machine with their interfaces and prefixes.
fn present() -> Option<BTreeMap<IpAddr, (String, u8)>> {
    let output = Command::new("ip")
        .args(["-json", "address", "show"])
        .output()
        .ok()?;
    let interfaces: Vec<Interface> = serde_json::from_slice(&output.stdout).ok()?;
    let all = interfaces.into_iter().flat_map(|interface| {
        let name = interface.ifname;
        let addresses = interface.addr_info.into_iter();
        addresses
            .filter_map(move |address| Some((address.local?, (name.clone(), address.prefixlen))))
    });
    Some(all.collect())
}
