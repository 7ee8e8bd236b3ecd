//! The other baseline: Pacemaker on Corosync from the distribution, two or three nodes, the service and its address in one group. Defaults of the
//! distribution, and what its documentation has everybody set; a variant says what else. What is written on the hosts is in `pacemaker_files`.
//!
//! Daemons are restarted as the shipped units do it: Pacemaker a second after it failed, Corosync never. Only for real root: the daemons want
//! a user of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::crm_mon::View;
use crate::enclosure::Mode;
use crate::error::{LabError, Result};
use crate::fault::Fault;
use crate::host::Host;
use crate::host_init::Daemon;
use crate::lab::Lab;
use crate::pacemaker_files::{self as files, GROUP};
use crate::processes::{HostProcess, signal};
use crate::system::{Handicap, Role, System};

pub use crate::pacemaker_files::Variant;

/// `RestartSec` of the shipped unit.
const RESTART_MS: u64 = 1000;

/// How long an orderly stop of Pacemaker may take: its resources move away first.
const STOP: Duration = Duration::from_secs(30);

/// Pacemaker and Corosync on every host of a lab.
#[derive(Debug)]
pub struct Pacemaker {
    name: String,
    variant: Variant,
    lab: Lab,
    moved: bool,
}

impl Pacemaker {
    /// Writes the configuration on every host of `lab`, as identical copies, and starts the daemons.
    ///
    /// # Errors
    /// When the programs are missing or the lab's hosts cannot hold them.
    pub fn deploy(lab: Lab, variant: Variant) -> Result<Self> {
        if lab.mode != Mode::Root {
            return Err(LabError::Unexpected(
                "Pacemaker runs as a user of its own: only as root, in namespaces".to_owned(),
            ));
        }
        let programs = ["/usr/sbin/corosync", "/usr/sbin/pacemakerd"];
        if let Some(missing) = programs.iter().find(|file| !Path::new(file).exists()) {
            return Err(LabError::Unexpected(format!(
                "{missing} is missing: run scripts/setup bench"
            )));
        }
        let mut system = Self {
            name: variant.name(),
            variant,
            lab,
            moved: false,
        };
        system.install()?;
        system.start()?;
        Ok(system)
    }

    fn install(&self) -> Result<()> {
        let key = files::key()?;
        for host in &self.lab.nodes {
            let folder = host.folder();
            let script = files::service_script(host, &self.lab.program);
            files::write(&folder.join("etc/corosync/authkey"), &key, 0o400)?;
            let corosync = files::corosync(&self.lab, self.variant);
            files::write(
                &folder.join("etc/corosync/corosync.conf"),
                corosync.as_bytes(),
                0o644,
            )?;
            files::write(&folder.join("etc/init.d/web"), script.as_bytes(), 0o755)?;
            let cib = files::cib(&self.lab, self.variant);
            files::write(
                &folder.join("var/lib/pacemaker/cib/cib.xml"),
                cib.as_bytes(),
                0o600,
            )?;
            if self.variant.fencing {
                let agent = files::fence_agent(&self.lab)?;
                files::write(&folder.join("sbin/fence_lab"), agent.as_bytes(), 0o755)?;
            }
        }
        Ok(())
    }

    fn host(&self, index: usize) -> Result<&Host> {
        let missing = || LabError::Unexpected(format!("no node {index}"));
        self.lab.nodes.get(index).ok_or_else(missing)
    }

    /// Runs a program on node `index` and returns what it printed.
    fn ask(&self, index: usize, argv: &[&str]) -> Result<String> {
        let output = self.host(index)?.run(argv, "")?;
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

    /// What `crm_mon` says on node `index`; nothing while its cluster does not answer.
    fn view(&self, index: usize) -> Option<View> {
        let printed = self
            .ask(index, &["crm_mon", "-1", "--output-as=xml"])
            .ok()?;
        View::read(&printed)
    }

    fn daemons(&self, index: usize) -> Result<[Daemon; 2]> {
        let host = self.host(index)?;
        let log = |name: &str| -> PathBuf { host.folder().join("log").join(name) };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let environment = BTreeMap::from([
            (
                "PCMK_logfile".to_owned(),
                log("pacemaker.log").display().to_string(),
            ),
            ("PCMK_logfacility".to_owned(), "none".to_owned()),
        ]);
        let corosync = Daemon {
            name: "corosync".to_owned(),
            argv: words(&["/usr/sbin/corosync", "-f"]),
            environment: BTreeMap::new(),
            log: log("corosync.log"),
            // Its unit has no `Restart`, and Pacemaker waits for it without failing.
            restart_ms: None,
        };
        let pacemaker = Daemon {
            name: "pacemaker".to_owned(),
            argv: words(&["/bin/sh", "-c", files::PACEMAKER]),
            environment,
            log: log("pacemakerd.log"),
            restart_ms: Some(RESTART_MS),
        };
        Ok([corosync, pacemaker])
    }

    /// Ends the constraint that a move leaves behind, as operators must.
    fn clear(&mut self) {
        if std::mem::take(&mut self.moved) {
            let on = (0..self.lab.nodes.len()).find(|index| self.view(*index).is_some());
            let cleared =
                on.map(|index| self.ask(index, &["crm_resource", "--resource", GROUP, "--clear"]));
            self.moved = !matches!(cleared, Some(Ok(_)));
        }
    }
}

impl System for Pacemaker {
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
        match fault {
            Fault::PowerLoss
            | Fault::PrimaryLeaderLost
            | Fault::LeaderLost
            | Fault::SilentPartition
            | Fault::OneWayOut
            | Fault::OneWayIn
            | Fault::CarrierLoss
            | Fault::AgentKilled
            | Fault::MessagingKilled
            | Fault::ServiceKilled
            | Fault::ServiceHanging
            | Fault::HealedPartition
            | Fault::CoresBusy
            | Fault::Switchover
            | Fault::AgentRestart => true,
            // A cold start alone takes longer than a trial watches: it waits 20 s for somebody who leads.
            Fault::AllLost => false,
            Fault::AgentStopped
            | Fault::KeeperKilled
            | Fault::AgentKeeperStopped
            | Fault::CoresBusyNoRealtime
            | Fault::FsyncLate
            | Fault::TwoLost
            | Fault::GuardsRemoved => false,
        }
    }

    fn start(&mut self) -> Result<()> {
        for index in 0..self.lab.nodes.len() {
            let host = self.host(index)?;
            if !host.is_on() {
                continue;
            }
            let folder = host.folder().display().to_string();
            self.ask(index, &["sh", "-e", "-c", files::BOOT, "sh", &folder])?;
            for daemon in self.daemons(index)? {
                if let Some(host) = self.lab.nodes.get_mut(index) {
                    host.start(&daemon)?;
                }
            }
        }
        self.clear();
        Ok(())
    }

    fn processes(&self, node: usize, role: Role) -> Vec<HostProcess> {
        let Some(node) = self.lab.nodes.get(node) else {
            return Vec::new();
        };
        let program = |process: &HostProcess, name: &str| {
            let first = process.argv.first();
            first.is_some_and(|word| word.rsplit('/').next() == Some(name))
        };
        let wanted = |process: &HostProcess| match role {
            Role::Agent => program(process, "pacemakerd"),
            Role::Messaging => program(process, "corosync"),
            Role::Service => {
                program(process, "standfast-lab")
                    && process.argv.get(1).is_some_and(|word| word == "serve")
            }
            Role::Keeper => false,
        };
        node.processes().into_iter().filter(wanted).collect()
    }

    /// The node that decides: Pacemaker calls it the designated controller.
    fn leader(&self) -> Option<usize> {
        let on = |index: &usize| self.lab.nodes.get(*index).is_some_and(Host::is_on);
        (0..self.lab.nodes.len())
            .filter(on)
            .find_map(|index| self.lab.position(&self.view(index)?.controller?))
    }

    fn switch_over(&mut self, from: usize, to: usize) -> Result<()> {
        let to = self.host(to)?.name().to_owned();
        self.moved = true;
        let argv = ["crm_resource", "--resource", GROUP, "--move", "--node", &to];
        self.ask(from, &argv).map(|_| ())
    }

    /// Stops and starts it, as its service unit does.
    fn restart_agent(&mut self, node: usize) -> Result<()> {
        let old = self.processes(node, Role::Agent);
        if let Some(host) = self.lab.nodes.get_mut(node) {
            host.stop("pacemaker")?;
        }
        let gone = |process: &HostProcess| !Path::new(&format!("/proc/{}", process.pid)).exists();
        let began = std::time::Instant::now();
        while !old.iter().all(gone) && began.elapsed() < STOP {
            std::thread::sleep(Duration::from_millis(5));
        }
        old.iter()
            .filter(|process| !gone(process))
            .for_each(|process| signal(process.pid, Signal::KILL));
        self.start()
    }

    fn handicap(&mut self, _handicap: Handicap) -> Result<()> {
        Ok(())
    }

    fn remove_guards(&mut self, _node: usize) -> Result<()> {
        Ok(())
    }

    fn unsettled(&self, answering: usize) -> Option<String> {
        for index in 0..self.lab.nodes.len() {
            for role in [Role::Messaging, Role::Agent] {
                if self.processes(index, role).is_empty() {
                    return Some(format!("node {index}: {role:?}"));
                }
            }
        }
        if self.moved {
            return Some("the end of the constraint of the last move".to_owned());
        }
        let Some(view) = self.view(answering) else {
            return Some(format!("node {answering}: a cluster that answers"));
        };
        if view.failures > 0 {
            // What was done before counts against a node; it is seen again when it is still so.
            drop(self.ask(answering, &["crm_resource", "--cleanup"]));
        }
        let name = self.host(answering).map(Host::name).unwrap_or_default();
        view.unsettled(self.lab.nodes.len(), name)
    }

    fn status(&self, node: usize) -> String {
        self.ask(node, &["crm_mon", "-1"])
            .unwrap_or_else(|error| error.to_string())
    }
}
