//! QUIC settings and sockets: what keeps datagrams from waiting, and what bounds memory.
//!
//! Not for TLS (`tls`) and not for which connections there are (`hub`).

use std::{
    any::Any,
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::runtime::QuietRuntime;
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt,
    congestion::{Controller, ControllerFactory},
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind as bind_socket, socket_with, sockopt,
};

/// Bytes of stream data under way on one connection. It bounds how long a full link can delay the
/// datagrams behind it, and with it memory: at 1 ms round trip this is 128 MB/s.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// Room for ack-eliciting bytes under way. Larger than the stream window by more than all datagrams
/// of one idle timeout, so that no datagram ever waits for the congestion window of a link that has
/// stopped answering.
const FLIGHT_WINDOW_BYTES: u64 = 512 * 1024;
/// Datagrams waiting for the connection to be polled; older ones give way.
const DATAGRAM_BUFFER_BYTES: usize = 16 * 1024;
/// Datagrams received and not yet read; older ones give way.
const DATAGRAM_RECEIVE_BYTES: usize = 64 * 1024;
/// First guess of the round trip. A lost first packet is sent again after three of these, doubling;
/// QUIC's own default (333 ms) would leave a healed link waiting a second.
const INITIAL_RTT: Duration = Duration::from_millis(25);
/// Asked for the receive buffer of a socket; the kernel may give less.
const SOCKET_BUFFER_BYTES: usize = 1024 * 1024;

/// A window that never changes: what a link may carry is bounded by [`STREAM_WINDOW_BYTES`].
///
/// Congestion control shrinks the window of a link that stops answering to two packets. Datagrams
/// would then wait behind what was lost, exactly when the link comes back and they matter most.
#[derive(Debug, Clone)]
struct FixedWindow;

impl Controller for FixedWindow {
    fn on_congestion_event(
        &mut self,
        _now: Instant,
        _sent: Instant,
        _persistent: bool,
        _lost: u64,
    ) {
    }

    fn on_mtu_update(&mut self, _new_mtu: u16) {}

    fn window(&self) -> u64 {
        FLIGHT_WINDOW_BYTES
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self)
    }

    fn initial_window(&self) -> u64 {
        FLIGHT_WINDOW_BYTES
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

struct FixedWindowFactory;

impl ControllerFactory for FixedWindowFactory {
    fn build(self: Arc<Self>, _now: Instant, _current_mtu: u16) -> Box<dyn Controller> {
        Box::new(FixedWindow)
    }
}

/// Settings of all connections. `joins`: whether the other end may open the one stream of joining.
fn transport(heartbeat: Duration, idle_timeout: Duration, joins: bool) -> Arc<TransportConfig> {
    let idle_millis = u32::try_from(idle_timeout.as_millis()).unwrap_or(u32::MAX);
    let mut config = TransportConfig::default();
    config
        .max_concurrent_uni_streams(VarInt::from_u32(1))
        .max_concurrent_bidi_streams(VarInt::from_u32(u32::from(joins)))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle_millis))))
        // Only where the hub has not kept it alive: a peer of which this side waits to be asked.
        .keep_alive_interval(Some(heartbeat * 5 / 2))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .send_window(u64::from(STREAM_WINDOW_BYTES))
        .datagram_send_buffer_size(DATAGRAM_BUFFER_BYTES)
        .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BYTES))
        .initial_rtt(INITIAL_RTT)
        // Packets of 1200 bytes pass everywhere; what larger ones would save is not worth a link that
        // works for small packets only.
        .mtu_discovery_config(None)
        .congestion_controller_factory(Arc::new(FixedWindowFactory));
    Arc::new(config)
}

/// Settings for what comes in.
pub(crate) fn server(
    crypto: Arc<QuicServerConfig>,
    heartbeat: Duration,
    idle_timeout: Duration,
    joins: bool,
) -> ServerConfig {
    let mut config = ServerConfig::with_crypto(crypto);
    config
        .transport_config(transport(heartbeat, idle_timeout, joins))
        // A link is a pair of addresses: it does not move.
        .migration(false)
        .max_incoming(64)
        .incoming_buffer_size(16 * 1024)
        .incoming_buffer_size_total(256 * 1024);
    config
}

/// Settings for connecting to members.
pub(crate) fn client(
    crypto: Arc<QuicClientConfig>,
    heartbeat: Duration,
    idle_timeout: Duration,
) -> ClientConfig {
    let mut config = ClientConfig::new(crypto);
    config.transport_config(transport(heartbeat, idle_timeout, false));
    config
}

/// Settings for connecting in order to join.
pub(crate) fn joining_client(crypto: Arc<QuicClientConfig>) -> ClientConfig {
    client(crypto, Duration::from_millis(200), Duration::from_secs(5))
}

/// A socket bound to one own address.
pub(crate) struct Bound {
    pub(crate) address: SocketAddr,
    pub(crate) socket: UdpSocket,
}

/// Binds `address` even when it is not there (yet, or any more): it works as soon as it is, without
/// anyone having to notice.
pub(crate) fn bind(address: SocketAddr) -> io::Result<Bound> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let fd = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv4() {
        sockopt::set_ip_freebind(&fd, true)?;
    } else {
        sockopt::set_ipv6_v6only(&fd, true)?;
        sockopt::set_ipv6_freebind(&fd, true)?;
    }
    // Beyond the system's limit where we may.
    sockopt::set_socket_recv_buffer_size_force(&fd, SOCKET_BUFFER_BYTES)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(&fd, SOCKET_BUFFER_BYTES))?;
    bind_socket(&fd, &address)?;
    let socket = UdpSocket::from(fd);
    let address = socket.local_addr()?;
    Ok(Bound { address, socket })
}

/// Starts QUIC on a bound socket; must be called inside the runtime.
pub(crate) fn endpoint(bound: Bound, server: ServerConfig) -> io::Result<Endpoint> {
    Endpoint::new(
        EndpointConfig::default(),
        Some(server),
        bound.socket,
        Arc::new(QuietRuntime),
    )
}
