//! A service that hangs in the kernel: its file system is frozen while it writes, so that nothing ends it, SIGKILL included. Three
//! machines in a row, alpha, beta and gamma; gamma is a witness. Not for a kernel that hangs as a whole (`watchdog`, `pair`).

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    board::{Board, PASSWORD},
    checks::{Place, disk},
    error::{Result, unexpected},
    machine::Hardware,
    node::{Node, PATIENCE},
    wires,
};

/// Port of alpha's board on 127.0.0.1, below those that the kernel gives away by itself.
const PORT: u16 = 27_625;
/// From the decision to cut alpha's power, or from the end of its lease, until that has happened, by plain emulation on a busy machine.
const TAKES: Duration = Duration::from_secs(120);
/// So long nothing may start elsewhere although alpha's lease is over, and nothing may cut its power.
const BLOCKED: Duration = Duration::from_secs(25);

/// Three emulated machines stand still for seconds where they share a busy processor.
const CLUSTER: &str = "[cluster]\nname = \"machines\"\nprofile = \"wan\"\nfence_action = \"off\"\n[timing]\nheartbeat_ms = 500\n\
                       lease_ms = 8000\nleadership_ms = 3000\nelection_min_ms = 3500\nelection_max_ms = 5000\n";

/// Writes where alpha has a file system of its own, all the time.
const SERVICE: &str = "[\"/bin/sh\", \"-c\", \"while :; do echo >/srv/beat; sleep 0.2; done\"]";
const SERVICE_PATTERN: &str = "^/bin/sh -c while :; do echo >/srv/bea[t]";
/// Whether it has written lately. Reading is no part of what hangs.
const FRESH: &str = "test $(($(date +%s) - $(stat -c %Y /srv/beat))) -lt 8\n";
/// What `status` says of it on every node.
const NOT_CONFIRMED: &str =
    "OUTAGE: site is not running, because the stop of web on alpha is not confirmed";

/// The machines; alpha's board ends first.
struct Three {
    _board: Board,
    alpha: Node,
    beta: Node,
    gamma: Node,
}

fn hardware(name: &str, parts: &[Vec<String>]) -> Hardware {
    Hardware {
        name: name.to_owned(),
        devices: parts.concat(),
    }
}

fn configuration(on_stop_failure: &str) -> String {
    let device = format!(
        "[fence.ipmi-alpha]\nagent = \"fence_ipmilan\"\nnodes = [\"alpha\"]\n\
         parameters = {{ ip = \"10.0.2.2\", ipport = {PORT}, username = \"admin\", lanplus = true, cipher = 3, \
         power_wait = 0, password = {{ secret_file = \"/etc/standfast/ipmi\" }} }}\n"
    );
    format!(
        "{CLUSTER}[nodes.alpha]\naddresses = [\"10.88.0.1:7400\"]\n\
         [nodes.beta]\naddresses = [\"10.88.0.2:7400\"]\n\
         [nodes.gamma]\naddresses = [\"10.88.1.3:7400\"]\n{device}\
         [groups.site]\nmembers = [\"web\"]\nprefer = [\"alpha\"]\n\
         [resources.web]\nkind = \"process\"\ncommand = {SERVICE}\nstop_timeout_ms = 1000\n\
         on_stop_failure = \"{on_stop_failure}\"\n\
         health = {{ exec = [\"/bin/sh\", \"/run/fresh.sh\"], timeout_ms = 10000 }}\n"
    )
}

fn make(place: &Place, name: &str) -> Result<Three> {
    let folder = &place.folder.join(name);
    std::fs::create_dir_all(folder).map_err(crate::error::file(folder))?;
    let disk = folder.join("alpha.disk");
    disk::make_disk(&disk)?;
    let drive = format!("file={},if=virtio,format=raw", disk.display());
    let own = vec!["-drive".to_owned(), drive];
    let wire = |name, sides| wires::wire(folder, name, sides).to_vec();
    let place = &Place {
        folder: folder.clone(),
        image: place.image.clone(),
        program: place.program.clone(),
    };
    let (west, east) = (wire("west", (1, 0)), wire("east", (1, 2)));
    let mut alpha = Node::boot(place, &hardware("alpha", &[wire("east", (0, 1)), own]))?;
    let beta = hardware("beta", &[west, east, wires::boards(1).to_vec()]);
    let mut beta = Node::boot(place, &beta)?;
    let gamma = hardware("gamma", &[wire("west", (2, 1)), wires::boards(2).to_vec()]);
    let mut gamma = Node::boot(place, &gamma)?;
    let board = Board::start(folder, "alpha", alpha.machine.emulator(), PORT)?;
    // Beta is between the two others.
    for (node, network) in [
        (
            &mut alpha,
            "ip address add 10.88.0.1/24 dev eth0; ip link set eth0 up; ip route add 10.88.1.0/24 via 10.88.0.2; mount -t ext4 /dev/vda /srv",
        ),
        (
            &mut beta,
            "ip address add 10.88.0.2/24 dev eth0; ip link set eth0 up; ip address add 10.88.1.2/24 dev eth1; ip link set eth1 up; \
             echo 1 >/proc/sys/net/ipv4/ip_forward; ip address add 10.0.2.15/24 dev eth2; ip link set eth2 up",
        ),
        (
            &mut gamma,
            "ip address add 10.88.1.3/24 dev eth0; ip link set eth0 up; ip route add 10.88.0.0/24 via 10.88.1.2; \
             ip address add 10.0.2.15/24 dev eth1; ip link set eth1 up",
        ),
    ] {
        node.machine.ok(&format!("set -e; {network}"))?;
        node.write("/run/fresh.sh", FRESH)?;
        node.write("/etc/standfast/ipmi", PASSWORD)?;
        node.machine.ok("chmod 600 /etc/standfast/ipmi")?;
    }
    let mut three = Three {
        _board: board,
        alpha,
        beta,
        gamma,
    };
    three.form()?;
    Ok(three)
}

impl Three {
    /// A cluster of the three, with the service on alpha.
    fn form(&mut self) -> Result<()> {
        let Self {
            alpha, beta, gamma, ..
        } = self;
        alpha.ok("init --name alpha --address 10.88.0.1:7400 --cluster machines 2>&1")?;
        alpha.start_agent("--metrics off")?;
        // The others come with the times that such a machine can keep.
        alpha.apply(&format!(
            "{CLUSTER}[nodes.alpha]\naddresses = [\"10.88.0.1:7400\"]\n"
        ))?;
        let let_in = [
            (&mut *beta, "join --name beta --address 10.88.0.2:7400"),
            (&mut *gamma, "witness --name gamma --address 10.88.1.3:7400"),
        ];
        for (node, how) in let_in {
            let token = alpha.standfast("token");
            let token = alpha.machine.until(&token, PATIENCE)?;
            node.write("/run/token", token.trim())?;
            node.ok(&format!("{how} --token-file /run/token 2>&1"))?;
            node.start_agent("--metrics off")?;
        }
        alpha.apply(&configuration("block"))?;
        for node in [alpha, beta, gamma] {
            node.until_status("All well")?;
        }
        Ok(())
    }

    /// Freezes the file system under the service; returns when `status` says on beta that its stop is not confirmed.
    fn hang(&mut self) -> Result<()> {
        // It is there from the start, unless the machines stood still for longer than a lease.
        let back = self.alpha.standfast("switchover site --to alpha");
        let writes = format!(
            "grep -q ' /srv ext4 ' /proc/mounts && {{ test -e /srv/beat || {{ {back} 2>&1; false; }}; }}"
        );
        self.alpha.machine.until(&writes, PATIENCE)?;
        self.alpha.machine.ok("fsfreeze --freeze /srv")?;
        self.beta.until_status(NOT_CONFIRMED)
    }

    /// The service is there on alpha, waits in the kernel for something that no signal ends, and runs nowhere else.
    fn is_stuck(&mut self) -> Result<()> {
        let state = format!("ps -o stat=,args= -p \"$(pgrep -f '{SERVICE_PATTERN}')\"");
        let state = self.alpha.machine.run(&state)?.text;
        if !state.trim_start().starts_with('D') {
            return unexpected(format!(
                "the service does not hang in the kernel: {state:?}"
            ));
        }
        for node in [&mut self.beta, &mut self.gamma] {
            if !node.processes(SERVICE_PATTERN)?.is_empty() {
                return unexpected("the service runs elsewhere, and alpha has not ended");
            }
        }
        Ok(())
    }

    /// The service runs on beta; how long after `ended` it began there.
    fn starts_after(&mut self, ended: Instant) -> Result<Duration> {
        let running = format!("pgrep -f '{SERVICE_PATTERN}'");
        let status = self.beta.standfast("status 2>&1");
        let or_status = format!("{running} || {{ {status}; false; }}");
        self.beta.machine.until(&or_status, TAKES)?;
        // Field 22 of the kernel's line is its start in ticks, of which a second has 100; two fields end with the parenthesis.
        let began = format!("cut -d ')' -f 2 /proc/$({running} | head -1)/stat | cut -d ' ' -f 21");
        let began = self.beta.machine.ok(&began)?;
        let Ok(began) = began.trim().parse::<u64>() else {
            return unexpected(format!("the service began at {began:?}"));
        };
        let age = Duration::from_millis(self.beta.uptime()?.saturating_sub(began * 10));
        let since = ended.elapsed();
        if age > since {
            return unexpected(format!(
                "the service began on beta {:.1} s ago, and alpha ended {:.1} s ago",
                age.as_secs_f64(),
                since.as_secs_f64()
            ));
        }
        Ok(since.saturating_sub(age))
    }
}

pub(super) fn fenced(place: &Place) -> Result<String> {
    let mut three = make(place, "hung-fenced")?;
    three.hang()?;
    three.is_stuck()?;
    thread::sleep(BLOCKED);
    three.is_stuck()?;
    three.beta.until_status(NOT_CONFIRMED)?;
    let began = Instant::now();
    three.beta.apply(&configuration("fence"))?;
    let off = three.alpha.machine.wait_off(TAKES)?;
    let started = three.starts_after(off)?;
    let history = three.beta.ok("fence history 2>&1")?;
    if !(history.contains("alpha") && history.contains("the stop of web is not confirmed")) {
        return unexpected(format!("fence history says {history}"));
    }
    Ok(format!(
        "blocked for {} s and started nowhere else; with on_stop_failure = \"fence\" alpha lost its power after {:.1} s, and {:.1} s later the service started on beta",
        BLOCKED.as_secs(),
        off.saturating_duration_since(began).as_secs_f64(),
        started.as_secs_f64()
    ))
}
