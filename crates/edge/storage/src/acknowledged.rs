//! The number of the last acknowledged transaction, beside the database. Tells a database that has
//! silently gone back from one that is merely at its end.
//!
//! Why: after a crash, redb takes a damaged newest commit for one that was being written, and falls
//! back to the one before. If that commit had been acknowledged, a vote would be forgotten. The
//! same goes for a database file put back from a copy.
//!
//! The number is written after each commit and not synced: it survives the end of the process at
//! once, and a power cut as soon as the kernel has written it back (30 s by default). It can lag
//! behind the database, but never run ahead of it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::codec;

const KEY: &[u8] = b"acknowledged";

/// The open file.
#[derive(Debug)]
pub(crate) struct Acknowledged(File);

impl Acknowledged {
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join("acknowledged"))?;
        Ok(Self(file))
    }

    /// The number noted last; 0 if there is none or it cannot be read.
    pub(crate) fn read(&self) -> u64 {
        let mut framed = [0; 12];
        if self.0.read_exact_at(&mut framed, 0).is_err() {
            return 0;
        }
        let decoded = codec::unseal(KEY, &framed).and_then(codec::decode_u64s::<1>);
        decoded.map_or(0, |[number]| number)
    }

    /// Replaces the number in place, which needs no new space. A failure leaves an older number,
    /// which protects less but says nothing wrong.
    pub(crate) fn note(&self, number: u64) {
        let framed = codec::seal(KEY, &codec::encode_u64s(&[number]));
        if let Err(error) = self.0.write_all_at(&framed, 0) {
            tracing::warn!(%error, number, "cannot note the acknowledged transaction");
        }
    }

    /// Forgets the number, durably, before another database takes the place of the present one.
    pub(crate) fn reset(&self) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.sync_all()
    }
}
