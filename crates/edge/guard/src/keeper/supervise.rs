//! The keeper process: one loop over deadline, children and agents. Not for what the service means or when it is due.
//!
//! It never waits for anything but its own poll: no disk (the run folder is on tmpfs, output has a process of its own),
//! no agent (a status that does not fit is owed), no child.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, set_child_subreaper,
    wait, waitid,
};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use crate::cgroup::Cgroup;
use crate::clock::boot_now_ns;
use crate::lease::LeaseWord;
use crate::process_id::identify;
use crate::spec::StopRequest;
use crate::status::{Exit, Guard, Missing, Phase, Reason, Status};
use crate::sys;

use super::control::Control;
use super::folder::{Prepared, RunFolder};
use super::harden::{PRIORITY, harden};
use super::launch::{self, Init, Place, Report};
use super::output::start_logger;
use super::wire::Request;

pub(crate) const MILLISECOND_NS: u64 = 1_000_000;
/// How often the tree is looked at while it is being killed: first closely, then from this long after on at leisure.
const CLOSELY: Duration = Duration::from_millis(1);
const AT_LEISURE: Duration = Duration::from_millis(20);
pub(crate) const CLOSE_LOOK_NS: u64 = 100 * MILLISECOND_NS;

/// One resource's keeper.
pub(crate) struct Keeper {
    pub(crate) folder: RunFolder,
    pub(crate) prepared: Prepared,
    pub(crate) lease: LeaseWord,
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) status: Status,
    pub(crate) control: Control,
    /// Held until the tree has ended; closing it says that this keeper is done.
    pub(crate) lock: Option<OwnedFd>,
    timer: OwnedFd,
    signals: OwnedFd,
    oom_score: i32,
    pub(crate) init: Option<Init>,
    pub(crate) service: Option<Pid>,
    logger: Option<Pid>,
    /// The service's output, kept open so that a new logger can go on where a killed one stopped.
    output: Option<OwnedFd>,
    /// What the child says before it is the service.
    reports: Option<File>,
    stop: Option<Stop>,
    pub(crate) ending_since_ns: Option<u64>,
}

/// A graceful stop under way.
struct Stop {
    signal: i32,
    kill_at_ns: u64,
}

impl Keeper {
    /// Takes over what the agent prepared.
    pub(crate) fn new(run_dir: &Path, listener: OwnedFd, lock: OwnedFd) -> io::Result<Self> {
        let folder = RunFolder::at(run_dir);
        let prepared = folder.read_prepared()?;
        let lease = folder.open_lease(&prepared)?;
        let (oom_score, lacking) = harden();
        let mut missing = prepared.missing.clone();
        missing.extend(lacking);
        let status = Status {
            phase: Phase::Starting,
            exit: None,
            keeper: Some(identify(getpid())?),
            init: None,
            service: None,
            cgroup: prepared.cgroup.clone(),
            missing,
        };
        Ok(Self {
            cgroup: prepared.cgroup.clone().map(Cgroup::at),
            control: Control::new(listener),
            lock: Some(lock),
            timer: timerfd_create(
                TimerfdClockId::Boottime,
                TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
            )?,
            signals: sys::signal_fd()?,
            init: None,
            service: None,
            logger: None,
            output: None,
            reports: None,
            stop: None,
            ending_since_ns: None,
            folder,
            prepared,
            lease,
            status,
            oom_score,
        })
    }

    /// Starts the tree and holds it until nothing of it is left.
    pub(crate) fn run(mut self) {
        self.publish();
        if let Err(reason) = self.start() {
            self.begin_end(reason);
        }
        while !self.settle() {
            self.wait();
            self.on_signals();
            self.on_reports();
            for request in self.control.serve(&self.status) {
                self.on_request(request);
            }
            self.on_time();
        }
    }

    fn start(&mut self) -> Result<(), Reason> {
        let failed = |what: &'static str| {
            move |error: io::Error| Reason::StartFailed(format!("{what}: {error}"))
        };
        let deadline = self.lease.close_if_expired().ok_or(Reason::Refused)?;
        self.arm_timer(deadline)
            .map_err(failed("arm the deadline timer"))?;
        let group = self
            .cgroup
            .as_ref()
            .map(|group| File::open(group.dir()))
            .transpose();
        let group = group.map_err(failed("open the control group"))?;
        // A slice is for what systemd starts.
        let group = group.filter(|_| self.prepared.spec.slice.is_none());
        if self.prepared.spec.private_pids {
            match launch::start_init(group.as_ref().map(AsFd::as_fd)) {
                Ok(init) => {
                    self.status.init = identify(init.pid).ok();
                    self.init = Some(init);
                }
                Err(error) if group.is_some() => {
                    let why = format!("no process-id namespace: {error}");
                    self.status.missing.push(Missing {
                        guard: Guard::PrivatePids,
                        why,
                    });
                }
                Err(error) => return Err(failed("make a process-id namespace")(error)),
            }
        }
        if self.init.is_none() {
            set_child_subreaper(Some(getpid()))
                .map_err(|error| failed("become subreaper")(error.into()))?;
        }
        // Before the service exists, so that whoever finds this keeper dead knows the namespace.
        self.publish();
        let pipe = || pipe_with(PipeFlags::CLOEXEC);
        let (output, output_writer) =
            pipe().map_err(|error| failed("make a pipe")(error.into()))?;
        let (reports, report_writer) =
            pipe().map_err(|error| failed("make a pipe")(error.into()))?;
        rustix::io::ioctl_fionbio(&reports, true)
            .map_err(|error| failed("make a pipe")(error.into()))?;
        self.logger = Some(
            start_logger(&self.prepared.spec.output, output.as_fd())
                .map_err(failed("start the logger"))?,
        );
        self.output = Some(output);
        let cgroup = group.as_ref().map(AsFd::as_fd);
        let place = Place {
            cgroup,
            init: self.init.as_ref(),
            oom_score: self.oom_score,
        };
        let spec = &self.prepared.spec;
        let service =
            launch::start_service(spec, &self.lease, &place, output_writer, report_writer);
        let service = service.map_err(failed("fork into the control group"))?;
        self.service = Some(service);
        self.status.service = identify(service).ok();
        self.reports = Some(File::from(reports));
        Ok(())
    }

    fn arm_timer(&self, deadline_boot_ns: u64) -> io::Result<()> {
        let second = 1_000 * MILLISECOND_NS;
        let seconds = i64::try_from(deadline_boot_ns / second).map_err(io::Error::other)?;
        let nanoseconds = i64::try_from(deadline_boot_ns % second).map_err(io::Error::other)?;
        let at = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: seconds,
                tv_nsec: nanoseconds,
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &at)?;
        Ok(())
    }

    /// Waits for anything to happen, or for the next thing that is due.
    fn wait(&self) {
        let timeout = self.next_look().map(|after| Timespec {
            tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(after.subsec_nanos()),
        });
        // A timer that ended the lease stays expired. Waiting for it while ending would not wait at all, and at real-time
        // priority a few keepers that end at once would keep the very processes that they kill off all cores.
        let holding = self.ending_since_ns.is_none();
        let own = [
            holding.then(|| PollFd::new(&self.timer, PollFlags::IN)),
            Some(PollFd::new(&self.signals, PollFlags::IN)),
        ];
        let reports = self
            .reports
            .as_ref()
            .map(|reports| PollFd::new(reports, PollFlags::IN));
        let mut fds: Vec<_> = own
            .into_iter()
            .chain([reports])
            .flatten()
            .chain(self.control.poll_fds())
            .collect();
        // Interrupted or not: everything is looked at again, and no signal is unblocked anyway.
        poll(&mut fds, timeout.as_ref()).ok();
    }

    /// How long until something is due by itself; the deadline has its own timer.
    fn next_look(&self) -> Option<Duration> {
        let now = boot_now_ns();
        if let Some(since) = self.ending_since_ns {
            return Some(if now < since.saturating_add(CLOSE_LOOK_NS) {
                CLOSELY
            } else {
                AT_LEISURE
            });
        }
        self.stop
            .as_ref()
            .map(|stop| Duration::from_nanos(stop.kill_at_ns.saturating_sub(now)))
    }

    fn on_time(&mut self) {
        if self.ending_since_ns.is_some() {
            return;
        }
        match self.lease.close_if_expired() {
            None => self.begin_end(Reason::LeaseExpired),
            Some(deadline) => self.on_time_left(deadline),
        }
    }

    fn on_time_left(&mut self, deadline_boot_ns: u64) {
        let mut expirations = [0; 8];
        let fired = rustix::io::read(&self.timer, &mut expirations).is_ok();
        // The deadline was extended since the timer was set. A timer that can't be set ends the lease at once.
        if fired && self.arm_timer(deadline_boot_ns).is_err() {
            self.begin_end(Reason::LeaseExpired);
        } else if self
            .stop
            .as_ref()
            .is_some_and(|stop| boot_now_ns() >= stop.kill_at_ns)
        {
            self.begin_end(Reason::Stopped);
        }
    }

    fn on_signals(&mut self) {
        while let Some(signal) = sys::next_signal(self.signals.as_fd()) {
            if signal == Signal::TERM.as_raw() {
                self.on_request(Request::Stop(self.prepared.spec.stop));
            }
        }
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // What ends the tree is acted upon before anything is reaped: until then this process is not an ordinary one.
        if let Some(pid) = self.service
            && let Ok(Some(how)) = waitid(WaitId::Pid(pid), look)
        {
            self.on_service_end(how.exit_status(), how.terminating_signal());
        }
        if let Some(pid) = self.init.as_ref().map(|init| init.pid)
            && let Ok(Some(_)) = waitid(WaitId::Pid(pid), look)
        {
            self.on_init_end();
        }
        if !matches!(waitid(WaitId::All, look), Ok(Some(_))) {
            return;
        }
        sys::set_ordinary();
        while let Ok(Some((pid, how))) = wait(WaitOptions::NOHANG) {
            if self.service == Some(pid) {
                self.on_service_end(how.exit_status(), how.terminating_signal());
            } else if self.init.as_ref().is_some_and(|init| init.pid == pid) {
                self.on_init_end();
            } else if self.logger == Some(pid) {
                self.start_logger_again();
            }
        }
        if self.ending_since_ns.is_none() {
            // It was had before, or is told to be missing already.
            sys::set_real_time(PRIORITY).ok();
        }
    }

    fn on_service_end(&mut self, code: Option<i32>, signal: Option<i32>) {
        self.on_reports();
        self.service = None;
        self.status.exit = code.map(Exit::Code).or(signal.map(Exit::Signal));
        let reason = if self.stop.is_some() {
            Reason::Stopped
        } else {
            Reason::Exited
        };
        self.begin_end(reason);
    }

    fn on_init_end(&mut self) {
        self.init = None;
        self.begin_end(Reason::Exited);
    }

    fn start_logger_again(&mut self) {
        let output = self
            .output
            .as_ref()
            .filter(|_| self.ending_since_ns.is_none());
        self.logger =
            output.and_then(|output| start_logger(&self.prepared.spec.output, output.as_fd()).ok());
    }

    fn on_reports(&mut self) {
        let Some(from) = self.reports.as_mut() else {
            return;
        };
        let (reports, closed) = launch::read_reports(from);
        let mut failure = None;
        for report in reports {
            match report {
                Report::NoPrivateProc(why) => self.status.missing.push(Missing {
                    guard: Guard::PrivateProc,
                    why,
                }),
                Report::Refused => failure = Some(Reason::Refused),
                Report::Failed(why) => failure = Some(Reason::StartFailed(why)),
            }
        }
        if let Some(reason) = failure {
            self.reports = None;
            self.begin_end(reason);
        } else if closed {
            self.reports = None;
            if self.status.phase == Phase::Starting {
                self.status.phase = Phase::Running;
                self.publish();
            }
        }
    }

    fn on_request(&mut self, request: Request) {
        match request {
            Request::Stop(request) => self.begin_stop(request),
            Request::Kill => self.begin_end(Reason::Killed),
            Request::Recheck => self.recheck_deadline(),
        }
    }

    /// The deadline may be earlier than the timer knows. One that cannot be set ends the lease at once.
    fn recheck_deadline(&mut self) {
        if self.ending_since_ns.is_some() {
            return;
        }
        let armed = self
            .lease
            .close_if_expired()
            .is_some_and(|deadline| self.arm_timer(deadline).is_ok());
        if !armed {
            self.begin_end(Reason::LeaseExpired);
        }
    }

    /// A repeated request may shorten the grace and may send another signal.
    fn begin_stop(&mut self, request: StopRequest) {
        let Some(service) = self.service.filter(|_| self.ending_since_ns.is_none()) else {
            return;
        };
        let kill_at_ns =
            boot_now_ns().saturating_add(request.grace_ms.saturating_mul(MILLISECOND_NS));
        let before = self.stop.as_ref();
        if before.is_none_or(|before| before.signal != request.signal)
            && let Some(signal) = Signal::from_named_raw(request.signal)
        {
            // It may have ended already; its exit is about to be read.
            kill_process(service, signal).ok();
        }
        let kill_at_ns = before.map_or(kill_at_ns, |before| before.kill_at_ns.min(kill_at_ns));
        self.stop = Some(Stop {
            signal: request.signal,
            kill_at_ns,
        });
        self.status.phase = Phase::Stopping;
        self.publish();
    }

    /// Tells the agents first: the folder might be on a slow disk.
    pub(crate) fn publish(&mut self) {
        self.control.broadcast(&self.status);
        self.folder.write_status(&self.status).ok();
    }
}
