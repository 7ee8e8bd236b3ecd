//! Who asks a runner for a `monitor`, and of which depth: a socket for each depth, so that whoever connects has said all there is to say.
//!
//! Not for what is answered (`runner`), nor for the other end (`ask`).

use crate::{order::Order, socket};
use std::{
    fs,
    io::{self, ErrorKind, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
};

/// More who ask at once than there are.
const MAX_ASKING: usize = 16;

/// The sockets, and who waits at each.
#[derive(Debug)]
pub(crate) struct Asking {
    listeners: Vec<(u32, UnixListener)>,
    waiting: Vec<(u32, UnixStream)>,
}

impl Asking {
    /// Makes the sockets in the order's run folder; depth 0 is the first `monitor`.
    pub(crate) fn listen(order: &Order) -> io::Result<Self> {
        let depths = order.deep.iter().map(|deep| deep.depth);
        let listeners = std::iter::once(0).chain(depths).map(|depth| {
            let path = order.run_dir.join(socket(depth));
            remove(&path)?;
            let listener = UnixListener::bind(path)?;
            listener.set_nonblocking(true)?;
            Ok((depth, listener))
        });
        Ok(Self {
            listeners: listeners.collect::<io::Result<_>>()?,
            waiting: Vec::new(),
        })
    }

    /// What to wait for.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.listeners.iter().map(|(_, listener)| listener.as_fd())
    }

    /// Lets in who has come, and says what is under way.
    pub(crate) fn accept(&mut self, doing: &str) {
        let line = format!("wait {doing}\n");
        for (depth, listener) in &self.listeners {
            while let Ok((mut asking, _)) = listener.accept() {
                let told = asking.set_nonblocking(true);
                let told = told.and_then(|()| asking.write_all(line.as_bytes()));
                if told.is_ok() && self.waiting.len() < MAX_ASKING {
                    self.waiting.push((*depth, asking));
                }
            }
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The shallowest depth that is asked for.
    pub(crate) fn shallowest(&self) -> u32 {
        let depths = self.waiting.iter().map(|(depth, _)| *depth);
        depths.min().unwrap_or_default()
    }

    /// Those who ask for a depth now. Whoever asks from here on gets a newer answer.
    pub(crate) fn take(&mut self, depth: u32) -> Vec<(u32, UnixStream)> {
        let waiting = self.waiting.drain(..);
        let (taken, left) = waiting.partition(|(of, _)| *of == depth);
        self.waiting = left;
        taken
    }

    /// All of them, whatever they ask for.
    pub(crate) fn take_all(&mut self) -> Vec<(u32, UnixStream)> {
        std::mem::take(&mut self.waiting)
    }

    /// They have no answer yet.
    pub(crate) fn put_back(&mut self, asking: Vec<(u32, UnixStream)>) {
        self.waiting.extend(asking);
    }
}

/// Removes what an earlier run has left.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
