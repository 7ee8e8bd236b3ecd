//! A pair of Standfast as a system under test: two nodes and no third voter. Its arbiter are management boards that speak real IPMI, driven by
//! `fence_ipmilan` on the nodes; they cut the power of a node and give it back. Or a ping target: the gateway of the client network, which no cut
//! between the nodes keeps from either. Not for clusters with voters (`standfast_system`).

use std::time::{Duration, Instant};

use crate::bmc::Boards;
use crate::error::{LabError, Result};
use crate::fault::{Expected, Fault};
use crate::lab::Lab;
use crate::processes::HostProcess;
use crate::standfast_system::{Arbiter, Standfast};
use crate::system::{FenceSeen, Handicap, Role, System};

/// What the agent that has the other one fenced logs, before and after the time that it took; and what one adds that found it off.
const CONFIRMED: [&str; 2] = [", as its fence device says, after ", " s"];
const ALREADY: &str = " is off already";

/// Agents on two hosts, and a board for each.
#[derive(Debug)]
pub struct Pair {
    inner: Standfast,
    /// None where ping targets are the arbiter.
    boards: Option<Boards>,
    /// How much every node had logged when the trial began.
    marks: Vec<usize>,
    /// Since then a board has given a machine its power back.
    power_back: bool,
    /// A fault is being watched.
    watched: bool,
    /// When an operator looked last whether there is something to choose.
    looked: Instant,
}

/// An operator looks so often.
const LOOKS: Duration = Duration::from_secs(1);

impl Pair {
    /// Makes the hosts of `lab` a pair with `profile` and that arbiter, a board for each if it is one, and gives it the service.
    ///
    /// # Errors
    /// When the lab has not two nodes or no networks of its own, or a command of Standfast fails.
    pub fn deploy(lab: Lab, profile: &str, arbiter: Arbiter) -> Result<Self> {
        if lab.nodes.len() != 2 {
            let text = format!("a pair of {} nodes", lab.nodes.len());
            return Err(LabError::Unexpected(text));
        }
        let inner = Standfast::deploy_pair(lab, profile, arbiter)?;
        let mut boards = None;
        if arbiter == Arbiter::Fence {
            let started = Boards::start(inner.lab())?;
            let mut text = inner.configuration();
            text.push_str("[pair]\narbiter = \"fence\"\n");
            text.push_str(&started.configuration(inner.lab())?);
            let file = inner.file_of(0, "pair.toml", &text)?;
            inner.ask_anything(0, &["apply", &file])?;
            boards = Some(started);
        }
        Ok(Self {
            inner,
            boards,
            marks: Vec::new(),
            power_back: false,
            watched: false,
            looked: Instant::now(),
        })
    }

    /// Where both went on alone and met again, an operator chooses: the copy of the one that is primary no more is given up. Not while
    /// a fault is watched.
    fn choose(&mut self) {
        if self.boards.is_some() || self.watched || self.looked.elapsed() < LOOKS {
            return;
        }
        self.looked = Instant::now();
        let says = |view: &serde_json::Value, key: &str, what: &str| {
            view.get(key).and_then(serde_json::Value::as_str) == Some(what)
        };
        let given_up = (0..self.lab().nodes.len()).find(|index| {
            let view = self.view(*index);
            view.is_some_and(|view| {
                says(&view, "state", "diverged") && !says(&view, "role", "primary")
            })
        });
        if let Some(index) = given_up {
            drop(self.inner.ask_anything(index, &["pair", "rebuild"]));
        }
    }

    /// The pair as the agent of node `index` knows it.
    fn view(&self, index: usize) -> Option<serde_json::Value> {
        let printed = self.inner.ask_anything(index, &["pair", "show", "--json"]);
        serde_json::from_str(&printed.ok()?).ok()
    }
}

/// The newest line that says that a machine is off: milliseconds that it took, and whether it was off already.
fn confirmed(log: &str) -> Option<(f64, bool)> {
    let [before, after] = CONFIRMED;
    let line = log.lines().rfind(|line| line.contains(before))?;
    let (start, rest) = line.split_once(before)?;
    let (seconds, _) = rest.split_once(after)?;
    Some((
        seconds.parse::<f64>().ok()? * 1000.0,
        start.ends_with(ALREADY),
    ))
}

impl System for Pair {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn lab(&self) -> &Lab {
        self.inner.lab()
    }

    fn lab_mut(&mut self) -> &mut Lab {
        self.inner.lab_mut()
    }

    fn supports(&self, fault: Fault) -> bool {
        self.inner.supports(fault) && !fault.needs_three_nodes()
    }

    fn expected(&self, fault: Fault) -> Expected {
        if self.boards.is_some() {
            fault.expected_of_a_pair()
        } else {
            fault.expected_with_ping_targets()
        }
    }

    fn fences(&self) -> bool {
        self.boards.is_some()
    }

    fn start(&mut self) -> Result<()> {
        if let Some(boards) = &self.boards {
            boards.note(self.inner.lab())?;
        }
        self.watched = false;
        self.inner.start()
    }

    fn tend(&mut self) -> Result<()> {
        self.choose();
        let Some(boards) = &mut self.boards else {
            return Ok(());
        };
        if boards.tend(self.inner.lab_mut())? {
            self.power_back = true;
            self.inner.start()?;
        }
        Ok(())
    }

    fn mark(&mut self) {
        self.power_back = false;
        self.watched = true;
        let logged = |index| self.inner.agent_log(index).map_or(0, |log| log.len());
        self.marks = (0..self.lab().nodes.len()).map(logged).collect();
    }

    fn fence_seen(&self) -> Option<FenceSeen> {
        let newest = |(index, mark): (usize, &usize)| {
            let log = self.inner.agent_log(index).ok()?;
            confirmed(log.get(*mark..)?)
        };
        let (took_ms, already) = self.marks.iter().enumerate().find_map(newest)?;
        Some(FenceSeen {
            took_ms,
            already,
            power_back: self.power_back,
        })
    }

    fn processes(&self, node: usize, role: Role) -> Vec<HostProcess> {
        self.inner.processes(node, role)
    }

    fn leader(&self) -> Option<usize> {
        self.inner.leader()
    }

    fn switch_over(&mut self, from: usize, _to: usize) -> Result<()> {
        self.inner.ask_anything(from, &["pair", "swap"]).map(|_| ())
    }

    fn restart_agent(&mut self, node: usize) -> Result<()> {
        self.inner.restart_agent(node)
    }

    fn handicap(&mut self, handicap: Handicap) -> Result<()> {
        self.inner.handicap(handicap)
    }

    fn remove_guards(&mut self, node: usize) -> Result<()> {
        self.inner.remove_guards(node)
    }

    fn unsettled(&self, answering: usize) -> Option<String> {
        let primary = self.lab().nodes.get(answering).map(|host| host.name());
        (0..self.lab().nodes.len()).find_map(|index| {
            let Some(view) = self.view(index) else {
                return Some(format!("node {index}: an agent that answers"));
            };
            let text = |key: &str| view.get(key).and_then(serde_json::Value::as_str);
            if text("state") != Some("normal") {
                return Some(format!(
                    "node {index}: {}",
                    text("sentence").unwrap_or_default()
                ));
            }
            (text("primary") != primary).then(|| format!("node {index}: the same primary"))
        })
    }

    fn forget_failures(&self) {
        self.inner.forget_failures();
    }

    /// Of the one that is asked for when the service has ended: the other one's agent may be what was stopped.
    fn status(&self, node: usize) -> String {
        let other = (0..self.lab().nodes.len()).find(|index| *index != node);
        self.inner.status(other.unwrap_or(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_confirmed_fence_counts() {
        let log = "2026-01-01T00:00:00Z  WARN x: beta is off already, as its fence device says, after 1.250 s\nmore\n\
                   2026-01-01T00:00:09Z  WARN x: beta is off, as its fence device says, after 0.512 s\nmore\n";
        assert_eq!(confirmed(log), Some((512.0, false)));
        assert_eq!(
            confirmed(log.get(..100).unwrap_or_default()),
            Some((1250.0, true))
        );
        assert_eq!(confirmed("beta is lost: its power is being cut\n"), None);
    }
}
