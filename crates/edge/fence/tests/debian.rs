//! Real agents of Debian's `fence-agents`: one that writes a file, and `fence_ipmilan` against a simulated BMC that
//! speaks real IPMI over the network and ends a real process when it is told to cut the power.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail like the test itself"
)]

use standfast_fence::{FenceError, Power, check, monitor, power_off, power_on, status};
use standfast_model::{fence::FenceDevice, id::NodeId, time::Micros};
use std::{
    collections::BTreeMap,
    fs,
    net::UdpSocket,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const SECRET: &str = "Geheim7";

fn device(agent: &str, parameters: &[(&str, &str)]) -> FenceDevice {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    FenceDevice {
        agent: agent.to_owned(),
        parameters: parameters.iter().map(owned).collect(),
        secret_parameters: BTreeMap::new(),
        nodes: BTreeMap::from([(alpha(), None)]),
        timeout: Micros::from_millis(60_000),
        retries: 0,
        delay: Micros::ZERO,
        monitor: Micros::ZERO,
    }
}

fn alpha() -> NodeId {
    NodeId::from("alpha")
}

#[test]
fn fence_dummy_switches_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("status");
    fs::write(&file, "on").unwrap();
    let dummy = device("fence_dummy", &[("status_file", file.to_str().unwrap())]);
    assert_eq!(monitor(&dummy), Ok(()));
    assert_eq!(status(&dummy, &alpha()), Ok(Power::On));
    assert_eq!(power_off(&dummy, &alpha()), Ok(()));
    assert_eq!(fs::read_to_string(&file).unwrap(), "off");
    assert_eq!(power_on(&dummy, &alpha()), Ok(()));
    assert_eq!(fs::read_to_string(&file).unwrap(), "on");
}

#[test]
fn settings_are_judged_by_the_agents_own_description() {
    let wrong = device(
        "fence_ipmilan",
        &[("ipadr", "127.0.0.1"), ("auth", "sha1"), ("ipport", "ipmi")],
    );
    let text = check(&wrong).unwrap_err().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(
        lines[0],
        r#"parameters.auth: "sha1" does not fit; allowed: md5, password, none"#
    );
    assert!(
        lines[1]
            .starts_with("parameters.ipadr: fence_ipmilan has no such parameter; allowed: auth, ")
    );
    // The nearest is an old name: its new one is meant.
    assert!(lines[1].ends_with("did you mean \"ip\"?"), "{text}");
    assert_eq!(
        lines[2],
        r#"parameters.ipport: "ipmi" does not fit; allowed: a whole number"#
    );
}

/// Whatever Debian's package brings: each description is understood, and each agent's settings are judged by it.
#[test]
fn every_agent_of_the_package_is_understood() {
    let installed = fs::read_dir("/usr/sbin").unwrap().flatten();
    let names = installed.map(|entry| entry.file_name().into_string().unwrap());
    // That one asks whoever sits at the terminal, and describes nothing.
    let agents: Vec<String> = names
        .filter(|name| name.starts_with("fence_") && name != "fence_ack_manual")
        .collect();
    assert!(agents.len() >= 60, "{agents:?}");
    for agent in agents {
        let Err(FenceError::Settings(problems)) = check(&device(&agent, &[("no_such_word", "1")]))
        else {
            panic!(
                "{agent}: {:?}",
                check(&device(&agent, &[("no_such_word", "1")]))
            );
        };
        let problems = FenceError::Settings(problems).to_string();
        let expected = format!("parameters.no_such_word: {agent} has no such parameter");
        assert!(problems.contains(&expected), "{agent}: {problems}");
    }
}

/// What the BMC runs to look at the power, and to switch it.
const POWER: &str = r#"#!/bin/sh
cd "${0%/*}" || exit 1
is_on() { grep -q '^State:.[^ZX]' "/proc/$(cat pid)/status"; }
case "$2 $3 $4" in
    "get power "*) if is_on; then echo power:1; else echo power:0; fi ;;
    "set power 0") if is_on; then kill -KILL "$(cat pid)"; fi ;;
    "set power 1") if ! is_on; then sleep 600 >/dev/null & echo $! >pid; fi ;;
esac </dev/null 2>/dev/null
"#;

/// A BMC on a port of loopback, with a process that it gives power to. Ended by their numbers.
struct Bmc {
    folder: TempDir,
    simulator: Child,
    port: u16,
}

impl Bmc {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let path = |name: &str| folder.path().join(name);
        // The machine: one process, whose number stands in a file. Killed and not waited for yet is off.
        let power = path("power");
        fs::write(&power, POWER).unwrap();
        fs::set_permissions(&power, fs::Permissions::from_mode(0o755)).unwrap();
        let mut on = Command::new("sh");
        on.arg(&power).args(["0x20", "set", "power", "1"]);
        assert!(on.status().unwrap().success());
        let lan = format!(
            "name \"alpha\"\nset_working_mc 0x20\n  startlan 1\n    addr 127.0.0.1 {port}\n    priv_limit admin\n    \
             allowed_auths_callback none md2 md5 straight\n    allowed_auths_user none md2 md5 straight\n    \
             allowed_auths_operator none md2 md5 straight\n    allowed_auths_admin none md2 md5 straight\n    \
             guid a123456789abcdefa123456789abcdef\n  endlan\n  chassis_control \"{} 0x20\"\n  \
             user 1 true \"\" \"test\" user 10 none md2 md5 straight\n  \
             user 2 true \"admin\" \"{SECRET}\" admin 10 none md2 md5 straight\n",
            power.display()
        );
        fs::write(path("lan.conf"), lan).unwrap();
        fs::write(
            path("bmc.emu"),
            "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n",
        )
        .unwrap();
        fs::create_dir(path("state")).unwrap();
        fs::write(path("secret"), SECRET).unwrap();
        fs::set_permissions(path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
        let simulator = Command::new("ipmi_sim")
            .arg("-n")
            .arg("-c")
            .arg(path("lan.conf"))
            .arg("-f")
            .arg(path("bmc.emu"))
            .arg("-s")
            .arg(path("state"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            folder,
            simulator,
            port,
        }
    }

    fn device(&self) -> FenceDevice {
        let port = self.port.to_string();
        let mut device = device(
            "fence_ipmilan",
            &[
                ("ip", "127.0.0.1"),
                ("ipport", &port),
                ("username", "admin"),
                ("lanplus", "1"),
                ("cipher", "3"),
                ("power_wait", "0"),
            ],
        );
        let secret = self.folder.path().join("secret");
        device.secret_parameters =
            BTreeMap::from([("password".to_owned(), secret.to_str().unwrap().to_owned())]);
        device
    }

    /// The machine's process, as long as it lives.
    fn machine(&self) -> Option<u32> {
        let number = fs::read_to_string(self.folder.path().join("pid")).ok()?;
        let number = number.trim().parse().ok()?;
        let state = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        // Killed and not waited for yet is as good as gone.
        (!state.rsplit(')').next()?.trim_start().starts_with('Z')).then_some(number)
    }

    fn await_machine(&self, there: bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.machine().is_some() != there {
            assert!(
                Instant::now() < until,
                "the machine's process is not as wanted: {there}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Bmc {
    fn drop(&mut self) {
        let kill = |number: u32| {
            let mut kill = Command::new("kill");
            drop(kill.args(["-KILL", &number.to_string()]).status());
        };
        if let Some(number) = self.machine() {
            kill(number);
        }
        drop(self.simulator.kill());
        drop(self.simulator.wait());
    }
}

#[test]
fn fence_ipmilan_cuts_the_power_of_a_real_process() {
    let bmc = Bmc::start();
    bmc.await_machine(true);
    let device = bmc.device();
    assert_eq!(monitor(&device), Ok(()));
    assert_eq!(status(&device, &alpha()), Ok(Power::On));
    let began = Instant::now();
    assert_eq!(power_off(&device, &alpha()), Ok(()));
    let took = began.elapsed();
    bmc.await_machine(false);
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert_eq!(power_on(&device, &alpha()), Ok(()));
    bmc.await_machine(true);
}

#[test]
fn a_wrong_password_confirms_nothing_and_is_not_shown() {
    let bmc = Bmc::start();
    bmc.await_machine(true);
    let device = bmc.device();
    let secret = bmc.folder.path().join("secret");
    fs::write(Path::new(&secret), "not-the-password").unwrap();
    let error = power_off(&device, &alpha()).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("not-the-password"), "{shown}");
    assert!(bmc.machine().is_some());
}
