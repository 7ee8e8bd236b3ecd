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

/// Starts asking; the sender asks for a picture before its time.
///
/// # Errors
/// The system gives no thread.
pub(super) fn pictures(
    socket: &Path,
    every: Duration,
    news: Sender<News>,
) -> std::io::Result<Sender<()>> {
    let socket = socket.to_owned();
    let (now, asked): (Sender<()>, Receiver<()>) = channel();
    thread::Builder::new()
        .name(String::from("pictures"))
        .spawn(move || {
            loop {
                let view = look(&socket).map_err(|failure| failure.text);
                if news.send(News::View(view.map(Box::new))).is_err() {
                    return;
                }
                if asked.recv_timeout(every) == Err(RecvTimeoutError::Disconnected) {
                    return;
                }
            }
        })?;
    Ok(now)
}

/// A connection for each picture: the agent may have restarted meanwhile.
fn look(socket: &Path) -> Result<View, Failure> {
    match Client::connect(socket)?.call(&Request::View, PATIENCE)? {
        Response::View(view) => Ok(*view),
        Response::Refused(refusal) => Err(refusal.into()),
        other => Err(crate::cli::unexpected(&other).into()),
    }
}

/// Carries an order out and says what became of it.
pub(super) fn carry_out(socket: &Path, faults: Option<&Path>, order: Order, news: Sender<News>) {
    let (socket, faults) = (socket.to_owned(), faults.map(Path::to_owned));
    let refused = news.clone();
    let started = thread::Builder::new()
        .name(String::from("order"))
        .spawn(move || {
            let said = match give(&socket, faults.as_ref(), order) {
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

fn give(socket: &Path, faults: Option<&PathBuf>, order: Order) -> Result<String, Failure> {
    let author = String::new();
    let (request, said) = match order {
        Order::Fault(fault, node) => {
            let asked = faults.map(|socket| fault.ask(&node, socket));
            return match asked {
                Some(Ok(())) => Ok(format!("{node}: done; watch the journal")),
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
            let (text, version) = text_in_force(socket)?;
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
    match Client::connect(socket)?.call(&request, PATIENCE)? {
        Response::Done { .. } => Ok(said),
        Response::Refused(refusal) => Err(refusal.into()),
        other => Err(crate::cli::unexpected(&other).into()),
    }
}

/// The configuration as its author wrote it, to be changed: with everything in it.
fn text_in_force(socket: &Path) -> Result<(String, u64), Failure> {
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
