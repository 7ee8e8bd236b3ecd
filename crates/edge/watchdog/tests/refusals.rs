//! What is no watchdog is refused, and nothing is opened without permission. A real one resets the machine that it is
//! tried on: that is done in emulated machines (`crates/test/machines`).
#![allow(clippy::unwrap_used, reason = "tests")]

use standfast_watchdog::{Device, Feeder, Found, Settings, WatchdogError};
use std::{path::Path, sync::mpsc, time::Duration};

const SECOND: Duration = Duration::from_secs(1);

fn refusal(path: &str) -> WatchdogError {
    Device::open(Path::new(path), 10 * SECOND).unwrap_err()
}

#[test]
fn what_is_no_watchdog_is_named() {
    assert_eq!(refusal("/dev/null").to_string(), "/dev/null is no watchdog");
    assert_eq!(
        refusal("/dev/no-such-device").to_string(),
        "there is no /dev/no-such-device: load the driver of this machine's watchdog"
    );
}

fn heard(until: u64) -> Option<Result<Found, WatchdogError>> {
    let (tell, changes) = mpsc::channel();
    let settings = Settings {
        device: "/dev/null".into(),
        timeout: 10 * SECOND,
        on_thread_start: None,
    };
    let feeder = Feeder::start(settings, move |change| {
        tell.send(change).ok();
    });
    let feeder = feeder.unwrap();
    feeder.allow(until);
    let allowed = until == u64::MAX;
    let first = changes.recv_timeout(if allowed { 30 * SECOND } else { SECOND });
    // Some rounds more.
    std::thread::sleep(SECOND);
    feeder.stop().unwrap();
    assert_eq!(changes.iter().count(), 0, "the same answer is told once");
    first.ok()
}

#[test]
fn nothing_is_opened_before_it_may_be_fed() {
    assert_eq!(heard(0), None);
    assert_eq!(heard(1), None, "a permission of the past is none");
    let other = WatchdogError::Other("/dev/null".into());
    assert_eq!(heard(u64::MAX), Some(Err(other)));
}
