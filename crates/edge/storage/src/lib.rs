//! The node's durable memory: hard state, log, snapshot, promises and small notes, kept so that a
//! crash loses nothing that was acknowledged and a bad disk never becomes a wrong vote.
//!
//! This crate carries out one kind of effect, "make this durable", and reports back. It decides
//! nothing: what a lost or corrupt disk means for membership is the core's business. It is also not
//! a general store: it knows the few records that a member of a cluster needs, and guards them.
//!
//! # What is on disk
//!
//! | file | what |
//! |---|---|
//! | `lock` | held (flock) while an agent uses the folder; contains its process id |
//! | `identity.json` | who this node became a member as: tells a lost database from a first start |
//! | `state.redb` | everything else, in one [redb] database; every record carries its own CRC32 |
//! | `acknowledged` | number of the last acknowledged transaction: tells that the database went back |
//! | `state.redb.suspect` | a sync has failed since the machine started: see 3 below |
//! | `state.redb.new` | a database being written; becomes `state.redb` by rename, or is removed |
//! | `state.redb.corrupt-*`, `state.redb.retired-*` | databases set aside; never deleted here |
//!
//! # What is promised
//!
//! 1. When [`Storage::persist`] returns `Ok`, the batch is on disk (fdatasync) whole; when it
//!    returns an error, the same batch may be tried again and nothing else was lost.
//! 2. A batch that would take back a term, a vote, a promise or a committed entry is refused,
//!    whatever the caller believes.
//! 3. After a failed fsync the page cache is not believed to be on disk: the database is rewritten
//!    to a new file before anything else is acknowledged.
//! 4. A database that cannot be read whole, or ends before what was acknowledged, is set aside and reported. Nothing is repaired by
//!    guessing.
//!
//! Not promised: a whole folder restored from an older copy looks intact from inside. Peers notice
//! it by [`Restored::incarnation`] and by the index that this node had acknowledged to them.

mod acknowledged;
mod backend;
mod codec;
mod database;
mod error;
mod folder;
mod guard;
mod latency;
mod record;
mod storage;
mod thread;

pub use error::{OpenError, PersistError, SubmitError};
pub use latency::Latency;
pub use record::{
    Batch, Condition, Entry, HardState, Identity, Promise, Restored, Snapshot, SnapshotMeta,
};
pub use storage::Storage;
pub use thread::{StorageEvent, StorageThread};
