//! What QUIC gets from the operating system: a socket and timers that wake the thread up only when there
//! is something to do. An idle agent's processor time is mostly that of waking up.
//!
//! Not for QUIC's settings (`quic`).
#![allow(
    unsafe_code,
    reason = "the only way to ask tokio for read readiness alone"
)]

use std::{
    future::Future,
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use quinn::{
    AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller,
    udp::{RecvMeta, Transmit, UdpSocketState},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Sleep, sleep_until},
};

/// A send buffer that was full is tried again after this pause.
const SEND_PAUSE: Duration = Duration::from_millis(1);

/// Runs QUIC on the calling thread's runtime.
#[derive(Debug)]
pub(crate) struct QuietRuntime;

impl Runtime for QuietRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer(Box::pin(sleep_until(at.into()))))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(future);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let state = UdpSocketState::new((&socket).into())?;
        // SAFETY: a `UdpSocket` owns its file descriptor, which stays open and the same for as long as
        // it lives; it lives inside the `AsyncFd` and is never taken out of it.
        let io = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE)? };
        Ok(Arc::new(Socket {
            io,
            state,
            full: AtomicBool::new(false),
        }))
    }
}

/// A timer that forgets its old deadline at once when it is moved. One that is merely moved on would
/// still wake the thread up at the old one.
#[derive(Debug)]
struct Timer(Pin<Box<Sleep>>);

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0.set(sleep_until(at.into()));
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<()> {
        Future::poll(self.0.as_mut(), context)
    }
}

/// A socket that tells of what can be read only. One that also told when it can be written to would
/// wake the thread up after every packet, as soon as the kernel is done with it.
#[derive(Debug)]
struct Socket {
    io: AsyncFd<UdpSocket>,
    state: UdpSocketState,
    /// The send buffer was full a moment ago.
    full: AtomicBool,
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable {
            socket: self,
            pause: None,
        })
    }

    fn try_send(&self, transmit: &Transmit) -> io::Result<()> {
        let sent = self.state.send(self.io.get_ref().into(), transmit);
        if let Err(error) = &sent
            && error.kind() == io::ErrorKind::WouldBlock
        {
            self.full.store(true, Ordering::Relaxed);
        }
        sent
    }

    fn poll_recv(
        &self,
        context: &mut Context,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.io.poll_read_ready(context))?;
            let Ok(received) =
                ready.try_io(|io| self.state.recv(io.get_ref().into(), buffers, meta))
            else {
                continue;
            };
            if received.as_ref().is_ok_and(|count| *count < buffers.len()) {
                // There is no more: asking once more would only say so.
                ready.clear_ready();
            }
            return Poll::Ready(received);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// Waits a moment after the send buffer was full: rarer, and cheaper, than being told each time that it is not.
#[derive(Debug)]
struct Writable {
    socket: Arc<Socket>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl UdpPoller for Writable {
    fn poll_writable(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
        if !self.socket.full.load(Ordering::Relaxed) {
            self.pause = None;
            return Poll::Ready(Ok(()));
        }
        let pause = self
            .pause
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(SEND_PAUSE)));
        ready!(Future::poll(pause.as_mut(), context));
        self.pause = None;
        self.socket.full.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}
