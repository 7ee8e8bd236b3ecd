//! The client: one HTTP request on a new connection every 5 ms, many outstanding at once, in one thread. Not for asking single nodes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::{Instance, Outcome, Request, Shared, TIMEOUT, Ticks, lock};
use crate::error::{LabError, Result};
use crate::sys;

const QUESTION: &[u8] = b"GET /who HTTP/1.0\r\nHost: service\r\n\r\n";

struct Open {
    socket: OwnedFd,
    sent_ns: u64,
    asked: bool,
    answer: Vec<u8>,
}

struct Client<'a> {
    shared: &'a Shared,
    address: SocketAddr,
    epoll: OwnedFd,
    open: BTreeMap<u64, Open>,
    next: u64,
}

/// Asks `address` until told to stop.
pub(super) fn run(shared: &Shared, address: SocketAddr) -> Result<()> {
    let failed = |error: Errno| LabError::system("wait for answers", error);
    let mut client = Client {
        shared,
        address,
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?,
        open: BTreeMap::new(),
        next: 0,
    };
    let mut ticks = Ticks::new();
    let mut events: Vec<Event> = Vec::with_capacity(256);
    while !shared.stop.load(Ordering::Relaxed) {
        let now = sys::now_ns();
        if ticks.due(now) {
            client.expire(now);
            client.ask(now);
        }
        events.clear();
        match epoll::wait(
            &client.epoll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&ticks.wait(sys::now_ns())),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(failed(error)),
        }
        for event in &events {
            client.progress(event.data.u64());
        }
    }
    Ok(())
}

impl Client<'_> {
    fn record(&self, sent_ns: u64, outcome: Outcome) {
        let done_ns = sys::now_ns();
        lock(&self.shared.requests).push(Request {
            sent_ns,
            done_ns,
            outcome,
        });
    }

    fn ask(&mut self, now: u64) {
        match self.begin(now) {
            Ok(open) => {
                self.open.insert(self.next, open);
            }
            Err(error) => self.record(now, Outcome::Failed(format!("connect: {error}"))),
        }
        self.next += 1;
    }

    fn begin(&self, sent_ns: u64) -> std::result::Result<Open, Errno> {
        let family = if self.address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        // A connection that is given up leaves nothing behind that would repeat packets later.
        sockopt::set_socket_linger(&socket, Some(std::time::Duration::ZERO))?;
        match rustix::net::connect(&socket, &self.address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        epoll::add(
            &self.epoll,
            &socket,
            EventData::new_u64(self.next),
            EventFlags::IN | EventFlags::OUT | EventFlags::ET,
        )?;
        Ok(Open {
            socket,
            sent_ns,
            asked: false,
            answer: Vec::new(),
        })
    }

    fn expire(&mut self, now: u64) {
        let timeout = u64::try_from(TIMEOUT.as_nanos()).unwrap_or(u64::MAX);
        while let Some(first) = self.open.first_entry() {
            if now.saturating_sub(first.get().sent_ns) < timeout {
                break;
            }
            let sent_ns = first.remove().sent_ns;
            self.record(sent_ns, Outcome::TimedOut);
        }
    }

    fn progress(&mut self, id: u64) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        let outcome = match advance(open) {
            Ok(None) => return,
            Ok(Some(instance)) => Outcome::Answered(instance),
            Err(reason) => Outcome::Failed(reason),
        };
        let sent_ns = open.sent_ns;
        self.open.remove(&id);
        self.record(sent_ns, outcome);
    }
}

/// Goes on with one request as far as its socket allows.
fn advance(open: &mut Open) -> std::result::Result<Option<Instance>, String> {
    if !open.asked {
        match sockopt::socket_error(&open.socket) {
            Ok(Ok(())) => {}
            Ok(Err(error)) | Err(error) => return Err(format!("connect: {error}")),
        }
        match rustix::net::send(&open.socket, QUESTION, SendFlags::NOSIGNAL) {
            Ok(_) => open.asked = true,
            Err(Errno::AGAIN | Errno::NOTCONN) => return Ok(None),
            Err(error) => return Err(format!("send: {error}")),
        }
    }
    let mut part = [0_u8; 512];
    loop {
        match rustix::net::recv(&open.socket, &mut part, RecvFlags::empty()) {
            Ok((0, _)) => return Err("closed without an answer".to_owned()),
            Ok((length, _)) => {
                open.answer
                    .extend_from_slice(part.get(..length).unwrap_or_default());
                if let Some(instance) = parse(&open.answer) {
                    return Ok(Some(instance));
                }
            }
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(format!("receive: {error}")),
        }
    }
}

/// The instance named by a complete answer.
fn parse(answer: &[u8]) -> Option<Instance> {
    let text = std::str::from_utf8(answer).ok()?;
    // A real web server answers so to questions of either version.
    let answer = text
        .strip_prefix("HTTP/1.0 200 ")
        .or_else(|| text.strip_prefix("HTTP/1.1 200 "))?;
    let body = answer.split_once("\r\n\r\n")?.1;
    super::owner::instance(body.strip_suffix('\n')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_only_when_it_is_complete_and_right() {
        let whole = b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nalpha 17 3\n";
        let expected = Instance {
            node: "alpha".to_owned(),
            started_ns: 17,
        };
        assert_eq!(parse(whole), Some(expected));
        assert_eq!(parse(&whole[..whole.len() - 1]), None);
        assert_eq!(parse(b"HTTP/1.0 503 no\r\n\r\nalpha 17 3\n"), None);
    }
}
