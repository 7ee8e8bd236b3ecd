//! The demonstration service: answers every HTTP request and every UDP datagram with its node's name. Not a real web server.
//!
//! The answer is one line: `NODE INSTANCE COUNTER`. INSTANCE is the boot-time nanosecond at which this process started, so that a
//! client tells a restarted service from the one before.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::error::{LabError, Result};
use crate::sys;

/// How long one client may take to send its request, so that a silent one does not hold a thread.
const CLIENT_TIMEOUT: Duration = Duration::from_millis(500);

/// Threads that accept connections: a slow client must not delay the others.
const ACCEPTORS: usize = 4;

#[derive(Debug)]
struct Identity {
    node: String,
    instance: u64,
    counter: AtomicU64,
}

impl Identity {
    fn line(&self) -> String {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        format!("{} {} {counter}\n", self.node, self.instance)
    }
}

/// Serves HTTP and UDP on `bind` until the process is ended.
///
/// # Errors
/// When the address cannot be bound.
pub fn serve(node: &str, bind: SocketAddr) -> Result<()> {
    let identity = Arc::new(Identity {
        node: node.to_owned(),
        instance: sys::now_ns(),
        counter: AtomicU64::new(0),
    });
    let listener = std::net::TcpListener::from(bound(bind, SocketType::STREAM)?);
    let datagrams = std::net::UdpSocket::from(bound(bind, SocketType::DGRAM)?);
    for _ in 0..ACCEPTORS {
        let listener = listener
            .try_clone()
            .map_err(|error| LabError::system("share the listener", error))?;
        let identity = Arc::clone(&identity);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that went away is its own affair.
                drop(answer(stream, &identity));
            }
        });
    }
    let mut question = [0_u8; 128];
    loop {
        let Ok((length, from)) = datagrams.recv_from(&mut question) else {
            continue;
        };
        let mut reply = question.get(..length).unwrap_or_default().to_vec();
        reply.push(b' ');
        reply.extend_from_slice(identity.line().as_bytes());
        drop(datagrams.send_to(&reply, from));
    }
}

/// A bound socket with SO_REUSEADDR and SO_REUSEPORT: on loopback addresses two nodes must be able to be owner at once, or the
/// measurement of two owners could only ever say zero.
fn bound(bind: SocketAddr, kind: SocketType) -> Result<rustix::fd::OwnedFd> {
    let failed = |source: rustix::io::Errno| LabError::system("bind the service's address", source);
    let family = if bind.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket =
        rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None).map_err(failed)?;
    sockopt::set_socket_reuseaddr(&socket, true).map_err(failed)?;
    if bind.ip().is_loopback() {
        sockopt::set_socket_reuseport(&socket, true).map_err(failed)?;
    }
    if bind.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, false).map_err(failed)?;
    }
    rustix::net::bind(&socket, &bind).map_err(failed)?;
    if kind == SocketType::STREAM {
        rustix::net::listen(&socket, 1024).map_err(failed)?;
    }
    Ok(socket)
}

fn answer(mut stream: TcpStream, identity: &Identity) -> std::io::Result<()> {
    stream.set_read_timeout(Some(CLIENT_TIMEOUT))?;
    let mut request = Vec::with_capacity(256);
    let mut part = [0_u8; 512];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < 4096 {
        let length = stream.read(&mut part)?;
        if length == 0 {
            return Ok(());
        }
        request.extend_from_slice(part.get(..length).unwrap_or_default());
    }
    let body = identity.line();
    let head = format!(
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes())
}
