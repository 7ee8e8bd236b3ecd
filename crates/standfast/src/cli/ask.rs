//! Asking the agent. Who asks it learns from the kernel, so requests leave their author empty.

use super::exit;
use crate::failure::Failure;
use standfast_api::{Client, ClientError};
use standfast_model::request::{Request, Response, TextOf, View};
use std::{path::Path, time::Duration};

/// Longer than the core's own patience with a request, so that its answer is always the one that counts.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection to the agent of this machine.
pub(super) struct Agent {
    client: Client,
}

impl Agent {
    pub(super) fn connect(socket: &Path) -> Result<Self, ClientError> {
        Client::connect(socket).map(|client| Self { client })
    }

    /// The whole picture.
    pub(super) fn view(&mut self) -> Result<View, ClientError> {
        match self.client.call(&Request::View, PATIENCE)? {
            Response::View(view) => Ok(*view),
            other => Err(unexpected(&other)),
        }
    }

    /// Something that is answered with `Done`: the index of its command.
    pub(super) fn change(&mut self, request: &Request) -> Result<u64, Failure> {
        match self.client.call(request, PATIENCE)? {
            Response::Done { index } => Ok(index),
            Response::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other).into()),
        }
    }

    /// A text, and the version that it is.
    pub(super) fn text(&mut self, of: TextOf, reveal: bool) -> Result<(String, u64), Failure> {
        match self.ask(&Request::Text { of, reveal })? {
            Response::Text { text, version } => Ok((text, version)),
            other => Err(unexpected(&other).into()),
        }
    }

    /// Anything else.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Response, Failure> {
        match self.client.call(request, PATIENCE)? {
            Response::Refused(refusal) => Err(refusal.into()),
            response => Ok(response),
        }
    }
}

pub(crate) fn unexpected(response: &Response) -> ClientError {
    let name = match response {
        Response::View(_) => "a view",
        Response::Plan(_) => "a plan",
        Response::Simulation(_) => "a simulation",
        Response::Text { .. } => "a text",
        Response::Done { .. } => "done",
        Response::Answer(_) => "an answer about a node",
        Response::Token { .. } => "a token",
        Response::Joined { .. } => "joined",
        Response::Refused(refusal) => return ClientError::Protocol(refusal.text.clone()),
    };
    ClientError::Protocol(format!("the agent answered something else ({name})"))
}

/// Connects and asks for the whole picture.
pub(super) fn look(socket: &Path) -> Result<(Agent, View), Failure> {
    let mut agent = Agent::connect(socket)?;
    let view = agent.view()?;
    Ok((agent, view))
}

/// The same for commands that go by what the agent knows: a node that has just joined knows nothing yet.
pub(super) fn look_at_state(socket: &Path) -> Result<(Agent, View), Failure> {
    let (agent, view) = look(socket)?;
    if view.state.members.is_empty() {
        let node = &view.node;
        let text =
            format!("{node} has not received the cluster's state yet; wait, or ask another node");
        return Err(Failure::new(exit::NO_QUORUM, text));
    }
    Ok((agent, view))
}

/// A failure of a command that needs a group which does not exist, found before anything is asked.
pub(super) fn no_such(text: String) -> Failure {
    Failure::new(exit::NO_SUCH_ITEM, text)
}
