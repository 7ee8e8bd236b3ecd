//! Memory and processor time of one agent. Not for the service or for keepers, which are listed apart.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{LabError, Result};
use crate::system::{Role, System};

/// USER_HZ: what proc(5) counts in, the same on every Linux machine we run on.
const TICKS_PER_SECOND: u64 = 100;

/// What one agent needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// The node.
    pub node: String,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it runs the service.
    pub primary: bool,
    /// Share of one core over the time watched, in percent.
    pub cpu_percent: f64,
    /// Proportional set size. Agents of other nodes share its program here, which they would not on machines of their own: see `pss_alone_kib`.
    pub pss_kib: u64,
    /// Resident set size: an upper bound of the proportional one.
    pub rss_kib: u64,
    /// Proportional set size of all its keepers together.
    pub keepers_pss_kib: u64,
    /// Proportional set size after all other nodes were switched off; only measured on the primary.
    pub pss_alone_kib: Option<u64>,
}

/// Watches the idle agents of `system` for `time`. `primary` runs the service. All other nodes are off afterwards.
///
/// # Errors
/// When an agent is gone.
pub fn measure(system: &mut dyn System, primary: usize, time: Duration) -> Result<Vec<Usage>> {
    let agents: Vec<u32> = (0..system.lab().nodes.len())
        .map(
            |node| match system.processes(node, Role::Agent).as_slice() {
                [agent] => Ok(agent.pid),
                other => Err(LabError::Unexpected(format!(
                    "{} agents on node {node}",
                    other.len()
                ))),
            },
        )
        .collect::<Result<_>>()?;
    let before = agents
        .iter()
        .map(|pid| ticks(*pid))
        .collect::<Result<Vec<_>>>()?;
    std::thread::sleep(time);
    let leader = system.leader();
    let mut usages = Vec::new();
    for (node, (pid, before)) in agents.iter().zip(&before).enumerate() {
        let used = ticks(*pid)?.saturating_sub(*before);
        let used = Duration::from_millis(used.saturating_mul(1000) / TICKS_PER_SECOND);
        let keepers = system.processes(node, Role::Keeper);
        usages.push(Usage {
            node: system
                .lab()
                .nodes
                .get(node)
                .map(|host| host.name().to_owned())
                .unwrap_or_default(),
            leads: leader == Some(node),
            primary: node == primary,
            cpu_percent: 100.0 * used.as_secs_f64() / time.as_secs_f64(),
            pss_kib: memory(*pid, "Pss:")?,
            rss_kib: memory(*pid, "Rss:")?,
            keepers_pss_kib: keepers
                .iter()
                .map(|keeper| memory(keeper.pid, "Pss:"))
                .sum::<Result<u64>>()?,
            pss_alone_kib: None,
        });
    }
    let others: Vec<usize> = (0..agents.len()).filter(|node| *node != primary).collect();
    system.lab_mut().power_off(&others)?;
    if let (Some(usage), Some(pid)) = (usages.get_mut(primary), agents.get(primary)) {
        usage.pss_alone_kib = Some(memory(*pid, "Pss:")?);
    }
    Ok(usages)
}

fn read(pid: u32, what: &str) -> Result<String> {
    let file = PathBuf::from(format!("/proc/{pid}/{what}"));
    std::fs::read_to_string(&file).map_err(|error| LabError::file("read", &file, error))
}

/// User and system time so far, of all threads; proc(5), fields 14 and 15, which follow the parenthesis of the name.
fn ticks(pid: u32) -> Result<u64> {
    let stat = read(pid, "stat")?;
    let after = stat
        .rsplit_once(')')
        .map(|(_, after)| after)
        .unwrap_or_default();
    let fields: Vec<&str> = after.split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|value| value.parse::<u64>().ok());
    match (field(11), field(12)) {
        (Some(user), Some(kernel)) => Ok(user.saturating_add(kernel)),
        _ => Err(LabError::Unexpected(format!(
            "/proc/{pid}/stat is not understood"
        ))),
    }
}

/// One figure of smaps_rollup, in KiB.
fn memory(pid: u32, name: &str) -> Result<u64> {
    let rollup = read(pid, "smaps_rollup")?;
    let value = rollup.lines().find_map(|line| line.strip_prefix(name));
    value
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| LabError::Unexpected(format!("/proc/{pid}/smaps_rollup has no {name}")))
}
