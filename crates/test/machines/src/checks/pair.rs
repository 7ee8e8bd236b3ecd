//! A pair of emulated machines, each with a management board: what its network loses and delays, and a primary whose kernel
//! stands still.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{
    board::{Board, PASSWORD},
    checks::Place,
    error::{Result, unexpected},
    machine::Hardware,
    node::{Node, PATIENCE},
    wires,
};

/// Ports of the boards on 127.0.0.1, below those that the kernel gives away by itself.
const PORTS: [u16; 2] = [27_623, 27_624];
const NAMES: [&str; 2] = ["alpha", "beta"];
/// From the panic to a service that runs on the other machine, on a busy machine by plain emulation.
const TAKES: Duration = Duration::from_secs(120);
/// The network is bad for so long.
const BAD: Duration = Duration::from_secs(30);

/// The service, and the pattern that finds it.
const SERVICE: &str = "[\"/bin/sleep\", \"86397\"]";
const SERVICE_PATTERN: &str = "^/bin/sleep 8639[7]";

/// Two interfaces: a wire to the other machine, and the way to the boards.
fn hardware(folder: &Path, index: usize) -> Hardware {
    let sides = if index == 0 { (0, 1) } else { (1, 0) };
    let devices = [wires::wire(folder, "wire", sides), wires::boards(sides.0)];
    Hardware {
        name: NAMES.get(index).copied().unwrap_or_default().to_owned(),
        devices: devices.concat(),
    }
}

fn configuration() -> String {
    let mut text = format!(
        "[cluster]\nname = \"machines\"\nprofile = \"wan\"\nfence_action = \"off\"\n\
         [pair]\narbiter = \"fence\"\nkeep_alive_ms = 300\nmisses = 4\ndowntime_ms = 4000\n\
         [groups.site]\nmembers = [\"ip\", \"web\"]\n\
         [resources.ip]\nkind = \"vip\"\naddresses = [\"10.88.0.100/24\"]\n\
         [resources.web]\nkind = \"process\"\ncommand = {SERVICE}\n"
    );
    for (index, (name, port)) in NAMES.iter().zip(PORTS).enumerate() {
        text.push_str(&format!(
            "[nodes.{name}]\naddresses = [\"10.88.0.{}:7400\"]\n\
             [fence.ipmi-{name}]\nagent = \"fence_ipmilan\"\nnodes = [\"{name}\"]\n\
             parameters = {{ ip = \"10.0.2.2\", ipport = {port}, username = \"admin\", lanplus = true, cipher = 3, \
             power_wait = 0, password = {{ secret_file = \"/etc/standfast/ipmi\" }} }}\n",
            index + 1
        ));
    }
    text
}

/// The pair, and its boards, which end first.
struct Pair {
    boards: Vec<Board>,
    nodes: Vec<Node>,
}

fn make(place: &Place) -> Result<Pair> {
    let mut pair = Pair {
        boards: Vec::new(),
        nodes: Vec::new(),
    };
    for (index, (name, port)) in NAMES.iter().zip(PORTS).enumerate() {
        let mut node = Node::boot(place, &hardware(&place.folder, index))?;
        let board = Board::start(&place.folder, name, node.machine.emulator(), port)?;
        pair.boards.push(board);
        let own = index + 1;
        node.machine.ok(&format!(
            "set -e; ip link set eth0 up; ip address add 10.88.0.{own}/24 dev eth0; \
             ip link set eth1 up; ip address add 10.0.2.15/24 dev eth1"
        ))?;
        node.write("/etc/standfast/ipmi", PASSWORD)?;
        node.machine.ok("chmod 600 /etc/standfast/ipmi")?;
        pair.nodes.push(node);
    }
    let [alpha, beta] = pair.nodes.as_mut_slice() else {
        return unexpected("not two");
    };
    alpha.ok("init --name alpha --address 10.88.0.1:7400 --cluster machines --pair beta --arbiter fence 2>&1")?;
    alpha.start_agent("--metrics off")?;
    let token = alpha.standfast("token");
    let token = alpha.machine.until(&token, PATIENCE)?;
    beta.write("/run/token", token.trim())?;
    beta.ok("join --name beta --address 10.88.0.2:7400 --token-file /run/token 2>&1")?;
    beta.start_agent("--metrics off")?;
    alpha.apply(&configuration())?;
    alpha.until_status("The pair runs normally: alpha is primary")?;
    // The service is the last of the group.
    let running = format!("pgrep -f '{SERVICE_PATTERN}'");
    alpha.machine.until(&running, PATIENCE)?;
    Ok(pair)
}

pub(super) fn pair(place: &Place) -> Result<String> {
    let mut pair = make(place)?;
    let [alpha, beta] = pair.nodes.as_mut_slice() else {
        return unexpected("not two");
    };
    // Asked now, so that what follows is not a board that never worked.
    beta.ok("fence test alpha 2>&1")?;
    let before = alpha.processes(SERVICE_PATTERN)?;
    if before.len() != 1 {
        return unexpected(format!("the service runs {} times", before.len()));
    }
    for node in [&mut *alpha, &mut *beta] {
        node.machine
            .ok("tc qdisc add dev eth0 root netem delay 40ms 20ms loss 5%")?;
    }
    thread::sleep(BAD);
    let dropped = alpha.machine.ok("tc -s qdisc show dev eth0")?;
    for node in [&mut *alpha, &mut *beta] {
        node.until_status("The pair runs normally: alpha is primary")?;
        node.machine.ok("tc qdisc del dev eth0 root")?;
    }
    if alpha.processes(SERVICE_PATTERN)? != before {
        return unexpected(format!("loss and delay moved the service: {dropped}"));
    }
    let mut words = dropped.split(|letter: char| !letter.is_ascii_alphanumeric());
    let count = words
        .find(|word| *word == "dropped")
        .and_then(|_| words.next());
    let Some(lost) = count.filter(|count| *count != "0") else {
        return unexpected(format!("nothing was lost: {dropped}"));
    };
    let lost = lost.to_owned();

    alpha.machine.ok("echo 0 >/proc/sys/kernel/panic")?;
    let began = Instant::now();
    alpha.machine.order("echo c >/proc/sysrq-trigger")?;
    let off = alpha.machine.wait_off(TAKES)?;
    let running = format!("pgrep -f '{SERVICE_PATTERN}' && ip -o address show | grep 10.88.0.100/");
    beta.machine.until(&running, TAKES)?;
    let took = began.elapsed();
    let history = beta.standfast("fence history 2>&1");
    let history = beta
        .machine
        .until(&format!("{history} | grep -F alpha"), PATIENCE)?;
    if !history.contains("off") {
        return unexpected(format!("fence history says {history}"));
    }
    Ok(format!(
        "nothing moved in {} s of a network that lost {lost} packets one way and delayed all; a primary that had panicked lost its power after {:.1} s, and the service ran again after {:.1} s",
        BAD.as_secs(),
        off.saturating_duration_since(began).as_secs_f64(),
        took.as_secs_f64()
    ))
}
