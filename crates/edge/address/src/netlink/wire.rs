//! The netlink wire format: headers, attributes, padding. Reading tolerates anything: what is cut short ends the
//! iteration. Not for the meaning of any message.

const HEADER_LEN: usize = 16;
const ATTRIBUTE_HEADER_LEN: usize = 4;
/// `NLA_F_NESTED`; the two top bits of a type are flags.
const NESTED: u16 = 0x8000;
const TYPE_MASK: u16 = 0x3fff;

/// Appends messages to one buffer.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    message_start: usize,
}

impl Writer {
    /// Starts a message; the one before it is finished by this.
    pub(crate) fn message(&mut self, kind: u16, flags: u16, sequence: u32, family_header: &[u8]) {
        self.message_start = self.bytes.len();
        self.bytes.extend_from_slice(&0_u32.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&0_u32.to_ne_bytes());
        self.bytes.extend_from_slice(family_header);
        self.pad();
        self.seal();
    }

    /// Adds flags to the message that was started last.
    pub(crate) fn add_flags(&mut self, flags: u16) {
        let at = self.message_start + 6;
        if let Some([low, high]) = self.bytes.get_mut(at..at + 2) {
            let merged = u16::from_ne_bytes([*low, *high]) | flags;
            [*low, *high] = merged.to_ne_bytes();
        }
    }

    pub(crate) fn attr(&mut self, kind: u16, payload: &[u8]) {
        let length = u16::try_from(ATTRIBUTE_HEADER_LEN + payload.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(payload);
        self.pad();
        self.seal();
    }

    /// A NUL-terminated string.
    pub(crate) fn attr_text(&mut self, kind: u16, text: &str) {
        let mut payload = text.as_bytes().to_vec();
        payload.push(0);
        self.attr(kind, &payload);
    }

    /// A number in network order, as nftables has them.
    pub(crate) fn attr_be32(&mut self, kind: u16, value: u32) {
        self.attr(kind, &value.to_be_bytes());
    }

    pub(crate) fn attr_be64(&mut self, kind: u16, value: u64) {
        self.attr(kind, &value.to_be_bytes());
    }

    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.patch(start, &length.to_ne_bytes());
        self.seal();
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }

    fn seal(&mut self) {
        let length = u32::try_from(self.bytes.len() - self.message_start).unwrap_or(u32::MAX);
        self.patch(self.message_start, &length.to_ne_bytes());
    }

    fn patch(&mut self, at: usize, value: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    }
}

/// One received message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// Port of the socket that caused it; 0 is the kernel.
    pub(crate) port: u32,
    pub(crate) payload: &'a [u8],
}

/// The messages of one datagram.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_ne(datagram)?).ok()?;
        let message = datagram.get(..length).filter(|m| m.len() >= HEADER_LEN)?;
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
        Some(Received {
            kind: u16_ne(message.get(4..)?)?,
            flags: u16_ne(message.get(6..)?)?,
            sequence: u32_ne(message.get(8..)?)?,
            port: u32_ne(message.get(12..)?)?,
            payload: message.get(HEADER_LEN..)?,
        })
    })
}

/// Iterates over attributes as `(type, payload)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_ne(self.0)?);
        let kind = u16_ne(self.0.get(2..)?)? & TYPE_MASK;
        let payload = self.0.get(ATTRIBUTE_HEADER_LEN..length)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some((kind, payload))
    }
}

/// The payload of the first attribute of this type.
pub(crate) fn attribute(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    Attributes(attributes)
        .find(|(found, _)| *found == kind)
        .map(|(_, payload)| payload)
}

/// A string payload without its NUL.
pub(crate) fn text(payload: &[u8]) -> &str {
    let end = payload
        .iter()
        .position(|b| *b == 0)
        .unwrap_or(payload.len());
    payload
        .get(..end)
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .unwrap_or_default()
}

pub(crate) fn u32_ne(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|b| u32::from_ne_bytes(*b))
}

pub(crate) fn u64_be(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|b| u64::from_be_bytes(*b))
}

fn u16_ne(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|b| u16::from_ne_bytes(*b))
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = Writer::default();
        writer.message(7, 1, 42, &[1, 0, 0, 0]);
        writer.attr_text(1, "abc");
        writer.nest(2, |w| w.attr_be64(3, 9));
        writer.message(8, 1, 43, &[]);
        writer.add_flags(4);
        let got: Vec<_> = messages(writer.bytes()).collect();
        assert_eq!(
            (got[0].kind, got[0].sequence, got[1].kind, got[1].flags),
            (7, 42, 8, 5)
        );
        let attributes = &got[0].payload[4..];
        assert_eq!(text(attribute(attributes, 1).unwrap()), "abc");
        assert_eq!(
            u64_be(attribute(attribute(attributes, 2).unwrap(), 3).unwrap()),
            Some(9)
        );
    }

    #[test]
    fn cut_and_lying_lengths_end_the_reading() {
        let mut writer = Writer::default();
        writer.message(7, 1, 42, &[1, 0, 0, 0]);
        writer.attr_be32(1, 5);
        let bytes = writer.bytes();
        for cut in 0..bytes.len() {
            assert_eq!(messages(&bytes[..cut]).count(), 0, "cut at {cut}");
        }
        assert_eq!(Attributes(&[0, 0, 1, 0]).count(), 0);
        assert_eq!(Attributes(&[255, 255, 1, 0, 9]).count(), 0);
        assert_eq!(messages(&[0; 64]).count(), 0);
    }
}
