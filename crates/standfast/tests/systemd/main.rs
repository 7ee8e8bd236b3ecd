//! The package on a machine with a real systemd as process 1: installed, started, restarted, killed, upgraded, stopped,
//! removed and purged. Not for what several nodes do together: that is the laboratory's.
#![allow(clippy::expect_used, reason = "tests")]

mod machine;
mod units;

use machine::{Machine, text};
use std::{path::Path, process::Command, time::Duration};

/// Leases long enough for the only voter of a cluster to come back, stand for election and grant.
const NODES: &str = r#"
[cluster]
name = "demo"
[timing]
lease_ms = 10000
[nodes.alpha]
addresses = ["127.0.0.1:7400"]
"#;

const RESOURCES: &str = r#"
[groups.site]
members = ["site-ip", "web"]
[resources.site-ip]
kind = "vip"
addresses = ["10.99.0.100/24"]
[resources.web]
kind = "process"
command = ["/bin/sh", "-c", "trap 'echo ended >/shared/ended; exit' TERM; while :; do sleep 0.1; done"]
"#;

/// Builds the package of this build under another version and returns its name.
fn package(version: &str, folder: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/build-deb");
    let mut command = Command::new(script);
    command
        .args(["--uncompressed", "--version", version])
        .args(["--binary", env!("CARGO_BIN_EXE_standfast"), "--out"])
        .arg(folder);
    let path = text(&mut command);
    let name = Path::new(path.trim()).file_name().expect("a file");
    name.to_string_lossy().into_owned()
}

/// The machine with the package installed, made a node, and its service running.
fn started() -> (Machine, String) {
    let machine = Machine::boot();
    let shared = machine.shared();
    install(&machine);
    let text = format!("{NODES}{RESOURCES}");
    std::fs::write(shared.join("cluster.toml"), text).expect("a file");
    machine.run("standfast apply /shared/cluster.toml");
    let service = runs(&machine);
    // The socket is the group's, and nobody else's.
    let nobody = "setpriv --reuid 65534 --clear-groups --regid";
    machine.run(&format!("{nobody} standfast standfast check"));
    let outside = format!("{nobody} 65534 standfast check; echo $?");
    assert_eq!(machine.output(&outside).lines().last(), Some("3"));
    (machine, service)
}

/// Makes the machine a node of a cluster of its own, and starts the service.
fn install(machine: &Machine) {
    let shared = machine.shared();
    let first = package("0.1.0", &shared);
    machine.run(&format!("dpkg --install /shared/{first}"));
    is_installed(machine);
    machine.run("standfast init --name alpha --address 127.0.0.1:7400 --cluster demo");
    machine.run("systemctl start standfast");
    machine.wait("a leader", "standfast status | grep 'leader alpha'");
}

/// Everything is where a Debian administrator looks for it, and the agent waits for the machine to become a node.
fn is_installed(machine: &Machine) {
    assert_eq!(
        machine.run("systemctl is-enabled standfast").trim(),
        "enabled"
    );
    assert_eq!(machine.unit("ActiveState"), "inactive");
    assert_eq!(machine.unit("ConditionResult"), "no");
    machine.run("getent group standfast");
    machine.run("test \"$(stat -c '%a %G' /run/standfast)\" = '2750 standfast'");
    machine.run("grep -qx /etc/standfast/node.toml /var/lib/dpkg/info/standfast.conffiles");
    machine.run("systemd-analyze verify --man=no /usr/lib/systemd/system/standfast.service");
    machine.run("bash -n /usr/share/bash-completion/completions/standfast");
    let pages = "standfast.1 standfast-status.1 standfast-agent.8 standfast-cluster.toml.5";
    machine.run(&format!(
        "for page in {pages}; do test -s /usr/share/man/man${{page##*.}}/$page.gz || exit 1; done"
    ));
}

/// The service's process id, once service and address are there.
fn runs(machine: &Machine) -> String {
    machine.wait(
        "the address",
        "ip -o address show | grep -o '10.99.0.100/24'",
    );
    machine.wait("the group", "standfast check | grep -o '^STANDFAST OK'");
    machine.wait("the service", "pgrep -f '^/bin/sh -c trap'")
}

/// Waits for another main process than this one, ready.
fn new_agent(machine: &Machine, old: &str) -> String {
    let script = format!(
        "pid=$(systemctl show standfast --value -p MainPID); \
         test $(systemctl is-active standfast) = active && test $pid != {old} && echo $pid"
    );
    machine.wait("a new agent", &script)
}

#[test]
fn the_service_outlives_its_agent_until_the_package_is_removed() {
    let (machine, service) = started();
    let still = |what: &str| {
        assert_eq!(runs(&machine), service, "{what}\n{}", machine.journal());
        assert!(!machine.shared().join("ended").exists(), "{what}");
    };

    let agent = machine.unit("MainPID");
    machine.run("systemctl restart standfast");
    let agent = new_agent(&machine, &agent);
    still("restarted by systemctl");

    machine.run(&format!("kill -KILL {agent}"));
    let agent = new_agent(&machine, &agent);
    still("killed");

    let second = package("0.1.1", &machine.shared());
    machine.run(&format!("dpkg --install /shared/{second}"));
    let agent = new_agent(&machine, &agent);
    still("upgraded");

    // Fed by its loop it lives; stopped it is ended and started again.
    machine.run("mkdir -p /run/systemd/system/standfast.service.d");
    machine.run("printf '[Service]\\nWatchdogSec=1\\n' >/run/systemd/system/standfast.service.d/watchdog.conf");
    machine.run("systemctl daemon-reload && systemctl restart standfast");
    let agent = new_agent(&machine, &agent);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(machine.unit("MainPID"), agent, "{}", machine.journal());
    machine.run(&format!("kill -STOP {agent}"));
    new_agent(&machine, &agent);
    assert_eq!(machine.unit("NRestarts"), "1");
    still("stopped by SIGSTOP");

    stops_gracefully(&machine);
    let agent = machine.unit("MainPID");
    machine.run("rm -r /run/systemd/system/standfast.service.d; dpkg --purge standfast");
    assert!(machine.shared().join("ended").exists(), "ended by force");
    leaves_nothing(&machine, &agent);
}

#[test]
fn a_shutdown_of_the_machine_ends_services_gracefully() {
    let (mut machine, _) = started();
    machine.power_off();
    assert!(machine.shared().join("ended").exists(), "ended by force");
}

/// `systemctl stop` ends what runs, gracefully; a start brings it back, without anybody's word.
fn stops_gracefully(machine: &Machine) {
    machine.run("systemctl stop standfast");
    assert!(machine.shared().join("ended").exists(), "ended by force");
    assert_eq!(machine.output("pgrep -f '^/bin/sh -c trap'"), "");
    assert_eq!(machine.output("ip -o address show | grep 10.99.0.100"), "");
    assert_eq!(machine.unit("Result"), "success", "{}", machine.journal());
    std::fs::remove_file(machine.shared().join("ended")).expect("removed");
    machine.run("systemctl start standfast");
    runs(machine);
}

fn leaves_nothing(machine: &Machine, agent: &str) {
    assert_eq!(
        machine.output(&format!(
            "ps -o args= -p {agent}; pgrep -f '^/usr/bin/standfast|^/bin/sh -c trap'"
        )),
        ""
    );
    let files = "find /etc /usr /var /run /root /tmp /opt -name '*standfast*' -newer /shared/cluster.toml; \
                 ls -d /var/lib/standfast /run/standfast /etc/standfast /usr/bin/standfast /usr/lib/standfast \
                 /etc/systemd/system/*.wants/standfast.service 2>/dev/null; \
                 find /sys/fs/cgroup -name '*standfast*' -o -name '*web*'; \
                 ip -o address show | grep 10.99.0.100; nft list tables; getent group standfast; \
                 dpkg-query -W standfast 2>/dev/null";
    assert_eq!(machine.output(files), "", "left behind");
}
