//! Asking the agent for pictures, and carrying orders out, on threads of their own: the screen never waits.

use super::{maintenance, screen::Order};
use crate::failure::Failure;
use standfast_api::Client;
use standfast_model::request::{Request, Response, TextOf, View};
use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

/// As for every other command.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the threads tell the screen.
#[derive(Debug)]
pub(super) enum News {
    /// A picture, or why there is none.
    View(Result<Box<View>, String>),
    /// What became of an order.
    Said(String),
}

/// In a demonstration an agent may stand still: the next one is asked soon.
const SHORT: Duration = Duration::from_millis(700);

/// Starts asking; the sender asks for a picture before its time.
///
/// # Errors
/// The system gives no thread.
pub(super) fn pictures(
    sockets: &[PathBuf],
    every: Duration,
    news: Sender<News>,
) -> std::io::Result<Sender<()>> {
    let sockets = sockets.to_owned();
    let (now, asked): (Sender<()>, Receiver<()>) = channel();
    thread::Builder::new()
        .name(String::from("pictures"))
        .spawn(move || {
            loop {
                let view = look(&sockets).map(|(view, _)| view);
                let view = view.map(Box::new).map_err(|failure| failure.text);
                if news.send(News::View(view)).is_err() {
                    return;
                }
                if asked.recv_timeout(every) == Err(RecvTimeoutError::Disconnected) {
                    return;
                }
            }
        })?;
    Ok(now)
}

/// The only agent, or in a demonstration the leader; without one, whoever answers. A connection for each picture:
/// the agent may have restarted meanwhile.
fn look(sockets: &[PathBuf]) -> Result<(View, &Path), Failure> {
    let patience = if sockets.len() > 1 { SHORT } else { PATIENCE };
    let mut second = None;
    for socket in sockets {
        match ask(socket, patience) {
            // The leader knows everybody's lease.
            Ok(view)
                if view
                    .leader
                    .as_ref()
                    .is_some_and(|leader| leader.as_str() == view.node) =>
            {
                return Ok((view, socket));
            }
            Ok(view) if view.quorum => second = Some(Ok((view, socket.as_path()))),
            Ok(view) => {
                second = match second {
                    Some(Ok(better)) => Some(Ok(better)),
                    Some(Err(_)) | None => Some(Ok((view, socket.as_path()))),
                }
            }
            Err(failure) => second = second.or(Some(Err(failure))),
        }
    }
    second.unwrap_or_else(|| Err(Failure::new(1, "there is no socket to ask")))
}

fn ask(socket: &Path, patience: Duration) -> Result<View, Failure> {
    match Client::connect(socket)?.call(&Request::View, patience)? {
        Response::View(view) => Ok(*view),
        Response::Refused(refusal) => Err(refusal.into()),
        other => Err(crate::cli::unexpected(&other).into()),
    }
}

/// Carries an order out and says what became of it.
pub(super) fn carry_out(
    sockets: &[PathBuf],
    faults: Option<&Path>,
    order: Order,
    news: Sender<News>,
) {
    let (sockets, faults) = (sockets.to_owned(), faults.map(Path::to_owned));
    let refused = news.clone();
    let started = thread::Builder::new()
        .name(String::from("order"))
        .spawn(move || {
            let said = match give(&sockets, faults.as_ref(), order) {
                Ok(said) => said,
                Err(failure) => format!("REFUSED: {}", failure.text),
            };
            // The screen may be gone.
            drop(news.send(News::Said(said)));
        });
    if let Err(error) = started {
        drop(refused.send(News::Said(format!("cannot start a thread: {error}"))));
    }
}

fn give(sockets: &[PathBuf], faults: Option<&PathBuf>, order: Order) -> Result<String, Failure> {
    let author = String::new();
    let (request, said) = match order {
        Order::Fault(fault, node) => {
            let asked = faults.map(|socket| fault.ask(&node, socket));
            return match asked {
                Some(Ok(said)) => Ok(said),
                Some(Err(error)) => Err(Failure::cannot("reach the laboratory", &error)),
                None => Ok(String::new()),
            };
        }
        Order::Switchover(group, to) => {
            let said = format!("{group} is being moved");
            (Request::Switchover { group, to, author }, said)
        }
        Order::Drain(node, drained) => {
            let said = if drained {
                format!("{node} is being drained")
            } else {
                format!("{node} may run resources again")
            };
            let request = Request::Drain {
                node,
                drained,
                author,
            };
            (request, said)
        }
        Order::Maintenance(group, on) => {
            let (text, version) = text_in_force(sockets)?;
            let switched = maintenance::switched(&text, group.as_ref(), on);
            let (text, config) = switched.map_err(|why| Failure::new(1, why))?;
            let request = Request::Apply {
                config: Box::new(config),
                text,
                based_on: Some(version),
                author,
                reason: String::from("key of the live view"),
                draft: None,
            };
            let state = if on { "begins" } else { "is over" };
            (request, format!("maintenance {state}"))
        }
    };
    let socket = reached(sockets)?;
    match Client::connect(socket)?.call(&request, PATIENCE)? {
        Response::Done { .. } => Ok(said),
        Response::Refused(refusal) => Err(refusal.into()),
        other => Err(crate::cli::unexpected(&other).into()),
    }
}

/// The configuration as its author wrote it, to be changed: with everything in it.
fn text_in_force(sockets: &[PathBuf]) -> Result<(String, u64), Failure> {
    let socket = reached(sockets)?;
    let request = Request::Text {
        of: TextOf::Present,
        reveal: true,
    };
    match Client::connect(socket)?.call(&request, PATIENCE)? {
        Response::Text { text, version } => Ok((text, version)),
        Response::Refused(refusal) => Err(refusal.into()),
        other => Err(crate::cli::unexpected(&other).into()),
    }
}

/// The agent to ask: the only one, or in a demonstration one with a majority.
fn reached(sockets: &[PathBuf]) -> Result<&Path, Failure> {
    match sockets {
        [only] => Ok(only),
        several => look(several).map(|(_, socket)| socket),
    }
}
