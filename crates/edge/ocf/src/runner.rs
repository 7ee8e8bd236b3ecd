//! The runner: the first program under a keeper whose resource is an agent or a script. It starts, answers who asks, and
//! stops.
//!
//! Everything that is started is its descendant or its namespace's, in the keeper's control group. It ends no lease
//! and restarts nothing. One thread, which waits for one thing only: [`Runner::turn`].

mod ended;
mod promotion;
mod words;

use crate::{
    REASON, ROLE, Reason, SCORE, WORDS_SOCKET,
    asking::{Asking, remove},
    code::Dialect,
    enclose::enclose,
    machine::{children, make_temporary_folder, mounts_are_shared, skip_old_numbers},
    order::{Order, Task},
    output::Output,
    spawn::{Action, Group, Said},
};
use ended::{Ended, Finished, SUCCEEDED, has_bytes};
use promotion::Promotion;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, WaitOptions, WaitStatus, set_child_subreaper, test_kill_process, wait},
};
use standfast_model::agent::{Effects, NOT_INSTALLED, effects};
use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};
use words::{Given, Words};

/// A killed action may take this long to be gone before it is left behind.
const DIES_WITHIN: Duration = Duration::from_millis(200);
/// Between two looks because a process of the service ended.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// Ended processes of nobody's that are remembered.
const MAX_GONE: usize = 256;
/// The exit code of a runner that cannot say that it has ended what it began.
const UNCONFIRMED: u8 = 3;

/// Runs an agent until its resource is to be stopped or has failed; returns the exit code: neither 0 nor 1 where
/// what it did on the machine may be there still. `group` is the control group
/// of this process, if there is one.
#[must_use]
pub fn run(order: Order, group: Option<&Path>) -> u8 {
    // An earlier run's control group is gone, and the caller's is not for killing.
    let group = group.filter(|_| order.task == Task::Run);
    match Runner::new(order, group) {
        Ok(mut runner) => match runner.order.task {
            Task::Run => runner.live(),
            Task::End | Task::Look => runner.confirm(),
        },
        Err(error) => {
            say(&format!("the runner cannot begin: {error}"));
            1
        }
    }
}

fn say(text: &str) {
    writeln!(io::stderr(), "{text}").ok();
}

struct Runner {
    order: Order,
    group: Option<Group>,
    terminations: UnixStream,
    deaths: UnixStream,
    /// Who waits for a `monitor`.
    asking: Asking,
    /// The depth of the `monitor` under way.
    depth: u32,
    /// The action under way, for those who ask; `nothing` between two.
    doing: &'static str,
    /// A stop was asked for.
    ending: bool,
    /// Processes that ended and were not looked at yet.
    gone: Vec<(Pid, WaitStatus)>,
    /// What the start left running, by number.
    daemons: BTreeSet<i32>,
    /// Pipes of actions that are over and whose other end is still open: what they started writes there.
    outputs: Vec<Output>,
    /// A `monitor` that was killed and is not gone.
    stuck: Option<Pid>,
    /// The last stop has succeeded, and what was stopped says so.
    stopped: bool,
    /// The start has found that it is not installed.
    absent: bool,
    /// What is known of the promoted role, if its resource may have it.
    promotion: Option<Promotion>,
    /// Who tells it what to do beside that.
    words: Words,
    given: Given,
}

impl Runner {
    fn new(order: Order, group: Option<&Path>) -> io::Result<Self> {
        // Orphans come to this process, which hears of their end.
        set_child_subreaper(Some(rustix::process::getpid()))?;
        let pipe = |signal| -> io::Result<UnixStream> {
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            signal_hook::low_level::pipe::register(signal, write)?;
            Ok(read)
        };
        let (terminations, deaths) = (
            pipe(signal_hook::consts::SIGTERM)?,
            pipe(signal_hook::consts::SIGCHLD)?,
        );
        for name in [REASON, WORDS_SOCKET, ROLE, SCORE] {
            remove(&order.run_dir.join(name))?;
        }
        let asking = Asking::listen(&order)?;
        let promotable = order.promoted_interval_ms.is_some();
        let promotion = promotable
            .then(|| Promotion::new(&order.run_dir))
            .transpose()?;
        Ok(Self {
            promotion,
            words: Words::listen(&order.run_dir)?,
            given: Given::at_start(),
            // What systemd is asked for leaves nothing to be killed here, and this process is in no group of its own.
            group: Group::below(group.filter(|_| order.dialect != Dialect::Unit)),
            order,
            asking,
            terminations,
            deaths,
            depth: 0,
            doing: "start",
            ending: false,
            gone: Vec::new(),
            daemons: BTreeSet::new(),
            outputs: Vec::new(),
            stuck: None,
            stopped: false,
            absent: false,
        })
    }

    fn live(mut self) -> u8 {
        let code = self.run();
        if self.order.outlives && !self.stopped {
            return UNCONFIRMED;
        }
        code
    }

    fn run(&mut self) -> u8 {
        skip_old_numbers();
        let ready = match effects(&self.order.name) {
            // Systemd itself is what is asked for a unit.
            _ if self.order.dialect == Dialect::Unit => Ok(()),
            _ if !self.order.outlives => enclose(),
            Effects::Outlive(left) if !left.mounts => Ok(()),
            Effects::Outlive(_) | Effects::Processes | Effects::Unknown => mounts_are_shared(),
        };
        if let Err(why) = ready {
            // Nothing was started.
            self.stopped = true;
            self.give_reason(why, None);
            return 1;
        }
        make_temporary_folder();
        // The start of a unit looks for remains better than a stop of them would.
        if self.order.dialect != Dialect::Unit {
            self.clean();
        }
        if !self.ending {
            let start = self.act("start");
            if !self.ending && start.ended != SUCCEEDED {
                self.absent = start.code() == Some(NOT_INSTALLED);
                return self.fail("start", &start);
            }
        }
        self.serve()
    }

    /// Sees that what an earlier runner has done is over.
    fn confirm(&mut self) -> u8 {
        make_temporary_folder();
        let ends = self.order.task == Task::End;
        if ends {
            let stop = self.act("stop");
            if stop.ended != SUCCEEDED {
                self.give_reason(self.describe("stop", &stop), stop.code());
                return UNCONFIRMED;
            }
        }
        let found = self.act("confirm");
        let not_running = self.order.dialect.not_running();
        match found.ended {
            Ended::Code(code) if code == not_running => return 0,
            // Where it is not installed nobody has started it.
            Ended::Code(NOT_INSTALLED) if !ends => return 0,
            _ => {}
        }
        self.give_reason(self.describe("monitor", &found), found.code());
        UNCONFIRMED
    }

    /// Stops it. What outlives its processes has to say afterwards that it is stopped.
    fn stop(&mut self) -> bool {
        // As Pacemaker does; where it fails, the stop has to end it all the same.
        if let Err(failed) = self.demote(self.order.stop_ms) {
            say(&self.describe("demote", &failed));
        }
        let stop = self.act("stop");
        let done = stop.ended == SUCCEEDED;
        if !done {
            say(&self.describe("stop", &stop));
        }
        if self.order.outlives {
            let found = self.act("confirm");
            let not_running = self.order.dialect.not_running();
            self.stopped = match found.ended {
                Ended::Code(code) if code == not_running => done || self.absent,
                Ended::Code(NOT_INSTALLED) => self.absent,
                _ => false,
            };
            if !self.stopped {
                say(&self.describe("monitor after the stop", &found));
            }
        }
        done
    }

    /// Asks whether it is cleanly stopped, and stops it if it is anything else: remains of an earlier run.
    fn clean(&mut self) {
        let probe = self.act("probe");
        if self.ending || probe.ended == Ended::Code(self.order.dialect.not_running()) {
            return;
        }
        let found = self.describe("monitor", &probe);
        say(&format!("before the start: {found}; stopping it first"));
        self.demote_remains(&probe);
        let stop = self.act("stop");
        if stop.ended != SUCCEEDED && !self.ending {
            say(&self.describe("stop before the start", &stop));
        }
    }

    /// Answers until a stop is asked for, or until the service has ended.
    fn serve(&mut self) -> u8 {
        // Nobody may ever ask about a unit: what its start left, which ends when the unit does, is known from here on.
        let mut known = self.order.dialect == Dialect::Unit;
        if known {
            self.daemons = children();
        }
        let (mut suspicious, mut next_look) = (known, Instant::now());
        while !self.ending {
            suspicious |= self.has_died();
            if !self.words.is_empty() {
                if let Some(code) = self.on_wish() {
                    return code;
                }
                continue;
            }
            let look = suspicious && Instant::now() >= next_look;
            if !look && self.asking.is_empty() {
                self.doing = "nothing";
                self.turn(suspicious.then_some(next_look));
                continue;
            }
            let (found, healthy, why) = self.answer(look);
            if self.ending {
                break;
            }
            if let Some(failed) = self.undemoted() {
                return self.fail("demote", &failed);
            }
            if self.depth > 0 || found.ended == Ended::Interrupted {
                continue;
            }
            if !known && self.order.dialect == Dialect::Ocf && found.lasts() {
                return self.fail("monitor", &found);
            }
            if healthy && !known {
                known = true;
                self.daemons = children();
            }
            if look {
                if !healthy {
                    if self.order.outlives {
                        return self.fail("monitor", &found);
                    }
                    // The keeper ends what is left, and the next start cleans up first.
                    let why = match self.order.dialect {
                        Dialect::Ocf | Dialect::Script => {
                            format!("{why}, after a process of it ended")
                        }
                        Dialect::Unit => why,
                    };
                    self.give_reason(why, self.code_of("monitor", &found));
                    return 1;
                }
                (suspicious, next_look) = (false, Instant::now() + BETWEEN_LOOKS);
            }
        }
        if self.stop() { 0 } else { 1 }
    }

    /// One `monitor` for all who ask for the shallowest depth that is asked for, and for this runner itself if it wants to look. What it found, whether
    /// that is healthy, and how to say it.
    fn answer(&mut self, look: bool) -> (Finished, bool, String) {
        self.depth = if look { 0 } else { self.asking.shallowest() };
        let asking = self.asking.take(self.depth);
        let found = self.act("monitor");
        let why = self.describe("monitor", &found);
        if found.ended == Ended::Interrupted && !self.ending {
            // Something of the service has ended, or it was told something, which is more urgent.
            self.asking.put_back(asking);
            return (found, false, why);
        }
        let healthy = self.judge(&found);
        // What does not run at all does not stand a closer look.
        let deeper = if look && !healthy {
            self.asking.take_all()
        } else {
            Vec::new()
        };
        for (_, mut one) in asking.into_iter().chain(deeper) {
            let line = if healthy {
                "ok\n".to_owned()
            } else {
                format!("failed {why}\n")
            };
            // Whoever does not wait any more need not know.
            one.write_all(line.as_bytes()).ok();
        }
        (found, healthy, why)
    }

    /// The times of the `monitor` under way: how long it may take, and between two, milliseconds.
    fn times(&self) -> (u64, u64) {
        let mut deep = self.order.deep.iter();
        let deep = deep.find(|deep| deep.depth == self.depth);
        deep.map_or((self.order.monitor_ms, self.interval_ms()), |deep| {
            (deep.monitor_ms, deep.interval_ms)
        })
    }

    /// Stops what may be left, and says why it ends.
    fn fail(&mut self, action: &str, failed: &Finished) -> u8 {
        // Before the stop, which may take until somebody's patience is over.
        self.give_reason(self.describe(action, failed), self.code_of(action, failed));
        self.stop();
        1
    }

    /// The code of OCF that an action has ended with. What a status says has other codes.
    fn code_of(&self, action: &str, finished: &Finished) -> Option<i32> {
        let is_ocf = self.order.dialect == Dialect::Ocf && action != "demote";
        let is_ocf = is_ocf || action == "start";
        finished.code().filter(|_| is_ocf)
    }

    fn give_reason(&self, why: String, code: Option<i32>) {
        say(&why);
        let reason = serde_json::to_vec(&Reason { why, code }).map_err(io::Error::other);
        let kept = reason.and_then(|text| fs::write(self.order.run_dir.join(REASON), text));
        if let Err(error) = kept {
            say(&format!("the reason cannot be kept: {error}"));
        }
    }

    /// Whether something ended that the start had left running. Forgets all others.
    fn has_died(&mut self) -> bool {
        let daemons = &mut self.daemons;
        let ended = self.gone.drain(..);
        ended.fold(false, |died, (pid, _)| {
            daemons.remove(&pid.as_raw_nonzero().get()) | died
        })
    }

    /// Runs one action to its end. `probe` is a `monitor` that does not recur, `confirm` one after a stop. Starts and monitors are interrupted by a
    /// stop, and monitors have an end in time.
    fn act(&mut self, task: &'static str) -> Finished {
        let action = match task {
            "probe" | "confirm" => "monitor",
            task => task,
        };
        let monitors = action == "monitor";
        if let Some(why) = self.is_stuck().filter(|_| monitors) {
            return Finished {
                ended: Ended::NotStarted(why),
                said: String::new(),
            };
        }
        self.doing = if self.doing == "start" && task != "monitor" {
            "start"
        } else {
            task
        };
        let group = self.group.clone().filter(|_| monitors);
        let variables = self.variables(task, action);
        let said = Said {
            arguments: &self.order.arguments,
            action: self.order.dialect.word(action),
            parameters: self.given.to(task),
            variables: &variables,
            kept_back: monitors,
            both: monitors || self.order.dialect == Dialect::Script,
        };
        let mut action = match Action::start(&self.order.program, &said, group) {
            Ok(action) => action,
            Err(error) => {
                return Finished {
                    ended: Ended::NotStarted(error.to_string()),
                    said: String::new(),
                };
            }
        };
        let limit = match self.order.task {
            _ if monitors => Some(self.times().0),
            _ if matches!(task, "promote" | "reload-agent") => Some(self.order.start_ms),
            _ if task == "demote" => Some(self.demote_ms()),
            // Nobody else ends it.
            Task::End => Some(self.order.stop_ms),
            Task::Run | Task::Look => None,
        };
        let until = limit.map(|limit| Instant::now() + Duration::from_millis(limit));
        let ended = loop {
            self.turn_with(&mut action, until);
            if let Some(ended) = self.end_of(action.pid) {
                break ended;
            }
            let died = |(pid, _): &(Pid, _)| self.daemons.contains(&pid.as_raw_nonzero().get());
            let urgent = self.depth > 0 && self.gone.iter().any(died);
            let urgent = (urgent && monitors) || self.words.are_urgent(task);
            let last = matches!(task, "stop" | "confirm" | "demote");
            if (self.ending || urgent) && !last {
                break self.end(&mut action, Ended::Interrupted);
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                break self.end(&mut action, Ended::TimedOut);
            }
        };
        let open = !action.output.read();
        let not_running = Ended::Code(self.order.dialect.not_running());
        let well = ended == SUCCEEDED || (monitors && ended == not_running);
        if !well {
            action.output.pass_on();
        }
        let said = action.output.reason();
        if open {
            self.outputs.push(action.output);
        }
        Finished { ended, said }
    }

    fn is_stuck(&mut self) -> Option<String> {
        let pid = self.stuck?;
        let gone = |pid| test_kill_process(pid).is_err();
        let over = self
            .group
            .as_ref()
            .map_or_else(|| gone(pid), |group| !group.is_populated());
        if over {
            self.stuck = None;
            return None;
        }
        Some("its last run was killed but does not die".to_owned())
    }

    /// What is special about one action; the rest is in this process's own environment.
    fn variables(&self, task: &str, action: &str) -> Vec<(&'static str, String)> {
        if self.order.dialect != Dialect::Ocf {
            return Vec::new();
        }
        let (timeout, interval) = match task {
            "start" | "promote" | "reload-agent" => (self.order.start_ms, 0),
            "stop" | "demote" => (self.order.stop_ms, 0),
            "monitor" => self.times(),
            _ => (self.order.monitor_ms, 0),
        };
        let level = (task == "monitor" && self.depth > 0).then(|| self.depth.to_string());
        let level = level.map(|level| ("OCF_CHECK_LEVEL", level));
        let fixed = [
            ("OCF_RESKEY_CRM_meta_name", action.to_owned()),
            ("OCF_RESKEY_CRM_meta_timeout", timeout.to_string()),
            ("OCF_RESKEY_CRM_meta_interval", interval.to_string()),
        ];
        let role = self.variables_of_role(task);
        fixed.into_iter().chain(level).chain(role).collect()
    }

    fn end(&mut self, action: &mut Action, how: Ended) -> Ended {
        action.kill();
        let until = Instant::now() + DIES_WITHIN;
        while Instant::now() < until {
            self.turn_with(action, Some(until));
            if self.end_of(action.pid).is_some() {
                return how;
            }
        }
        self.stuck = Some(action.pid);
        how
    }

    fn end_of(&mut self, pid: Pid) -> Option<Ended> {
        let at = self.gone.iter().position(|(gone, _)| *gone == pid)?;
        let (_, status) = self.gone.remove(at);
        let signal = || Ended::Signal(status.terminating_signal().unwrap_or_default());
        Some(status.exit_status().map_or_else(signal, Ended::Code))
    }

    fn turn_with(&mut self, action: &mut Action, until: Option<Instant>) {
        self.wait(Some(&action.output), until);
        action.output.read();
        self.look();
    }

    fn turn(&mut self, until: Option<Instant>) {
        self.wait(None, until);
        self.look();
    }

    /// Until anything happens, or until then.
    fn wait(&self, output: Option<&Output>, until: Option<Instant>) {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        let mut watched = vec![
            PollFd::new(&self.terminations, PollFlags::IN),
            PollFd::new(&self.deaths, PollFlags::IN),
            PollFd::new(&self.words.listener, PollFlags::IN),
        ];
        watched.extend(
            self.asking
                .fds()
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
        );
        let outputs: Vec<_> = self
            .outputs
            .iter()
            .chain(output)
            .filter_map(Output::fd)
            .collect();
        watched.extend(outputs.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        // Interrupted or not: everything is looked at again.
        let _ready = poll(&mut watched, left.as_ref());
    }

    fn look(&mut self) {
        self.ending |= has_bytes(&mut self.terminations);
        has_bytes(&mut self.deaths);
        while let Ok(Some(ended)) = wait(WaitOptions::NOHANG) {
            if self.gone.len() < MAX_GONE || self.daemons.contains(&ended.0.as_raw_nonzero().get())
            {
                self.gone.push(ended);
            }
        }
        self.outputs.retain_mut(|output| !output.read());
        self.asking.accept(self.doing);
        self.words.accept();
    }

    /// How an action ended, for an operator.
    fn describe(&self, action: &str, finished: &Finished) -> String {
        let how = match &finished.ended {
            Ended::Code(code) => format!("{} ({code})", self.order.dialect.name(action, *code)),
            Ended::Signal(signal) => format!("killed by signal {signal}"),
            Ended::TimedOut => {
                let limit = match action {
                    "stop" => self.order.stop_ms,
                    "promote" | "reload-agent" => self.order.start_ms,
                    "demote" => self.demote_ms(),
                    _ => self.times().0,
                };
                format!("no end within {limit} ms; killed")
            }
            Ended::Interrupted => "interrupted by a stop".to_owned(),
            Ended::NotStarted(why) => why.clone(),
        };
        let colon = if finished.said.is_empty() { "" } else { ": " };
        let word = self.order.dialect.word(action);
        let depth = match (action, self.depth) {
            ("monitor", depth) if depth > 0 => format!(" of depth {depth}"),
            _ => String::new(),
        };
        format!(
            "{} {word}{depth}: {how}{colon}{}",
            self.order.name, finished.said
        )
    }
}
