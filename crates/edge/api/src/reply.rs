//! The way back of an answer, from whatever thread has it to the thread that owns the connection.

use crate::frame::{Fault, FaultKind};
use rustix::{
    event::{EventfdFlags, eventfd},
    fd::OwnedFd,
};
use standfast_model::request::Response;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// What the server's thread shares with others.
#[derive(Debug)]
pub(crate) struct Shared {
    answers: Mutex<Vec<(u64, Result<Response, Fault>)>>,
    /// Readable when there is something to do.
    pub(crate) wake: OwnedFd,
    stop: AtomicBool,
}

impl Shared {
    pub(crate) fn new() -> rustix::io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            answers: Mutex::new(Vec::new()),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            stop: AtomicBool::new(false),
        }))
    }

    pub(crate) fn take_answers(&self) -> Vec<(u64, Result<Response, Fault>)> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *answers)
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.ring();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn ring(&self) {
        // Fails only when the counter is full, and then the thread is awake already.
        rustix::io::write(&self.wake, &1_u64.to_ne_bytes()).ok();
    }

    fn answer(&self, connection: u64, answer: Result<Response, Fault>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.push((connection, answer));
        drop(answers);
        self.ring();
    }
}

/// Answers one request. Dropped without an answer, it tells the client that there is none.
#[derive(Debug)]
pub struct ReplyHandle {
    connection: u64,
    shared: Option<Arc<Shared>>,
}

impl ReplyHandle {
    pub(crate) const fn new(connection: u64, shared: Arc<Shared>) -> Self {
        Self {
            connection,
            shared: Some(shared),
        }
    }

    /// Hands the answer over; never blocks on the client. A client that has gone is no error.
    pub fn send(mut self, response: Response) {
        if let Some(shared) = self.shared.take() {
            shared.answer(self.connection, Ok(response));
        }
    }
}

impl Drop for ReplyHandle {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            let fault = Fault {
                kind: FaultKind::Unanswered,
                text: String::from(
                    "the agent is ending; whether the request took effect is unknown",
                ),
            };
            shared.answer(self.connection, Err(fault));
        }
    }
}
