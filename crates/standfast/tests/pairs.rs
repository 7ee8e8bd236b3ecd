//! A pair with real agents, real services and a fence agent that really ends the other machine: they change places, one
//! loses its power, it comes back, and at no moment both run the service.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and says what it measured"
)]

mod machines;

use machines::{
    Machine, PATIENCE, run, runs_on,
    watch::{Watch, runs_in},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    thread,
    time::{Duration, Instant},
};

/// A fence agent whose machines are process ids and control groups in a folder: `off` kills all of one.
const FENCE: &str = r#"#!/bin/sh
action= store= plug=
while IFS= read -r line; do
    case $line in
        action=*) action=${line#*=} ;;
        store=*) store=${line#*=} ;;
        plug=*) plug=${line#*=} ;;
    esac
done
case $action in
    metadata)
        cat <<'XML'
<?xml version="1.0" ?>
<resource-agent name="fence_pair" shortdesc="For tests"><parameters>
<parameter name="action" required="1"><content type="string" default="reboot"/></parameter>
<parameter name="store" required="1"><content type="string"/></parameter>
<parameter name="plug" required="1" obsoletes="port"><content type="string"/></parameter>
</parameters><actions><action name="on"/><action name="off"/><action name="status"/><action name="monitor"/></actions></resource-agent>
XML
        ;;
    off)
        kill -9 "$(cat "$store/$plug.pid")" 2>/dev/null
        for root in /sys/fs/cgroup/unified /sys/fs/cgroup; do
            folder=$root/$(cat "$store/$plug.cgroup")
            [ -e "$folder/cgroup.kill" ] && echo 1 >"$folder/cgroup.kill"
        done
        echo off >"$store/$plug"
        ;;
    on) echo on >"$store/$plug" ;;
    status) [ "$(cat "$store/$plug")" = off ] && exit 2 ;;
    monitor) [ -d "$store" ] || exit 1 ;;
    *) exit 1 ;;
esac
exit 0
"#;

/// Where the fence agent finds the machines.
struct Power {
    folder: tempfile::TempDir,
}

impl Power {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let agent = folder.path().join("fence_pair");
        fs::write(&agent, FENCE).expect("agent");
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).expect("permissions");
        Self { folder }
    }

    /// The machine starts, for the `boot`th time.
    fn start(&self, machine: &mut Machine, boot: u32) {
        let id = format!("{}-{boot}", machine.name);
        machine.environment = vec![("STANDFAST_BOOT_ID".to_owned(), id)];
        machine.start();
        let write = |what: &str, text: String| {
            let name = format!("{}{what}", machine.name);
            fs::write(self.folder.path().join(name), text).expect("file");
        };
        write(".pid", machine.agent_pid().to_string());
        write(".cgroup", machine.cgroup.clone());
        write("", "on".to_owned());
    }

    fn config(&self, machines: &[&Machine]) -> String {
        let store = self.folder.path().display();
        let mut text = String::from("[cluster]\nname = \"demo\"\nprofile = \"wan\"\n");
        for machine in machines {
            let (name, address) = (&machine.name, &machine.address);
            text.push_str(&format!("[nodes.{name}]\naddresses = [\"{address}\"]\n"));
        }
        text.push_str(&format!(
            "[pair]\narbiter = \"fence\"\nkeep_alive_ms = 500\nmisses = 4\ndowntime_ms = 4000\nfence_delay_ms = 500\n\
             fence_random_delay_ms = 0\n\
             [fence.power]\nagent = \"{store}/fence_pair\"\nparameters = {{ store = \"{store}\" }}\n\
             nodes = {{ alpha = \"alpha\", beta = \"beta\" }}\n\
             [groups.site]\nmembers = [\"web\"]\n\
             [resources.web]\nkind = \"process\"\ncommand = [\"/bin/sleep\", \"100000\"]\n"
        ));
        text
    }
}

const NORMAL: &str = "The pair runs normally";

fn both_normal(machines: &[&Machine]) {
    for machine in machines {
        machine.wait_for_status(NORMAL);
    }
}

fn pair(power: &Power) -> (Machine, Machine) {
    let mut alpha = Machine::new("pair", "alpha");
    let mut beta = Machine::new("pair", "beta");
    let said = alpha
        .set_up(
            &[
                "init",
                "--cluster",
                "demo",
                "--pair",
                "beta",
                "--arbiter",
                "fence",
            ],
            "",
        )
        .ok("init");
    assert!(
        said.contains("as a witness"),
        "a witness is recommended: {said}"
    );
    power.start(&mut alpha, 1);
    alpha.wait_for_status("The pair has one node so far");
    let token = alpha.ok(&["token"]);
    beta.set_up(&["join", "--token-file", "-"], &token)
        .ok("join");
    power.start(&mut beta, 1);
    both_normal(&[&alpha, &beta]);
    let file = alpha.path("cluster.toml");
    fs::write(&file, power.config(&[&alpha, &beta])).expect("file");
    alpha.ok(&["apply", &file]);
    runs_on(&alpha, "alpha");
    both_normal(&[&alpha, &beta]);
    (alpha, beta)
}

#[test]
fn a_pair_swaps_fails_over_and_recovers_and_never_runs_twice() {
    let power = Power::new();
    let (mut alpha, beta) = pair(&power);
    let watch = Watch::new(&[&alpha, &beta]);
    let status = beta.status();
    assert!(
        status.contains("alpha is primary, beta is secondary and in sync"),
        "{status}"
    );

    let said = alpha.ok(&["pair", "swap"]);
    // Whether alpha has caught up by then or not.
    let swapped = ["beta is primary", "Primary beta is up"];
    assert!(swapped.iter().any(|one| said.contains(one)), "{said}");
    runs_on(&alpha, "beta");
    both_normal(&[&alpha, &beta]);
    let again = beta.ask(&["pair", "promote"]);
    assert_eq!(again.code, 0, "it may be repeated: {again:?}");
    alpha.ok(&["pair", "promote"]);
    runs_on(&beta, "alpha");
    both_normal(&[&alpha, &beta]);

    // The primary loses its power.
    alpha.power_off();
    let began = Instant::now();
    while !runs_in(&beta.cgroup) {
        assert!(
            began.elapsed() < PATIENCE,
            "{}\n{}",
            beta.status(),
            beta.log()
        );
        thread::sleep(Duration::from_millis(5));
    }
    println!(
        "the service ran again {:?} after the power was lost (4.5 s of it are configured)",
        began.elapsed()
    );
    beta.wait_for_status("Secondary beta took over, primary alpha is down");
    let history = beta.ok(&["history"]);
    assert!(history.contains("its power was confirmed off"), "{history}");
    let check = beta.ask(&["check"]);
    assert_eq!(check.code, 1, "{check:?}");

    // It comes back as the secondary.
    power.start(&mut alpha, 2);
    both_normal(&[&alpha, &beta]);
    let json = alpha.ok(&["pair", "show", "--json"]);
    assert!(json.contains("\"primary\": \"beta\""), "{json}");
    runs_on(&alpha, "beta");
    assert_eq!(watch.most(), 1, "never on both");
}

#[test]
fn a_pair_is_not_made_by_halves() {
    let mut alpha = Machine::new("half", "alpha");
    let said = alpha.set_up(&["init", "--pair", "beta"], "");
    assert_eq!(said.code, 2, "an arbiter is named explicitly: {said:?}");
    let said = alpha.set_up(&["init", "--pair", "alpha", "--arbiter", "none"], "");
    assert_eq!(said.code, 2, "{said:?}");
    alpha.set_up(&["init"], "").ok("init");
    alpha.start();
    alpha.wait_for_status("1 of 1 nodes online");
    let said = alpha.ask(&["pair", "swap"]);
    assert_eq!(said.code, 105, "{said:?}");
    assert!(said.err.contains("is no pair"), "{said:?}");
    let help = run(&["pair", "force-primary"], "");
    assert_eq!(help.code, 2, "{help:?}");
}
