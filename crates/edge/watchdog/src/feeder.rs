//! The thread that feeds: at an eighth of the watchdog's time, as long as it was last allowed to. Not for whether.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use crate::device::{Device, Found, WatchdogError};

/// How often it is looked at while no device is open.
const CLOSED: Duration = Duration::from_millis(200);

const GOES_ON: u8 = 0;
const LEAVES: u8 = 1;
const STOPS: u8 = 2;

/// Which device, and how.
pub struct Settings {
    /// The device.
    pub device: PathBuf,
    /// Its time, whole seconds.
    pub timeout: Duration,
    /// Called by the thread before anything else: priority.
    pub on_thread_start: Option<Box<dyn FnOnce() + Send>>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Settings")
            .field("device", &self.device)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The running thread. The device is opened with the first permission, because opening it feeds it.
///
/// The last feeding is begun before the permission ends. A thread that is stopped between looking at the clock and
/// feeding feeds late, but not later than the time of the watchdog after its feeding before: whoever counts on the
/// reset counts two such times from the permission's end.
#[derive(Debug)]
pub struct Feeder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), WatchdogError>>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Absolute `CLOCK_BOOTTIME`, microseconds.
    until: AtomicU64,
    ending: AtomicU8,
}

impl Feeder {
    /// Starts the thread. `on_change` hears what device was opened, or why there is none, each time that changes.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(
        settings: Settings,
        on_change: impl Fn(Result<Found, WatchdogError>) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || feed(&theirs, settings, &on_change))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// It may feed until then: absolute `CLOCK_BOOTTIME`, microseconds; zero for not at all. What was allowed before
    /// counts no more. Takes no lock.
    pub fn allow(&self, until_boot_us: u64) {
        self.shared.until.store(until_boot_us, Ordering::SeqCst);
    }

    /// Stops the watchdog: for an orderly end of an agent under which nothing runs any more.
    ///
    /// # Errors
    /// When it could not be stopped; it goes on counting then.
    pub fn stop(mut self) -> Result<(), WatchdogError> {
        self.end(STOPS)
    }

    fn end(&mut self, how: u8) -> Result<(), WatchdogError> {
        self.shared.ending.store(how, Ordering::SeqCst);
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        thread.thread().unpark();
        // It only panics if `on_change` does, which has been reported by then.
        thread.join().unwrap_or(Ok(()))
    }
}

impl Drop for Feeder {
    /// Ends the thread. The watchdog goes on counting.
    fn drop(&mut self) {
        self.end(LEAVES).ok();
    }
}

fn feed(
    shared: &Shared,
    settings: Settings,
    on_change: &dyn Fn(Result<Found, WatchdogError>),
) -> Result<(), WatchdogError> {
    if let Some(on_start) = settings.on_thread_start {
        on_start();
    }
    let mut device: Option<Device> = None;
    let mut told = None;
    loop {
        match shared.ending.load(Ordering::SeqCst) {
            GOES_ON => {}
            STOPS => return device.map_or(Ok(()), Device::stop),
            _ => return Ok(()),
        }
        if boot_now_us() < shared.until.load(Ordering::SeqCst) {
            let fed = match device.take() {
                Some(open) => open.feed().map(|()| open),
                None => Device::open(&settings.device, settings.timeout),
            };
            let said = fed.as_ref().map(|open| open.found().clone());
            let said = said.map_err(Clone::clone);
            if told.as_ref() != Some(&said) {
                on_change(said.clone());
                told = Some(said);
            }
            device = fed.ok();
        }
        std::thread::park_timeout(device.as_ref().map_or(CLOSED, |open| {
            let often = open.found().timeout / 8;
            often.clamp(Duration::from_millis(50), Duration::from_secs(1))
        }));
    }
}

fn boot_now_us() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000)
        .saturating_add(nanos / 1000)
}
