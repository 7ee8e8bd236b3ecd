//! The watcher: every 5 ms it asks everyone who has the address, and asks the address through every node's hardware address. Not
//! for deciding whether two owners overlapped: that is `measure`.
//!
//! It has a port, and so a hardware address, of its own: answers to its questions must not refresh the client's neighbour cache, or they would hide
//! a system that forgets to announce its address.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::frame::{self, Answer, Party};
use super::{Evidence, Instance, ProbePlan, Question, Shared, Ticks, lock};
use crate::error::{LabError, Result};
use crate::sys;

/// The UDP port that the watcher asks from.
const PORT: u16 = 40_053;

/// How many questions are remembered; an answer later than 64 x 5 ms proves nothing useful.
const REMEMBERED: usize = 64;

#[derive(Debug, Default)]
struct Asked {
    rounds: VecDeque<(u32, u64)>,
    next: u32,
}

impl Asked {
    fn begin(&mut self, now_ns: u64) -> u32 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.rounds.push_back((number, now_ns));
        if self.rounds.len() > REMEMBERED {
            self.rounds.pop_front();
        }
        number
    }

    fn sent(&self, number: u32) -> Option<u64> {
        self.rounds
            .iter()
            .find(|(asked, _)| *asked == number)
            .map(|(_, sent)| *sent)
    }

    /// ARP and neighbour answers carry no number. Taking the round before the last as the question keeps the proven span honest when an
    /// answer was a little late.
    fn previous(&self) -> Option<u64> {
        self.rounds.iter().rev().nth(1).map(|(_, sent)| *sent)
    }
}

/// The instance named by one line of the service.
pub(super) fn instance(line: &str) -> Option<Instance> {
    let mut words = line.split_whitespace();
    let node = words.next()?.to_owned();
    let started_ns = words.next()?.parse().ok()?;
    words.next()?.parse::<u64>().ok()?;
    Some(Instance { node, started_ns })
}

/// Watches until told to stop.
pub(super) fn run(shared: &Shared, plan: &ProbePlan) -> Result<()> {
    if plan.nodes.is_empty() {
        return super::loopback::run(shared, plan);
    }
    let failed = |error: std::io::Error| LabError::system("open the watcher's sockets", error);
    let wire = sys::packet_socket("eth0").map_err(failed)?;
    let _sink = sink().map_err(|error| failed(error.into()))?;
    let mut asked = Asked::default();
    let mut ticks = Ticks::new();
    let mut buffer = [0_u8; 2048];
    while !shared.stop.load(Ordering::Relaxed) {
        let now = sys::now_ns();
        if ticks.due(now) {
            let number = asked.begin(sys::now_ns());
            for question in questions(plan, number) {
                // A full queue loses a question, as a wire does.
                rustix::net::send(&wire, &question, SendFlags::empty()).ok();
            }
        }
        let mut waits = [PollFd::new(&wire, PollFlags::IN)];
        match poll(&mut waits, Some(&ticks.wait(sys::now_ns()))) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(LabError::system("wait for owners", error)),
        }
        while let Ok((length, _)) = rustix::net::recv(&wire, &mut buffer, RecvFlags::empty()) {
            let found = buffer
                .get(..length)
                .and_then(|frame| evidence(plan, &asked, frame));
            if let Some(found) = found {
                lock(&shared.evidence).push(found);
            }
        }
    }
    Ok(())
}

/// A bound socket that nobody reads: without it the watcher's kernel would answer "port unreachable" to the service.
fn sink() -> std::result::Result<OwnedFd, Errno> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::net::bind(
        &socket,
        &std::net::SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, PORT),
    )?;
    Ok(socket)
}

fn questions(plan: &ProbePlan, number: u32) -> Vec<Vec<u8>> {
    let (mac, v4, v6) = plan.watcher;
    let us = Party { mac, v4 };
    let mut frames = Vec::new();
    if let std::net::IpAddr::V4(address) = plan.address.ip() {
        frames.push(frame::who_has(us, address));
        for node in &plan.nodes {
            let to = Party {
                mac: *node,
                v4: address,
            };
            frames.push(frame::echo(us, to, number));
            let payload = format!("{number}");
            frames.push(frame::udp(
                (us, PORT),
                (to, plan.address.port()),
                payload.as_bytes(),
            ));
        }
    }
    if let Some(address) = plan.address_v6 {
        frames.push(frame::solicitation(mac, v6, address));
    }
    frames
}

fn evidence(plan: &ProbePlan, asked: &Asked, frame: &[u8]) -> Option<Evidence> {
    let (mac, answer) = frame::read(frame, plan.watcher.0)?;
    let node = plan.nodes.iter().position(|known| *known == mac)?;
    let (question, sent_ns) = match answer {
        Answer::Arp(address) if address == plan.address.ip() => (Question::Arp, asked.previous()?),
        Answer::Neighbour(address) if Some(address) == plan.address_v6 => {
            (Question::Neighbour, asked.previous()?)
        }
        Answer::Echo(address, number) if address == plan.address.ip() => {
            (Question::Echo, asked.sent(number)?)
        }
        Answer::Udp(PORT, payload) => {
            let text = String::from_utf8(payload).ok()?;
            let number = text.split(' ').next()?.parse().ok()?;
            (Question::Service, asked.sent(number)?)
        }
        Answer::Arp(_) | Answer::Neighbour(_) | Answer::Echo(..) | Answer::Udp(..) => return None,
    };
    Some(Evidence {
        node,
        question,
        sent_ns,
        received_ns: sys::now_ns(),
    })
}
