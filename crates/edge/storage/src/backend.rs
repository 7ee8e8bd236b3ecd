//! The file under the database: reserves room before it is needed and remembers a failed sync. It
//! does not retry and does not judge.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// Set once a sync has failed. From then on the page cache may hold data that is marked clean but
/// never reached the disk ("fsyncgate", 2018), so the file is not to be trusted until rewritten.
pub(crate) type SyncFailed = Arc<AtomicBool>;

/// A file for redb. Exclusion between processes is the folder lock's business, so there is no lock
/// here.
#[derive(Debug)]
pub(crate) struct ReservedFile {
    file: File,
    sync_failed: SyncFailed,
}

impl ReservedFile {
    pub(crate) fn new(file: File, sync_failed: SyncFailed) -> Self {
        Self { file, sync_failed }
    }
}

impl redb::StorageBackend for ReservedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    /// Growing reserves the blocks at once: a full disk is then noticed here, between
    /// transactions, and a vote still fits into the room that is already ours.
    fn set_len(&self, len: u64) -> io::Result<()> {
        let present = self.len()?;
        if len <= present {
            return self.file.set_len(len);
        }
        match fallocate(&self.file, FallocateFlags::empty(), present, len - present) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.file.set_len(len),
            Err(errno) => {
                // A partial reservation is no longer than the old length to redb: give it back.
                self.file.set_len(present)?;
                Err(errno.into())
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let result = self.file.sync_data();
        if result.is_err() {
            self.sync_failed.store(true, Ordering::Release);
        }
        result
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
}
