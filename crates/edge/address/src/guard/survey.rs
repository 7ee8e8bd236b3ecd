//! Reading the guard's tables back from the kernel. Changes nothing.

use crate::netlink::{Attributes, NetlinkSocket, Reply, attribute, flags, text, u64_be};
use crate::nft::{
    ARP, ATTR_CHAIN_NAME, ATTR_DATA_VALUE, ATTR_ELEMENT_EXPIRATION, ATTR_ELEMENT_KEY,
    ATTR_ELEMENTS, ATTR_RULE_CHAIN, ATTR_SET_NAME, ATTR_TABLE, INET, Set, expected_chains,
    expected_sets, header, kind,
};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

const FAMILY_HEADER_LEN: usize = 4;

/// The tables as they are.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// The first thing that is not as it has to be.
    damage: Option<String>,
    /// By address and family.
    managed: BTreeSet<(IpAddr, u8)>,
    /// The same, with what is left.
    live: BTreeMap<(IpAddr, u8), Duration>,
}

impl Survey {
    pub(crate) fn take(socket: &mut NetlinkSocket, table: &str) -> Result<Self, Errno> {
        let mut survey = Self::default();
        for family in [INET, ARP] {
            survey.damage = survey.damage.or(damage_of(socket, table, family)?);
            for v6 in [false, true] {
                if family == ARP && v6 {
                    continue;
                }
                for (address, _) in elements(socket, table, family, Set::Managed.name(v6))? {
                    survey.managed.insert((address, family));
                }
                for (address, left) in elements(socket, table, family, Set::Live.name(v6))? {
                    survey
                        .live
                        .insert((address, family), left.unwrap_or(Duration::ZERO));
                }
            }
        }
        Ok(survey)
    }

    /// What makes the structure unusable, in words.
    pub(crate) fn damage(&self) -> Option<String> {
        self.damage.clone()
    }

    /// Guarded in every family that has to know the address.
    pub(crate) fn is_managed(&self, address: IpAddr) -> bool {
        families(address)
            .iter()
            .all(|family| self.managed.contains(&(address, *family)))
    }

    /// Open in every family that has to know the address.
    pub(crate) fn is_live(&self, address: IpAddr) -> bool {
        families(address)
            .iter()
            .all(|family| self.live.contains_key(&(address, *family)))
    }

    /// Where the addresses stand in the set.
    pub(crate) fn present(&self, set: Set, addresses: &[IpAddr]) -> Vec<(u8, IpAddr)> {
        let stands = |place: &(IpAddr, u8)| match set {
            Set::Managed => self.managed.contains(place),
            Set::Live => self.live.contains_key(place),
            Set::Token => false,
        };
        let places = addresses
            .iter()
            .flat_map(|a| families(*a).iter().map(|family| (*a, *family)));
        places
            .filter(stands)
            .map(|(address, family)| (family, address))
            .collect()
    }

    /// The managed addresses with what is left of their opening: the least over the families.
    pub(crate) fn addresses(&self) -> Vec<(IpAddr, Option<Duration>)> {
        let mut addresses: Vec<IpAddr> = self.managed.iter().map(|(address, _)| *address).collect();
        addresses.dedup();
        let left = |address: IpAddr| {
            let all: Option<Vec<Duration>> = families(address)
                .iter()
                .map(|family| self.live.get(&(address, *family)).copied())
                .collect();
            all.and_then(|all| all.into_iter().min())
        };
        addresses
            .into_iter()
            .map(|address| (address, left(address)))
            .collect()
    }
}

/// IPv4 addresses stand in the tables `inet` and `arp`, IPv6 addresses in `inet` only.
fn families(address: IpAddr) -> &'static [u8] {
    if address.is_ipv4() {
        &[INET, ARP]
    } else {
        &[INET]
    }
}

fn damage_of(socket: &mut NetlinkSocket, table: &str, family: u8) -> Result<Option<String>, Errno> {
    let sets = names(
        &dump(socket, kind::GET_SET, family, table)?,
        table,
        ATTR_SET_NAME,
    );
    if sets.is_empty() {
        return Ok(Some(format!("the table {table} was gone")));
    }
    if let Some(missing) = expected_sets(family)
        .iter()
        .find(|name| !sets.contains(name))
    {
        return Ok(Some(format!("the set {missing} of table {table} was gone")));
    }
    let chains = names(
        &dump(socket, kind::GET_CHAIN, family, table)?,
        table,
        ATTR_CHAIN_NAME,
    );
    let rules = names(
        &dump(socket, kind::GET_RULE, family, table)?,
        table,
        ATTR_RULE_CHAIN,
    );
    for (chain, count) in expected_chains(family) {
        if !chains.contains(chain) || rules.count(chain) != *count {
            return Ok(Some(format!(
                "rules of chain {chain} of table {table} were changed"
            )));
        }
    }
    Ok(None)
}

fn dump(
    socket: &mut NetlinkSocket,
    what: u16,
    family: u8,
    table: &str,
) -> Result<Vec<Reply>, Errno> {
    let answer = socket.request(what, flags::DUMP, &header(family, 0), |w| {
        w.attr_text(ATTR_TABLE, table)
    });
    match answer {
        Err(Errno::NOENT) => Ok(Vec::new()),
        other => other,
    }
}

#[derive(Debug, Default)]
struct Names(BTreeMap<String, usize>);

impl Names {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn count(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or(0)
    }
}

/// How often each name occurs among the objects of our table (older kernels send those of other tables too).
fn names(replies: &[Reply], table: &str, name_attribute: u16) -> Names {
    let mut names = Names::default();
    for reply in replies {
        let attributes = reply.payload.get(FAMILY_HEADER_LEN..).unwrap_or_default();
        if attribute(attributes, ATTR_TABLE).map(text) != Some(table) {
            continue;
        }
        if let Some(name) = attribute(attributes, name_attribute) {
            *names.0.entry(text(name).to_owned()).or_default() += 1;
        }
    }
    names
}

fn elements(
    socket: &mut NetlinkSocket,
    table: &str,
    family: u8,
    set: &str,
) -> Result<Vec<(IpAddr, Option<Duration>)>, Errno> {
    let answer = socket.request(kind::GET_ELEMENT, flags::DUMP, &header(family, 0), |w| {
        w.attr_text(ATTR_TABLE, table);
        w.attr_text(ATTR_SET_NAME, set);
    });
    let replies = match answer {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for reply in &replies {
        let attributes = reply.payload.get(FAMILY_HEADER_LEN..).unwrap_or_default();
        let list = attribute(attributes, ATTR_ELEMENTS).unwrap_or_default();
        found.extend(Attributes(list).filter_map(|(_, item)| element(item)));
    }
    Ok(found)
}

fn element(item: &[u8]) -> Option<(IpAddr, Option<Duration>)> {
    let key = attribute(attribute(item, ATTR_ELEMENT_KEY)?, ATTR_DATA_VALUE)?;
    let address = match (<[u8; 4]>::try_from(key), <[u8; 16]>::try_from(key)) {
        (Ok(v4), _) => IpAddr::from(v4),
        (_, Ok(v6)) => IpAddr::from(v6),
        _ => return None,
    };
    let left = attribute(item, ATTR_ELEMENT_EXPIRATION)
        .and_then(u64_be)
        .map(Duration::from_millis);
    Some((address, left))
}
