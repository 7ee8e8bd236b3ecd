//! The watcher on loopback addresses: there are no hardware addresses, so several sockets ask the service by UDP, and the answers name their nodes.
//! The kernel spreads askers over all services bound to the address (SO_REUSEPORT), so two owners both get asked.

use std::net::UdpSocket;
use std::sync::atomic::Ordering;

use super::{Evidence, ProbePlan, Question, Shared, Ticks, lock};
use crate::error::{LabError, Result};
use crate::sys;

/// With two services bound, the chance that all askers are sent to the same one is 2 in 2^8 a round; over a few rounds it is nothing, since
/// every round uses other ports.
const ASKERS: usize = 8;

/// Watches until told to stop.
pub(super) fn run(shared: &Shared, plan: &ProbePlan) -> Result<()> {
    let failed = |error: std::io::Error| LabError::system("ask the service by UDP", error);
    let mut ticks = Ticks::new();
    let mut buffer = [0_u8; 256];
    while !shared.stop.load(Ordering::Relaxed) {
        if !ticks.due(sys::now_ns()) {
            let wait = ticks.wait(sys::now_ns());
            std::thread::sleep(std::time::Duration::from_nanos(
                u64::try_from(wait.tv_nsec).unwrap_or_default(),
            ));
            continue;
        }
        let mut askers = Vec::with_capacity(ASKERS);
        for _ in 0..ASKERS {
            let asker = UdpSocket::bind("127.0.0.1:0").map_err(failed)?;
            asker.set_nonblocking(true).map_err(failed)?;
            // Nobody bound is an answer too: none.
            drop(asker.send_to(b"0", plan.address));
            askers.push((asker, sys::now_ns()));
        }
        std::thread::sleep(super::INTERVAL / 2);
        for (asker, sent_ns) in &askers {
            let Ok(length) = asker.recv(&mut buffer) else {
                continue;
            };
            let node = std::str::from_utf8(buffer.get(..length).unwrap_or_default())
                .ok()
                .and_then(|text| super::owner::instance(text.split_once(' ')?.1))
                .and_then(|instance| plan.names.iter().position(|name| *name == instance.node));
            if let Some(node) = node {
                lock(&shared.evidence).push(Evidence {
                    node,
                    question: Question::Service,
                    sent_ns: *sent_ns,
                    received_ns: sys::now_ns(),
                });
            }
        }
    }
    Ok(())
}
