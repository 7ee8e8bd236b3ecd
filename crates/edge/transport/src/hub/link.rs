//! One link of a peer: its connections, and when to dial it.
//!
//! Not for what is sent on it (`peer`) nor for which connection is better (`slot`).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn::Connection;
use tokio::sync::mpsc;

use crate::{
    session::Close,
    slot::{Standing, preferred},
};

pub(super) struct Link {
    /// The peer's address; `None` for a link that only the peer can dial.
    pub(super) address: Option<SocketAddr>,
    pub(super) connections: Vec<Held>,
    pub(super) dialing: bool,
    pub(super) refusals: u32,
    pub(super) next_dial: Instant,
    /// What the agent was told last.
    pub(super) announced_up: bool,
    /// Why the last connection ended.
    pub(super) loss: String,
}

/// A connection in use.
pub(super) struct Held {
    pub(super) standing: Standing,
    pub(super) connection: Connection,
    pub(super) feature_level: u32,
    pub(super) key: String,
    pub(super) writer: mpsc::Sender<Bytes>,
    /// A message is on its way to the connection; the next one waits.
    pub(super) writing: bool,
    pub(super) heard_frames: u64,
}

impl Link {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            address: None,
            connections: Vec::new(),
            dialing: false,
            refusals: 0,
            next_dial: now,
            announced_up: false,
            loss: String::new(),
        }
    }

    pub(super) fn standings(&self) -> impl Iterator<Item = Standing> + '_ {
        self.connections.iter().map(|held| held.standing)
    }

    /// The connection to send on, and whether it is heard.
    pub(super) fn best(&mut self, now: Instant, silence: Duration) -> Option<(&mut Held, bool)> {
        let best = preferred(self.standings(), now, silence)?;
        let heard = !best.is_silent(now, silence);
        let held = self
            .connections
            .iter_mut()
            .find(|held| held.standing.id == best.id)?;
        Some((held, heard))
    }

    pub(super) fn is_up(&mut self, now: Instant, silence: Duration) -> bool {
        self.best(now, silence).is_some_and(|(_, heard)| heard)
    }

    pub(super) fn close(&mut self, close: Close, why: &str) {
        self.loss = why.to_owned();
        for held in self.connections.drain(..) {
            held.connection.close(close.code(), why.as_bytes());
        }
    }

    pub(super) fn close_where(&mut self, why: &str, mut is_meant: impl FnMut(&Standing) -> bool) {
        self.connections.retain(|held| {
            let meant = is_meant(&held.standing);
            if meant {
                held.connection
                    .close(Close::Superseded.code(), why.as_bytes());
            }
            !meant
        });
    }

    pub(super) fn listen(&mut self, now: Instant) {
        for held in &mut self.connections {
            let frames = authentic_frames(&held.connection);
            if frames != held.heard_frames {
                held.heard_frames = frames;
                held.standing.heard_at = now;
            }
        }
    }
}

/// Counts frames that came in authenticated packets, unlike the count of UDP packets.
pub(super) fn authentic_frames(connection: &Connection) -> u64 {
    let frames = connection.stats().frame_rx;
    frames.acks + frames.ping + frames.datagram + frames.stream + frames.max_data
}
