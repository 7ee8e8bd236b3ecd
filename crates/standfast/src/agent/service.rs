//! The service manager: readiness, watchdog and state by the protocol of sd_notify(3), and its SIGTERM. Not for what
//! a node does before it ends.
#![allow(unsafe_code, reason = "a signal handler, which no safe wrapper offers")]

use std::{
    ffi::OsString,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// The loop is told again of a signal after this time.
const REMIND: Duration = Duration::from_secs(1);

/// Set by the handler of SIGTERM and SIGINT; looked at by the agent's loop, which comes round several times a second.
static ASKED_TO_END: AtomicBool = AtomicBool::new(false);

extern "C" fn on_signal(_: libc::c_int) {
    ASKED_TO_END.store(true, Ordering::Relaxed);
}

/// From now on SIGTERM and SIGINT only ask; see [`Service::is_told_to_end`]. What this process executes gets the default again.
///
/// # Errors
/// The system's answer.
pub(crate) fn watch_signals() -> io::Result<()> {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: all-zero is a valid sigaction: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the handler only stores into an atomic, which a signal handler may do; the pointers are valid.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The way to the service manager; does nothing when there is none.
#[derive(Debug)]
pub(crate) struct Service {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants a sign of life.
    watchdog: Option<Duration>,
    fed: Instant,
    /// When the loop was last told of a signal.
    told: Option<Instant>,
}

impl Service {
    /// Whoever started this process, as its environment says.
    pub(crate) fn from_environment() -> Self {
        let watchdog = std::env::var("WATCHDOG_USEC")
            .ok()
            .and_then(|text| text.parse().ok());
        Self::new(
            std::env::var_os("NOTIFY_SOCKET"),
            watchdog.map(Duration::from_micros),
        )
    }

    fn new(path: Option<OsString>, watchdog: Option<Duration>) -> Self {
        let socket = path.and_then(|path| {
            let address = match path.as_bytes().strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(&path),
            };
            let socket = UnixDatagram::unbound().ok()?;
            // A service manager that does not read must not hold up a loop that renews leases.
            socket.set_nonblocking(true).ok()?;
            Some((socket, address.ok()?))
        });
        Self {
            socket,
            watchdog: watchdog.map(|length| length / 3),
            fed: Instant::now(),
            told: None,
        }
    }

    /// Sends lines such as `READY=1`. A lost one is not repeated, the watchdog's excepted.
    pub(crate) fn tell(&self, lines: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(lines.as_bytes(), address)
        {
            tracing::debug!(%error, "the service manager was not told");
        }
    }

    /// Whether this process has been told to end: true at first and then once in a while, because whoever hears it may
    /// not be able to do anything about it at that moment.
    pub(crate) fn is_told_to_end(&mut self) -> bool {
        let again = self.told.is_none_or(|at| at.elapsed() >= REMIND);
        let told = ASKED_TO_END.load(Ordering::Relaxed) && again;
        if told {
            if self.told.is_none() {
                self.tell("STOPPING=1\nSTATUS=Moving away what runs here");
            }
            self.told = Some(Instant::now());
        }
        told
    }

    /// A sign of life, when one is due. Called by the loop that decides: it is what the sign stands for.
    pub(crate) fn feed(&mut self) {
        if let Some(every) = self.watchdog
            && self.fed.elapsed() >= every
        {
            self.fed = Instant::now();
            self.tell("WATCHDOG=1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_life_come_at_a_third_of_the_time_and_no_oftener() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a socket");
        manager.set_nonblocking(true).expect("not blocking");
        let mut service =
            Service::new(Some(path.into_os_string()), Some(Duration::from_millis(60)));
        service.tell("READY=1");
        service.feed();
        std::thread::sleep(Duration::from_millis(30));
        service.feed();
        service.feed();
        let mut heard = Vec::new();
        let mut buffer = [0; 64];
        while let Ok(length) = manager.recv(&mut buffer) {
            heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        assert_eq!(heard, ["READY=1", "WATCHDOG=1"]);
    }

    #[test]
    fn without_a_service_manager_nothing_is_told() {
        let mut service = Service::new(None, None);
        service.tell("READY=1");
        service.feed();
    }
}
