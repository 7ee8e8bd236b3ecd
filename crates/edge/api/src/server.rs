//! The server: one thread that waits for all connections at once.

use crate::{
    access::{Access, Rates},
    connection::{Connection, Progress},
    frame::FaultKind,
    peer::Peer,
    reply::{ReplyHandle, Shared},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use standfast_model::request::Request;
use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    io,
    os::unix::{
        fs::{PermissionsExt, chown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};

/// Most connections at once.
pub const MAX_CONNECTIONS: usize = 64;

/// Most connections of users who may only look, so that they cannot keep an administrator out.
const MAX_LOOKING: usize = MAX_CONNECTIONS / 2;

/// Expired connections are looked for this often, in seconds.
const SWEEP: i64 = 1;

/// Most connections of one user who is not root, so that users cannot keep each other out.
const MAX_OF_ONE_USER: usize = 16;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another agent answers there.
    #[error("another agent answers on {path} already; stop it, or give this one another --socket")]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot serve on {path}")]
    System {
        /// The socket.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// A request with the way back of its answer.
#[derive(Debug)]
pub struct Incoming {
    /// What is asked.
    pub request: Request,
    /// Who asks.
    pub peer: Peer,
    /// How to answer.
    pub reply: ReplyHandle,
}

/// A running server. Dropped, it lets all connections go and removes its socket.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves on a socket at `path` for root alone; see [`Server::bind_for`].
    ///
    /// # Errors
    /// The same.
    pub fn bind(
        path: &Path,
        on_request: impl FnMut(Incoming) + Send + 'static,
    ) -> Result<Self, ServerError> {
        Self::bind_for(path, &Access::default(), on_request)
    }

    /// Serves on a socket at `path`. `on_request` runs on the server's thread: it only hands on.
    ///
    /// A socket that nobody answers on any more is replaced.
    ///
    /// # Errors
    /// Another agent answers there, or the system refuses the socket or the thread.
    pub fn bind_for(
        path: &Path,
        access: &Access,
        on_request: impl FnMut(Incoming) + Send + 'static,
    ) -> Result<Self, ServerError> {
        let system = |source: io::Error| ServerError::System {
            path: path.to_owned(),
            source,
        };
        if UnixStream::connect(path).is_ok() {
            return Err(ServerError::Taken {
                path: path.to_owned(),
            });
        }
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(system(e)),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(system)?;
        let group = access.group_number();
        // Before the mode lets anybody in.
        if let Some(group) = group {
            chown(path, None, Some(group)).map_err(system)?;
        }
        fs::set_permissions(path, Permissions::from_mode(access.mode())).map_err(system)?;
        listener.set_nonblocking(true).map_err(system)?;
        let shared = Shared::new().map_err(|e| system(e.into()))?;
        let mut worker = Worker {
            listener,
            shared: Arc::clone(&shared),
            connections: BTreeMap::new(),
            next: 0,
            group,
            rates: Rates::default(),
            on_request,
        };
        let thread = thread::Builder::new()
            .name(String::from("api"))
            .spawn(move || worker.run())
            .map_err(system)?;
        Ok(Self {
            path: path.to_owned(),
            shared,
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported by then; nothing is left to be done about it.
            drop(thread.join());
        }
        drop(fs::remove_file(&self.path));
    }
}

struct Worker<F> {
    listener: UnixListener,
    shared: Arc<Shared>,
    connections: BTreeMap<u64, Connection>,
    /// Number of the next connection; never reused, so that a late answer finds nobody.
    next: u64,
    /// Members of it may change things.
    group: Option<u32>,
    rates: Rates,
    on_request: F,
}

impl<F: FnMut(Incoming)> Worker<F> {
    fn run(&mut self) {
        while !self.shared.is_stopping() {
            match self.wait() {
                Ok(ready) => self.on_ready(ready),
                Err(Errno::INTR) => {}
                // Nothing that a connection does leads here: without memory there is nothing to serve.
                Err(_) => thread::sleep(std::time::Duration::from_millis(100)),
            }
        }
        // An agent that ends because it was asked to still says that it does.
        self.hand_out_answers();
    }

    /// Waits, and says which connections are ready; connection numbers beside what they are ready for.
    fn wait(&self) -> Result<Ready, Errno> {
        let mut fds = vec![
            PollFd::new(&self.shared.wake, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        for connection in self.connections.values() {
            fds.push(PollFd::new(&connection.stream, connection.interest()));
        }
        let sweep = Timespec {
            tv_sec: SWEEP,
            tv_nsec: 0,
        };
        // Without connections there is nothing to sweep: an idle agent is not woken.
        let timeout = (!self.connections.is_empty()).then_some(&sweep);
        poll(&mut fds, timeout)?;
        let mut flags = fds.iter().map(PollFd::revents);
        Ok(Ready {
            woken: flags.next().is_some_and(|f| !f.is_empty()),
            accept: flags.next().is_some_and(|f| !f.is_empty()),
            connections: self.connections.keys().copied().zip(flags).collect(),
        })
    }

    fn on_ready(&mut self, ready: Ready) {
        if ready.woken {
            let mut count = [0; 8];
            // Empty when another wake-up was quicker.
            rustix::io::read(&self.shared.wake, &mut count).ok();
            self.hand_out_answers();
        }
        for (number, flags) in ready.connections {
            if !flags.is_empty() {
                self.progress(number, |connection| connection.on_ready(flags));
            }
        }
        self.connections
            .retain(|_, connection| !connection.expired());
        if ready.accept {
            self.accept();
        }
    }

    fn hand_out_answers(&mut self) {
        for (number, answer) in self.shared.take_answers() {
            self.progress(number, |connection| connection.on_answer(answer));
        }
    }

    fn progress(&mut self, number: u64, act: impl FnOnce(&mut Connection) -> Progress) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        match act(connection) {
            Progress::None => {}
            Progress::Over => {
                self.connections.remove(&number);
            }
            Progress::Request(_) if !self.rates.allow(connection.peer.uid, Instant::now()) => {
                let text = too_often(&connection.peer);
                connection.refuse(FaultKind::Busy, text);
            }
            Progress::Request(request) => {
                let incoming = Incoming {
                    request: *request,
                    peer: connection.peer.clone(),
                    reply: ReplyHandle::new(number, Arc::clone(&self.shared)),
                };
                (self.on_request)(incoming);
            }
        }
    }

    fn accept(&mut self) {
        let Ok((stream, _)) = self.listener.accept() else {
            return;
        };
        let Ok(peer) = Peer::of(&stream, self.group) else {
            return;
        };
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let looking = self.connections.values().filter(|c| !c.peer.may_change);
        let own = self.connections.values().filter(|c| c.peer.uid == peer.uid);
        let full = self.connections.len() >= MAX_CONNECTIONS
            || (!peer.may_change && looking.count() >= MAX_LOOKING)
            || (peer.uid != 0 && own.count() >= MAX_OF_ONE_USER);
        let often = !self.rates.allow(peer.uid, Instant::now());
        let text = if often {
            too_often(&peer)
        } else {
            String::from("too many connections at once; try again")
        };
        let mut connection = Connection::new(stream, peer);
        if full || often {
            // One attempt: whoever does not take it at once is let go.
            connection.refuse(FaultKind::Busy, text);
            return;
        }
        self.connections.insert(self.next, connection);
        self.next += 1;
    }
}

fn too_often(peer: &Peer) -> String {
    format!("{} asks too often; try again in a few seconds", peer.name)
}

struct Ready {
    woken: bool,
    accept: bool,
    connections: Vec<(u64, PollFlags)>,
}
