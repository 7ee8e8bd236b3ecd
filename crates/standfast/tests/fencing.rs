//! Fencing with real agents and Debian's `fence_ipmilan`, which talks IPMI to boards that really end a machine: levels, devices
//! used together, retries, times, who asks at once, devices that lie or belong to another machine.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and says what it measured"
)]

mod machines;

use machines::{Machine, all_online, cluster, power::Power, runs_on};
use std::{fs, os::unix::fs::PermissionsExt as _, thread, time::Duration};

/// With leases that a busy machine does not lose: all nodes, the levels of beta and devices as given.
fn apply(machines: &[Machine], fencing: &str, levels: &str, rest: &str) {
    let mut text = format!(
        "[cluster]\nname = \"demo\"\nprofile = \"wan\"\nfencing = \"{fencing}\"\n[timing]\nlease_ms = 10000\n"
    );
    for machine in machines {
        let (name, address) = (&machine.name, &machine.address);
        text.push_str(&format!("[nodes.{name}]\naddresses = [\"{address}\"]\n"));
        if name == "beta" {
            text.push_str(levels);
        }
    }
    text.push_str(rest);
    let first = machines.first().expect("a machine");
    let file = first.path("cluster.toml");
    fs::write(&file, text).expect("file");
    first.ok(&["apply", &file]);
}

fn is_back(seen_from: &Machine, node: &str) {
    let row = format!("{node} ");
    seen_from.wait_for(node, |machine| {
        let status = machine.status();
        let mut lines = status.lines().map(str::trim_start);
        lines.any(|line| line.starts_with(&row) && line.contains(" online "))
    });
}

/// A UDP port that answers nobody: it is taken, and not listened to.
fn silent() -> std::net::UdpSocket {
    std::net::UdpSocket::bind("127.0.0.1:0").expect("port")
}

/// Two ask at once, and mean one act: how long it took.
fn both_fence_beta(alpha: &Machine, gamma: &Machine) -> Duration {
    let asked = thread::scope(|scope| {
        let ask = |machine: &'static str, by: &Machine| {
            let said = by.ask(&["fence", "beta", "--yes", "--json"]);
            (machine, said)
        };
        let both = [
            scope.spawn(move || ask("alpha", alpha)),
            scope.spawn(move || ask("gamma", gamma)),
        ];
        both.map(|one| one.join().expect("asked"))
    });
    let acts = asked.map(|(by, said)| {
        let document: serde_json::Value = serde_json::from_str(&said.ok(by)).expect("JSON");
        let number = |key: &str| document.pointer(key).and_then(serde_json::Value::as_u64);
        ["/act/id", "/act/began_ms", "/act/ended_ms"].map(|key| number(key).expect("a number"))
    });
    let [act, other] = acts;
    assert_eq!(act, other, "one act");
    let [_, began, ended] = act;
    Duration::from_millis(ended - began)
}

/// Every level had its attempts, its time and its delay.
fn is_fenced_in_time(history: &str, took: Duration) {
    for line in [
        "level 1 (dead) from alpha, ",
        "dead: fence_ipmilan off: no end within 3000 ms; killed",
        "beta is off, as left and right said to alpha after ",
    ] {
        assert!(history.contains(line), "{line}: {history}");
    }
    let [first, second] = ["level 1 (dead) from alpha, ", "said to alpha after "].map(|text| {
        let (_, rest) = history.split_once(text).expect("said above");
        let millis: Option<u128> = rest.split(' ').next().and_then(|ms| ms.parse().ok());
        millis.unwrap_or_else(|| panic!("{text}: {history}"))
    });
    println!("fenced in {took:?}: {first} ms for level 1, {second} ms for level 2");
    assert!(first >= 3000 + 1000 + 3000, "two attempts: {history}");
    assert!(
        took.as_millis() >= first + second + 2000,
        "the delay: {took:?}, {history}"
    );
}

#[test]
fn levels_retries_times_and_two_who_ask_at_once_on_real_devices() {
    let mut power = Power::new();
    power.outlet("beta", "left");
    power.outlet("beta", "right");
    let nobody = silent();
    let mut all = cluster("levels", &["alpha", "beta", "gamma"]);
    power.note(all.get(1).expect("beta"));
    let dead = power.device_at("dead", nobody.local_addr().expect("address").port());
    let left = power.device("left", "beta", "left");
    let right = power.device("right", "beta", "right");
    apply(
        &all,
        "manual",
        "fence_levels = [[\"dead\"], [\"left\", \"right\"]]\n",
        &format!(
            "{dead}nodes = [\"beta\"]\ntimeout_ms = 3000\nretries = 1\nmonitor_interval_ms = 5000\n\
             {left}nodes = [\"beta\"]\ndelay_ms = 2000\n{right}nodes = [\"beta\"]\ntimeout_ms = 12000\nretries = 0\n\
             monitor_interval_ms = 5000\n"
        ),
    );
    let [alpha, beta, gamma] = all.as_mut_slice() else {
        panic!("three machines");
    };

    // Asked and not switched: who does not answer is named, here and in `status`.
    let said = alpha.ask(&["fence", "test", "beta"]);
    assert_eq!(said.code, 69, "{said:?}");
    for line in [
        "1 of 3 cannot be relied on",
        "dead: fence_ipmilan status: no end within 3000 ms",
    ] {
        assert!(said.out.contains(line), "{line}: {said:?}");
    }
    gamma.wait_for_status("fence device dead does not answer");
    assert_eq!(power.switched("beta", "left"), "");

    // The first level fails twice in its time, the second waits for the delay.
    let took = both_fence_beta(alpha, gamma);
    is_fenced_in_time(&alpha.ok(&["fence", "history"]), took);
    for outlet in ["left", "right"] {
        assert_eq!(power.switched("beta", outlet), "off on ", "{outlet}");
    }
    assert!(beta.ended().is_some(), "beta has lost its power");
    beta.power_off();
    beta.start();
    power.note(beta);
    all_online(&all);
    let [alpha, beta, gamma] = all.as_mut_slice() else {
        panic!("three machines");
    };

    // One of two that are used together does not answer: the machine goes on, and nobody takes it for off.
    power.kill_board("beta", "right");
    gamma.wait_for_status("fence device right does not answer");
    let said = alpha.ask(&["fence", "beta", "--yes"]);
    assert_eq!(said.code, 69, "{said:?}");
    assert!(said.out.contains("nothing is released by it"), "{said:?}");
    assert_eq!(beta.ended(), None, "beta has a second supply");
    assert_eq!(power.switched("beta", "right"), "off on ");
    let said = alpha.ask(&["fence", "confirm", "beta", "--yes"]);
    assert_eq!(said.code, 107, "it is heard: {said:?}");
}

#[test]
fn a_device_that_lies_and_one_of_another_machine_are_found_and_switching_off_is_said_first() {
    let mut power = Power::new();
    for name in ["beta", "gamma"] {
        power.outlet(name, "board");
    }
    let mut all = cluster("maps", &["alpha", "beta", "gamma"]);
    for machine in all.get(1..).expect("two") {
        power.note(machine);
    }
    // Debian's own device for tests writes a file and switches nothing.
    let first = all.first().expect("alpha");
    let file = first.path("power-of-beta");
    fs::write(&file, "on").expect("file");
    let lies = format!(
        "[fence.lies]\nagent = \"fence_dummy\"\nparameters = {{ status_file = \"{file}\" }}\nnodes = [\"beta\"]\n"
    );
    apply(&all, "manual", "", &lies);
    let [alpha, beta, _] = all.as_mut_slice() else {
        panic!("three machines");
    };
    let said = alpha.ask(&["fence", "test", "beta", "--cut"]);
    assert_eq!(said.code, 107, "nobody can be asked: {said:?}");
    let said = alpha.ask(&["fence", "beta", "--yes"]);
    assert_eq!(said.code, 69, "{said:?}");
    let heard = "The fencing of beta is void: it was heard after it was said to be off";
    assert!(said.out.contains(heard), "{said:?}");
    let history = alpha.ok(&["fence", "history"]);
    assert!(history.contains("VOID"), "{history}");
    alpha.wait_for_status("the fencing of beta is void");
    assert_eq!(beta.ended(), None, "{}", alpha.status());

    let levels = "fence_levels = [[\"board\"], [\"wrong\"]]\n";
    // One map has gamma's board as beta's. Asking shows that only while gamma is off.
    let wrong = format!(
        "{}nodes = [\"beta\"]\n{}nodes = [\"beta\"]\n",
        power.device("board", "beta", "board"),
        power.device("wrong", "gamma", "board"),
    );
    apply(&all, "manual", levels, &wrong);
    let [alpha, beta, gamma] = all.as_mut_slice() else {
        panic!("three machines");
    };
    alpha.ok(&["fence", "test", "beta"]);
    power.plug("gamma", "board", false);
    gamma.power_off();
    let said = alpha.ask(&["fence", "test", "beta"]);
    assert_eq!(said.code, 69, "{said:?}");
    let text = "wrong: the node is online, so this is not its power";
    assert!(said.out.contains(text), "{said:?}");
    assert_eq!(power.switched("gamma", "board"), "", "nothing was switched");
    power.plug("gamma", "board", true);
    gamma.start();
    power.note(gamma);
    is_back(alpha, "gamma");

    is_drilled(&power, [alpha, beta, gamma]);
    apply(&all, "off", levels, &wrong);
    is_switched_off(all.first().expect("alpha"));
    assert_eq!(power.switched("gamma", "board"), "off on ");
}

/// The drill cuts, level by level: the first is proven, the second is found out.
fn is_drilled(power: &Power, [alpha, beta, gamma]: [&mut Machine; 3]) {
    let said = thread::scope(|scope| {
        let (alpha, words) = (&*alpha, ["fence", "test", "beta", "--cut", "--yes"]);
        let drill = scope.spawn(move || alpha.ask(&words));
        beta.wait_for_end();
        beta.start();
        power.note(beta);
        gamma.wait_for_end();
        drill.join().expect("the drill")
    });
    println!("{}", said.out);
    assert_eq!(said.code, 69, "{said:?}");
    for text in [
        "Level 1 (board) cut the power of beta: lost after ",
        "Level 2 (wrong) is NOT PROVEN to cut the power of beta: ",
        "Lost meanwhile: gamma; it may have been the power of that machine",
    ] {
        assert!(said.out.contains(text), "{text}: {said:?}");
    }
    assert_eq!(power.switched("beta", "board"), "off on ");
    assert_eq!(power.switched("gamma", "board"), "off on ", "once");
    assert_eq!(beta.ended(), None);
    gamma.start();
    is_back(alpha, "gamma");
}

/// Said before anything else, and nothing is used.
fn is_switched_off(alpha: &Machine) {
    alpha.wait_for("the first line", |alpha| {
        alpha.status().starts_with("FENCING IS SWITCHED OFF. ")
    });
    let said = alpha.ask(&["fence", "beta", "--yes"]);
    assert!(said.err.contains("fencing is switched off"), "{said:?}");
    let json = alpha.ok(&["status", "--json"]);
    assert!(json.contains("FENCING IS SWITCHED OFF. "), "{json}");
}

/// A device that keeps out whom it has fenced, and lets in only while its folder allows. No such agent of Debian's works without
/// the switch or the disk that it is for.
const GATE: &str = r#"#!/bin/sh
action= store=
while IFS= read -r line; do
    case $line in action=*) action=${line#*=} ;; store=*) store=${line#*=} ;; esac
done
case $action in
    metadata) cat <<'XML'
<?xml version="1.0" ?>
<resource-agent name="fence_gate" shortdesc="For tests"><parameters>
<parameter name="action" required="1"><content type="string" default="reboot"/></parameter>
<parameter name="store" required="1"><content type="string"/></parameter>
</parameters><actions><action name="on" on_target="1" automatic="1"/><action name="off"/><action name="status"/>
<action name="monitor"/></actions></resource-agent>
XML
        ;;
    on) [ -e "$store/allows" ] || { echo "the switch is locked" >&2; exit 1; }; echo on >>"$store/let-in" ;;
    off) rm -f "$store/let-in" ;;
    status) [ -e "$store/let-in" ] || exit 2 ;;
esac
"#;

#[test]
fn who_starts_is_let_in_before_anything_that_needs_fencing_starts() {
    let folder = tempfile::tempdir().expect("folder");
    let place = |name: &str| folder.path().join(name);
    fs::write(place("fence_gate"), GATE).expect("agent");
    fs::set_permissions(place("fence_gate"), fs::Permissions::from_mode(0o755)).expect("mode");
    let mut all = cluster("gate", &["alpha"]);
    let gate = format!(
        "[fence.gate]\nagent = \"{}\"\nparameters = {{ store = \"{}\" }}\nnodes = [\"alpha\"]\n\
         [groups.site]\nmembers = [\"web\"]\n[resources.web]\nkind = \"process\"\nrequires = \"fencing\"\n\
         command = [\"/bin/sleep\", \"100000\"]\n",
        place("fence_gate").display(),
        folder.path().display(),
    );
    apply(&all, "on", "", &gate);
    let alpha = all.first_mut().expect("alpha");
    alpha.wait_for_status("fence device gate does not let this node in");
    alpha.wait_for_status("failed with exit code 1: the switch is locked");
    assert_eq!(alpha.services(), 0, "{}", alpha.status());
    fs::write(place("allows"), "").expect("file");
    runs_on(alpha, "alpha");
    let let_in = || fs::read_to_string(place("let-in")).unwrap_or_default();
    assert_eq!(let_in(), "on\n", "asked once");
    // Every start of the agent asks anew: it may have been fenced meanwhile.
    fs::remove_file(place("let-in")).expect("file");
    alpha.kill();
    alpha.start();
    alpha.wait_for("the gate", |_| let_in() == "on\n");
    runs_on(alpha, "alpha");
}
