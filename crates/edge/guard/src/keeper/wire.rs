//! The control socket between agent and keeper: SOCK_SEQPACKET, one JSON value a message. The agent sends requests; the
//! keeper sends its whole status on every change and to whoever connects. Not reachable for others: the folder is 0700.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with,
    bind, connect, listen, recv, send, socket_with,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::spec::StopRequest;

/// More than any status or request.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// What an agent asks of a keeper. One the keeper does not know (a newer agent's) is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Graceful stop, then kill.
    Stop(StopRequest),
    /// Kill.
    Kill,
    /// The deadline was moved earlier: look at it again.
    Recheck,
}

/// What came of a receive.
#[derive(Debug)]
pub(crate) enum Received<T> {
    /// A message.
    Message(T),
    /// A message nobody here understands.
    Unknown,
    /// Nothing for now.
    Nothing,
    /// The other side is gone.
    Closed,
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

pub(crate) fn listen_at(path: &Path) -> io::Result<OwnedFd> {
    let listener = new_socket()?;
    bind(&listener, &SocketAddrUnix::new(path)?)?;
    listen(&listener, 8)?;
    Ok(listener)
}

pub(crate) fn connect_to(path: &Path) -> io::Result<OwnedFd> {
    let connection = new_socket()?;
    connect(&connection, &SocketAddrUnix::new(path)?)?;
    Ok(connection)
}

pub(crate) fn accept_one(listener: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
        Ok(connection) => Ok(Some(connection)),
        Err(Errno::WOULDBLOCK | Errno::CONNABORTED | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `Ok(false)` when the other side does not read.
pub(crate) fn send_message<T: Serialize>(
    connection: BorrowedFd<'_>,
    message: &T,
) -> io::Result<bool> {
    match send(
        connection,
        &serde_json::to_vec(message)?,
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    ) {
        Ok(_) => Ok(true),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn receive<T: DeserializeOwned>(connection: BorrowedFd<'_>) -> Received<T> {
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    match recv(connection, &mut buffer, RecvFlags::DONTWAIT) {
        Ok((0, _)) => Received::Closed,
        Ok((length, _)) => {
            let message = buffer.get(..length).map(serde_json::from_slice);
            message
                .and_then(Result::ok)
                .map_or(Received::Unknown, Received::Message)
        }
        Err(Errno::WOULDBLOCK | Errno::INTR) => Received::Nothing,
        Err(_) => Received::Closed,
    }
}
