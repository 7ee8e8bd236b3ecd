//! The exercises that everybody does who learns what a cluster is for: two nodes with a floating address and a web server on it, which is moved,
//! lost, watched on a dashboard, stopped behind the cluster's back, and left alone. With Debian's own resource agents `nginx` and `IPaddr2`, on two
//! nodes and a witness. What counts is what the client gets at the address. Times are told, and judged by nobody.
//!
//! Not for balancing over several servers, databases and volumes, nor for limits in milliseconds (`check`).

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::check::{self, Problem, Weight, problem};
use crate::enclosure::Enclosure;
use crate::error::{LabError, Result};
use crate::evidence;
use crate::measure::{self, ClientView};
use crate::probe::Probe;
use crate::processes::signal;
use crate::standfast_system::Standfast;
use crate::sys;
use crate::system::{Role, System};
use crate::trial::settle;
use crate::upgrade::bare;

/// What is to happen happens within this time, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// So long is watched that nothing happens.
const NOTHING: Duration = Duration::from_millis(1500);

/// The file that the web server is given, as it sees it.
const PAGE: &str = "/etc/page.conf";

/// One exercise that was done.
#[derive(Debug)]
pub struct Exercise {
    /// What the administrator does.
    pub what: &'static str,
    /// What was seen, in the order of doing.
    pub seen: Vec<String>,
    /// Everything that was not as it should be.
    pub problems: Vec<Problem>,
}

impl Exercise {
    fn new(what: &'static str) -> Self {
        Self {
            what,
            seen: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// What has to be so.
    fn has(&mut self, so: bool, otherwise: impl Into<String>) {
        if !so {
            self.problems.push(problem(Weight::Broken, otherwise));
        }
    }
}

/// What is to become of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// The same process answers every request.
    GoesOn,
    /// Another process, where it was.
    Restarts,
    /// Another node.
    Moves,
}

/// Does all of them, one after the other, in one cluster. The first one that cannot be finished ends it.
///
/// # Errors
/// When the laboratory fails, or what was to happen does not.
pub fn run(enclosure: &Enclosure, number: u8) -> Result<Vec<Exercise>> {
    let lab = bare(enclosure, number, 3)?;
    let system = Standfast::deploy_bare(lab, "lan")?;
    let probe = system.lab().probe()?;
    let mut course = Course { system, probe };
    let result = course.all();
    let fine = |all: &Vec<Exercise>| all.iter().all(|one| one.problems.is_empty());
    if !result.as_ref().is_ok_and(fine) {
        evidence::ask(&course.system);
    }
    result
}

/// The cluster, and who asks for the page.
struct Course {
    system: Standfast,
    probe: Probe,
}

/// When something was done.
struct Moment {
    ns: u64,
    first: usize,
}

impl Course {
    fn all(&mut self) -> Result<Vec<Exercise>> {
        Ok(vec![
            self.floating_address()?,
            self.planned_move()?,
            self.lost_node()?,
            self.frozen_agent()?,
            self.stopped_service()?,
            self.maintenance()?,
        ])
    }

    /// Two nodes, one address, one page; where it is wanted, and only there.
    fn floating_address(&mut self) -> Result<Exercise> {
        let mut done = Exercise::new("two nodes with a floating address, on alpha if possible");
        for host in &self.system.lab().nodes {
            let file = host.folder().join("etc/page.conf");
            std::fs::write(&file, self.page(host.name()))
                .map_err(|error| LabError::file("write", &file, error))?;
        }
        let text = self.configuration();
        let file = self.system.file_of(0, "exercises.toml", &text)?;
        let began = self.now();
        self.system.ask_anything(0, &["apply", &file])?;
        let node = self.settled()?;
        let view = self.view(&began);
        let first = view.rto_ms.unwrap_or_default();
        done.seen.push(format!(
            "the page answers at {} from {node}, {first:.0} ms after `apply`",
            self.system.lab().service()
        ));
        done.has(
            node == "alpha",
            format!("it is on {node}, not where it was preferred"),
        );
        self.only_at(&node, &mut done)?;
        // The page listens at the address alone: started before it, or without it, the server would have ended.
        let history = self.history()?;
        done.has(
            !history.contains(" failed on "),
            format!("something failed:\n{history}"),
        );
        self.owners(&began, &mut done);
        Ok(done)
    }

    /// The administrator moves the page. The address has to come along, the move shows itself, and taking it back moves nothing.
    fn planned_move(&mut self) -> Result<Exercise> {
        let mut done = Exercise::new("the page is moved to beta for ten minutes");
        let began = self.now();
        self.system.ask_anything(
            0,
            &["resource", "move", "page", "beta", "--lifetime", "10m"],
        )?;
        self.expect(&began, Expected::Moves, &mut done)?;
        self.only_at("beta", &mut done)?;
        let status = self.system.status(0);
        let told = status
            .lines()
            .find(|line| line.contains("page is kept on beta until 20"));
        match told {
            Some(line) => done.seen.push(format!("status: {}", line.trim())),
            None => done.has(false, format!("status does not show the move:\n{status}")),
        }
        let began = self.now();
        self.system
            .ask_anything(0, &["resource", "clear", "page"])?;
        std::thread::sleep(NOTHING);
        self.expect(&began, Expected::GoesOn, &mut done)?;
        let status = self.system.status(0);
        done.has(
            !status.contains("is kept on"),
            format!("the move is not taken back:\n{status}"),
        );
        Ok(done)
    }

    /// The node that has the page loses its power; the other one has it then, and keeps it when the first one is back. The dashboard says so.
    fn lost_node(&mut self) -> Result<Exercise> {
        let mut done = Exercise::new("the node with the page loses its power");
        let witness = self.system.lab().nodes.len() - 1;
        let (from, to) = ("beta", "alpha");
        self.shown(witness, from, &mut done)?;
        let lost = self.position(from)?;
        let began = self.now();
        self.system.lab_mut().power_off(&[lost])?;
        self.moves(&began)?;
        self.shown(witness, to, &mut done)?;
        let outages = "standfast_group_last_outage_seconds{group=\"page\",cause=\"failover\"} ";
        let metrics = self.metrics(witness)?;
        let told = metrics.lines().find_map(|line| line.strip_prefix(outages));
        match told {
            Some(seconds) => done
                .seen
                .push(format!("dashboard: a failover of {seconds} s")),
            None => done.has(
                false,
                format!("the dashboard knows no failover:\n{metrics}"),
            ),
        }
        self.system.lab_mut().boot(lost)?;
        self.system.start()?;
        // All of them are there again: it does not fail back.
        self.expect(&began, Expected::Moves, &mut done)?;
        self.only_at(to, &mut done)?;
        Ok(done)
    }

    /// Agent and keepers of the node stand still, and with them whoever could take the address away. It is silent all the same when the other node has it,
    /// and gone as soon as they go on.
    fn frozen_agent(&mut self) -> Result<Exercise> {
        let mut done = Exercise::new("the cluster's own programs stand still on the active node");
        let (from, to) = ("alpha", "beta");
        let stopped = self.position(from)?;
        let roles = [Role::Agent, Role::Keeper];
        let programs = roles.map(|role| self.system.processes(stopped, role));
        let began = self.now();
        let all = || programs.iter().flatten();
        all().for_each(|process| signal(process.pid, Signal::STOP));
        let moved = self.moves(&began);
        // Whoever asks for it there is not answered, though it is still there.
        std::thread::sleep(NOTHING);
        let there = self.has_address(stopped)?;
        done.has(there, "nobody stood still: the address is gone");
        all().for_each(|process| signal(process.pid, Signal::CONT));
        moved?;
        self.expect(&began, Expected::Moves, &mut done)?;
        self.until_only_at(to, &mut done)?;
        Ok(done)
    }

    /// The web server is killed: it comes back where it is. When it cannot start there it goes to the other node with its address, is tried once,
    /// and everybody is told why.
    fn stopped_service(&mut self) -> Result<Exercise> {
        let mut done = Exercise::new("the web server is stopped on the active node");
        let (from, to) = ("beta", "alpha");
        let began = self.now();
        self.kill_page(from)?;
        self.expect(&began, Expected::Restarts, &mut done)?;

        let broken = self.position(from)?;
        let file = self.node(broken)?.folder().join("etc/page.conf");
        let good = std::fs::read(&file).map_err(|error| LabError::file("read", &file, error))?;
        std::fs::write(&file, "this is no configuration\n")
            .map_err(|error| LabError::file("write", &file, error))?;
        let began = self.now();
        self.kill_page(from)?;
        self.expect(&began, Expected::Moves, &mut done)?;
        self.only_at(to, &mut done)?;
        std::thread::sleep(NOTHING);
        let history = self.history()?;
        let failed = "page-server failed on beta: ocf:heartbeat:nginx start: ";
        let count = history.matches(failed).count();
        done.has(
            count == 1,
            format!("it failed to start {count} times, instead of once:\n{history}"),
        );
        let status = self.system.status(0);
        let told = status
            .lines()
            .find(|line| line.contains("ocf:heartbeat:nginx start: "));
        match told {
            Some(line) => done.seen.push(format!("status: {}", line.trim())),
            None => done.has(false, format!("status does not say why:\n{status}")),
        }
        std::fs::write(&file, good).map_err(|error| LabError::file("write", &file, error))?;
        let began = self.now();
        self.system
            .ask_anything(0, &["resource", "cleanup", "page"])?;
        std::thread::sleep(NOTHING);
        self.expect(&began, Expected::GoesOn, &mut done)?;
        Ok(done)
    }

    /// In maintenance nothing is restarted: not what runs when it begins or ends, whatever becomes of the agent, and not what fails meanwhile.
    fn maintenance(&mut self) -> Result<Exercise> {
        let mut done = Exercise::new("maintenance");
        let node = self.position("alpha")?;
        let began = self.now();
        self.maintain("on")?;
        self.system.restart_agent(node)?;
        std::thread::sleep(NOTHING);
        self.maintain("off")?;
        self.expect(&began, Expected::GoesOn, &mut done)?;

        self.maintain("on")?;
        self.kill_page("alpha")?;
        let killed = self.now();
        std::thread::sleep(NOTHING);
        let view = self.view(&killed);
        done.has(
            view.rto_ms.is_none() && view.failed_requests > 0,
            "the page came back in maintenance",
        );
        done.seen
            .push("killed in maintenance, it stays away".to_owned());
        self.maintain("off")?;
        self.expect(&killed, Expected::Restarts, &mut done)?;
        Ok(done)
    }

    fn maintain(&self, word: &str) -> Result<()> {
        self.system
            .ask_anything(0, &["cluster", "maintenance", word, "--wait", "20"])
            .map(|_| ())
    }

    /// What the web server of a node is told. It answers at the floating address alone, with its node and its process.
    fn page(&self, node: &str) -> String {
        format!(
            "pid /run/page.pid;\nerror_log /run/page.log;\nworker_processes 1;\nuser root;\nevents {{ }}\nhttp {{\naccess_log off;\n\
             client_body_temp_path /run/b;\nproxy_temp_path /run/p;\nfastcgi_temp_path /run/f;\nuwsgi_temp_path /run/u;\n\
             scgi_temp_path /run/s;\nserver {{ listen {}; location / {{ return 200 \"{node} $pid 0\\n\"; }} }}\n}}\n",
            self.system.lab().service()
        )
    }

    /// What the chapter gives Pacemaker: an address and a web server, together, one after the other, rather on the first node.
    fn configuration(&self) -> String {
        let nodes = self.system.nodes_configuration();
        let nodes = nodes.replace("[nodes.gamma]\n", "[nodes.gamma]\nwitness = true\n");
        format!(
            "{nodes}[resources.address]\nkind = \"ocf\"\nagent = \"ocf:heartbeat:IPaddr2\"\n\
             parameters = {{ ip = \"{}\", cidr_netmask = 24 }}\nmonitor_interval_ms = 30000\n\
             [resources.page-server]\nkind = \"ocf\"\nagent = \"ocf:heartbeat:nginx\"\n\
             parameters = {{ configfile = \"{PAGE}\" }}\nmonitor_interval_ms = 10000\n\
             [groups.page]\nmembers = [\"page-server\"]\n\
             [groups.floating]\nmembers = [\"address\"]\nprefer = {{ alpha = 100 }}\n\
             [colocation.page-at-address]\ngroup = \"page\"\nwith = \"floating\"\nscore = \"INFINITY\"\n\
             [order.address-then-page]\nfirst = \"floating\"\nthen = \"page\"\n",
            self.system.lab().service().ip()
        )
    }

    fn now(&self) -> Moment {
        Moment {
            ns: sys::now_ns(),
            first: self.probe.request_count().saturating_sub(200),
        }
    }

    fn view(&self, since: &Moment) -> ClientView {
        measure::client_view(&self.probe.requests(since.first), since.ns)
    }

    /// Waits until another process answers.
    fn moves(&self, since: &Moment) -> Result<()> {
        let began = Instant::now();
        while self.view(since).new_node.is_none() && began.elapsed() < LIMIT {
            self.probe.check()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits until the page is what it is to be, and says what clients noticed.
    fn expect(&mut self, since: &Moment, expected: Expected, done: &mut Exercise) -> Result<()> {
        if expected != Expected::GoesOn {
            self.moves(since)?;
        }
        let node = self.settled()?;
        let view = self.view(since);
        let old = view.old_node.clone().unwrap_or_default();
        let became = match &view.new_node {
            None if view.failed_requests == 0 => Expected::GoesOn,
            _ if node == old => Expected::Restarts,
            _ => Expected::Moves,
        };
        done.has(
            became == expected,
            format!(
                "the page was to be {expected:?}, and is {became:?}: from {old} to {node}, {} requests failed",
                view.failed_requests
            ),
        );
        done.seen.push(match became {
            Expected::GoesOn => format!(
                "it goes on at {node}: {} requests, none failed",
                view.requests
            ),
            Expected::Restarts => format!(
                "it is back on {node}, {:.0} ms after it was killed",
                view.rto_ms.unwrap_or_default()
            ),
            Expected::Moves => format!(
                "it moves from {old} to {node}: {:.0} ms without an answer",
                view.longest_gap_ms
            ),
        });
        self.owners(since, done);
        Ok(())
    }

    /// Nobody may ever see the address on two nodes.
    fn owners(&self, since: &Moment, done: &mut Exercise) {
        let seen = measure::owner_view(&self.probe.evidence(since.ns));
        done.problems.extend(check::owners(&seen));
    }

    fn has_address(&self, index: usize) -> Result<bool> {
        let address = format!(" {}/", self.system.lab().service().ip());
        let show = ["ip", "-o", "-4", "address", "show", "dev", "eth0"];
        let shown = self.node(index)?.run(&show, "")?;
        Ok(String::from_utf8_lossy(&shown.stdout).contains(&address))
    }

    /// The same as soon as what was left behind is gone.
    fn until_only_at(&self, node: &str, done: &mut Exercise) -> Result<()> {
        let began = Instant::now();
        loop {
            let mut looked = Exercise::new("");
            self.only_at(node, &mut looked)?;
            if looked.problems.is_empty() || began.elapsed() > LIMIT {
                done.problems.extend(looked.problems);
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The address and the server are on this node, and on no other one.
    fn only_at(&self, node: &str, done: &mut Exercise) -> Result<()> {
        let nodes = self.system.lab().nodes.iter().enumerate();
        for (index, host) in nodes.filter(|(_, host)| host.is_on()) {
            let has_address = self.has_address(index)?;
            let has_page = !masters(host).is_empty();
            let wanted = host.name() == node;
            let words = format!("address: {has_address}, page: {has_page}");
            done.has(
                has_address == wanted && has_page == wanted,
                format!("{} ({words}), and it is to be on {node} only", host.name()),
            );
        }
        Ok(())
    }

    /// What the dashboard of a node that runs nothing has to say.
    fn shown(&mut self, asked: usize, node: &str, done: &mut Exercise) -> Result<()> {
        let line =
            |group: &str| format!("standfast_group_running{{group=\"{group}\",node=\"{node}\"}} 1");
        let began = Instant::now();
        loop {
            let metrics = self.metrics(asked)?;
            if ["page", "floating"]
                .iter()
                .all(|group| metrics.contains(&line(group)))
            {
                done.seen
                    .push(format!("dashboard: address and page run on {node}"));
                return Ok(());
            }
            if began.elapsed() > LIMIT {
                done.has(
                    false,
                    format!("the dashboard does not say {node}:\n{metrics}"),
                );
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn metrics(&self, index: usize) -> Result<String> {
        let script = "exec 3<>/dev/tcp/127.0.0.1/7401 && printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3";
        let output = self.node(index)?.run(&["bash", "-c", script], "")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn history(&self) -> Result<String> {
        self.system.ask_anything(0, &["history", "-n", "200"])
    }

    fn kill_page(&self, node: &str) -> Result<()> {
        let masters = masters(self.node(self.position(node)?)?);
        if masters.is_empty() {
            return Err(LabError::Unexpected(format!("no web server on {node}")));
        }
        masters.iter().for_each(|pid| signal(*pid, Signal::KILL));
        Ok(())
    }

    fn position(&self, node: &str) -> Result<usize> {
        let missing = || LabError::Unexpected(format!("no node {node}"));
        self.system.lab().position(node).ok_or_else(missing)
    }

    fn node(&self, index: usize) -> Result<&crate::host::Host> {
        let missing = || LabError::Unexpected(format!("no node {index}"));
        self.system.lab().nodes.get(index).ok_or_else(missing)
    }

    /// Waits until the page answers for a while, with the whole cluster there. Says where.
    fn settled(&mut self) -> Result<String> {
        let index = settle(&mut self.system, &self.probe, LIMIT)?;
        Ok(self.node(index)?.name().to_owned())
    }
}

/// The web servers of a host, as the laboratory sees them.
fn masters(host: &crate::host::Host) -> Vec<u32> {
    let all = host.processes().into_iter();
    let is_master = |process: &crate::processes::HostProcess| {
        let first = process.argv.first().map(String::as_str);
        first.is_some_and(|word| word.starts_with("nginx: master process"))
    };
    all.filter(is_master).map(|process| process.pid).collect()
}
