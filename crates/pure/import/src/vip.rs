//! Addresses: `IPaddr2` and its older relatives.
//!
//! Not for which machine has which interface.

use std::net::IpAddr;

use standfast_model::agent::silenced;
use standfast_scheduler::input::Resource;

use crate::{
    draft::{Draft, Key},
    source::agent,
    write,
};

/// Parameters that an address here has no use for, because it is so anyway.
const NOT_NEEDED: [(&str, &str); 6] = [
    (
        "arp_interval",
        "an address is announced at once, and again later",
    ),
    (
        "arp_count",
        "an address is announced at once, and again later",
    ),
    (
        "arp_count_refresh",
        "an address is announced at once, and again later",
    ),
    ("arp_bg", "an address is announced at once, and again later"),
    (
        "arp_sender",
        "an address is announced at once, and again later",
    ),
    ("broadcast", "the kernel knows it from the prefix"),
];

/// What an address of kind `vip` has no setting for, and the agent has.
const OF_AGENT: [&str; 6] = [
    "flush_routes",
    "iflabel",
    "nodad",
    "noprefixroute",
    "preferred_lft",
    "run_arping",
];

/// Whether the agent itself is to hold the address: it is told what a `vip` could not be, and the address guard silences it.
pub(crate) fn needs_agent(resource: &Resource, draft: &Draft) -> bool {
    let parameters = resource.parameters.iter();
    let mut told = parameters.filter(|(_, value)| !value.is_empty());
    let address = silenced(
        &agent(resource),
        &resource.parameters.clone().into_iter().collect(),
    );
    let free = |ip| owner(draft, ip).is_none();
    told.any(|(name, _)| OF_AGENT.contains(&name.as_str()))
        && address.is_some_and(|found| found.is_ok_and(free))
}

/// The keys of an address, unless it cannot be one.
pub(crate) fn read(resource: &Resource, draft: &mut Draft) -> Option<Vec<Key>> {
    let what = format!("{} {}", resource.id, agent(resource));
    let get = |names: [&str; 2]| {
        let mut found = names
            .iter()
            .filter_map(|name| resource.parameters.get(*name));
        found.next().map(|value| value.trim())
    };
    let Some(written) = get(["ip", "ipv6addr"]) else {
        draft.not_expressed(&what, "it has no ip");
        return None;
    };
    // IPv6addr takes the prefix along.
    let (ip, behind) = match written.split_once('/') {
        Some((ip, prefix)) => (ip, Some(prefix)),
        None => (written, None),
    };
    let Ok(ip) = ip.parse::<IpAddr>() else {
        draft.not_expressed(&what, &format!("\"{ip}\" is no IP address"));
        return None;
    };
    if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::from([255; 4]) {
        draft.not_expressed(&what, &format!("{ip} is no address of one machine"));
        return None;
    }
    let prefix = prefix(
        &what,
        ip,
        get(["cidr_netmask", "netmask"]).or(behind),
        draft,
    );
    let address = format!("{ip}/{prefix}");
    if let Some(other) = owner(draft, ip) {
        let reason = format!("{other} has the same address; an address belongs to one resource");
        draft.not_expressed(&what, &reason);
        return None;
    }
    let mut keys = vec![("addresses", write::list([address.as_str()]))];
    if let Some(nic) = get(["nic", "nic"]) {
        keys.extend(interface(&what, nic, draft));
    }
    for name in resource.parameters.keys() {
        let known = ["ip", "ipv6addr", "cidr_netmask", "netmask", "nic"];
        if known.contains(&name.as_str()) {
            continue;
        }
        let what = format!("{} {name}", resource.id);
        match NOT_NEEDED.iter().find(|(known, _)| known == name) {
            Some((_, reason)) => draft.not_needed(&what, reason),
            None => draft.not_expressed(&what, "an address has no such setting here"),
        }
    }
    Some(keys)
}

/// The resource that has an address already.
fn owner(draft: &Draft, ip: IpAddr) -> Option<String> {
    let (start, given) = (format!("[\"{ip}/"), format!(" ip = \"{ip}\""));
    let mut resources = draft.resources.iter();
    let owner = resources.find(|resource| {
        let mut keys = resource.keys.iter();
        keys.any(|(key, value)| {
            (*key == "addresses" && value.starts_with(&start))
                || (*key == "parameters" && value.contains(&given))
        })
    });
    owner.map(|owner| owner.name.clone())
}

fn interface(what: &str, nic: &str, draft: &mut Draft) -> Option<Key> {
    let (interface, label) = nic
        .split_once(':')
        .map_or((nic, None), |(a, b)| (a, Some(b)));
    if let Some(label) = label {
        draft.changed(
            what,
            &format!("without its label {label}: addresses have none here"),
        );
    }
    let fits = !interface.is_empty()
        && interface.len() <= 15
        && !interface.contains(|c: char| c == '/' || c.is_whitespace());
    if !fits {
        draft.not_expressed(what, &format!("nic: \"{interface}\" is no interface"));
        return None;
    }
    Some(("interface", write::text_value(interface)))
}

/// The prefix length; that of the single address where nothing usable is said.
fn prefix(what: &str, ip: IpAddr, written: Option<&str>, draft: &mut Draft) -> u32 {
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    let Some(written) = written else {
        let text = format!(
            "no cidr_netmask is given: written as /{longest}; say the prefix of its network"
        );
        draft.changed(what, &text);
        return longest;
    };
    let dotted = written
        .parse::<std::net::Ipv4Addr>()
        .ok()
        .map(|mask| mask.to_bits());
    let dotted = dotted.filter(|mask| mask.leading_ones() + mask.trailing_zeros() == 32);
    let number = written
        .parse::<u32>()
        .ok()
        .or(dotted.map(u32::leading_ones));
    match number.filter(|prefix| (1..=longest).contains(prefix)) {
        Some(prefix) if is_host(ip, prefix) => prefix,
        Some(prefix) => {
            let text = format!(
                "{ip} is the network or the broadcast address of its /{prefix}: written as /{longest}"
            );
            draft.changed(what, &text);
            longest
        }
        None => {
            let text = format!("\"{written}\" is no prefix length: written as /{longest}");
            draft.changed(what, &text);
            longest
        }
    }
}

fn is_host(ip: IpAddr, prefix: u32) -> bool {
    let IpAddr::V4(v4) = ip else {
        return true;
    };
    if prefix >= 31 {
        return true;
    }
    let hosts = u32::MAX >> prefix;
    let host = v4.to_bits() & hosts;
    host != 0 && host != hosts
}
