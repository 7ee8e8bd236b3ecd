//! Bytes of one record: a CRC32 over key and payload, then the payload, little endian. Not a general
//! serialiser, and not the wire format.

use crate::record::{Entry, HardState, Promise, Snapshot};

/// Frames a payload: `crc32(key, payload)` then the payload. The key is covered, so that a record
/// that turns up in the wrong place is noticed too.
pub(crate) fn seal(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(payload.len() + 4);
    framed.extend_from_slice(&checksum(key, payload).to_le_bytes());
    framed.extend_from_slice(payload);
    framed
}

/// Takes the frame off, or says what is wrong with it.
pub(crate) fn unseal<'a>(key: &[u8], framed: &'a [u8]) -> Result<&'a [u8], String> {
    let name = || String::from_utf8_lossy(key).into_owned();
    let Some((crc, payload)) = framed.split_first_chunk::<4>() else {
        return Err(format!("record {} is too short", name()));
    };
    if u32::from_le_bytes(*crc) != checksum(key, payload) {
        return Err(format!("record {} has a wrong checksum", name()));
    }
    Ok(payload)
}

fn checksum(key: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(&[0]);
    hasher.update(payload);
    hasher.finalize()
}

/// Key of a log entry for the checksum.
pub(crate) fn log_key(index: u64) -> Vec<u8> {
    format!("log {index}").into_bytes()
}

pub(crate) fn encode_u64s(values: &[u64]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

pub(crate) fn decode_u64s<const N: usize>(payload: &[u8]) -> Result<[u64; N], String> {
    let mut reader = Reader(payload);
    let mut values = [0; N];
    for value in &mut values {
        *value = reader.u64()?;
    }
    reader.end()?;
    Ok(values)
}

pub(crate) fn encode_hard_state(state: HardState) -> Vec<u8> {
    encode_u64s(&[state.term, state.vote, state.commit])
}

pub(crate) fn decode_hard_state(payload: &[u8]) -> Result<HardState, String> {
    let [term, vote, commit] = decode_u64s(payload)?;
    Ok(HardState { term, vote, commit })
}

pub(crate) fn encode_promise(promise: Promise) -> Vec<u8> {
    encode_u64s(&[promise.term, promise.generation])
}

pub(crate) fn decode_promise(payload: &[u8]) -> Result<Promise, String> {
    let [term, generation] = decode_u64s(payload)?;
    Ok(Promise { term, generation })
}

/// An entry without its index, which is the key.
pub(crate) fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(25 + entry.data.len() + entry.context.len());
    out.extend_from_slice(&entry.term.to_le_bytes());
    out.push(entry.kind);
    put_bytes(&mut out, &entry.data);
    put_bytes(&mut out, &entry.context);
    out
}

pub(crate) fn decode_entry(index: u64, payload: &[u8]) -> Result<Entry, String> {
    let mut reader = Reader(payload);
    let entry = Entry {
        index,
        term: reader.u64()?,
        kind: reader.u8()?,
        data: reader.bytes()?,
        context: reader.bytes()?,
    };
    reader.end()?;
    Ok(entry)
}

pub(crate) fn encode_snapshot(snapshot: &Snapshot) -> Vec<u8> {
    let mut out = encode_u64s(&[snapshot.index, snapshot.term]);
    put_bytes(&mut out, &encode_u64s(&snapshot.voters));
    put_bytes(&mut out, &encode_u64s(&snapshot.learners));
    put_bytes(&mut out, &snapshot.data);
    out
}

pub(crate) fn decode_snapshot(payload: &[u8]) -> Result<Snapshot, String> {
    let mut reader = Reader(payload);
    let snapshot = Snapshot {
        index: reader.u64()?,
        term: reader.u64()?,
        voters: reader.u64s()?,
        learners: reader.u64s()?,
        data: reader.bytes()?,
    };
    reader.end()?;
    Ok(snapshot)
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // usize is at most 64 bits on every target; saturating keeps this total without a cast.
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("record ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    fn u64(&mut self) -> Result<u64, String> {
        let (bytes, rest) = self.0.split_first_chunk::<8>().ok_or("record ends early")?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    fn bytes(&mut self) -> Result<Vec<u8>, String> {
        let length = usize::try_from(self.u64()?).unwrap_or(usize::MAX);
        Ok(self.take(length)?.to_vec())
    }

    fn u64s(&mut self) -> Result<Vec<u64>, String> {
        let bytes = self.bytes()?;
        let (chunks, rest) = bytes.as_chunks::<8>();
        if rest.is_empty() {
            Ok(chunks
                .iter()
                .map(|chunk| u64::from_le_bytes(*chunk))
                .collect())
        } else {
            Err("list of numbers ends early".to_owned())
        }
    }

    fn end(&self) -> Result<(), String> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err("record is too long".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_and_a_snapshot_come_back_as_they_were() {
        let entry = Entry {
            index: 9,
            term: 4,
            kind: 2,
            data: vec![1, 2, 3],
            context: vec![7],
        };
        assert_eq!(decode_entry(9, &encode_entry(&entry)), Ok(entry));
        let snapshot = Snapshot {
            index: 8,
            term: 3,
            data: b"state".to_vec(),
            voters: vec![1, 2, 3],
            learners: vec![4],
        };
        assert_eq!(decode_snapshot(&encode_snapshot(&snapshot)), Ok(snapshot));
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_noticed() {
        let framed = seal(b"promise", &encode_u64s(&[3, 9]));
        assert!(unseal(b"promise", &framed).is_ok());
        assert!(
            unseal(b"hard_state", &framed).is_err(),
            "a record in another's place"
        );
        for bit in 0..framed.len() * 8 {
            let mut damaged = framed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(b"promise", &damaged).is_err(), "bit {bit}");
        }
        for length in 0..framed.len() {
            assert!(
                unseal(b"promise", &framed[..length]).is_err(),
                "cut to {length}"
            );
        }
    }

    #[test]
    fn a_length_beyond_the_record_is_an_error_and_no_allocation() {
        let mut payload = encode_u64s(&[5]);
        payload.push(0);
        payload.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(decode_entry(1, &payload).is_err());
    }
}
