//! Rounds of pings: the other node of a pair and the ping targets are asked by ICMP echo whether they are there, IPv4 and IPv6.
//!
//! A round is a thread of its own and lasts at most as long as it is told to. Every answer is reported as it comes. A
//! question is asked again within the round: one lost packet says nothing.
//!
//! Not here: when somebody is asked, and what an answer allows (crate `pair`).

mod echo;
mod round;
mod socket;

pub use round::run;

use standfast_model::pair::{PingOrder, PingRound};
use std::{io, sync::Arc, thread};

/// Locked with the rest of the agent's memory, hence small.
const STACK_BYTES: usize = 128 * 1024;

/// The edge's handle.
pub struct Pinger {
    tell: Arc<dyn Fn(PingRound) + Send + Sync>,
}

impl std::fmt::Debug for Pinger {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Pinger")
    }
}

impl Pinger {
    /// `tell` is called with every report, on a thread of the round.
    pub fn new(tell: impl Fn(PingRound) + Send + Sync + 'static) -> Self {
        Self {
            tell: Arc::new(tell),
        }
    }

    /// Begins a round.
    ///
    /// # Errors
    /// The system gives no thread: nothing is told of this round.
    pub fn ask(&self, order: PingOrder) -> io::Result<()> {
        let tell = Arc::clone(&self.tell);
        let thread = thread::Builder::new()
            .name("pings".to_owned())
            .stack_size(STACK_BYTES);
        thread.spawn(move || run(&order, &*tell)).map(drop)
    }
}
