//! Faults that the demonstration lets its viewer make. The laboratory carries them out; here they are
//! keys, words, and lines of text written to it.

use standfast_model::id::NodeId;
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

/// What can be done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// All its processes end at once, and its links.
    Kill,
    /// Its agent stands still.
    Freeze,
    /// Nothing comes in or goes out.
    Cut,
    /// Everything is as before.
    Heal,
}

impl Fault {
    pub(super) const ALL: [Self; 4] = [Self::Kill, Self::Freeze, Self::Cut, Self::Heal];

    pub(super) const fn key(self) -> char {
        match self {
            Self::Kill => 'K',
            Self::Freeze => 'F',
            Self::Cut => 'C',
            Self::Heal => 'H',
        }
    }

    pub(super) fn of_key(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.key() == letter)
    }

    pub(super) const fn verb(self) -> &'static str {
        match self {
            Self::Kill => "Cut the power of",
            Self::Freeze => "Freeze the agent of",
            Self::Cut => "Cut off",
            Self::Heal => "Heal",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Cut => "cut",
            Self::Heal => "heal",
        }
    }

    /// Asks the laboratory for it, and gives its answer.
    ///
    /// # Errors
    /// The laboratory does not listen.
    pub(super) fn ask(self, node: &NodeId, socket: &Path) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        writeln!(stream, "{} {node}", self.word())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.trim().to_owned())
    }
}
