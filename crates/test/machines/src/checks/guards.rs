//! The guards on Debian's own kernel: whoever stops both the agent and the keepers leaves the kernel alone with the lease, and
//! it ends what the service sends and the addresses that it has by the deadline. Not for what is done after that.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    checks::Place,
    error::{Result, unexpected},
    machine::Hardware,
    node::{Node, PATIENCE},
};

/// Length of a lease under the profile that [`Node::serve_alone`] chooses.
const LEASE_MS: u64 = 4000;
/// The kernel counts addresses' ends in ticks, and `/proc/uptime` shows hundredths of a second.
const COARSE_MS: u64 = 50;
/// The lease has been over for so long when it is looked what was answered.
const AFTER_MS: u64 = 2000;

/// What is asked at, from another network namespace: two addresses of the cluster, behind which a program answers that is
/// none of the cluster's.
const ADDRESSES: [&str; 2] = ["10.77.0.100:7001", "fd77::100:7001"];
/// The cluster's service, at an address that is not the cluster's.
const SERVICE: &str = "10.77.0.1:7000";
/// Neither: it has to answer all the time.
const BYSTANDER: &str = "10.77.0.1:7001";

const NETWORK: &str = "ip netns add client
ip link add sf0 type veth peer name eth0 netns client
ip address add 10.77.0.1/24 dev sf0
ip address add fd77::1/64 dev sf0 nodad
ip link set sf0 up
ip -n client address add 10.77.0.2/24 dev eth0
ip -n client address add fd77::2/64 dev eth0 nodad
ip -n client link set eth0 up
";
const ECHO: &str = include_str!("../guest/echo.py");
const ASK: &str = include_str!("../guest/ask.py");

pub(super) fn guards(place: &Place) -> Result<String> {
    let hardware = Hardware {
        name: "guards".to_owned(),
        ..Hardware::default()
    };
    let mut node = Node::boot(place, &hardware)?;
    for (file, text) in [("network", NETWORK), ("echo.py", ECHO), ("ask.py", ASK)] {
        node.write(&format!("/run/{file}"), text)?;
    }
    node.machine.ok("sh -e /run/network")?;
    let places = [&ADDRESSES[..], &[SERVICE, BYSTANDER]].concat().join(" ");
    node.in_background("python3 /run/echo.py 7001")?;
    node.in_background(&format!(
        "ip netns exec client python3 /run/ask.py /run/answers {places}"
    ))?;
    node.serve_alone_with(
        "--metrics off",
        &["/usr/bin/python3", "/run/echo.py", "7000"],
        &["10.77.0.100/24", "fd77::100/64"],
    )?;
    let status = node.standfast("status");
    let offered = format!("{status} | grep -E '^ +alpha +online .* all$'");
    node.machine.until(&offered, PATIENCE)?;

    let running = node.uptime()?;
    all_answer(&mut node, running)?;
    let programs = "$(pgrep -f '/standfast [a]gent ') $(pgrep -f '[k]eeper /run/standfast')";
    node.machine.ok(&format!("kill -STOP {programs}"))?;
    let stopped = node.uptime()?;
    let end = stopped + LEASE_MS;
    let answered = until_answer(&mut node, BYSTANDER, end + AFTER_MS)?;
    for guarded in [ADDRESSES[0], ADDRESSES[1], SERVICE] {
        let last = answered.get(guarded).copied().unwrap_or_default();
        if last > end + COARSE_MS {
            return unexpected(format!(
                "{guarded} answered what was asked {} ms after the lease was over",
                last - end
            ));
        }
    }
    if node.processes("^/usr/bin/python3 /run/ech[o]")?.is_empty() {
        return unexpected("the service was ended, so that nothing is known of its network guard");
    }
    // The kernel counts these in whole seconds.
    let gone = "! ip -o address show | grep -e 10.77.0.100/ -e fd77::100/";
    node.machine.until(gone, PATIENCE)?;

    node.machine.ok(&format!("kill -CONT {programs}"))?;
    let resumed = node.uptime()?;
    all_answer(&mut node, resumed)?;
    node.until_status("All well")?;
    Ok(
        "the kernel offers all guards; with agent and keepers stopped it shut addresses and service by the lease's end"
            .to_owned(),
    )
}

/// Waits until each place has answered what was asked after that time.
fn all_answer(node: &mut Node, after: u64) -> Result<()> {
    for place in [ADDRESSES[0], ADDRESSES[1], SERVICE, BYSTANDER] {
        until_answer(node, place, after)?;
    }
    Ok(())
}

/// Waits until a place has answered what was asked after that time, and says when what each has answered last was asked.
fn until_answer(node: &mut Node, place: &str, after: u64) -> Result<BTreeMap<String, u64>> {
    let began = Instant::now();
    loop {
        let text = node.machine.run("cat /run/answers")?.text;
        let answered = text.lines().filter_map(|line| {
            let (place, sent) = line.split_once(' ')?;
            Some((place.to_owned(), sent.trim().parse().ok()?))
        });
        let answered: BTreeMap<String, u64> = answered.collect();
        if answered.get(place).is_some_and(|sent| *sent > after) {
            return Ok(answered);
        }
        if began.elapsed() > PATIENCE {
            let log = node.machine.run("tail -5 /run/agent.log /run/out")?.text;
            return unexpected(format!(
                "{place} answered nothing that was asked after {after} ms: {answered:?}; {log}"
            ));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}
