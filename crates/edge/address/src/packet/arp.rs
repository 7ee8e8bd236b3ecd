//! ARP packets for IPv4 over Ethernet (RFC 826), without the Ethernet header.

use crate::Mac;
use std::net::Ipv4Addr;

pub(super) const REQUEST: u16 = 1;
pub(super) const REPLY: u16 = 2;
/// Hardware type 1, protocol IPv4, lengths 6 and 4.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];

pub(super) fn packet(operation: u16, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut packet = ETHERNET_IPV4.to_vec();
    packet.extend_from_slice(&operation.to_be_bytes());
    for (mac, address) in [sender, target] {
        packet.extend_from_slice(&mac.0);
        packet.extend_from_slice(&address.octets());
    }
    packet
}

/// Who the sender says it is: requests and replies alike. `None` for probes, which claim nothing.
pub(super) fn claim(packet: &[u8]) -> Option<(Mac, Ipv4Addr)> {
    if packet.get(..6)? != ETHERNET_IPV4 {
        return None;
    }
    let mac: [u8; 6] = packet.get(8..14)?.try_into().ok()?;
    let address: [u8; 4] = packet.get(14..18)?.try_into().ok()?;
    let address = Ipv4Addr::from(address);
    (!address.is_unspecified()).then_some((Mac(mac), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_claim_and_probes_do_not() {
        let (mac, address) = (Mac([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(192, 0, 2, 1));
        let announcement = packet(REQUEST, (mac, address), (Mac([0; 6]), address));
        assert_eq!(announcement.len(), 28);
        assert_eq!(claim(&announcement), Some((mac, address)));
        let probe = packet(
            REQUEST,
            (mac, Ipv4Addr::UNSPECIFIED),
            (Mac([0; 6]), address),
        );
        assert_eq!(claim(&probe), None);
        for cut in 0..18 {
            assert_eq!(claim(&announcement[..cut]), None);
        }
    }
}
