//! Neighbour solicitations and advertisements (RFC 4861 sections 4.3 and 4.4) as whole IPv6 packets.

use crate::Mac;
use std::net::Ipv6Addr;

pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ICMPV6: u8 = 58;
pub(super) const SOLICITATION: u8 = 135;
pub(super) const ADVERTISEMENT: u8 = 136;
const FLAG_ROUTER: u8 = 0x80;
const FLAG_OVERRIDE: u8 = 0x20;
const OPTION_SOURCE: u8 = 1;
const OPTION_TARGET: u8 = 2;
/// Receivers drop these messages unless they have crossed no router.
const HOP_LIMIT: u8 = 255;
const IPV6_HEADER_LEN: usize = 40;

/// An unsolicited advertisement to all nodes of the link.
pub(super) fn advertisement(address: Ipv6Addr, mac: Mac, router: bool) -> Vec<u8> {
    let flags = FLAG_OVERRIDE | if router { FLAG_ROUTER } else { 0 };
    let body = body(ADVERTISEMENT, flags, address, Some((OPTION_TARGET, mac)));
    packet(address, ALL_NODES, body)
}

/// A question for the address; from the unspecified address it must not carry ours (RFC 4861 section 4.3).
pub(super) fn solicitation(source: Ipv6Addr, address: Ipv6Addr, mac: Mac) -> Vec<u8> {
    let option = (!source.is_unspecified()).then_some((OPTION_SOURCE, mac));
    packet(
        source,
        solicited_node(address),
        body(SOLICITATION, 0, address, option),
    )
}

/// The multicast group that solicitations for the address go to (RFC 4291 section 2.7.1).
pub(super) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    const GROUP: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
    Ipv6Addr::from_bits(GROUP | (address.to_bits() & 0xff_ffff))
}

/// RFC 2464 section 7.
pub(super) fn multicast_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

/// What an advertisement says: the address and whose it is.
pub(super) fn claim(packet: &[u8]) -> Option<(Mac, Ipv6Addr)> {
    if *packet.get(6)? != ICMPV6 || *packet.get(7)? != HOP_LIMIT {
        return None;
    }
    let body = packet.get(IPV6_HEADER_LEN..)?;
    if *body.first()? != ADVERTISEMENT {
        return None;
    }
    let target: [u8; 16] = body.get(8..24)?.try_into().ok()?;
    let mut options = body.get(24..)?;
    while let [kind, units, ..] = *options {
        let length = usize::from(units) * 8;
        if kind == OPTION_TARGET {
            let mac: [u8; 6] = options.get(2..8)?.try_into().ok()?;
            return Some((Mac(mac), Ipv6Addr::from(target)));
        }
        options = options.get(length.max(8)..)?;
    }
    None
}

fn body(kind: u8, flags: u8, target: Ipv6Addr, option: Option<(u8, Mac)>) -> Vec<u8> {
    let mut body = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    body.extend_from_slice(&target.octets());
    if let Some((option, mac)) = option {
        body.extend_from_slice(&[option, 1]);
        body.extend_from_slice(&mac.0);
    }
    body
}

fn packet(source: Ipv6Addr, target: Ipv6Addr, mut body: Vec<u8>) -> Vec<u8> {
    let checksum = checksum(source, target, &body).to_be_bytes();
    if let Some(place) = body.get_mut(2..4) {
        place.copy_from_slice(&checksum);
    }
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&length.to_be_bytes());
    packet.extend_from_slice(&[ICMPV6, HOP_LIMIT]);
    packet.extend_from_slice(&source.octets());
    packet.extend_from_slice(&target.octets());
    packet.append(&mut body);
    packet
}

/// Internet checksum over the pseudo header (RFC 8200 section 8.1) and the body.
fn checksum(source: Ipv6Addr, target: Ipv6Addr, body: &[u8]) -> u16 {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(IPV6_HEADER_LEN + body.len());
    bytes.extend_from_slice(&source.octets());
    bytes.extend_from_slice(&target.octets());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 0, ICMPV6]);
    bytes.extend_from_slice(body);
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => u32::from(u16::from_be_bytes([high, low])),
            [high] => u32::from(high) << 8,
            _ => 0,
        })
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertisement_claims_its_target() {
        let (mac, address) = (Mac([2, 0, 0, 0, 0, 1]), "fd77::100".parse().unwrap());
        let packet = advertisement(address, mac, false);
        assert_eq!(claim(&packet), Some((mac, address)));
        for cut in 0..packet.len() {
            assert_eq!(claim(&packet[..cut]), None);
        }
        assert_eq!(
            claim(&solicitation(Ipv6Addr::UNSPECIFIED, address, mac)),
            None
        );
    }

    #[test]
    fn group_addresses_follow_the_rfcs() {
        let group = solicited_node("fd77::12:3456".parse().unwrap());
        assert_eq!(group, "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap());
        assert_eq!(
            multicast_mac(group),
            Mac([0x33, 0x33, 0xff, 0x12, 0x34, 0x56])
        );
    }
}
