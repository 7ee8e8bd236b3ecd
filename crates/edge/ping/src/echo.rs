//! Echo requests and their answers as bytes (RFC 792, RFC 4443). Not for sockets.

/// Header, nonce, place.
pub(crate) const LENGTH: usize = 18;

const REQUEST_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;

/// What a question carries and its answer brings back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Drawn for the round: nobody else's answer counts.
    pub(crate) nonce: u64,
    /// Whom of the round it is about.
    pub(crate) place: u16,
}

/// A question. Its number within the round tells it from an earlier one.
pub(crate) fn request(v6: bool, mark: Mark, number: u16) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let nonce = mark.nonce.to_be_bytes();
    let parts: [&[u8]; 5] = [
        &[if v6 { REQUEST_V6 } else { REQUEST_V4 }, 0, 0, 0],
        // The kernel puts its own here where the socket is no raw one.
        nonce.get(..2).unwrap_or_default(),
        &number.to_be_bytes(),
        &nonce,
        &mark.place.to_be_bytes(),
    ];
    for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
    }
    if !v6 {
        // The kernel does it for IPv6.
        let [high, low] = checksum(&bytes).to_be_bytes();
        let [_, _, first, second, ..] = &mut bytes;
        (*first, *second) = (high, low);
    }
    bytes
}

/// What an answer brings back; none when it is something else. A raw socket shows the IPv4 header as well.
pub(crate) fn reply(v6: bool, bytes: &[u8]) -> Option<Mark> {
    let first = *bytes.first()?;
    let skipped = if !v6 && first >> 4 == 4 {
        usize::from(first & 15) * 4
    } else {
        0
    };
    let bytes = bytes.get(skipped..)?;
    let wanted = if v6 { REPLY_V6 } else { REPLY_V4 };
    if *bytes.first()? != wanted {
        return None;
    }
    Some(Mark {
        nonce: u64::from_be_bytes(bytes.get(8..16)?.try_into().ok()?),
        place: u16::from_be_bytes(bytes.get(16..18)?.try_into().ok()?),
    })
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark {
        nonce: 0x0102_0304_0506_0708,
        place: 3,
    };

    #[test]
    fn an_answer_brings_the_mark_back_with_and_without_a_header() {
        for v6 in [false, true] {
            let mut bytes = request(v6, MARK, 2);
            assert_eq!(reply(v6, &bytes), None, "a question is no answer");
            bytes[0] = if v6 { 129 } else { 0 };
            assert_eq!(reply(v6, &bytes), Some(MARK));
            for length in 0..LENGTH {
                assert_eq!(reply(v6, &bytes[..length]), None);
            }
        }
        let mut bytes = request(false, MARK, 1).to_vec();
        bytes[0] = 0;
        let mut raw = vec![0x45; 20];
        raw.append(&mut bytes);
        assert_eq!(reply(false, &raw), Some(MARK));
    }

    #[test]
    fn the_checksum_makes_the_whole_add_up() {
        assert_eq!(checksum(&request(false, MARK, 7)), 0);
        assert_eq!(checksum(&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]), 0x220d);
    }
}
