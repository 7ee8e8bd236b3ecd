//! Asking a runner how its resource is, and why it has ended. Not for what follows.
//!
//! Whoever connects is told lines: `wait ACTION` at once, and `ok` or `failed WHY` when a `monitor` that began
//! after the connection is over. A runner that ends says nothing more.

use crate::{REASON, socket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

/// How often somebody who waits looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);
/// More than any answer or reason has.
const LONGEST: u64 = 4096;

/// Asks the runner in a run folder for a `monitor` of a depth; waits for the end of a start that is under way. `wanted` ends
/// it early.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn ask(
    run_dir: &Path,
    depth: u32,
    timeout: Duration,
    wanted: &dyn Fn() -> bool,
) -> Result<(), String> {
    let until = Instant::now() + timeout;
    let failed = |error: std::io::Error| format!("its runner cannot be asked: {error}");
    let mut runner = UnixStream::connect(run_dir.join(socket(depth))).map_err(failed)?;
    runner.set_nonblocking(true).map_err(failed)?;
    let mut heard = Vec::new();
    loop {
        let mut buffer = [0; 1024];
        match runner.read(&mut buffer) {
            Ok(0) => return Err("its runner has ended".to_owned()),
            Ok(length) => heard.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait(&runner, until),
            Err(error) => return Err(failed(error)),
        }
        let text = String::from_utf8_lossy(&heard);
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let last = whole.lines().next_back().unwrap_or_default();
        match last.split_once(' ').unwrap_or((last, "")) {
            ("ok", _) => return Ok(()),
            ("failed", why) => return Err(why.to_owned()),
            (_, doing) if Instant::now() >= until || !wanted() => {
                return Err(match doing {
                    // It has its own time, and the runner says so when that is over.
                    "reload-agent" => return Ok(()),
                    "" => "its runner does not answer".to_owned(),
                    doing => format!("its {doing} is not over"),
                });
            }
            _ => {}
        }
    }
}

fn wait(runner: &UnixStream, until: Instant) {
    let left = until.saturating_duration_since(Instant::now()).min(LOOK);
    let look = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    // Interrupted or not: it is looked at again.
    let _ready = poll(&mut [PollFd::new(runner, PollFlags::IN)], Some(&look));
}

/// Why a runner ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// As a sentence.
    pub why: String,
    /// What its agent's action ended with, if it came to an end.
    pub code: Option<i32>,
}

/// Why a runner ended by itself, if it has said it.
#[must_use]
pub fn reason(run_dir: &Path) -> Option<Reason> {
    let mut text = String::new();
    let file = File::open(run_dir.join(REASON)).ok()?;
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}
