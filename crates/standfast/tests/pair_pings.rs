//! A pair with ping targets, with real agents, each in a network of its own behind a switch that is the gateway: the targets
//! are lost, the primary loses its power, and the other one all its networks. At no moment both run the service.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and says what it measured"
)]

mod machines;

use machines::{
    Machine, PATIENCE, runs_on,
    watch::{Watch, runs_in},
};
use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

const NORMAL: &str = "The pair runs normally";
const BEST_EFFORT: &str = "ping targets are best effort";

/// A switch with two ports, in a network of its own. Dropped, all of it is gone.
struct Switch {
    name: String,
}

impl Switch {
    fn new() -> Self {
        let name = format!("standfast-pings-{}", std::process::id());
        let switch = Self { name };
        let name = &switch.name;
        ip(&format!("netns add {name}"));
        switch.ip("link add lan type bridge forward_delay 0");
        switch.ip("link set lan up");
        switch.targets("add");
        for (port, host) in [("left", 1), ("right", 2)] {
            let end = switch.end(port);
            ip(&format!("netns add {end}"));
            switch.ip(&format!(
                "link add {port} type veth peer name eth0 netns {end}"
            ));
            switch.ip(&format!("link set {port} master lan up"));
            for line in [
                "link set lo up".to_owned(),
                format!("address add 10.92.0.{host}/24 dev eth0"),
                format!("address add fd92::{host}/64 dev eth0 nodad"),
                "link set eth0 up".to_owned(),
            ] {
                ip(&format!("-n {end} {line}"));
            }
        }
        switch
    }

    fn end(&self, port: &str) -> String {
        format!("{}-{port}", self.name)
    }

    fn ip(&self, line: &str) {
        ip(&format!("-n {} {line}", self.name));
    }

    /// The gateway and the other target are there (`add`), or are not (`delete`).
    fn targets(&self, what: &str) {
        self.ip(&format!("address {what} 10.92.0.254/24 dev lan"));
        let dad = if what == "add" { " nodad" } else { "" };
        self.ip(&format!("address {what} fd92::254/64 dev lan{dad}"));
    }

    fn port(&self, port: &str, state: &str) {
        self.ip(&format!("link set {port} {state}"));
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        for name in [self.end("left"), self.end("right"), self.name.clone()] {
            Command::new("ip")
                .args(["netns", "delete", &name])
                .status()
                .ok();
        }
    }
}

fn ip(line: &str) {
    let status = Command::new("ip").args(line.split(' ')).status();
    assert!(status.expect("ip").success(), "ip {line}");
}

fn start(machine: &mut Machine, boot: u32) {
    let id = format!("{}-{boot}", machine.name);
    machine.environment = vec![("STANDFAST_BOOT_ID".to_owned(), id)];
    machine.start();
}

fn both_normal(machines: [&Machine; 2]) {
    for machine in machines {
        machine.wait_for_status(NORMAL);
    }
}

/// Waits until the service runs there: how long that took.
fn until_it_runs(machine: &Machine) -> Duration {
    let began = Instant::now();
    while !runs_in(&machine.cgroup) {
        let so_far = began.elapsed();
        assert!(so_far < PATIENCE, "{}\n{}", machine.status(), machine.log());
        thread::sleep(Duration::from_millis(20));
    }
    began.elapsed()
}

/// Long leases: this is about who may, not about how fast.
fn config() -> String {
    String::from(
        "[cluster]\nname = \"demo\"\nprofile = \"wan\"\n\
         [nodes.alpha]\naddresses = [\"10.92.0.1:7400\"]\n[nodes.beta]\naddresses = [\"10.92.0.2:7400\"]\n\
         [pair]\narbiter = \"ping\"\nkeep_alive_ms = 500\nmisses = 4\ndowntime_ms = 5000\n\
         [pair.ping]\ngateway = \"10.92.0.254\"\ntargets = [\"fd92::254\"]\niterations = 3\ninterval_ms = 500\n\
         [groups.site]\nmembers = [\"web\"]\n\
         [resources.web]\nkind = \"process\"\ncommand = [\"/bin/sleep\", \"100000\"]\n",
    )
}

fn pair(switch: &Switch) -> [Machine; 2] {
    let [mut alpha, mut beta] =
        [("alpha", "left", 1), ("beta", "right", 2)].map(|(name, port, host)| {
            let mut machine = Machine::new("pings", name);
            machine.address = format!("10.92.0.{host}:7400");
            let net = format!("--net=/run/netns/{}", switch.end(port));
            machine.before = vec!["nsenter".to_owned(), net];
            machine
        });
    let init = [
        "init",
        "--cluster",
        "demo",
        "--pair",
        "beta",
        "--arbiter",
        "ping",
    ];
    let said = alpha.set_up_there(&init, "");
    assert_eq!(said.code, 2, "a gateway is named: {said:?}");
    let own = [&init[..], &["--gateway", "10.92.0.1"]].concat();
    let said = alpha.set_up_there(&own, "");
    assert!(
        said.err.contains("10.92.0.1 is taken already by --address"),
        "{said:?}"
    );
    let targets = ["--gateway", "10.92.0.254", "--ping-target", "fd92::254"];
    let said = alpha
        .set_up_there(&[&init[..], &targets].concat(), "")
        .ok("init");
    assert!(said.contains(BEST_EFFORT), "{said}");
    start(&mut alpha, 1);
    alpha.wait_for_status("The pair has one node so far");
    let token = alpha.ok(&["token"]);
    beta.set_up_there(&["join", "--token-file", "-"], &token)
        .ok("join");
    start(&mut beta, 1);
    both_normal([&alpha, &beta]);
    let file = alpha.path("cluster.toml");
    fs::write(&file, config()).expect("file");
    // Until then the leases are short, and a machine that stands still may cost the primary its role for a moment.
    alpha.wait_for("the configuration", |alpha| {
        let said = alpha.ask(&["apply", &file]);
        said.code == 0 && said.err.contains(BEST_EFFORT)
    });
    both_normal([&alpha, &beta]);
    alpha.wait_for("the primary's role", |alpha| {
        alpha.ask(&["pair", "promote"]).code == 0
    });
    runs_on(&alpha, "alpha");
    both_normal([&alpha, &beta]);
    [alpha, beta]
}

#[test]
fn a_pair_with_ping_targets_never_runs_twice_while_they_are_what_they_are_taken_for() {
    let switch = Switch::new();
    let [mut alpha, beta] = pair(&switch);
    for machine in [&alpha, &beta] {
        machine.wait_for_status(BEST_EFFORT);
        machine.wait_for("answers of both targets", |machine| {
            let text = machine.ask(&["pair", "show"]).out;
            text.contains("Ping targets answering: 10.92.0.254, fd92::254\n")
        });
    }
    let watch = Watch::new(&[&alpha, &beta]);

    // Both lose the targets, and then the primary its power: nobody takes over, and it is said why.
    switch.targets("delete");
    alpha.wait_for_status("no ping target answers (10.92.0.254, fd92::254)");
    both_normal([&alpha, &beta]);
    alpha.power_off();
    switch.port("left", "down");
    let why = "No failover: neither the gateway nor any of the 1 further targets answers";
    let took = beta.wait_for_status(why);
    println!("said {took:?} after the loss: {why}");
    assert!(!runs_in(&beta.cgroup), "{}", beta.status());
    let check = beta.ask(&["check"]);
    assert_eq!(check.code, 2, "{check:?}");

    switch.targets("add");
    println!("ran {:?} after the targets were back", until_it_runs(&beta));
    beta.wait_for_status("Secondary beta took over, primary alpha is down");
    let history = beta.ok(&["history"]);
    assert!(history.contains("ping targets that answer: 2"), "{history}");

    switch.port("left", "up");
    start(&mut alpha, 2);
    both_normal([&alpha, &beta]);

    // The primary loses all its networks: it gives up before the other one begins.
    switch.port("right", "down");
    println!(
        "ran {:?} after the networks were cut",
        until_it_runs(&alpha)
    );
    alpha.wait_for_status("Secondary alpha took over, primary beta is down");
    beta.wait_for_status(
        "beta was primary and gave up: it reached neither alpha nor a ping target",
    );
    assert!(!runs_in(&beta.cgroup), "{}", beta.status());
    switch.port("right", "up");
    both_normal([&alpha, &beta]);
    runs_on(&beta, "alpha");
    assert_eq!(watch.most(), 1, "never on both");
}
