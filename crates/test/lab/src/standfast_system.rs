//! Standfast as a system under test. All the laboratory knows of its command line and its status is here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::enclosure::Mode;
use crate::error::{LabError, Result};
use crate::fault::Fault;
use crate::host::Host;
use crate::host_init::Daemon;
use crate::lab::{Lab, SERVICE_PORT};
use crate::late;
use crate::processes::{HostProcess, signal};
use crate::system::{Handicap, Role, System};

/// Port of the agents.
const AGENT_PORT: u16 = 7400;

/// How long one command may need until it works, while the cluster forms.
const FORMING: Duration = Duration::from_secs(30);

/// The group that holds the service and its address.
const GROUP: &str = "site";

/// Delay after which the supervisor starts a dead agent again.
const RESTART_MS: u64 = 50;

/// Agents on every host of a lab.
#[derive(Debug)]
pub struct Standfast {
    name: String,
    profile: String,
    program: PathBuf,
    handicap: Handicap,
    level: Option<u32>,
    /// The first node makes a pair with the second one, instead of a cluster of voters.
    pair: Option<Arbiter>,
    lab: Lab,
}

/// Who says which node of a pair goes on alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Arbiter {
    /// Management boards.
    Fence,
    /// The gateway of the client network.
    Ping,
}

/// Which agents are on the hosts.
#[derive(Debug, Clone, Default)]
pub struct Build {
    /// The program; the one that was built with the laboratory when none is named.
    pub program: Option<PathBuf>,
    /// Feature level that its agents are told to speak; their own when none is named.
    pub level: Option<u32>,
}

impl Standfast {
    /// Starts one agent a host in `lab`, makes them a cluster with `profile`, and gives it the service.
    ///
    /// # Errors
    /// When the program is missing or a command of it fails.
    pub fn deploy(lab: Lab, profile: &str) -> Result<Self> {
        Self::deploy_as(lab, profile, &Build::default())
    }

    /// The same with the agents of another build.
    ///
    /// # Errors
    /// When the program is missing or a command of it fails.
    pub fn deploy_as(lab: Lab, profile: &str, build: &Build) -> Result<Self> {
        Self::deploy_some(lab, profile, build, None)
    }

    /// The same without a service: the nodes are a cluster, and nothing is in it.
    ///
    /// # Errors
    /// When the program is missing or a command of it fails.
    pub fn deploy_bare(lab: Lab, profile: &str) -> Result<Self> {
        let mut system = Self::describe(lab, profile, &Build::default(), None)?;
        system.join_all()?;
        Ok(system)
    }

    /// A pair of the two hosts of `lab`; a fence device is not configured yet.
    ///
    /// # Errors
    /// When the program is missing or a command of it fails.
    pub(crate) fn deploy_pair(lab: Lab, profile: &str, arbiter: Arbiter) -> Result<Self> {
        Self::deploy_some(lab, profile, &Build::default(), Some(arbiter))
    }

    fn deploy_some(lab: Lab, profile: &str, build: &Build, pair: Option<Arbiter>) -> Result<Self> {
        let mut system = Self::describe(lab, profile, build, pair)?;
        system.join_all()?;
        let inner = system.configuration_file(0)?;
        system.insist(0, &["apply", &inner])?;
        Ok(system)
    }

    fn describe(lab: Lab, profile: &str, build: &Build, pair: Option<Arbiter>) -> Result<Self> {
        let program = program_of(&lab, build);
        if !program.exists() {
            let text = format!(
                "{} is missing: build the package standfast",
                program.display()
            );
            return Err(LabError::Unexpected(text));
        }
        Ok(Self {
            name: match pair {
                None => format!("standfast {profile}"),
                Some(Arbiter::Fence) => format!("standfast pair {profile}"),
                Some(Arbiter::Ping) => format!("standfast pair ping {profile}"),
            },
            profile: profile.to_owned(),
            program,
            handicap: Handicap::default(),
            level: build.level,
            pair,
            lab,
        })
    }

    /// A path of the host, as its own programs see it.
    fn inner(&self, host: &Host, path: &str) -> String {
        match self.lab.mode {
            Mode::Loopback => host.folder().join(path).display().to_string(),
            Mode::Root | Mode::Unprivileged => format!("/{path}"),
        }
    }

    /// The program that is tested.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Where the socket of node `index` is for programs outside of it; none while it has no power.
    pub(crate) fn socket_from_outside(&self, index: usize) -> Option<PathBuf> {
        let host = self.lab.nodes.get(index)?;
        let root = host.root()?;
        Some(root.join("run/standfast/agent.sock"))
    }

    fn socket(&self, host: &Host) -> String {
        self.inner(host, "run/standfast/agent.sock")
    }

    fn links(&self, host: &Host) -> Vec<String> {
        let addresses = self.lab.addresses(host);
        addresses
            .iter()
            .map(|address| format!("{address}:{AGENT_PORT}"))
            .collect()
    }

    fn host(&self, index: usize) -> Result<&Host> {
        let missing = || LabError::Unexpected(format!("no node {index}"));
        self.lab.nodes.get(index).ok_or_else(missing)
    }

    /// Runs a command of Standfast on node `index` and returns what it printed.
    fn standfast(&self, index: usize, arguments: &[&str]) -> Result<String> {
        let host = self.host(index)?;
        let program = self.program.display().to_string();
        let mut argv = vec![program.as_str()];
        argv.extend(arguments);
        let output = host.run(&argv, "")?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(LabError::Command {
            command: argv.join(" "),
            output: format!(
                "{}; {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            ),
        })
    }

    /// The same, for commands that talk to the node's agent.
    fn ask(&self, index: usize, arguments: &[&str]) -> Result<String> {
        let socket = self.socket(self.host(index)?);
        let mut full = arguments.to_vec();
        full.extend(["--socket", &socket]);
        self.standfast(index, &full)
    }

    /// Runs a command that talks to the agent of node `index`, and returns what it printed.
    ///
    /// # Errors
    /// When the command fails.
    pub fn ask_anything(&self, index: usize, arguments: &[&str]) -> Result<String> {
        self.ask(index, arguments)
    }

    /// The configuration that was applied, as a file that node `index` can read.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configuration_file(&self, index: usize) -> Result<String> {
        self.file_of(index, "cluster.toml", &self.configuration())
    }

    /// Puts this build on all hosts, as a package does: whoever runs goes on, and what is started next is the new one.
    /// Commands are those of this build from now on.
    ///
    /// # Errors
    /// When a host is off.
    pub fn install(&mut self, build: &Build) -> Result<()> {
        self.level = build.level;
        self.program = program_of(&self.lab, build);
        (0..self.lab.nodes.len()).try_for_each(|index| self.start_agent(index))
    }

    /// A configuration, as a file that node `index` can read.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn file_of(&self, index: usize, name: &str, text: &str) -> Result<String> {
        let host = self.host(index)?;
        let file = host.folder().join("etc/standfast").join(name);
        std::fs::write(&file, text).map_err(|error| LabError::file("write", &file, error))?;
        Ok(self.inner(host, &format!("etc/standfast/{name}")))
    }

    /// Starts a command that talks to the agent of node `index`, and does not wait for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn begin(&self, index: usize, arguments: &[&str]) -> Result<Child> {
        let host = self.host(index)?;
        let program = self.program.display().to_string();
        let socket = self.socket(host);
        let argv = [&[program.as_str()], arguments, &["--socket", &socket]].concat();
        host.spawn(&argv)
    }

    /// What the agents of node `index` have logged.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn agent_log(&self, index: usize) -> Result<String> {
        let file = self.host(index)?.folder().join("log/agent.log");
        std::fs::read_to_string(&file).map_err(|error| LabError::file("read", &file, error))
    }

    /// Repeats [`Self::ask`] until it succeeds.
    fn insist(&self, index: usize, arguments: &[&str]) -> Result<String> {
        let began = Instant::now();
        loop {
            match self.ask(index, arguments) {
                Ok(printed) => return Ok(printed),
                Err(error) if began.elapsed() > FORMING => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// The first node makes the cluster, and the others join it.
    fn join_all(&mut self) -> Result<()> {
        for index in 0..self.lab.nodes.len() {
            let host = self.host(index)?;
            let name = host.name().to_owned();
            let state = self.inner(host, "var/lib/standfast");
            let links = self.links(host);
            let mut arguments = vec!["--name", &name, "--state", &state];
            for link in &links {
                arguments.extend(["--address", link]);
            }
            if index == 0 {
                let mut init = [&["init", "--cluster", "demo"], arguments.as_slice()].concat();
                let gateway = self.lab.gateway().to_string();
                if let (Some(other), Some(arbiter)) = (self.lab.nodes.get(1), self.pair) {
                    init.extend(["--pair", other.name(), "--arbiter"]);
                    match arbiter {
                        Arbiter::Fence => init.push("fence"),
                        Arbiter::Ping => init.extend(["ping", "--gateway", &gateway]),
                    }
                }
                self.standfast(index, &init)?;
            } else {
                let token = self.insist(0, &["token"])?;
                let file = host.folder().join("var/lib/token");
                std::fs::write(&file, token)
                    .map_err(|error| LabError::file("write", &file, error))?;
                let inner = self.inner(host, "var/lib/token");
                let join = [&["join", "--token-file", &inner], arguments.as_slice()].concat();
                self.standfast(index, &join)?;
            }
            self.start_agent(index)?;
            self.insist(index, &["status", "--json"])?;
        }
        Ok(())
    }

    /// A configuration of the nodes alone.
    #[must_use]
    pub fn nodes_configuration(&self) -> String {
        let mut text = format!(
            "[cluster]\nname = \"demo\"\nprofile = \"{}\"\n",
            self.profile
        );
        for host in &self.lab.nodes {
            let links = self.links(host);
            text.push_str(&format!("[nodes.{}]\naddresses = {links:?}\n", host.name()));
        }
        text
    }

    /// The configuration that the laboratory applies.
    #[must_use]
    pub fn configuration(&self) -> String {
        let mut text = self.nodes_configuration();
        let service = self.lab.service();
        let (members, bind) = match self.lab.service_v6() {
            None => ("\"web\"", service.to_string()),
            Some(v6) => {
                let gateway = self.lab.gateway();
                text.push_str(&format!(
                    "[resources.site-ip]\nkind = \"vip\"\naddresses = [\"{}/24\", \"{v6}/64\"]\ninterface = \"eth0\"\ngateway = \"{gateway}\"\n",
                    service.ip()
                ));
                ("\"site-ip\", \"web\"", format!("[::]:{SERVICE_PORT}"))
            }
        };
        let health = match self.lab.mode {
            Mode::Loopback => service.to_string(),
            Mode::Root | Mode::Unprivileged => format!("127.0.0.1:{SERVICE_PORT}"),
        };
        text.push_str(&format!(
            "[groups.{GROUP}]\nmembers = [{members}]\n\
             [resources.web]\nkind = \"process\"\ncommand = [\"{}\", \"serve\", \"--bind\", \"{bind}\"]\nstop_timeout_ms = 2000\n\
             readiness = {{ http = \"http://{health}/health\", interval_ms = 50, timeout_ms = 500 }}\n\
             health = {{ http = \"http://{health}/health\", interval_ms = 1000, timeout_ms = 1000, failures = 2 }}\n",
            self.lab.program.display()
        ));
        if self.pair == Some(Arbiter::Ping) {
            let gateway = self.lab.gateway();
            text.push_str(&format!(
                "[pair]\narbiter = \"ping\"\ndowntime_ms = 2000\n[pair.ping]\ngateway = \"{gateway}\"\niterations = 3\ninterval_ms = 300\n"
            ));
        }
        text
    }

    fn agent(&self, host: &Host) -> Daemon {
        let state = self.inner(host, "var/lib/standfast");
        let run = self.inner(host, "run/standfast");
        let mut argv: Vec<String> = Vec::new();
        let mut words = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));
        let mut environment = BTreeMap::new();
        if self.handicap.fsync_delay_ms > 0 {
            let delay = self.handicap.fsync_delay_ms.to_string();
            environment.insert("STANDFAST_LAB_FSYNC_MS".to_owned(), delay);
            environment.insert("LD_PRELOAD".to_owned(), self.inner(host, late::LIBRARY));
        }
        let program = self.program.display().to_string();
        words(&[
            &program,
            "agent",
            "--state",
            &state,
            "--run",
            &run,
            "--socket",
            &self.socket(host),
        ]);
        if self.handicap.no_realtime {
            words(&["--no-realtime"]);
        }
        if let Some(level) = self.level {
            words(&["--feature-level", &level.to_string()]);
        }
        Daemon {
            name: "agent".to_owned(),
            argv,
            environment,
            log: host.folder().join("log/agent.log"),
            restart_ms: Some(RESTART_MS),
        }
    }

    fn start_agent(&mut self, index: usize) -> Result<()> {
        let daemon = self.agent(self.host(index)?);
        match self.lab.nodes.get_mut(index).filter(|host| host.is_on()) {
            Some(host) => host.start(&daemon),
            None => Ok(()),
        }
    }

    /// Both agents of a pair at once: the one that stayed would fence, or take over from, one whose slow disk lets it start
    /// later than its announced restart may take.
    fn restart_both(&mut self) -> Result<()> {
        let nodes = 0..self.lab.nodes.len();
        for index in nodes.clone() {
            self.start_agent(index)?;
        }
        for index in nodes.clone() {
            let agents = self.processes(index, Role::Agent);
            agents
                .iter()
                .for_each(|agent| signal(agent.pid, Signal::KILL));
        }
        std::thread::sleep(Duration::from_millis(4 * RESTART_MS));
        nodes
            .map(|index| self.insist(index, &["status", "--json"]))
            .try_for_each(|said| said.map(drop))
    }

    /// The node's status as JSON; nothing while its agent does not answer.
    fn view(&self, index: usize) -> Option<Value> {
        let printed = self.ask(index, &["status", "--json"]).ok()?;
        serde_json::from_str(&printed).ok()
    }
}

fn program_of(lab: &Lab, build: &Build) -> PathBuf {
    let own = || lab.program.with_file_name("standfast");
    build.program.clone().unwrap_or_else(own)
}

/// The value of `key`, wherever in the document it stands first.
fn find<'a>(document: &'a Value, key: &str) -> Option<&'a Value> {
    match document {
        Value::Object(fields) => fields
            .get(key)
            .or_else(|| fields.values().find_map(|value| find(value, key))),
        _ => None,
    }
}

fn base_name(word: &str) -> &str {
    Path::new(word)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

impl System for Standfast {
    fn name(&self) -> &str {
        &self.name
    }

    fn lab(&self) -> &Lab {
        &self.lab
    }

    fn lab_mut(&mut self) -> &mut Lab {
        &mut self.lab
    }

    fn supports(&self, fault: Fault) -> bool {
        !fault.is_foreign() && (self.lab.network.is_some() || !fault.needs_network())
    }

    fn start(&mut self) -> Result<()> {
        (0..self.lab.nodes.len()).try_for_each(|index| self.start_agent(index))
    }

    fn processes(&self, node: usize, role: Role) -> Vec<HostProcess> {
        let Some(node) = self.lab.nodes.get(node) else {
            return Vec::new();
        };
        let wanted = |process: &HostProcess| {
            let program = process
                .argv
                .first()
                .map(|word| base_name(word))
                .unwrap_or_default();
            let verb = process.argv.get(1).map(String::as_str).unwrap_or_default();
            match role {
                Role::Agent => program == "standfast" && verb == "agent",
                Role::Keeper => verb == "keeper",
                // The agent itself.
                Role::Messaging => false,
                Role::Service => program == "standfast-lab" && verb == "serve",
            }
        };
        node.processes().into_iter().filter(wanted).collect()
    }

    fn leader(&self) -> Option<usize> {
        (0..self.lab.nodes.len())
            .filter(|index| self.lab.nodes.get(*index).is_some_and(Host::is_on))
            .find_map(|index| {
                let view = self.view(index)?;
                self.lab.position(find(&view, "leader")?.as_str()?)
            })
    }

    fn switch_over(&mut self, from: usize, to: usize) -> Result<()> {
        let to = self.host(to)?.name().to_owned();
        self.ask(from, &["switchover", GROUP, "--to", &to, "--wait", "0"])
            .map(|_| ())
    }

    fn restart_agent(&mut self, node: usize) -> Result<()> {
        self.ask(node, &["restart"]).map(|_| ())
    }

    fn handicap(&mut self, handicap: Handicap) -> Result<()> {
        self.handicap = handicap;
        if handicap.fsync_delay_ms > 0 {
            for host in &self.lab.nodes {
                late::make(&host.folder().join(late::LIBRARY))?;
            }
        }
        if self.pair.is_some() {
            return self.restart_both();
        }
        for index in 0..self.lab.nodes.len() {
            // The supervisor takes the new command line when the agent ends.
            self.start_agent(index)?;
            if self.ask(index, &["restart"]).is_err() {
                // With a slow majority nothing can be committed in time: then it is a restart that nobody announced.
                let agents = self.processes(index, Role::Agent);
                agents
                    .iter()
                    .for_each(|agent| signal(agent.pid, Signal::KILL));
            }
            std::thread::sleep(Duration::from_millis(4 * RESTART_MS));
            self.insist(index, &["status", "--json"])?;
        }
        Ok(())
    }

    fn remove_guards(&mut self, node: usize) -> Result<()> {
        let host = self.host(node)?;
        let mut script = format!(
            "nft flush ruleset; ip address change {}/24 dev eth0 valid_lft forever preferred_lft forever;",
            self.lab.service().ip()
        );
        if let Some(v6) = self.lab.service_v6() {
            script.push_str(&format!(
                "ip address change {v6}/64 dev eth0 valid_lft forever preferred_lft forever nodad"
            ));
        }
        let output = host.run(&["sh", "-e", "-c", &script], "")?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(LabError::Unexpected(format!(
                "guards could not be removed: {}",
                text.trim()
            )));
        }
        Ok(())
    }

    fn unsettled(&self, _answering: usize) -> Option<String> {
        let mut leaders = Vec::new();
        for index in 0..self.lab.nodes.len() {
            let Some(view) = self.view(index) else {
                return Some(format!("node {index}: an agent that answers"));
            };
            if find(&view, "quorum").and_then(Value::as_bool) == Some(false) {
                return Some(format!("node {index}: a quorum"));
            }
            match find(&view, "leader").and_then(Value::as_str) {
                Some(leader) => leaders.push(leader.to_owned()),
                None => return Some(format!("node {index}: a leader")),
            }
        }
        leaders.dedup();
        (leaders.len() != 1).then(|| format!("one leader, instead of {}", leaders.join(", ")))
    }

    fn forget_failures(&self) {
        // Where there is nothing to forget, or nobody to ask, the trial itself will show it.
        drop(self.ask(0, &["resource", "cleanup", GROUP]));
    }

    fn status(&self, node: usize) -> String {
        self.ask(node, &["status"])
            .unwrap_or_else(|error| error.to_string())
    }
}
