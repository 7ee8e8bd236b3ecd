//! A machine with an agent on it. Not for what is to come of it.

use std::time::Duration;

use crate::{
    checks::Place,
    error::{Result, unexpected},
    machine::{Hardware, Machine},
};

/// For things that take an agent some seconds, by plain emulation on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// The machine and the program on it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) machine: Machine,
    program: String,
}

impl Node {
    /// Boots a machine.
    pub(crate) fn boot(place: &Place, hardware: &Hardware) -> Result<Self> {
        Ok(Self {
            machine: Machine::boot(&place.image, &place.folder, hardware)?,
            program: place.program.display().to_string(),
        })
    }

    /// From now on the program is called by this name. Returns how it was called.
    pub(crate) fn program_is(&mut self, path: &str) -> String {
        std::mem::replace(&mut self.program, path.to_owned())
    }

    /// The command line of the program with these arguments.
    pub(crate) fn standfast(&self, arguments: &str) -> String {
        format!("{} {arguments}", self.program)
    }

    /// Runs the program with arguments under which it has to succeed.
    pub(crate) fn ok(&mut self, arguments: &str) -> Result<String> {
        let command = self.standfast(arguments);
        self.machine.ok(&command)
    }

    /// Starts an agent that is started again whenever it ends, as a service manager does.
    pub(crate) fn start_agent(&mut self, arguments: &str) -> Result<()> {
        self.start_agent_with("", arguments)
    }

    /// The same with something before its command line.
    pub(crate) fn start_agent_with(&mut self, before: &str, arguments: &str) -> Result<()> {
        let agent = self.standfast(&format!("agent {arguments}"));
        let agent = format!("{before}{agent}");
        let script = format!(
            "while [ ! -e /run/down ]; do {agent} </dev/null >>/run/agent.log 2>&1; sleep 0.05; done\n"
        );
        self.write("/run/agent.sh", &script)?;
        let start = "setsid sh /run/agent.sh </dev/null >/dev/null 2>&1 &";
        self.machine.ok(start).map(drop)
    }

    /// Sends the agent a signal.
    pub(crate) fn signal_agent(&mut self, signal: &str) -> Result<()> {
        let command = format!("kill -{signal} $(pgrep -of '/standfast [a]gent ')");
        self.machine.ok(&command).map(drop)
    }

    /// Waits until `status` contains a text.
    pub(crate) fn until_status(&mut self, text: &str) -> Result<()> {
        let status = self.standfast("status 2>&1");
        let command = format!(
            "{status} | grep -F '{text}' || {{ {status}; tail -5 /run/agent.log; false; }}"
        );
        self.machine.until(&command, PATIENCE).map(drop)
    }

    /// Writes a file there.
    pub(crate) fn write(&mut self, path: &str, text: &str) -> Result<()> {
        let quoted = text.replace('\\', "\\\\").replace('\'', "'\\''");
        let quoted = quoted.replace('\n', "\\n");
        self.machine
            .ok(&format!("printf '%b' '{quoted}' >{path}"))
            .map(drop)
    }

    /// Starts a program that goes on by itself.
    pub(crate) fn in_background(&mut self, command: &str) -> Result<()> {
        let start = format!("setsid {command} </dev/null >>/run/out 2>&1 &");
        self.machine.ok(&start).map(drop)
    }

    /// Makes a cluster of this node alone with one service, and waits until that runs.
    pub(crate) fn serve_alone(&mut self, agent: &str, service: &[&str]) -> Result<()> {
        self.serve_alone_with(agent, service, &[])
    }

    /// The same for a service with these addresses.
    pub(crate) fn serve_alone_with(
        &mut self,
        agent: &str,
        service: &[&str],
        addresses: &[&str],
    ) -> Result<()> {
        self.ok("init --name alpha --address 127.0.0.1:7400 --cluster machines")?;
        self.start_agent(agent)?;
        let (members, vip) = match addresses {
            [] => ("\"web\"", String::new()),
            some => (
                "\"ip\", \"web\"",
                format!("[resources.ip]\nkind = \"vip\"\naddresses = {some:?}\n"),
            ),
        };
        let text = format!(
            "[cluster]\nname = \"machines\"\nprofile = \"wan\"\n[nodes.alpha]\naddresses = [\"127.0.0.1:7400\"]\n\
             [groups.site]\nmembers = [{members}]\n{vip}[resources.web]\nkind = \"process\"\ncommand = {service:?}\n"
        );
        self.apply(&text)?;
        self.until_status("All well")
    }

    /// Puts a configuration in force.
    pub(crate) fn apply(&mut self, text: &str) -> Result<()> {
        self.write("/run/cluster.toml", text)?;
        let apply = self.standfast("apply /run/cluster.toml 2>&1");
        self.machine.until(&apply, PATIENCE).map(drop)
    }

    /// Milliseconds since the machine was switched on, by its own clock.
    pub(crate) fn uptime(&mut self) -> Result<u64> {
        let text = self.machine.ok("cat /proc/uptime")?;
        let seconds = text.split_whitespace().next().unwrap_or_default();
        // Always with two digits after the point.
        let hundredths = seconds.replace('.', "").parse::<u64>();
        hundredths
            .map(|hundredths| hundredths * 10)
            .or_else(|_| unexpected(format!("/proc/uptime says {text}")))
    }

    /// The process ids of what has this command line.
    pub(crate) fn processes(&mut self, pattern: &str) -> Result<Vec<u32>> {
        let said = self.machine.run(&format!("pgrep -f '{pattern}'"))?;
        let ids = said.text.split_whitespace().map(str::parse);
        ids.collect::<std::result::Result<_, _>>()
            .or_else(|_| unexpected(format!("pgrep said {}", said.text)))
    }
}
