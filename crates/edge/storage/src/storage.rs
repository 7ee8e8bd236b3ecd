//! A node's state folder, opened: restore once, then persist batches, and get over a full or failing
//! disk. When to persist what is not decided here.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::acknowledged::Acknowledged;
use crate::backend::SyncFailed;
use crate::database::{Content, Database};
use crate::error::{OpenError, PersistError, ReadError};
use crate::folder::{Folder, Marker, failed};
use crate::guard::Summary;
use crate::record::{Batch, Condition, Identity, Restored};

/// The open state folder of one node. Holds the folder's lock until dropped.
#[derive(Debug)]
pub struct Storage {
    folder: Folder,
    acknowledged: Acknowledged,
    /// `None` before [`Self::initialise`], and after a failure until the next attempt.
    database: Option<Database>,
    initialised: bool,
    /// It is to become another member, and is not yet: what it was takes nothing any more.
    becoming: bool,
    /// What it was before is kept under another name already.
    kept: bool,
    summary: Summary,
    sync_failed: SyncFailed,
    /// The batches of a commit that failed and may nevertheless have reached the file.
    in_doubt: Option<Vec<Batch>>,
}

impl Storage {
    /// Locks the folder, restores what is in it and counts this open, durably.
    ///
    /// # Errors
    /// When the folder is in use, belongs to someone else, or the system refuses to read or write.
    /// A damaged or missing database is not an error but a [`Condition`].
    pub fn open(dir: &Path) -> Result<(Self, Restored), OpenError> {
        let folder = Folder::lock(dir)?;
        let mut storage = Self {
            acknowledged: Acknowledged::open(dir)
                .map_err(|error| failed("open the files of", dir, error))?,
            folder,
            database: None,
            initialised: false,
            becoming: false,
            kept: false,
            summary: Summary::default(),
            sync_failed: SyncFailed::default(),
            in_doubt: None,
        };
        let restored = storage.restore()?;
        Ok((storage, restored))
    }

    fn restore(&mut self) -> Result<Restored, OpenError> {
        let path = self.folder.database();
        let leftover = self.folder.new_database();
        self.folder
            .remove_new_database()
            .map_err(|error| failed("remove", &leftover, error))?;
        let marker = self.folder.read_marker()?;
        let opened = if self.folder.is_suspect() {
            // Nothing is written to it before it is copied, not even that it is open.
            Database::read(&path).map(|(restored, summary)| (None, restored, summary))
        } else {
            Database::open(&path, &self.sync_failed)
                .map(|(database, restored, summary)| (Some(database), restored, summary))
        };
        match opened {
            Ok((_, _, summary)) if summary.transaction < self.acknowledged.read() => {
                let reason = went_back(self.acknowledged.read(), summary.transaction);
                self.set_aside(&marker, reason)
            }
            Ok((database, restored, summary)) => {
                self.database = database;
                self.initialised = true;
                self.summary = summary;
                if self.database.is_none() {
                    self.sync_failed.store(true, Ordering::Release);
                    self.recover().map_err(|error| cannot_write(&path, error))?;
                }
                self.finish_restore(restored, &marker)
            }
            Err(ReadError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(match marker {
                    Marker::Absent => Restored::empty(Condition::Fresh, None),
                    Marker::Present(identity) => Restored::empty(Condition::Lost, Some(identity)),
                    Marker::Unreadable => Restored::empty(Condition::Lost, None),
                })
            }
            Err(ReadError::Io(error)) => Err(failed("read", &path, error)),
            Err(ReadError::Damaged(reason)) => self.set_aside(&marker, reason),
        }
    }

    fn set_aside(&self, marker: &Marker, reason: String) -> Result<Restored, OpenError> {
        let path = self.folder.database();
        let set_aside = self
            .folder
            .set_aside("corrupt")
            .map_err(|error| failed("set aside", &path, error))?;
        let identity = match marker {
            Marker::Present(identity) => Some(identity.clone()),
            Marker::Absent | Marker::Unreadable => None,
        };
        Ok(Restored::empty(
            Condition::Corrupt { set_aside, reason },
            identity,
        ))
    }

    /// Cross-checks the marker and counts the open.
    fn finish_restore(
        &mut self,
        mut restored: Restored,
        marker: &Marker,
    ) -> Result<Restored, OpenError> {
        let path = self.folder.database();
        let name = |identity: &Identity| {
            format!(
                "member {} ({}) of {}",
                identity.member, identity.node, identity.cluster_id
            )
        };
        match (marker, &restored.identity) {
            (Marker::Present(expected), Some(found))
                if expected != found && !self.folder.is_prepared(found) =>
            {
                return Err(OpenError::Foreign {
                    dir: self.folder.dir().to_owned(),
                    found: name(found),
                    expected: name(expected),
                });
            }
            (Marker::Present(expected), Some(found)) if expected == found => {}
            // A crash before the last step of `initialise`, or the marker was damaged or removed.
            (_, Some(found)) => self
                .folder
                .prepare_marker(found)
                .and_then(|()| self.folder.adopt_marker())
                .map_err(|error| failed("write the identity to", self.folder.dir(), error))?,
            (_, None) => {}
        }
        restored.incarnation += 1;
        let counted = match &self.database {
            Some(database) => database.set_incarnation(restored.incarnation),
            None => Ok(()),
        };
        if let Err(error) = counted {
            self.note_failed_sync();
            return Err(cannot_write(&path, error));
        }
        Ok(restored)
    }

    /// Creates the database with its first content. After a crash in the middle the folder is either
    /// as before or initialised.
    ///
    /// # Errors
    /// [`PersistError::AlreadyInitialised`], or why the first content could not be written.
    pub fn initialise(&mut self, identity: &Identity, first: &Batch) -> Result<(), PersistError> {
        if self.initialised {
            return Err(PersistError::AlreadyInitialised);
        }
        self.begin(identity, first)
    }

    /// Begins again as another member, whatever is stored. The present database stays in its place until the new one is whole,
    /// and is kept under another name: a node between two selves would be neither. May be repeated after a failure at any
    /// point; after a crash in the middle the folder is either as before or the new member's.
    ///
    /// # Errors
    /// Why the new beginning could not be written.
    pub fn restart_as(&mut self, identity: &Identity, first: &Batch) -> Result<(), PersistError> {
        self.database = None;
        self.in_doubt = None;
        self.becoming = true;
        self.begin(identity, first)
    }

    fn begin(&mut self, identity: &Identity, first: &Batch) -> Result<(), PersistError> {
        let content = Content {
            identity,
            incarnation: 1,
            transaction: 1,
            batch: first,
        };
        // A marker from an earlier life contradicts the new database until the last step; the
        // prepared one tells the next open that this is no mix-up.
        self.folder.prepare_marker(identity)?;
        self.create_database(&content)?;
        if self.initialised && !self.kept {
            self.folder.keep_as("retired")?;
            self.kept = true;
        }
        self.acknowledged.reset()?;
        self.folder.adopt_new_database()?;
        self.folder.adopt_marker()?;
        self.reopen()?;
        self.acknowledged.note(self.summary.transaction);
        self.initialised = true;
        self.becoming = false;
        self.kept = false;
        Ok(())
    }

    /// Makes the batch durable and returns how long that took.
    ///
    /// # Errors
    /// See [`PersistError`]; for a retryable one, call again with the same batch.
    pub fn persist(&mut self, batch: &Batch) -> Result<Duration, PersistError> {
        self.persist_all(&[batch])
    }

    /// Makes all batches durable together, in order, with one fsync.
    ///
    /// # Errors
    /// As [`Self::persist`]; on an error none of the batches counts.
    pub fn persist_all(&mut self, batches: &[&Batch]) -> Result<Duration, PersistError> {
        let started = Instant::now();
        if !self.initialised || self.becoming {
            return Err(PersistError::NotInitialised);
        }
        if self.database.is_none() {
            self.recover()?;
            if self.took_effect(batches) {
                self.in_doubt = None;
                self.acknowledged.note(self.summary.transaction);
                return Ok(started.elapsed());
            }
        }
        let Some(database) = &self.database else {
            return Err(PersistError::NotInitialised);
        };
        match database.persist(self.summary, batches) {
            Ok(summary) => {
                self.summary = summary;
                self.in_doubt = None;
                self.acknowledged.note(summary.transaction);
                Ok(started.elapsed())
            }
            Err(error) => {
                if !matches!(error, PersistError::Refused(_)) {
                    self.note_failed_sync();
                    self.database = None;
                    self.in_doubt = Some(batches.iter().map(|&batch| batch.clone()).collect());
                }
                Err(error)
            }
        }
    }
}

fn went_back(acknowledged: u64, found: u64) -> String {
    format!("it went back: it ends at transaction {found}, and {acknowledged} was acknowledged")
}

/// The operator's sentence for a write that failed while opening.
fn cannot_write(path: &Path, error: PersistError) -> OpenError {
    match error {
        PersistError::Full => OpenError::Full {
            path: path.to_owned(),
        },
        other => failed("write", path, std::io::Error::other(other)),
    }
}

/// Getting over a failed write.
impl Storage {
    /// Opens the database again after a failure. After a failed sync its content is first written to
    /// a new file, because the old one's pages may exist in the page cache only.
    fn recover(&mut self) -> Result<(), PersistError> {
        let before = self.summary;
        self.folder.remove_new_database()?;
        if self.sync_failed.load(Ordering::Acquire) {
            self.rewrite()?;
            self.sync_failed.store(false, Ordering::Release);
        }
        self.reopen()?;
        if self.summary.transaction < before.transaction {
            self.database = None;
            let reason = went_back(before.transaction, self.summary.transaction);
            return Err(PersistError::Corrupt(reason));
        }
        if self.summary.transaction == before.transaction {
            self.in_doubt = None;
        }
        Ok(())
    }

    /// Copies everything to a new file and puts that in the old one's place.
    fn rewrite(&mut self) -> Result<(), PersistError> {
        let (restored, summary) = Database::read(&self.folder.database())?;
        let Some(identity) = &restored.identity else {
            return Err(PersistError::Corrupt(
                "it does not say whose it is".to_owned(),
            ));
        };
        let notes = restored
            .notes
            .into_iter()
            .map(|(name, value)| (name, Some(value)));
        let batch = Batch {
            snapshot: restored.snapshot,
            truncate_from: None,
            append: restored.entries,
            hard_state: Some(restored.hard_state),
            promise: Some(restored.promise),
            vote_cap_us: Some(restored.vote_cap_us),
            notes: notes.collect(),
        };
        self.create_database(&Content {
            identity,
            incarnation: restored.incarnation,
            transaction: summary.transaction,
            batch: &batch,
        })?;
        self.folder.adopt_new_database()?;
        Ok(self.folder.clear_suspect()?)
    }

    fn note_failed_sync(&self) {
        if self.sync_failed.load(Ordering::Acquire) {
            self.folder.mark_suspect();
        }
    }

    /// Whether these very batches are the ones that failed and yet are in the file.
    fn took_effect(&self, batches: &[&Batch]) -> bool {
        self.in_doubt
            .as_ref()
            .is_some_and(|doubt| doubt.iter().eq(batches.iter().copied()))
    }

    /// Writes a whole database beside the present one.
    fn create_database(&self, content: &Content<'_>) -> Result<(), PersistError> {
        self.folder.remove_new_database()?;
        let written = Database::create(&self.folder.new_database(), content, &self.sync_failed);
        if let Err(error) = written {
            self.folder.remove_new_database()?;
            return Err(error);
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), PersistError> {
        let (database, _, summary) = Database::open(&self.folder.database(), &self.sync_failed)?;
        self.database = Some(database);
        self.summary = summary;
        Ok(())
    }
}
