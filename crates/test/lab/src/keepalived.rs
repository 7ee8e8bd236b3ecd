//! The baseline: keepalived from the distribution, two nodes, unfenced, the service running on both all the time. Configured as its own
//! documentation's first example; only the advertisement interval differs between the two variants.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::error::{LabError, Result};
use crate::fault::Fault;
use crate::host_init::Daemon;
use crate::lab::{Lab, SERVICE_PORT};
use crate::processes::{HostProcess, signal};
use crate::system::{Handicap, Role, System};

/// keepalived on the first two hosts of a lab.
#[derive(Debug)]
pub struct Keepalived {
    name: String,
    advert_int: String,
    lab: Lab,
}

impl Keepalived {
    /// Deploys it in `lab`, with `advert_int` as keepalived takes it: `1` is its default.
    #[must_use]
    pub fn new(lab: Lab, advert_int: &str) -> Self {
        let name = if advert_int == "1" {
            "keepalived".to_owned()
        } else {
            format!("keepalived {advert_int}")
        };
        Self {
            name,
            advert_int: advert_int.to_owned(),
            lab,
        }
    }

    fn configuration(&self, index: usize) -> String {
        let priority = 100_usize.saturating_sub(index.saturating_mul(10));
        let address = self.lab.service().ip();
        // Version 2, the default, rounds an interval below a second up to one.
        let version = if self.advert_int == "1" {
            ""
        } else {
            "  vrrp_version 3\n"
        };
        let address_v6 = self
            .lab
            .service_v6()
            .map(|address| format!("  virtual_ipaddress_excluded {{\n    {address}/64\n  }}\n"))
            .unwrap_or_default();
        format!(
            "global_defs {{\n  script_user root\n{version}}}\n\
             vrrp_script web {{\n  script \"{} ask 127.0.0.1:{SERVICE_PORT}\"\n  interval 1\n}}\n\
             vrrp_instance site {{\n  state BACKUP\n  interface eth0\n  virtual_router_id 51\n  priority {priority}\n  advert_int {}\n\
             \x20 virtual_ipaddress {{\n    {address}/24\n  }}\n{address_v6}  track_script {{\n    web\n  }}\n}}\n",
            self.lab.program.display(),
            self.advert_int,
        )
    }

    fn daemons(&self, index: usize) -> Result<[Daemon; 2]> {
        let node = self
            .lab
            .nodes
            .get(index)
            .ok_or_else(|| LabError::Unexpected("no such node".to_owned()))?;
        let file = node.folder().join("etc/keepalived/keepalived.conf");
        std::fs::write(&file, self.configuration(index))
            .map_err(|error| LabError::file("write", &file, error))?;
        let log = |name: &str| -> PathBuf { node.folder().join("log").join(format!("{name}.log")) };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let keepalived = Daemon {
            name: "keepalived".to_owned(),
            argv: words(&[
                "keepalived",
                "--dont-fork",
                "--log-console",
                "--vrrp",
                "--use-file",
                "/etc/keepalived/keepalived.conf",
            ]),
            environment: BTreeMap::new(),
            log: log("keepalived"),
            restart_ms: None,
        };
        let bind = format!("[::]:{SERVICE_PORT}");
        let service = Daemon {
            name: "service".to_owned(),
            argv: words(&[
                &self.lab.program.display().to_string(),
                "serve",
                "--node",
                node.name(),
                "--bind",
                &bind,
            ]),
            environment: BTreeMap::new(),
            log: log("service"),
            restart_ms: None,
        };
        Ok([service, keepalived])
    }
}

impl System for Keepalived {
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
        self.lab.network.is_some()
            && !matches!(
                fault,
                Fault::KeeperKilled
                    | Fault::MessagingKilled
                    | Fault::AgentKeeperStopped
                    | Fault::CoresBusyNoRealtime
                    | Fault::FsyncLate
                    | Fault::LeaderLost
                    | Fault::PrimaryLeaderLost
                    | Fault::TwoLost
                    | Fault::GuardsRemoved
            )
    }

    fn start(&mut self) -> Result<()> {
        for index in 0..self.lab.nodes.len() {
            for daemon in self.daemons(index)? {
                if let Some(node) = self.lab.nodes.get_mut(index).filter(|node| node.is_on()) {
                    node.start(&daemon)?;
                }
            }
        }
        Ok(())
    }

    fn processes(&self, node: usize, role: Role) -> Vec<HostProcess> {
        let Some(node) = self.lab.nodes.get(node) else {
            return Vec::new();
        };
        let wanted = |process: &HostProcess| match role {
            Role::Agent => process
                .argv
                .first()
                .is_some_and(|word| word.ends_with("keepalived")),
            Role::Service => process.argv.get(1).is_some_and(|word| word == "serve"),
            Role::Keeper | Role::Messaging => false,
        };
        node.processes().into_iter().filter(wanted).collect()
    }

    fn leader(&self) -> Option<usize> {
        None
    }

    /// Stops the daemon, which tells its peer (priority 0): what operators of keepalived do.
    fn switch_over(&mut self, from: usize, _to: usize) -> Result<()> {
        self.lab
            .nodes
            .get_mut(from)
            .map_or(Ok(()), |node| node.stop("keepalived"))
    }

    /// Stops and starts it, as its service unit does.
    fn restart_agent(&mut self, node: usize) -> Result<()> {
        let old = self.processes(node, Role::Agent);
        old.iter()
            .for_each(|process| signal(process.pid, Signal::TERM));
        let gone =
            |process: &HostProcess| !PathBuf::from(format!("/proc/{}", process.pid)).exists();
        for _ in 0..500 {
            if old.iter().all(gone) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        self.start()
    }

    fn handicap(&mut self, _handicap: Handicap) -> Result<()> {
        Ok(())
    }

    fn remove_guards(&mut self, _node: usize) -> Result<()> {
        Ok(())
    }

    fn unsettled(&self, answering: usize) -> Option<String> {
        if answering != 0 {
            return Some(
                "the node with the highest priority, which takes the address back by default"
                    .to_owned(),
            );
        }
        (0..self.lab.nodes.len()).find_map(|index| {
            let missing = [Role::Agent, Role::Service]
                .into_iter()
                .find(|role| self.processes(index, *role).is_empty())?;
            Some(format!("node {index} has no {missing:?}"))
        })
    }

    fn status(&self, _node: usize) -> String {
        String::new()
    }
}
