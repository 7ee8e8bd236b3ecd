//! Resources of kind `systemd`, and a script of /etc/init.d, on a machine with a real systemd as process 1: started in a
//! slice of ours, missed at once, left alone by restarts of the agent, stopped with a limit, ended with the lease, silenced by
//! the network guard, and refused where a lease could not end them.

use crate::{NODES, machine::Machine};
use std::{
    thread,
    time::{Duration, Instant},
};

/// Serves, and writes down when it begins and when it is asked to end.
const WEB: &str = r#"[Unit]
Description=A service of a test
[Service]
ExecStart=/bin/sh -c 'echo begun >>/shared/begun; trap "echo ended >>/shared/ended; kill $!; exit" TERM; cd /srv; /usr/bin/python3 -m http.server 8080 --bind 10.99.0.1 & while :; do sleep 0.05; done'
[Install]
WantedBy=multi-user.target
"#;

const STUBBORN: &str =
    "[Service]\nExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 0.05; done'\n";

const ONCE: &str = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n";

/// As Debian has them: it would ask systemd to start `own.service`.
const SCRIPT: &str = r#"#!/bin/sh
### BEGIN INIT INFO
# Provides: own
# Default-Start:
# Default-Stop:
### END INIT INFO
. /lib/lsb/init-functions
case $1 in
start) start-stop-daemon --start --oknodo --background --make-pidfile --pidfile /run/own.pid --exec /bin/sleep -- 4321 ;;
stop) start-stop-daemon --stop --oknodo --retry 5 --remove-pidfile --pidfile /run/own.pid ;;
status) start-stop-daemon --status --pidfile /run/own.pid ;;
esac
"#;

fn units(machine: &Machine) {
    let shared = machine.shared();
    let write = |name: &str, text: &str| std::fs::write(shared.join(name), text).expect("a file");
    write("web.service", WEB);
    write("stubborn@.service", STUBBORN);
    write("once.service", ONCE);
    write("own", SCRIPT);
    machine.run(
        "cp /shared/*.service /etc/systemd/system/; install -m 755 /shared/own /etc/init.d/own; systemctl daemon-reload; \
         systemctl start dbus; mkdir -p /srv /run/systemd/system/standfast.service.d; \
         printf '[Service]\\nWatchdogSec=0\\n' >/run/systemd/system/standfast.service.d/watchdog.conf; \
         systemctl daemon-reload; systemctl restart standfast",
    );
    machine.wait("a leader", "standfast status | grep 'leader alpha'");
}

fn resource(name: &str, keys: &str) -> String {
    format!("[resources.{name}]\n{keys}\neffects = \"processes\"\n")
}

fn unit(name: &str, unit: &str) -> String {
    resource(name, &format!("kind = \"systemd\"\nunit = \"{unit}\""))
}

fn apply(machine: &Machine, resources: &str) -> String {
    let text = format!("{NODES}{resources}");
    std::fs::write(machine.shared().join("units.toml"), text).expect("a file");
    machine.output("standfast apply /shared/units.toml 2>&1; true")
}

fn show(machine: &Machine, unit: &str, property: &str) -> String {
    let script = format!("systemctl show {unit} --value -p {property}");
    machine.output(&script).trim().to_owned()
}

fn active(machine: &Machine, name: &str) {
    let script =
        format!("standfast status | grep -E '^ *{name} .* active|{name} +[^ ]+ +alpha +active'");
    machine.wait(name, &script);
}

fn serves(machine: &Machine) -> bool {
    let script = "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://10.99.0.1:8080/\", timeout=2).status)' 2>&1";
    machine.output(script).trim() == "200"
}

fn lines(machine: &Machine, file: &str) -> usize {
    let text = std::fs::read_to_string(machine.shared().join(file)).unwrap_or_default();
    text.lines().count()
}

#[test]
fn a_unit_is_a_resource() {
    let machine = Machine::boot();
    crate::install(&machine);
    units(&machine);
    apply(&machine, &unit("web-one", "web.service"));
    active(&machine, "web-one");
    let group = show(&machine, "web", "ControlGroup");
    assert!(
        group.starts_with("/standfast.slice/standfast-web_one."),
        "{group}"
    );
    assert_eq!(show(&machine, "web", "Restart"), "no");
    machine.wait("an answer", "ss -tln | grep -o 10.99.0.1:8080");
    assert!(serves(&machine), "{}", machine.journal());

    misses_a_crash(&machine);
    is_left_alone(&machine);
    ends_with_its_lease(&machine);
    is_silenced(&machine);

    // Its own stop, and nothing of ours is left.
    let ended = lines(&machine, "ended");
    apply(&machine, "");
    machine.wait("its stop", "systemctl is-active web | grep inactive");
    assert_eq!(lines(&machine, "ended"), ended + 1, "{}", machine.journal());
    let left = "ls -d /run/systemd/system/web.service.d /sys/fs/cgroup/standfast.slice/standfast-web* 2>/dev/null; \
                systemctl list-units --plain --no-legend 'standfast-web*'";
    machine.wait("nothing left", &format!("test -z \"$({left})\" && echo so"));
}

/// Systemd's signal, and not a poll, says that it has ended.
fn misses_a_crash(machine: &Machine) {
    let before = show(machine, "web", "MainPID");
    let script = format!(
        "start=$(date +%s%N); kill -KILL {before}; \
         until standfast history | grep -q 'web.service status'; do :; done; echo $((($(date +%s%N) - start) / 1000000))"
    );
    let took = machine.run(&script);
    let took: u64 = took.trim().parse().expect("milliseconds");
    assert!(took < 5000, "a crash was in the journal after {took} ms");
    let again = format!(
        "pid=$(systemctl show web --value -p MainPID); test $pid -gt 0 -a $pid != {before} && echo $pid"
    );
    machine.wait("another run", &again);
    active(machine, "web-one");
}

fn is_left_alone(machine: &Machine) {
    let before = (show(machine, "web", "MainPID"), lines(machine, "begun"));
    let agent = machine.unit("MainPID");
    machine.run("systemctl restart standfast");
    let agent = crate::new_agent(machine, &agent);
    active(machine, "web-one");
    machine.run(&format!("kill -KILL {agent}"));
    crate::new_agent(machine, &agent);
    active(machine, "web-one");
    assert_eq!(
        (show(machine, "web", "MainPID"), lines(machine, "begun")),
        before,
        "{}",
        machine.journal()
    );
}

/// An agent that stands still extends nothing. The unit is dead at the deadline, and nobody starts it in its old slice.
fn ends_with_its_lease(machine: &Machine) {
    let agent = machine.unit("MainPID");
    let web = show(machine, "web", "MainPID");
    machine.run(&format!("kill -STOP {agent}"));
    let stopped = Instant::now();
    machine.wait(
        "its end",
        &format!("kill -0 {web} 2>/dev/null || echo dead"),
    );
    assert!(stopped.elapsed() < Duration::from_secs(12));
    let begun = lines(machine, "begun");
    machine.run("systemctl reset-failed web; systemctl start --no-block web");
    thread::sleep(Duration::from_secs(2));
    assert_eq!(lines(machine, "begun"), begun, "a start by hand has run");
    machine.run(&format!("kill -CONT {agent}"));
    machine.wait(
        "it runs again",
        &format!("test $(wc -l </shared/begun) -gt {begun} && echo so"),
    );
    active(machine, "web-one");
}

/// Agent and keeper stand still: the kernel drops what the unit sends.
fn is_silenced(machine: &Machine) {
    machine.wait("an answer", "ss -tln | grep -o 10.99.0.1:8080");
    assert!(serves(machine));
    let web = show(machine, "web", "MainPID");
    let agent = machine.unit("MainPID");
    let keeper = machine.run("pgrep -f 'keeper .*web-one'");
    let keeper = keeper.split_whitespace().collect::<Vec<_>>().join(" ");
    machine.run(&format!("kill -STOP {agent} {keeper}"));
    thread::sleep(Duration::from_secs(11));
    machine.run(&format!("kill -0 {web}"));
    assert!(!serves(machine), "the unit answers after its lease");
    machine.run(&format!("kill -CONT {keeper}; kill -CONT {agent}"));
    let other = format!(
        "pid=$(systemctl show web --value -p MainPID); test $pid -gt 0 -a $pid != {web} && echo $pid"
    );
    machine.wait("another run", &other);
    active(machine, "web-one");
}

#[test]
fn what_a_lease_could_not_end_is_refused_and_a_stop_has_a_limit() {
    let mut machine = Machine::boot();
    crate::install(&machine);
    units(&machine);
    machine.run("systemctl enable web.service 2>&1");
    machine.run("systemctl start stubborn@2.service");
    let runs = show(&machine, "stubborn@2", "MainPID");
    let stubborn = "kind = \"systemd\"\nunit = \"stubborn@1.service\"\nstop_timeout_ms = 1500";
    let all = [
        unit("none", "none.service"),
        unit("enabled", "web.service"),
        unit("once", "once.service"),
        unit("second", "stubborn@2.service"),
        resource("stubborn", stubborn),
        resource("own", "kind = \"script\"\nscript = \"/etc/init.d/own\""),
    ];
    let said = apply(&machine, &all.concat());
    let expected = [
        ("none", "there is no unit none.service here"),
        ("enabled", "systemctl disable --now web.service"),
        (
            "once",
            "once.service cannot be ended by killing its processes (Type=oneshot",
        ),
    ];
    for (name, why) in expected {
        assert!(said.contains(why), "{said}");
        machine.wait(why, &format!("standfast history | grep -F '{why}'"));
        let doctor = machine.output("standfast doctor");
        assert!(
            doctor.contains(&format!("{name} cannot run here: ")),
            "{doctor}"
        );
    }
    machine.wait(
        "it runs already",
        "standfast history | grep -F 'stubborn@2.service runs already, outside of the cluster'",
    );
    assert_eq!(
        show(&machine, "stubborn@2", "MainPID"),
        runs,
        "it was touched"
    );
    assert!(show(&machine, "web", "MainPID") == "0");

    active(&machine, "stubborn");
    let started = Instant::now();
    machine.run("standfast resource disable stubborn --wait 20");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(show(&machine, "stubborn@1", "MainPID"), "0");

    // Under the keeper, and not under systemd, which has a unit of that name.
    active(&machine, "own");
    assert_eq!(show(&machine, "own.service", "LoadState"), "loaded");
    assert_eq!(show(&machine, "own.service", "ActiveState"), "inactive");
    let group = machine.run("cat /proc/$(pgrep -f '^/bin/sleep 4321')/cgroup");
    assert!(
        group.contains("/standfast.service/resources/own."),
        "{group}"
    );

    // The agent stops what it has started before systemd does.
    machine.run("systemctl disable web.service 2>&1; systemctl kill -s KILL stubborn@2");
    machine.run("standfast resource cleanup enabled");
    active(&machine, "enabled");
    machine.power_off();
    assert_eq!(lines(&machine, "ended"), 1, "ended by force");
}
