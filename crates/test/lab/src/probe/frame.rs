//! Builds and reads the watcher's Ethernet frames: ARP (RFC 826), neighbour discovery (RFC 4861), ICMP echo, UDP. Not for sending them.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Identifier of our ICMP echo requests.
const ECHO_ID: u16 = 0x5f1a;

/// A party of a conversation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Party {
    pub(super) mac: [u8; 6],
    pub(super) v4: Ipv4Addr,
}

/// An answer found in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The sender has this IPv4 address.
    Arp(Ipv4Addr),
    /// The sender has this IPv6 address.
    Neighbour(Ipv6Addr),
    /// Echo reply to question number `.1`, from this address.
    Echo(Ipv4Addr, u32),
    /// UDP payload that came to this port.
    Udp(u16, Vec<u8>),
}

fn ethernet(destination: [u8; 6], source: [u8; 6], kind: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(96);
    frame.extend_from_slice(&destination);
    frame.extend_from_slice(&source);
    frame.extend_from_slice(&kind.to_be_bytes());
    frame
}

/// ARP who-has, to everyone.
pub(super) fn who_has(from: Party, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet([0xff; 6], from.mac, 0x0806);
    frame.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend_from_slice(&from.mac);
    frame.extend_from_slice(&from.v4.octets());
    frame.extend_from_slice(&[0; 6]);
    frame.extend_from_slice(&address.octets());
    frame
}

/// Internet checksum (RFC 1071) over `parts` as if they were one.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum: u32 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            let high = pair.first().copied().unwrap_or_default();
            let low = pair.get(1).copied().unwrap_or_default();
            sum += u32::from(u16::from_be_bytes([high, low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let folded = !u16::try_from(sum).unwrap_or_default();
    folded.to_be_bytes()
}

fn ipv4(from: Party, to: Party, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(to.mac, from.mac, 0x0800);
    let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
    let mut header = vec![0x45, 0];
    header.extend_from_slice(&length.to_be_bytes());
    header.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]);
    header.extend_from_slice(&from.v4.octets());
    header.extend_from_slice(&to.v4.octets());
    let sum = checksum(&[&header]);
    frame.extend_from_slice(header.get(..10).unwrap_or_default());
    frame.extend_from_slice(&sum);
    frame.extend_from_slice(header.get(12..).unwrap_or_default());
    frame.extend_from_slice(payload);
    frame
}

/// ICMP echo request number `number` to `to.v4`, through hardware address `to.mac`.
pub(super) fn echo(from: Party, to: Party, number: u32) -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0];
    message.extend_from_slice(&ECHO_ID.to_be_bytes());
    message.extend_from_slice(&[0, 0]);
    message.extend_from_slice(&number.to_be_bytes());
    let sum = checksum(&[&message]);
    message.splice(2..4, sum);
    ipv4(from, to, 1, &message)
}

/// UDP datagram through hardware address `to.mac`, without a checksum (allowed in IPv4).
pub(super) fn udp(from: (Party, u16), to: (Party, u16), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let mut message = Vec::with_capacity(payload.len() + 8);
    message.extend_from_slice(&from.1.to_be_bytes());
    message.extend_from_slice(&to.1.to_be_bytes());
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(&[0, 0]);
    message.extend_from_slice(payload);
    ipv4(from.0, to.0, 17, &message)
}

/// IPv6 neighbour solicitation for `address`, to its solicited-node group.
pub(super) fn solicitation(mac: [u8; 6], from: Ipv6Addr, address: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = address.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&address.octets());
    message.extend_from_slice(&[1, 1]);
    message.extend_from_slice(&mac);
    let length = u16::try_from(message.len())
        .unwrap_or_default()
        .to_be_bytes();
    let pseudo = [0, 0, length[0], length[1], 0, 0, 0, 58];
    let sum = checksum(&[&from.octets(), &group.octets(), &pseudo, &message]);
    message.splice(2..4, sum);
    let mut frame = ethernet([0x33, 0x33, 0xff, a, b, c], mac, 0x86dd);
    frame.extend_from_slice(&[0x60, 0, 0, 0]);
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&[58, 255]);
    frame.extend_from_slice(&from.octets());
    frame.extend_from_slice(&group.octets());
    frame.extend_from_slice(&message);
    frame
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The sender's hardware address and the answer in `frame`, when it is an answer to a question of `us`. Announcements to everyone are no answers.
pub(super) fn read(frame: &[u8], us: [u8; 6]) -> Option<([u8; 6], Answer)> {
    if array::<6>(frame, 0)? != us {
        return None;
    }
    let source = array::<6>(frame, 6)?;
    let answer = match u16::from_be_bytes(array(frame, 12)?) {
        0x0806 if array::<2>(frame, 20)? == [0, 2] => {
            Answer::Arp(Ipv4Addr::from(array::<4>(frame, 28)?))
        }
        0x0800 => {
            let header = usize::from(frame.get(14)? & 0x0f) * 4;
            let address = Ipv4Addr::from(array::<4>(frame, 26)?);
            let message = frame.get(14 + header..)?;
            match frame.get(23)? {
                1 if array::<2>(message, 0)? == [0, 0]
                    && array::<2>(message, 4)? == ECHO_ID.to_be_bytes() =>
                {
                    Answer::Echo(address, u32::from_be_bytes(array(message, 8)?))
                }
                17 => Answer::Udp(
                    u16::from_be_bytes(array(message, 2)?),
                    message.get(8..)?.to_vec(),
                ),
                _ => return None,
            }
        }
        0x86dd if frame.get(20) == Some(&58) && frame.get(54) == Some(&136) => {
            Answer::Neighbour(Ipv6Addr::from(array::<16>(frame, 62)?))
        }
        _ => return None,
    };
    Some((source, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_header_with_its_checksum_is_zero() {
        let party = |last| Party {
            mac: [2, 0, 0, 0, 0, last],
            v4: Ipv4Addr::new(10, 80, 1, last),
        };
        let frame = echo(party(1), party(2), 7);
        assert_eq!(checksum(&[&frame[14..34]]), [0, 0]);
        assert_eq!(checksum(&[&frame[34..]]), [0, 0]);
    }

    #[test]
    fn a_question_is_not_mistaken_for_an_answer() {
        let party = Party {
            mac: [2, 0, 0, 0, 0, 1],
            v4: Ipv4Addr::new(10, 80, 1, 1),
        };
        assert_eq!(read(&who_has(party, party.v4), [0xff; 6]), None);
        assert_eq!(read(&echo(party, party, 1), party.mac), None);
        assert_eq!(read(&[0; 5], party.mac), None);
    }
}
