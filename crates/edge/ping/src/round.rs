//! One round: everybody is asked at once, and again for as long as there is no answer. Not for bytes, nor for sockets.

use crate::{
    echo::{self, Mark},
    socket::{EchoSocket, wait},
};
use standfast_model::pair::{PingOrder, PingRound};
use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    net::IpAddr,
    time::{Duration, Instant},
};

/// So often somebody is asked within a round.
const QUESTIONS: u32 = 4;

/// Longest packet that is looked at, in bytes: an answer with the longest header of IPv4.
const LONGEST: usize = 128;

struct Asked {
    /// None for what is no address: that one never answers.
    address: Option<IpAddr>,
    answered: bool,
}

/// Carries a round out, and tells what came of it: whenever somebody has answered, and at its end.
pub fn run(order: &PingOrder, tell: &dyn Fn(PingRound)) {
    let mut round = Round::new(order);
    let timeout = Duration::from_micros(order.timeout.0).max(Duration::from_millis(1));
    let pause = timeout / QUESTIONS;
    let began = Instant::now();
    let mut number = 0;
    loop {
        // Read first: what has come by the end counts, however long this machine stood still meanwhile.
        let waited = began.elapsed();
        let news = round.read();
        let over = round.is_done() || waited >= timeout;
        if news || over {
            tell(round.report(over));
        }
        if over {
            return;
        }
        let due = pause * u32::from(number);
        if waited >= due {
            number += 1;
            round.ask(number);
        }
        let next = (pause * u32::from(number)).min(timeout);
        wait(&round.sockets, next.saturating_sub(began.elapsed()));
    }
}

struct Round<'o> {
    order: &'o PingOrder,
    nonce: u64,
    /// The addresses of the peer, then the targets.
    asked: Vec<Asked>,
    sockets: Vec<EchoSocket>,
}

impl<'o> Round<'o> {
    fn new(order: &'o PingOrder) -> Self {
        let all = order.peer.iter().chain(&order.targets);
        let asked: Vec<Asked> = all
            .map(|address| Asked {
                address: address.parse().ok(),
                answered: false,
            })
            .collect();
        let of = |v6: bool| {
            let mut addresses = asked.iter().filter_map(|asked| asked.address);
            addresses.any(|address| address.is_ipv6() == v6)
        };
        // Without a socket nobody answers: that is what is told.
        let sockets = [false, true].into_iter().filter(|v6| of(*v6));
        let sockets = sockets.filter_map(|v6| EchoSocket::open(v6).ok()).collect();
        Self {
            order,
            nonce: RandomState::new().build_hasher().finish(),
            asked,
            sockets,
        }
    }

    /// Asks whoever has not answered yet.
    fn ask(&self, number: u16) {
        let open = self
            .asked
            .iter()
            .enumerate()
            .filter(|(_, asked)| !asked.answered);
        for (place, asked) in open {
            let Some(address) = asked.address else {
                continue;
            };
            let place = u16::try_from(place).unwrap_or(u16::MAX);
            let nonce = self.nonce;
            let bytes = echo::request(address.is_ipv6(), Mark { nonce, place }, number);
            let mut sockets = self.sockets.iter();
            if let Some(socket) = sockets.find(|socket| socket.v6 == address.is_ipv6()) {
                // No way there: no answer.
                socket.send(address, &bytes).ok();
            }
        }
    }

    /// Reads all that has come; true when somebody has answered who had not.
    fn read(&mut self) -> bool {
        let mut news = false;
        let mut buffer = [0; LONGEST];
        for socket in &self.sockets {
            while let Some((bytes, from)) = socket.receive(&mut buffer) {
                let mark = echo::reply(socket.v6, bytes).filter(|mark| mark.nonce == self.nonce);
                let asked = mark.and_then(|mark| self.asked.get_mut(usize::from(mark.place)));
                if let Some(asked) = asked.filter(|asked| asked.address == Some(from)) {
                    news |= !asked.answered;
                    asked.answered = true;
                }
            }
        }
        news
    }

    fn report(&self, over: bool) -> PingRound {
        let (peer, targets) = self
            .asked
            .split_at(self.order.peer.len().min(self.asked.len()));
        PingRound {
            round: self.order.round,
            peer: peer.iter().any(|asked| asked.answered),
            targets: targets.iter().map(|asked| asked.answered).collect(),
            over,
        }
    }

    /// Nobody is waited for any more.
    fn is_done(&self) -> bool {
        let report = self.report(false);
        report.peer && report.targets.iter().all(|answered| *answered)
    }
}
