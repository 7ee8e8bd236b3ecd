//! The background thread: waits for kernel notifications, packets and due times, and hands them to `observe`.
//! Everything it learns is checked against the kernel's present state, so a lost notification costs time, not truth.

use super::leases::{Leases, lock};
use super::state::State;
use crate::clock::{boot_now_ns, remaining};
use crate::guard::AddressGuard;
use crate::netlink::{NetlinkSocket, Reply, attribute, text};
use crate::packet::Listener;
use crate::route::{DEL_ADDRESS, DEL_LINK, NEW_ADDRESS, NEW_LINK, WATCHED_GROUPS};
use crate::{AddressError, AddressEvent};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;
use std::os::fd::OwnedFd;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// `NFNLGRP_NFTABLES` as a bit.
const NFTABLES_GROUP: u32 = 1 << 6;
/// Subsystem number of nftables in the upper byte of a message type.
const NFTABLES_SUBSYSTEM: u16 = 10;
/// Everything is looked at again after this long even if nothing was reported.
const IDLE_NS: u64 = 10_000_000_000;
const IDLE: Duration = Duration::from_nanos(IDLE_NS);
/// What is added to the counter that wakes the thread, where it has to look at the links, too: more than it is ever woken for leases alone.
const LOOK: u64 = 1 << 32;

/// The running thread.
#[derive(Debug)]
pub(super) struct Watch {
    wake: Arc<OwnedFd>,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn begin(
        state: Arc<Mutex<State>>,
        events: Sender<AddressEvent>,
    ) -> Result<Self, AddressError> {
        let unsupported =
            |errno: Errno| AddressError::Unsupported(format!("watching addresses: {errno}"));
        let wake = Arc::new(
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(unsupported)?,
        );
        let leases = Arc::clone(&lock(&state).leases);
        let guard = lock(&leases).guard.as_ref().map(AddressGuard::port);
        let route = NetlinkSocket::open(None, WATCHED_GROUPS).map_err(unsupported)?;
        let ruleset = guard.and_then(|_| NetlinkSocket::open(Some(NETFILTER), NFTABLES_GROUP).ok());
        // Each extension of a lease makes two notifications, which nobody wants. Without the filters they only cost time.
        route.ignore_kind(NEW_ADDRESS).ok();
        if let (Some(socket), Some(port)) = (&ruleset, guard) {
            socket.ignore_port(port).ok();
        }
        let thread = Watcher {
            leases,
            state: Arc::clone(&state),
            events,
            wake: Arc::clone(&wake),
            route,
            ruleset,
            listener: Listener::new().ok(),
        };
        let thread = std::thread::Builder::new()
            .name("address-watch".to_owned())
            .spawn(move || thread.run())
            .map_err(|failure| {
                AddressError::Unsupported(format!("starting the watching thread: {failure}"))
            })?;
        Ok(Self {
            wake,
            state,
            thread: Some(thread),
        })
    }

    /// The lifetimes have to follow a lease.
    pub(super) fn follow(&self) {
        self.wake(1);
    }

    /// There are other things to watch.
    pub(super) fn look(&self) {
        self.wake(LOOK);
    }

    fn wake(&self, count: u64) {
        // Fails only when the counter is full, and then the thread is awake.
        rustix::io::write(&self.wake, &count.to_ne_bytes()).ok();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.state).ending = true;
        self.follow();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

struct Watcher {
    leases: Arc<Mutex<Leases>>,
    state: Arc<Mutex<State>>,
    events: Sender<AddressEvent>,
    wake: Arc<OwnedFd>,
    route: NetlinkSocket,
    ruleset: Option<NetlinkSocket>,
    listener: Option<Listener>,
}

impl Watcher {
    fn run(mut self) {
        let mut looked_at = 0;
        loop {
            let due = {
                let mut state = lock(&self.state);
                if state.ending {
                    return;
                }
                let (mut events, due) = state.on_time();
                if boot_now_ns() >= looked_at + IDLE_NS {
                    looked_at = boot_now_ns();
                    events.extend(state.on_idle());
                }
                self.report(events);
                due
            };
            if self.wait_until(due) {
                let events = lock(&self.state).on_link_change();
                self.report(events);
            }
            self.on_ruleset();
            self.on_route();
            self.on_packets();
        }
    }

    /// Waits for whatever comes first; true when a call has changed what there is to watch.
    fn wait_until(&self, due: Option<u64>) -> bool {
        let left = due
            .map_or(IDLE, |due| remaining(due, boot_now_ns()))
            .min(IDLE);
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(1),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut descriptors = vec![
            PollFd::new(&self.wake, PollFlags::IN),
            PollFd::new(&self.route, PollFlags::IN),
        ];
        descriptors.extend(
            self.ruleset
                .iter()
                .map(|socket| PollFd::new(socket, PollFlags::IN)),
        );
        for fd in self.listener.iter().flat_map(Listener::descriptors) {
            descriptors.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        }
        // An interrupted or failed wait ends in one more look at everything.
        poll(&mut descriptors, Some(&timeout)).ok();
        drop(descriptors);
        let mut counted = [0; 8];
        rustix::io::read(&self.wake, &mut counted).is_ok() && u64::from_ne_bytes(counted) >= LOOK
    }

    fn on_ruleset(&mut self) {
        let Some(socket) = &mut self.ruleset else {
            return;
        };
        let notified = socket.notifications();
        if matches!(&notified, Ok(none) if none.is_empty()) {
            return;
        }
        let mut leases = lock(&self.leases);
        let ours = leases
            .guard
            .as_ref()
            .map(|guard| (guard.port(), guard.table().to_owned()));
        let foreign = match (&notified, ours) {
            (Ok(messages), Some((port, table))) => messages
                .iter()
                .any(|m| m.port != port && concerns(m, &table)),
            // Some were lost.
            (Err(_), _) => true,
            (Ok(_), None) => false,
        };
        let event = if foreign {
            leases.on_foreign_ruleset_change()
        } else {
            None
        };
        self.report(event);
    }

    fn on_route(&mut self) {
        let notified = self.route.notifications();
        let any_of = |kinds: &[u16]| match &notified {
            Ok(messages) => messages.iter().any(|m| kinds.contains(&m.kind)),
            Err(_) => true,
        };
        let (address, link) = (any_of(&[DEL_ADDRESS]), any_of(&[NEW_LINK, DEL_LINK]));
        if !address && !link {
            return;
        }
        let mut state = lock(&self.state);
        let mut events = state.on_link_change();
        if address {
            events.extend(state.on_address_removed());
        }
        self.report(events);
    }

    fn on_packets(&self) {
        let claims: Vec<_> = self.listener.iter().flat_map(Listener::claims).collect();
        if claims.is_empty() {
            return;
        }
        let mut state = lock(&self.state);
        for claim in claims {
            self.report(state.on_claim(claim));
        }
    }

    /// A receiver that is gone wants no more events.
    fn report(&self, events: impl IntoIterator<Item = AddressEvent>) {
        for event in events {
            tracing::debug!(?event, "address event");
            self.events.send(event).ok();
        }
    }
}

/// Whether a notification is about the table of that name: attribute 1 of every object is its table.
fn concerns(message: &Reply, table: &str) -> bool {
    const FAMILY_HEADER_LEN: usize = 4;
    let attributes = message.payload.get(FAMILY_HEADER_LEN..).unwrap_or_default();
    message.kind >> 8 == NFTABLES_SUBSYSTEM && attribute(attributes, 1).map(text) == Some(table)
}

#[cfg(test)]
mod tests {
    use super::{NETFILTER, NFTABLES_GROUP, NetlinkSocket};
    use crate::guard::AddressGuard;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::{net::IpAddr, time::Duration};

    fn is_woken(socket: &NetlinkSocket) -> bool {
        let mut descriptors = [PollFd::new(socket, PollFlags::IN)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut descriptors, Some(&at_once)).unwrap_or(0) > 0
    }

    /// In a network namespace of its own, which ends with the thread.
    #[test]
    fn an_extension_of_its_own_wakes_nobody_and_a_change_by_others_does() {
        let test = || {
            #[allow(unsafe_code, reason = "only the network of this thread is unshared")]
            // SAFETY: CLONE_NEWNET affects neither memory nor descriptors.
            let unshared = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(unshared, 0, "a network namespace");
            let address: [IpAddr; 1] = ["10.66.0.1".parse().unwrap()];
            let deadline = || crate::boot_now_ns() + 60_000_000_000;
            let mut guard = AddressGuard::new("watched").unwrap();
            let mut other = AddressGuard::new("other").unwrap();
            let watch = NetlinkSocket::open(Some(NETFILTER), NFTABLES_GROUP).unwrap();
            let everything = NetlinkSocket::open(Some(NETFILTER), NFTABLES_GROUP).unwrap();
            watch.ignore_port(guard.port()).unwrap();
            guard.manage(&address).unwrap();
            guard.open(&address, deadline()).unwrap();
            guard.extend(&address, deadline()).unwrap();
            assert!(is_woken(&everything), "the kernel reports it");
            assert!(!is_woken(&watch), "own changes are filtered");
            other.manage(&address).unwrap();
            std::thread::sleep(Duration::from_millis(1));
            assert!(is_woken(&watch), "those of others are not");
        };
        std::thread::spawn(test).join().unwrap();
    }
}
