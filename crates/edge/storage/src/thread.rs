//! Storage on its own thread, so that a slow disk delays acknowledgements and nothing else. It keeps
//! the order of batches, joins those that wait into one fsync, and repeats what may still succeed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{PersistError, SubmitError};
use crate::latency::{Latency, Meter};
use crate::record::{Batch, Identity};
use crate::storage::Storage;

/// Most batches that share one fsync; keeps one transaction small when the disk falls behind.
const MOST_PER_COMMIT: usize = 64;

/// Pause before a failed write is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What became of a submitted batch.
#[derive(Debug)]
pub enum StorageEvent {
    /// The batch is durable. Comes once for each batch, in the order of submission.
    Persisted {
        /// The number given at submission.
        seq: u64,
        /// Time of the write that made it durable, shared by all batches of one commit.
        took: Duration,
    },
    /// The batch is not durable.
    Failed {
        /// The number given at submission.
        seq: u64,
        /// Why.
        error: Arc<PersistError>,
        /// Whether the thread goes on trying: then `Persisted` follows if it ever succeeds, and
        /// this is reported once. Otherwise the batch is dropped and the agent must not go on.
        retrying: bool,
    },
}

/// Handle of the storage thread. Dropping it lets the thread finish what was submitted.
#[derive(Debug)]
pub struct StorageThread {
    queue: Option<SyncSender<Work>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Storage>>,
}

/// Something to do, in order.
#[derive(Debug)]
enum Work {
    /// Make the batch durable.
    Write(u64, Batch),
    /// Begin again as a new member; what was stored before is set aside.
    Restart(u64, Identity, Batch),
}

#[derive(Debug)]
struct Shared {
    meter: Meter,
    closing: AtomicBool,
}

impl StorageThread {
    /// Starts the thread. `report` is called on it for every event and must not block.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        storage: Storage,
        capacity: usize,
        report: impl FnMut(StorageEvent) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel::<Work>(capacity);
        let shared = Arc::new(Shared {
            meter: Meter::new(Instant::now()),
            closing: AtomicBool::new(false),
        });
        let mut worker = Worker {
            storage,
            shared: Arc::clone(&shared),
            report,
        };
        let thread = std::thread::Builder::new()
            .name("storage".to_owned())
            .spawn(move || {
                worker.run(&receiver);
                worker.storage
            })?;
        Ok(Self {
            queue: Some(sender),
            shared,
            thread: Some(thread),
        })
    }

    /// Queues a batch. Never blocks.
    ///
    /// # Errors
    /// When the queue is full or the thread has ended; the batch is handed back.
    pub fn submit(&self, seq: u64, batch: Batch) -> Result<(), SubmitError> {
        self.hand_over(Work::Write(seq, batch))
    }

    /// Queues a new beginning: the database is set aside, and the node goes on as `identity` with
    /// nothing but `first`. For a node whose disk its peers found to be lost or rolled back.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub fn submit_restart(
        &self,
        seq: u64,
        identity: Identity,
        first: Batch,
    ) -> Result<(), SubmitError> {
        self.hand_over(Work::Restart(seq, identity, first))
    }

    fn hand_over(&self, work: Work) -> Result<(), SubmitError> {
        let batch = |work| match work {
            Work::Write(_, batch) | Work::Restart(_, _, batch) => Box::new(batch),
        };
        let Some(queue) = &self.queue else {
            return Err(SubmitError::Closed(batch(work)));
        };
        queue.try_send(work).map_err(|error| match error {
            TrySendError::Full(work) => SubmitError::Busy(batch(work)),
            TrySendError::Disconnected(work) => SubmitError::Closed(batch(work)),
        })
    }

    /// Write latency as of now.
    #[must_use]
    pub fn latency(&self) -> Latency {
        self.shared.meter.read(Instant::now())
    }

    /// Waits until what was submitted is durable (or has failed once more) and gives the storage
    /// back. `None` if the thread panicked.
    #[must_use]
    pub fn close(mut self) -> Option<Storage> {
        self.finish();
        self.thread.take().and_then(|thread| thread.join().ok())
    }

    fn finish(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.queue = None;
    }
}

impl Drop for StorageThread {
    fn drop(&mut self) {
        self.finish();
    }
}

struct Worker<R> {
    storage: Storage,
    shared: Arc<Shared>,
    report: R,
}

impl<R: FnMut(StorageEvent)> Worker<R> {
    fn run(&mut self, queue: &Receiver<Work>) {
        while let Ok(first) = queue.recv() {
            let mut group = Vec::new();
            for work in std::iter::once(first).chain(queue.try_iter().take(MOST_PER_COMMIT - 1)) {
                match work {
                    Work::Write(seq, batch) => group.push((seq, batch)),
                    Work::Restart(seq, identity, batch) => {
                        self.write(&std::mem::take(&mut group));
                        if !self.restart(seq, &identity, batch) {
                            return;
                        }
                    }
                }
            }
            self.write(&group);
        }
    }

    /// Begins again as a new member; tried until it succeeds, because nothing can be done before. False: it was to end first.
    fn restart(&mut self, seq: u64, identity: &Identity, first: Batch) -> bool {
        let one = [(seq, first)];
        let mut reported = false;
        while !self.shared.closing.load(Ordering::Acquire) {
            let began = Instant::now();
            match self.storage.restart_as(identity, &one[0].1) {
                Ok(()) => {
                    (self.report)(StorageEvent::Persisted {
                        seq,
                        took: began.elapsed(),
                    });
                    return true;
                }
                Err(error) if !reported => {
                    self.fail(&one, error, true);
                    reported = true;
                }
                Err(_) => {}
            }
            std::thread::sleep(RETRY_PAUSE);
        }
        false
    }

    /// Writes a group until it is durable or cannot become so.
    fn write(&mut self, group: &[(u64, Batch)]) {
        if group.is_empty() {
            return;
        }
        let batches: Vec<&Batch> = group.iter().map(|(_, batch)| batch).collect();
        let mut reported = false;
        loop {
            self.shared.meter.begin(Instant::now());
            match self.storage.persist_all(&batches) {
                Ok(took) => {
                    self.shared.meter.end(Instant::now(), took);
                    for (seq, _) in group {
                        (self.report)(StorageEvent::Persisted { seq: *seq, took });
                    }
                    return;
                }
                // One batch must not take its neighbours down with it: find out which it is.
                Err(PersistError::Refused(_)) if group.len() > 1 => {
                    for one in group {
                        self.write(std::slice::from_ref(one));
                    }
                    return;
                }
                Err(error) => {
                    self.shared.meter.failed();
                    let retrying =
                        error.is_retryable() && !self.shared.closing.load(Ordering::Acquire);
                    if !reported || !retrying {
                        self.fail(group, error, retrying);
                        reported = true;
                    }
                    if !retrying {
                        return;
                    }
                    std::thread::sleep(RETRY_PAUSE);
                }
            }
        }
    }

    fn fail(&mut self, group: &[(u64, Batch)], error: PersistError, retrying: bool) {
        let error = Arc::new(error);
        for (seq, _) in group {
            let error = Arc::clone(&error);
            (self.report)(StorageEvent::Failed {
                seq: *seq,
                error,
                retrying,
            });
        }
    }
}
