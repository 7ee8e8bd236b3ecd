//! The tables in the database file: reading everything back, and applying batches in one
//! transaction. No recovery and no folder here; see `storage.rs`.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::backends::InMemoryBackend;
use redb::{
    ReadableDatabase, ReadableTable, StorageBackend as _, Table, TableDefinition, WriteTransaction,
};

use crate::backend::{ReservedFile, SyncFailed};
use crate::codec;
use crate::error::{PersistError, ReadError};
use crate::guard::{self, Summary};
use crate::record::{Batch, Condition, Entry, Identity, Promise, Restored, Snapshot, SnapshotMeta};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const NOTES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("notes");

const FORMAT: &str = "format";
const IDENTITY: &str = "identity";
const HARD_STATE: &str = "hard_state";
const PROMISE: &str = "promise";
const VOTE_CAP: &str = "vote_cap_us";
const INCARNATION: &str = "incarnation";
const SNAPSHOT: &str = "snapshot";
/// Transaction number, last log index, snapshot index and term: written by every transaction, so
/// that a record missing at the end of the log is a gap like any other.
const ENDS: &str = "ends";

/// Version of the tables and records described here.
const FORMAT_VERSION: u64 = 1;

/// The state is a few megabytes and read once; redb's default cache would allow 1 GiB.
const CACHE_BYTES: usize = 4 << 20;

/// An open database file.
#[derive(Debug)]
pub(crate) struct Database(redb::Database);

impl Database {
    /// Checks every page and record of the file, then opens it. Damage that makes redb panic is reported like any other damage.
    ///
    /// What is checked is a copy in memory: redb's own check on the file ends with a repair, which flushes, and an agent that restarts on a slow
    /// disk has only as long as its leases last.
    pub(crate) fn open(
        path: &Path,
        sync_failed: &SyncFailed,
    ) -> Result<(Self, Restored, Summary), ReadError> {
        let (restored, summary) = Self::read(path)?;
        let opened = catch_unwind(AssertUnwindSafe(|| {
            Self::open_file(path, false, sync_failed).map_err(ReadError::from)
        }));
        let database = opened.unwrap_or_else(|_| Err(structure_is_damaged()))?;
        Ok((database, restored, summary))
    }

    /// Reads a file and checks it, and does not write to it. Of one that is not to be trusted nothing more is done: opening it for
    /// good would repair it on the disk, with references to what is in the page cache only.
    pub(crate) fn read(path: &Path) -> Result<(Restored, Summary), ReadError> {
        let bytes = std::fs::read(path).map_err(ReadError::Io)?;
        if bytes.is_empty() {
            return Err(ReadError::Damaged("the file is empty".to_owned()));
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let copy = InMemoryBackend::new();
            copy.set_len(length).map_err(ReadError::Io)?;
            copy.write(0, &bytes).map_err(ReadError::Io)?;
            let database = redb::Builder::new()
                .set_cache_size(CACHE_BYTES)
                .set_check_integrity_on_open(true)
                .create_with_backend(copy)
                .map_err(redb::Error::from)?;
            Self(database).load()
        }));
        opened.unwrap_or_else(|_| Err(structure_is_damaged()))
    }

    /// Writes a new database that holds `content`, durably.
    pub(crate) fn create(
        path: &Path,
        content: &Content<'_>,
        sync_failed: &SyncFailed,
    ) -> Result<(), PersistError> {
        let database = Self::open_file(path, true, sync_failed)?;
        database.write(|transaction| {
            let mut meta = open(transaction, META)?;
            put(&mut meta, FORMAT, &codec::encode_u64s(&[FORMAT_VERSION]))?;
            let identity = serde_json::to_vec(content.identity)
                .map_err(|error| PersistError::Refused(error.to_string()))?;
            put(&mut meta, IDENTITY, &identity)?;
            put(
                &mut meta,
                INCARNATION,
                &codec::encode_u64s(&[content.incarnation]),
            )?;
            put(&mut meta, VOTE_CAP, &codec::encode_u64s(&[0]))?;
            put(
                &mut meta,
                HARD_STATE,
                &codec::encode_hard_state(crate::HardState::default()),
            )?;
            put(
                &mut meta,
                PROMISE,
                &codec::encode_promise(Promise::default()),
            )?;
            drop(meta);
            open(transaction, LOG)?;
            open(transaction, NOTES)?;
            apply(
                transaction,
                content.transaction,
                Summary::default(),
                &[content.batch],
            )?;
            Ok(())
        })?;
        database
            .0
            .close()
            .map_err(|error| PersistError::from(redb::Error::from(error)))
    }

    /// Applies the batches as one durable transaction.
    pub(crate) fn persist(
        &self,
        present: Summary,
        batches: &[&Batch],
    ) -> Result<Summary, PersistError> {
        self.write(|transaction| apply(transaction, present.transaction + 1, present, batches))
    }

    /// Notes one more open.
    pub(crate) fn set_incarnation(&self, incarnation: u64) -> Result<(), PersistError> {
        self.write(|transaction| {
            put(
                &mut open(transaction, META)?,
                INCARNATION,
                &codec::encode_u64s(&[incarnation]),
            )
        })
    }

    fn open_file(path: &Path, new: bool, sync_failed: &SyncFailed) -> Result<Self, redb::Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(new)
            .mode(0o600)
            .open(path)?;
        let backend = ReservedFile::new(file, SyncFailed::clone(sync_failed));
        let database = redb::Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(backend)?;
        Ok(Self(database))
    }

    fn write<T>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, PersistError>,
    ) -> Result<T, PersistError> {
        let transaction = self.0.begin_write().map_err(redb::Error::from)?;
        let result = change(&transaction)?;
        transaction.commit().map_err(redb::Error::from)?;
        Ok(result)
    }

    fn load(&self) -> Result<(Restored, Summary), ReadError> {
        let transaction = self.0.begin_read().map_err(redb::Error::from)?;
        let meta = transaction.open_table(META).map_err(redb::Error::from)?;
        let [format] = numbers(&meta, FORMAT)?;
        if format != FORMAT_VERSION {
            return Err(ReadError::Damaged(format!(
                "format {format} was written by another version; this one knows {FORMAT_VERSION}"
            )));
        }
        let identity: Identity = serde_json::from_slice(&required(&meta, IDENTITY)?)
            .map_err(|error| ReadError::Damaged(format!("identity: {error}")))?;
        let hard_state = decode(codec::decode_hard_state(&required(&meta, HARD_STATE)?))?;
        let promise = decode(codec::decode_promise(&required(&meta, PROMISE)?))?;
        let [vote_cap_us] = numbers(&meta, VOTE_CAP)?;
        let [incarnation] = numbers(&meta, INCARNATION)?;
        let [
            transaction_number,
            last_index,
            snapshot_index,
            snapshot_term,
        ] = numbers(&meta, ENDS)?;
        let snapshot = match record(&meta, SNAPSHOT)? {
            Some(payload) => Some(decode(codec::decode_snapshot(&payload))?),
            None => None,
        };
        let log = transaction.open_table(LOG).map_err(redb::Error::from)?;
        let notes = transaction.open_table(NOTES).map_err(redb::Error::from)?;
        let summary = Summary {
            hard_state,
            promise,
            snapshot: SnapshotMeta {
                index: snapshot_index,
                term: snapshot_term,
            },
            last_index,
            transaction: transaction_number,
        };
        let restored = Restored {
            condition: Condition::Intact,
            hard_state,
            snapshot,
            entries: load_log(&log)?,
            promise,
            vote_cap_us,
            identity: Some(identity),
            incarnation,
            notes: load_notes(&notes)?,
        };
        check_ends(&restored, &summary)?;
        Ok((restored, summary))
    }
}

fn structure_is_damaged() -> ReadError {
    ReadError::Damaged("the file's structure is damaged".to_owned())
}

/// What a new database file starts with.
#[derive(Debug)]
pub(crate) struct Content<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) incarnation: u64,
    pub(crate) transaction: u64,
    pub(crate) batch: &'a Batch,
}

fn load_log(table: &impl ReadableTable<u64, &'static [u8]>) -> Result<Vec<Entry>, ReadError> {
    let mut entries: Vec<Entry> = Vec::new();
    for row in table.iter().map_err(redb::Error::from)? {
        let (index, framed) = row.map_err(redb::Error::from)?;
        let index = index.value();
        let payload = decode(codec::unseal(&codec::log_key(index), framed.value()))?;
        entries.push(decode(codec::decode_entry(index, payload))?);
    }
    Ok(entries)
}

fn load_notes(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<BTreeMap<String, Vec<u8>>, ReadError> {
    let mut notes = BTreeMap::new();
    for row in table.iter().map_err(redb::Error::from)? {
        let (name, framed) = row.map_err(redb::Error::from)?;
        let payload = decode(codec::unseal(name.value().as_bytes(), framed.value()))?;
        notes.insert(name.value().to_owned(), payload.to_vec());
    }
    Ok(notes)
}

/// The log reaches without a gap from the snapshot to its recorded end, and covers the commit index.
fn check_ends(restored: &Restored, summary: &Summary) -> Result<(), ReadError> {
    let damaged = |what: String| Err(ReadError::Damaged(what));
    let snapshot = restored
        .snapshot
        .as_ref()
        .map_or_else(SnapshotMeta::default, |snapshot| SnapshotMeta {
            index: snapshot.index,
            term: snapshot.term,
        });
    if snapshot != summary.snapshot {
        return damaged(format!(
            "snapshot {snapshot:?} where {:?} belongs",
            summary.snapshot
        ));
    }
    let mut last = snapshot.index;
    for entry in &restored.entries {
        if entry.index != last + 1 {
            return damaged(format!(
                "the log has a gap between {last} and {}",
                entry.index
            ));
        }
        last = entry.index;
    }
    if last != summary.last_index {
        return damaged(format!(
            "the log ends at {last} instead of {}",
            summary.last_index
        ));
    }
    if restored.hard_state.commit > last {
        let commit = restored.hard_state.commit;
        return damaged(format!(
            "the log ends at {last}, before the commit index {commit}"
        ));
    }
    Ok(())
}

/// Applies the batches in order and returns what is then stored.
fn apply(
    transaction: &WriteTransaction,
    number: u64,
    present: Summary,
    batches: &[&Batch],
) -> Result<Summary, PersistError> {
    let mut meta = open(transaction, META)?;
    let mut log = open(transaction, LOG)?;
    let mut notes = open(transaction, NOTES)?;
    let mut summary = present;
    for batch in batches {
        apply_log(&mut meta, &mut log, &mut summary, batch)?;
        apply_state(&mut meta, &mut summary, batch)?;
        for (name, value) in &batch.notes {
            match value {
                Some(value) => put(&mut notes, name, value)?,
                None => drop(notes.remove(name.as_str()).map_err(redb::Error::from)?),
            }
        }
    }
    if summary.hard_state.commit > summary.last_index {
        return Err(PersistError::Refused(format!(
            "commit index {} beyond the log's end {}",
            summary.hard_state.commit, summary.last_index
        )));
    }
    summary.transaction = number;
    let ends = [
        number,
        summary.last_index,
        summary.snapshot.index,
        summary.snapshot.term,
    ];
    put(&mut meta, ENDS, &codec::encode_u64s(&ends))?;
    Ok(summary)
}

type Records<'txn> = Table<'txn, &'static str, &'static [u8]>;
type Log<'txn> = Table<'txn, u64, &'static [u8]>;

fn apply_log(
    meta: &mut Records<'_>,
    log: &mut Log<'_>,
    summary: &mut Summary,
    batch: &Batch,
) -> Result<(), PersistError> {
    if let Some(snapshot) = &batch.snapshot {
        apply_snapshot(meta, log, summary, snapshot)?;
    }
    if let Some(from) = batch.truncate_from {
        refuse(guard::check_truncate(summary.hard_state.commit, from))?;
        truncate(log, summary, from)?;
    }
    refuse(guard::check_append(summary, &batch.append))?;
    for entry in &batch.append {
        if entry.index <= summary.last_index {
            if term_at(log, entry.index)? == Some(entry.term) {
                continue;
            }
            refuse(guard::check_truncate(
                summary.hard_state.commit,
                entry.index,
            ))?;
            truncate(log, summary, entry.index)?;
        }
        let framed = codec::seal(&codec::log_key(entry.index), &codec::encode_entry(entry));
        log.insert(entry.index, framed.as_slice())
            .map_err(redb::Error::from)?;
        summary.last_index = entry.index;
    }
    Ok(())
}

fn apply_snapshot(
    meta: &mut Records<'_>,
    log: &mut Log<'_>,
    summary: &mut Summary,
    snapshot: &Snapshot,
) -> Result<(), PersistError> {
    let next = SnapshotMeta {
        index: snapshot.index,
        term: snapshot.term,
    };
    refuse(guard::check_snapshot(summary.snapshot, next))?;
    let contained = next == summary.snapshot || term_at(log, next.index)? == Some(next.term);
    put(meta, SNAPSHOT, &codec::encode_snapshot(snapshot))?;
    let kept_until = if contained {
        summary.last_index
    } else {
        next.index
    };
    log.retain(|index, _| index > next.index && index <= kept_until)
        .map_err(redb::Error::from)?;
    summary.snapshot = next;
    summary.last_index = kept_until;
    if summary.hard_state.commit < next.index {
        summary.hard_state.commit = next.index;
        put(
            meta,
            HARD_STATE,
            &codec::encode_hard_state(summary.hard_state),
        )?;
    }
    Ok(())
}

fn apply_state(
    meta: &mut Records<'_>,
    summary: &mut Summary,
    batch: &Batch,
) -> Result<(), PersistError> {
    if let Some(next) = batch.hard_state {
        refuse(guard::check_hard_state(summary.hard_state, next))?;
        put(meta, HARD_STATE, &codec::encode_hard_state(next))?;
        summary.hard_state = next;
    }
    if let Some(next) = batch.promise {
        refuse(guard::check_promise(summary.promise, next))?;
        put(meta, PROMISE, &codec::encode_promise(next))?;
        summary.promise = next;
    }
    if let Some(cap) = batch.vote_cap_us {
        put(meta, VOTE_CAP, &codec::encode_u64s(&[cap]))?;
    }
    Ok(())
}

fn truncate(log: &mut Log<'_>, summary: &mut Summary, from: u64) -> Result<(), PersistError> {
    if from <= summary.last_index {
        log.retain_in(from.., |_, _| false)
            .map_err(redb::Error::from)?;
        summary.last_index = from - 1;
    }
    Ok(())
}

fn term_at(log: &Log<'_>, index: u64) -> Result<Option<u64>, PersistError> {
    let Some(framed) = log.get(index).map_err(redb::Error::from)? else {
        return Ok(None);
    };
    let entry = codec::unseal(&codec::log_key(index), framed.value())
        .and_then(|payload| codec::decode_entry(index, payload))
        .map_err(PersistError::Corrupt)?;
    Ok(Some(entry.term))
}

fn refuse(checked: Result<(), String>) -> Result<(), PersistError> {
    checked.map_err(PersistError::Refused)
}

fn open<'txn, K: redb::Key + 'static>(
    transaction: &'txn WriteTransaction,
    definition: TableDefinition<'static, K, &'static [u8]>,
) -> Result<Table<'txn, K, &'static [u8]>, PersistError> {
    Ok(transaction
        .open_table(definition)
        .map_err(redb::Error::from)?)
}

fn put(table: &mut Records<'_>, key: &str, payload: &[u8]) -> Result<(), PersistError> {
    let framed = codec::seal(key.as_bytes(), payload);
    table
        .insert(key, framed.as_slice())
        .map_err(redb::Error::from)?;
    Ok(())
}

fn decode<T>(decoded: Result<T, String>) -> Result<T, ReadError> {
    decoded.map_err(ReadError::Damaged)
}

fn record(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<Option<Vec<u8>>, ReadError> {
    let Some(framed) = table.get(key).map_err(redb::Error::from)? else {
        return Ok(None);
    };
    Ok(Some(
        decode(codec::unseal(key.as_bytes(), framed.value()))?.to_vec(),
    ))
}

fn required(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<Vec<u8>, ReadError> {
    record(table, key)?.ok_or_else(|| ReadError::Damaged(format!("record {key} is missing")))
}

fn numbers<const N: usize>(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<[u64; N], ReadError> {
    decode(codec::decode_u64s(&required(table, key)?))
}
