//! Runs an agent once: input by pipe, output bounded, a time limit, and nothing of it left afterwards. Not for what the
//! input means.

use crate::sys;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};
use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Sender, channel},
    thread,
    time::{Duration, Instant},
};

/// Output that is kept from its beginning: metadata is the longest, some ten KiB.
const KEPT_OUTPUT: usize = 256 * 1024;
/// Errors that are kept from their end, and how much of their beginning goes if more was said: it may begin in the
/// middle of a secret, which could not be recognised any more.
const KEPT_ERRORS: usize = 64 * 1024;
const DOUBTFUL: usize = 32 * 1024;
/// Locked with the rest of the agent's memory, hence small.
const STACK_BYTES: usize = 256 * 1024;
/// Agents look for their tools there.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself.
    Code(i32),
    /// Killed, not by us.
    Signal(i32),
    /// Killed by us. What it had done by then is unknown.
    TimedOut,
}

/// An agent that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    pub(crate) ended: Ended,
    /// Standard output, from its beginning.
    pub(crate) output: Vec<u8>,
    /// Standard error, its end.
    pub(crate) errors: Vec<u8>,
}

/// Runs a program with this on its standard input and waits for its end. Afterwards every process that it left is killed.
///
/// # Errors
/// It cannot be started.
pub(crate) fn run(program: &Path, input: Vec<u8>, timeout: Duration) -> io::Result<Finished> {
    let (tell, told) = channel();
    let program: PathBuf = program.to_owned();
    // A thread for each run: only one process of a thread can be the first of its namespace, and a
    // program that cannot be killed (it waits for a dead disk) keeps nobody but this thread waiting.
    thread::Builder::new()
        .name("fence-agent".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || attend(&program, input, timeout, &tell))?;
    told.recv()
        .unwrap_or_else(|_gone| Err(io::Error::other("the thread that ran it ended")))
}

fn attend(program: &Path, input: Vec<u8>, timeout: Duration, tell: &Sender<io::Result<Finished>>) {
    // Without the right to do so its process group is killed, which misses whoever left it.
    let enclosed = sys::enclose_children().is_ok();
    let mut child = match prepare(program).spawn() {
        Ok(child) => child,
        Err(error) => {
            drop(tell.send(Err(error)));
            return;
        }
    };
    let finished = Attended::new(&mut child, input).and_then(|mut attended| {
        let status = attended.wait(&mut child, timeout)?;
        if status.is_none() || !enclosed {
            kill(&mut child);
        }
        Ok(attended.finish(status))
    });
    if finished.is_err() {
        kill(&mut child);
    }
    drop(tell.send(finished));
    drop(child.wait());
}

fn prepare(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", "/nonexistent")
        // Agents are programs of Python; what they are to say is why they failed.
        .env("PYTHONWARNINGS", "ignore")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    sys::confine(&mut command);
    command
}

fn kill(child: &mut Child) {
    // Not waited for yet: the number is still its own. Already gone is as good as killed.
    let _gone = kill_process_group(Pid::from_child(child), Signal::KILL);
    drop(child.kill());
}

/// A running agent with its pipes.
struct Attended {
    process: OwnedFd,
    input: Option<OwnedFd>,
    /// What has not been written yet.
    unwritten: Vec<u8>,
    output: Option<OwnedFd>,
    errors: Option<OwnedFd>,
    kept_output: Vec<u8>,
    kept_errors: Vec<u8>,
    /// The beginning of the errors is gone.
    cut: bool,
}

impl Attended {
    fn new(child: &mut Child, unwritten: Vec<u8>) -> io::Result<Self> {
        let attended = Self {
            process: pidfd_open(Pid::from_child(child), PidfdFlags::empty())?,
            input: child.stdin.take().map(OwnedFd::from),
            unwritten,
            output: child.stdout.take().map(OwnedFd::from),
            errors: child.stderr.take().map(OwnedFd::from),
            kept_output: Vec::new(),
            kept_errors: Vec::new(),
            cut: false,
        };
        let pipes = [&attended.input, &attended.output, &attended.errors];
        for pipe in pipes.into_iter().flatten() {
            fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)?;
        }
        Ok(attended)
    }

    /// Waits for the end; `None` when it does not come in time.
    fn wait(&mut self, child: &mut Child, longest: Duration) -> io::Result<Option<ExitStatus>> {
        let until = Instant::now() + longest;
        loop {
            self.write();
            self.read();
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.sleep(left);
        }
    }

    /// Until something happens, or for so long.
    fn sleep(&self, longest: Duration) {
        let longest = Timespec {
            tv_sec: i64::try_from(longest.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(longest.subsec_nanos()),
        };
        let mut watched = vec![PollFd::new(&self.process, PollFlags::IN)];
        let pipes = [&self.output, &self.errors].into_iter().flatten();
        watched.extend(pipes.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        watched.extend(
            self.input
                .iter()
                .map(|pipe| PollFd::new(pipe, PollFlags::OUT)),
        );
        // Interrupted or not: everything is looked at again.
        let _ready = poll(&mut watched, Some(&longest));
    }

    fn write(&mut self) {
        let Some(pipe) = &self.input else { return };
        while !self.unwritten.is_empty() {
            match rustix::io::write(pipe, &self.unwritten) {
                Ok(written) => drop(self.unwritten.drain(..written)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // It does not want to know: its exit code says what that means.
                Err(_closed) => break,
            }
        }
        self.unwritten.clear();
        self.input = None;
    }

    fn read(&mut self) {
        if drain(self.output.as_ref(), |bytes| {
            let room = KEPT_OUTPUT.saturating_sub(self.kept_output.len());
            let kept = bytes.get(..room).unwrap_or(bytes);
            self.kept_output.extend_from_slice(kept);
        }) {
            self.output = None;
        }
        if drain(self.errors.as_ref(), |bytes| {
            self.kept_errors.extend_from_slice(bytes);
            let surplus = self.kept_errors.len().saturating_sub(KEPT_ERRORS);
            drop(self.kept_errors.drain(..surplus));
            self.cut |= surplus > 0;
        }) {
            self.errors = None;
        }
    }

    fn finish(mut self, status: Option<ExitStatus>) -> Finished {
        self.read();
        if self.cut {
            drop(self.kept_errors.drain(..DOUBTFUL));
        }
        if self.kept_output.len() >= KEPT_OUTPUT {
            self.kept_output.truncate(KEPT_OUTPUT - DOUBTFUL);
        }
        let ended = match status {
            None => Ended::TimedOut,
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => Ended::Code(code),
                (None, signal) => Ended::Signal(signal.unwrap_or_default()),
            },
        };
        Finished {
            ended,
            output: self.kept_output,
            errors: self.kept_errors,
        }
    }
}

/// Reads what there is, but not for ever; true when nothing more can come.
fn drain(pipe: Option<&OwnedFd>, mut keep: impl FnMut(&[u8])) -> bool {
    const ROUNDS: usize = 64;
    let Some(pipe) = pipe else { return false };
    let mut buffer = [0_u8; 4096];
    for _round in 0..ROUNDS {
        match rustix::io::read(pipe.as_fd(), &mut buffer) {
            Ok(0) => return true,
            Ok(length) => keep(buffer.get(..length).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return false,
            Err(_broken) => return true,
        }
    }
    false
}
