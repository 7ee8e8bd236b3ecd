//! The hardware watchdog: an emulated i6300ESB, which resets the machine unless somebody feeds it.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::{
    checks::Place,
    error::{Result, file, unexpected},
    machine::Hardware,
    node::{Node, PATIENCE},
};

/// Time of the watchdog. Long enough for an agent to come back by plain emulation.
const TIMEOUT: Duration = Duration::from_secs(6);
const AGENT: &str = "--watchdog /dev/watchdog --watchdog-timeout-ms 6000 --metrics off";
/// What `status` says of it.
const WATCHED: &str = "all, watchdog 6 s";
/// So much longer a reset may take: emulated time is slower than ours on a busy machine.
const LATE: Duration = Duration::from_secs(45);
/// Where the program is that can be replaced.
const INSTALLED: &str = "/usr/sbin/standfast";
/// What the service is.
const SERVICE: &[&str] = &["/bin/sleep", "86399"];
const SERVICE_PATTERN: &str = "^/bin/sleep 8639[9]";

fn boot(place: &Place, name: &str) -> Result<Node> {
    let devices = ["-device", "i6300esb"];
    let hardware = Hardware {
        name: name.to_owned(),
        devices: devices.map(str::to_owned).into(),
    };
    Node::boot(place, &hardware)
}

fn serving(place: &Place, name: &str) -> Result<Node> {
    let mut node = boot(place, name)?;
    node.serve_alone(AGENT, SERVICE)?;
    node.until_status(WATCHED)?;
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
    let mut node = serving(place, "short")?;
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
    let mut node = serving(place, "agent-stopped")?;
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
    node.until_status(WATCHED)?;
    node.signal_agent("STOP")?;
    let took = resets(&mut node, Instant::now())?;
    Ok(format!(
        "reset {:.1} s after its agent was stopped",
        took.as_secs_f64()
    ))
}

/// What runs is an older program: another file, which knows the first feature level only. Then the newer one is put into its place, as a
/// package does, and `upgrade` is called.
pub(super) fn upgraded(place: &Place) -> Result<String> {
    let newer = place.folder.join("standfast-newer");
    fs::copy(&place.program, &newer).map_err(file(&newer))?;
    let mut node = boot(place, "upgraded")?;
    let older = node.program_is(INSTALLED);
    let links = format!("ln -s {older} {INSTALLED} && echo --feature-level 1 >/run/level");
    node.machine.ok(&links)?;
    let agent = format!("$(cat /run/level) {AGENT}");
    node.serve_alone(&agent, SERVICE)?;
    node.until_status(WATCHED)?;
    let before = node.processes(SERVICE_PATTERN)?;
    let newer = newer.display();
    let links = format!("ln -s {newer} /run/new && mv -T /run/new {INSTALLED} && : >/run/level");
    node.machine.ok(&links)?;
    let since = Instant::now();
    let said = node.ok("upgrade --again --json 2>&1")?;
    let took = since.elapsed();
    survives(&node, "the agent was upgraded")?;
    node.until_status("All well")?;
    node.until_status(WATCHED)?;
    let runs = "readlink /proc/$(pgrep -of '/standfast [a]gent ')/exe";
    let runs = node.machine.ok(runs)?;
    if !runs.contains("standfast-newer") {
        return unexpected(format!("{runs} runs after an upgrade that said {said}"));
    }
    if node.processes(SERVICE_PATTERN)? != before || before.is_empty() {
        return unexpected("the service was started anew by an upgrade of the agent");
    }
    node.signal_agent("STOP")?;
    resets(&mut node, Instant::now())?;
    Ok(format!(
        "upgraded in {:.1} s under a watchdog of {} s, which resets the machine of the newer agent too",
        took.as_secs_f64(),
        TIMEOUT.as_secs()
    ))
}

pub(super) fn kernel_frozen(place: &Place) -> Result<String> {
    let mut node = serving(place, "kernel-frozen")?;
    // Without a time after which a panic reboots, the kernel stands still for good.
    node.machine.ok("echo 0 >/proc/sys/kernel/panic")?;
    node.machine.order("echo c >/proc/sysrq-trigger")?;
    let took = resets(&mut node, Instant::now())?;
    Ok(format!("reset {:.1} s after the panic", took.as_secs_f64()))
}
