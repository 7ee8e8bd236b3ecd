//! The watcher: one thread that hears from all keepers of an agent and ends what a dead one left. Not for deciding
//! anything: what it hears it passes on.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::lease::LeaseWord;
use crate::status::Status;
use crate::sys;

use super::folder::{Prepared, RunFolder};
use super::harden::PRIORITY;
use super::sweep::Sweep;
use super::wire::{self, Received};

/// Wakes the thread for a new entry or for its end.
const WAKE: u64 = u64::MAX;

/// How often a dead keeper's remains are looked at, and how often once they have turned out to be stuck.
const CLOSELY: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 2_000_000,
};
const AT_LEISURE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// A change of a keeper's state; the first comes right after `spawn` or `adopt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeeperEvent {
    /// [`KeeperSpec::name`](crate::KeeperSpec::name).
    pub name: String,
    /// The whole state. The last one of a keeper has [`Phase::Ended`](crate::Phase::Ended).
    pub status: Status,
}

/// One keeper, as the watcher knows it.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) folder: RunFolder,
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) lease: Option<Arc<LeaseWord>>,
    pub(crate) life: Life,
    /// The end has been told; only the keeper's own exit is still to come. The folder may have a new keeper.
    pub(crate) ended: bool,
}

/// Whether the keeper lives.
#[derive(Debug)]
pub(crate) enum Life {
    /// It does: its connection and its process.
    Alive {
        connection: Arc<OwnedFd>,
        process: OwnedFd,
    },
    /// It does not.
    Dead(Option<Box<Sweep>>),
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    epoll: OwnedFd,
    wake: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    watched: BTreeMap<u64, Watched>,
    next: u64,
    stopping: bool,
}

impl State {
    /// How long nothing is due; for ever while all keepers live.
    fn next_look(&self) -> Option<Timespec> {
        let dead = self.watched.values().filter_map(|each| match &each.life {
            Life::Dead(sweep) => Some(sweep.as_deref()),
            Life::Alive { .. } => None,
        });
        let stuck = dead.map(|sweep| sweep.is_some_and(Sweep::is_stuck));
        stuck
            .reduce(|one, other| one && other)
            .map(|all_stuck| if all_stuck { AT_LEISURE } else { CLOSELY })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // The map is whole after every statement: a panic elsewhere in the thread spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    pub(crate) fn start(on_event: impl Fn(KeeperEvent) + Send + 'static) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        let shared = Arc::new(Shared {
            epoll,
            wake,
            state: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        let (bury, dead) = mpsc::channel();
        // Ends with the watcher, which has the only sender.
        std::thread::Builder::new()
            .name("reaper".to_owned())
            .spawn(move || dead.iter().for_each(|process| reap(&process)))?;
        let thread = std::thread::Builder::new()
            .name("keepers".to_owned())
            .spawn(move || watch(&theirs, &bury, &on_event))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Whether a keeper of this folder has not been told to have ended.
    pub(crate) fn is_watching(&self, folder: &RunFolder) -> bool {
        let state = self.shared.state();
        state
            .watched
            .values()
            .any(|each| !each.ended && each.folder.dir() == folder.dir())
    }

    /// Watches one more.
    pub(crate) fn add(&self, watched: Watched) -> io::Result<()> {
        let mut state = self.shared.state();
        let number = state.next;
        state.next = number.wrapping_add(1);
        if let Life::Alive {
            connection,
            process,
        } = &watched.life
        {
            epoll::add(
                &self.shared.epoll,
                &**connection,
                EventData::new_u64(number),
                EventFlags::IN,
            )?;
            epoll::add(
                &self.shared.epoll,
                process,
                EventData::new_u64(number),
                EventFlags::IN,
            )?;
        }
        state.watched.insert(number, watched);
        self.shared.wake()
    }
}

impl Shared {
    fn wake(&self) -> io::Result<()> {
        rustix::io::write(&self.wake, &1_u64.to_ne_bytes())?;
        Ok(())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.state().stopping = true;
        let woken = self.shared.wake();
        if let (Ok(()), Some(thread)) = (woken, self.thread.take()) {
            // It only panics if `on_event` does, which has been reported by then.
            thread.join().ok();
        }
    }
}

/// The thread. `on_event` is called without the lock, so that it may start or adopt.
fn watch(shared: &Shared, bury: &Sender<OwnedFd>, on_event: &dyn Fn(KeeperEvent)) {
    // Best effort, as for the keeper: a service's exit is to be known at once on a busy machine too.
    sys::set_real_time(PRIORITY).ok();
    let mut ready = Vec::with_capacity(16);
    loop {
        let timeout = shared.state().next_look();
        ready.clear();
        // Interrupted or not: whatever is not in `ready` is still there the next time.
        epoll::wait(&shared.epoll, spare_capacity(&mut ready), timeout.as_ref()).ok();
        let mut events = Vec::new();
        let mut state = shared.state();
        if state.stopping {
            return;
        }
        for number in ready.iter().map(|event| event.data.u64()) {
            if number == WAKE {
                rustix::io::read(&shared.wake, &mut [0; 8]).ok();
            } else if let Some(watched) = state.watched.get_mut(&number) {
                watched.on_ready(&shared.epoll, bury, &mut events);
            }
        }
        state.watched.retain(|_, watched| watched.step(&mut events));
        drop(state);
        events.into_iter().for_each(on_event);
    }
}

/// Not by the watcher, which has real-time priority: see [`sys::set_ordinary`]. One that is not our child, because it was
/// adopted, is reaped by somebody else.
fn reap(process: &OwnedFd) {
    waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED).ok();
}

impl Watched {
    /// Something came from the keeper, or it died.
    fn on_ready(&mut self, epoll: &OwnedFd, bury: &Sender<OwnedFd>, events: &mut Vec<KeeperEvent>) {
        let Life::Alive {
            connection,
            process,
        } = &self.life
        else {
            return;
        };
        let dead = waitid(
            WaitId::PidFd(process.as_fd()),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT,
        );
        let dead = match dead {
            Ok(exited) => exited.is_some(),
            // Not our child, because we adopted it.
            Err(_) => super::sweep::has_ended(process),
        };
        loop {
            match wire::receive::<Status>(connection.as_fd()) {
                Received::Message(status) => {
                    self.ended = self.ended || status.is_ended();
                    events.push(KeeperEvent {
                        name: self.prepared.spec.name.clone(),
                        status,
                    });
                }
                Received::Unknown => {}
                Received::Nothing => break,
                Received::Closed => {
                    // It would be ready for ever; the process says when the keeper is dead. Gone already is fine.
                    epoll::delete(epoll, &**connection).ok();
                    break;
                }
            }
        }
        if dead {
            epoll::delete(epoll, process).ok();
            epoll::delete(epoll, &**connection).ok();
            if let Life::Alive { process, .. } = std::mem::replace(&mut self.life, Life::Dead(None))
            {
                // The reaper lives as long as this thread does.
                bury.send(process).ok();
            }
        }
    }

    /// Goes on with a dead keeper's remains. False when nothing is left and that has been told.
    fn step(&mut self, events: &mut Vec<KeeperEvent>) -> bool {
        let Life::Dead(sweep) = &mut self.life else {
            return true;
        };
        if self.ended {
            return false;
        }
        let begin = || {
            Box::new(Sweep::begin(
                self.folder.clone(),
                &self.prepared,
                self.lease.as_deref(),
            ))
        };
        let Some(status) = sweep.get_or_insert_with(begin).step() else {
            return true;
        };
        self.ended = status.is_ended();
        events.push(KeeperEvent {
            name: self.prepared.spec.name.clone(),
            status,
        });
        !self.ended
    }
}
