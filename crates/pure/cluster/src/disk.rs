//! The queue of durable writes: numbered, in order, kept until they are confirmed, so that a failed
//! one can be repeated.

use standfast_model::{
    effect::{Batch, Effect},
    plan::PlanNumber,
    time::{Micros, Now, WaitUntil},
};
use std::collections::VecDeque;

/// A failed write is repeated after this long.
const RETRY: Micros = Micros::from_millis(500);

/// A write on its way to the disk.
#[derive(Clone, Debug)]
struct Write {
    batch: Batch,
    /// Consensus' own name for it.
    ticket: Option<u64>,
}

/// What a confirmed write makes true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) ticket: Option<u64>,
    pub(crate) promise: Option<PlanNumber>,
    pub(crate) vote_cap: Option<Micros>,
    pub(crate) lease_cap: Option<Micros>,
    /// What a node of a pair knows about its copy.
    pub(crate) pair: bool,
}

/// The queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    next: u64,
    waiting: VecDeque<Write>,
    retry: Option<WaitUntil>,
    /// What is wrong with the disk, empty when well.
    pub(crate) problem: String,
    /// The last write took so long.
    pub(crate) took: Micros,
}

impl Disk {
    /// Queues a write; returns the effect, unless the disk is failing (then it goes out with the retry).
    pub(crate) fn write(&mut self, mut batch: Batch, ticket: Option<u64>) -> Option<Effect> {
        self.next += 1;
        batch.sequence = self.next;
        self.waiting.push_back(Write {
            batch: batch.clone(),
            ticket,
        });
        self.retry
            .is_none()
            .then(|| Effect::Persist(Box::new(batch)))
    }

    /// A write is durable. Confirmations come in order; one that does not fit is a repetition.
    pub(crate) fn stored(&mut self, sequence: u64, took: Micros) -> Option<Stored> {
        if self
            .waiting
            .front()
            .is_none_or(|write| write.batch.sequence != sequence)
        {
            return None;
        }
        let write = self.waiting.pop_front()?;
        self.problem.clear();
        // A slowly moving average: one slow write does not change the prediction for ever.
        self.took = if self.took == Micros::ZERO {
            took
        } else {
            Micros((self.took.0 * 7 + took.0) / 8)
        };
        Some(Stored {
            ticket: write.ticket,
            promise: write.batch.promise,
            vote_cap: write.batch.vote_cap,
            lease_cap: write.batch.lease_cap,
            pair: write.batch.pair.is_some(),
        })
    }

    /// Nothing is on its way to the disk.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A write failed: it and all after it are repeated later. Returns whether this is news.
    pub(crate) fn failed(&mut self, now: Now, sequence: u64, error: &str) -> bool {
        if !self
            .waiting
            .iter()
            .any(|write| write.batch.sequence == sequence)
        {
            return false;
        }
        let news = self.problem != error;
        error.clone_into(&mut self.problem);
        if self.retry.is_none() {
            self.retry = Some(WaitUntil {
                from: now,
                length: RETRY,
            });
        }
        news
    }

    /// Writes to be repeated now.
    pub(crate) fn retries(&mut self, now: Now) -> Vec<Effect> {
        if self.retry.is_none_or(|until| !until.is_over(now)) {
            return Vec::new();
        }
        self.retry = None;
        self.waiting
            .iter()
            .map(|write| Effect::Persist(Box::new(write.batch.clone())))
            .collect()
    }

    /// When a repetition is due.
    pub(crate) fn retry_left(&self, now: Now) -> Option<Micros> {
        self.retry.map(|until| until.left(now))
    }
}
