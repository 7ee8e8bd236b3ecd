//! The keeper's end of the control socket: agents that are connected, and which of them are still owed the status.
//! Not for what a request does.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};

use crate::status::Status;

use super::wire::{self, Received, Request};

/// Agents connected at once; there is one, and for a moment its successor.
const MAX_CONNECTIONS: usize = 8;

/// The listening socket and its connections.
#[derive(Debug)]
pub(crate) struct Control {
    listener: OwnedFd,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    fd: OwnedFd,
    /// The latest status did not fit: send what is the latest then.
    owed: bool,
}

impl Control {
    pub(crate) fn new(listener: OwnedFd) -> Self {
        Self {
            listener,
            connections: Vec::new(),
        }
    }

    /// What to wait for.
    pub(crate) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let wanted = |owed: bool| {
            if owed {
                PollFlags::IN | PollFlags::OUT
            } else {
                PollFlags::IN
            }
        };
        let connections = self
            .connections
            .iter()
            .map(move |each| PollFd::new(&each.fd, wanted(each.owed)));
        std::iter::once(PollFd::new(&self.listener, PollFlags::IN)).chain(connections)
    }

    /// Takes new connections, sends what is owed and returns what was asked for.
    pub(crate) fn serve(&mut self, status: &Status) -> Vec<Request> {
        while let Ok(Some(fd)) = wire::accept_one(self.listener.as_fd()) {
            if self.connections.len() < MAX_CONNECTIONS {
                self.connections.push(Connection { fd, owed: true });
            }
        }
        let mut requests = Vec::new();
        self.connections
            .retain_mut(|connection| connection.read(&mut requests) && connection.settle(status));
        requests
    }

    /// Sends the status to everyone.
    pub(crate) fn broadcast(&mut self, status: &Status) {
        self.connections.retain_mut(|connection| {
            connection.owed = true;
            connection.settle(status)
        });
    }
}

impl Connection {
    /// Reads all requests; whether the connection stays.
    fn read(&mut self, requests: &mut Vec<Request>) -> bool {
        loop {
            match wire::receive(self.fd.as_fd()) {
                Received::Message(request) => requests.push(request),
                Received::Unknown => {}
                Received::Nothing => return true,
                Received::Closed => return false,
            }
        }
    }

    /// Sends the status if it is owed; whether the connection stays.
    fn settle(&mut self, status: &Status) -> bool {
        if !self.owed {
            return true;
        }
        let sent = wire::send_message(self.fd.as_fd(), status);
        self.owed = matches!(sent, Ok(false));
        sent.is_ok()
    }
}
