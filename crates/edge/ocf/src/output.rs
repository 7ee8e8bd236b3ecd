//! What an action printed: the end of it is kept, and the reason that an operator is told is found in it. Not for
//! keeping all of it (the keeper's logger does).

use rustix::io::Errno;
use std::{
    io::{self, Write as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// The end that is looked through.
const KEPT: usize = 4096;
/// Longest reason, in characters.
const LONGEST: usize = 300;
/// How agents mark the line that says why.
const MARK: &str = "ocf-exit-reason:";

/// The reading end of a pipe that an action writes to, and perhaps what it leaves running.
#[derive(Debug)]
pub(crate) struct Output {
    pipe: OwnedFd,
    tail: Vec<u8>,
    /// Is passed on as it comes.
    relayed: bool,
    /// Nothing more can come.
    closed: bool,
}

impl Output {
    pub(crate) fn new(pipe: OwnedFd, relayed: bool) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Self {
            pipe,
            tail: Vec::new(),
            relayed,
            closed: false,
        })
    }

    /// What to wait for, as long as something may come.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        (!self.closed).then(|| self.pipe.as_fd())
    }

    /// Reads what there is, but not for ever; true when nothing more can come.
    pub(crate) fn read(&mut self) -> bool {
        const ROUNDS: usize = 64;
        let mut buffer = [0_u8; 4096];
        for _round in 0..ROUNDS {
            match rustix::io::read(&self.pipe, &mut buffer) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Ok(0) | Err(_) => {
                    self.closed = true;
                    break;
                }
                Ok(length) => self.keep(buffer.get(..length).unwrap_or_default()),
            }
        }
        self.closed
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.relayed {
            io::stderr().write_all(bytes).ok();
        }
        self.tail.extend_from_slice(bytes);
        let surplus = self.tail.len().saturating_sub(KEPT);
        drop(self.tail.drain(..surplus));
    }

    /// What was not passed on after all.
    pub(crate) fn pass_on(&self) {
        if !self.relayed {
            io::stderr().write_all(&self.tail).ok();
        }
    }

    /// The line that says why, or else the last one; may be empty.
    pub(crate) fn reason(&self) -> String {
        reason_in(&String::from_utf8_lossy(&self.tail))
    }
}

fn reason_in(text: &str) -> String {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let marked = lines().filter_map(|line| line.split_once(MARK)).next_back();
    let line = marked.map_or_else(|| lines().next_back(), |(_, why)| Some(why));
    let shown = line.unwrap_or_default().trim().chars();
    shown
        .filter(|letter| !letter.is_control())
        .take(LONGEST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_marked_line_or_the_last() {
        let text = "INFO: trying\nocf-exit-reason:no such file\nERROR: no such file\n\n";
        assert_eq!(reason_in(text), "no such file");
        assert_eq!(reason_in("one\n\u{7}two \n"), "two");
        assert_eq!(reason_in(""), "");
        assert_eq!(reason_in(&"x".repeat(5000)).len(), LONGEST);
    }
}
