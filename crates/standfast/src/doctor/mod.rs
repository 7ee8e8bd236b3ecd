//! Looking at one machine for what is wrong or will be: by the agent when it is asked, by the command
//! itself when the agent is down. Looks only, and says what to do; repairs nothing.
//!
//! `machine` needs no agent, `picture` is what the agent knows of this node, `network` asks the network who
//! has the managed addresses, `together` compares what several nodes said.

mod agents;
mod machine;
mod network;
mod picture;
mod together;

pub(crate) use machine::running;
pub(crate) use together::together;

use crate::{agent::Options, agent::setup::pki_dir};
use standfast_api::{Client, ClientError};
use standfast_model::{
    id::NodeId,
    query::{Examined, Finding, Severity},
    request::{Request, Response, View},
};
use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// The agent has this long to say what it knows.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where an agent lives.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) state: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) cgroup: PathBuf,
}

impl Place {
    pub(crate) fn of(options: &Options) -> Self {
        Self {
            state: options.state.clone(),
            socket: options.socket.clone(),
            cgroup: options.cgroup.clone(),
        }
    }

    fn pki(&self) -> PathBuf {
        pki_dir(&self.state)
    }
}

/// Findings under construction.
#[derive(Debug, Default)]
struct Findings {
    node: Option<NodeId>,
    checked: Vec<String>,
    list: Vec<Finding>,
}

impl Findings {
    /// Says that something was looked at, found wrong or not.
    fn check(&mut self, subject: &str) {
        self.checked.push(subject.to_owned());
    }

    fn add(
        &mut self,
        severity: Severity,
        subject: &str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.list.push(Finding {
            severity,
            node: self.node.clone(),
            subject: subject.to_owned(),
            text: text.into(),
            remedy: remedy.into(),
        });
    }
}

/// Examines this machine.
pub(crate) fn examine(place: &Place) -> Examined {
    let mut found = Findings::default();
    let view = ask(place, &mut found);
    found.node = view.as_ref().map(|view| view.node.as_str().into());
    machine::examine(place, view.as_ref(), &mut found);
    network::examine(view.as_ref(), &mut found);
    agents::examine(view.as_ref(), &mut found);
    if let Some(view) = &view {
        picture::examine(view, &mut found);
    }
    found.list.sort_by_key(|finding| finding.severity);
    Examined {
        node: found.node.map_or_else(String::new, |node| node.to_string()),
        wall_ms: wall_ms(),
        checked: found.checked,
        findings: found.list,
    }
}

/// This machine's wall clock, milliseconds since 1970.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

fn ask(place: &Place, found: &mut Findings) -> Option<View> {
    found.check("agent");
    let answer =
        Client::connect(&place.socket).and_then(|mut client| client.call(&Request::View, PATIENCE));
    match answer {
        Ok(Response::View(view)) => Some(*view),
        Ok(other) => {
            let text = format!("the agent answers {}", crate::cli::unexpected(&other));
            found.add(
                Severity::Warning,
                "agent",
                text,
                "use the command line of the agent's own version",
            );
            None
        }
        Err(ClientError::Permission(why)) => {
            found.add(
                Severity::Note,
                "agent",
                why,
                "run this as root to see everything",
            );
            None
        }
        Err(error) => {
            found.add(
                Severity::Critical,
                "agent",
                format!("{error}: this node protects nothing"),
                "start it: `systemctl start standfast`; `journalctl -u standfast` says why it ended",
            );
            None
        }
    }
}
