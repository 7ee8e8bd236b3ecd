//! The hardware watchdog: an emulated i6300ESB, which resets the machine unless somebody feeds it.

use std::time::{Duration, Instant};

use crate::{
    checks::Place,
    error::{Result, unexpected},
    machine::Hardware,
    node::{Node, PATIENCE},
};

/// Time of the watchdog. Long enough for an agent to come back by plain emulation.
const TIMEOUT: Duration = Duration::from_secs(6);
const AGENT: &str = "--watchdog /dev/watchdog --watchdog-timeout-ms 6000 --metrics off";
/// So much longer a reset may take: emulated time is slower than ours on a busy machine.
const LATE: Duration = Duration::from_secs(45);
/// What the service is.
const SERVICE: &[&str] = &["/bin/sleep", "86399"];
const SERVICE_PATTERN: &str = "^/bin/sleep 8639[9]";

fn serving(place: &Place, name: &str, devices: &[&str], service: &[&str]) -> Result<Node> {
    let devices = ["-device", "i6300esb"].iter().chain(devices);
    let hardware = Hardware {
        name: name.to_owned(),
        devices: devices.map(|part| (*part).to_owned()).collect(),
    };
    let mut node = Node::boot(place, &hardware)?;
    node.serve_alone(AGENT, service)?;
    node.until_status("all, watchdog 6 s")?;
    Ok(node)
}

/// Nothing has reset the machine within more than the watchdog's time.
fn survives(node: &Node, what: &str) -> Result<()> {
    if node
        .machine
        .monitor
        .wait("WATCHDOG", TIMEOUT + Duration::from_secs(3))
        .is_ok()
    {
        return unexpected(format!("{what}: the watchdog reset the machine"));
    }
    Ok(())
}

/// The watchdog resets the machine, which then comes up again.
fn resets(node: &mut Node, since: Instant) -> Result<Duration> {
    let at = node.machine.monitor.wait("WATCHDOG", TIMEOUT + LATE)?;
    node.machine.wait_ready()?;
    Ok(at.saturating_duration_since(since))
}

pub(super) fn short(place: &Place) -> Result<String> {
    let mut node = serving(place, "short", &[], SERVICE)?;
    node.signal_agent("KILL")?;
    survives(&node, "an agent was killed and came back")?;
    node.until_status("All well")?;
    node.signal_agent("STOP")?;
    let took = resets(&mut node, Instant::now())?;
    Ok(format!(
        "reset {:.1} s after its agent was stopped",
        took.as_secs_f64()
    ))
}

pub(super) fn agent_stopped(place: &Place) -> Result<String> {
    let mut node = serving(place, "agent-stopped", &[], SERVICE)?;
    let before = node.processes(SERVICE_PATTERN)?;
    node.ok("restart 2>&1")?;
    survives(&node, "the agent was restarted")?;
    node.until_status("All well")?;
    if node.processes(SERVICE_PATTERN)? != before || before.is_empty() {
        return unexpected("the service was started anew by a restart of the agent");
    }
    node.machine.ok("touch /run/down")?;
    node.signal_agent("TERM")?;
    node.machine
        .until("! pgrep -f '/standfast [a]gent '", PATIENCE)?;
    survives(&node, "the agent ended with nothing running")?;
    node.machine.ok("rm /run/down")?;
    node.start_agent(AGENT)?;
    node.until_status("All well")?;
    node.until_status("all, watchdog 6 s")?;
    node.signal_agent("STOP")?;
    let took = resets(&mut node, Instant::now())?;
    Ok(format!(
        "reset {:.1} s after its agent was stopped",
        took.as_secs_f64()
    ))
}

pub(super) fn kernel_frozen(place: &Place) -> Result<String> {
    let mut node = serving(place, "kernel-frozen", &[], SERVICE)?;
    // Without a time after which a panic reboots, the kernel stands still for good.
    node.machine.ok("echo 0 >/proc/sys/kernel/panic")?;
    node.machine.order("echo c >/proc/sysrq-trigger")?;
    let took = resets(&mut node, Instant::now())?;
    Ok(format!("reset {:.1} s after the panic", took.as_secs_f64()))
}
