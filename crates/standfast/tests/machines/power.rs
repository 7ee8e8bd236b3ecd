//! The power of machines: outlets, each with Debian's `ipmi_sim`, which speaks real IPMI. A machine whose last outlet is
//! switched off loses its agent and everything that it runs, at once.
//!
//! "On" boots nothing: the test does, when it likes.

use super::Machine;
use std::{
    fs,
    net::UdpSocket,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const PASSWORD: &str = "Geheim7";

/// What a board runs to look at its outlet, and to switch it. The process of a machine is known by its number and its start,
/// since another one may have got the number.
const SWITCH: &str = r#"#!/bin/sh
cd "${0%/*}" || exit 1
cut() {
    for outlet in ../*/switch; do [ -e "${outlet%switch}off" ] || return; done
    read -r pid began <../process && set -- $(cat "/proc/$pid/stat") && [ "$began" = "${22}" ] && kill -KILL "$pid"
    for root in /sys/fs/cgroup/unified /sys/fs/cgroup; do
        [ -e "$root/$(cat ../cgroup)/cgroup.kill" ] && echo 1 >"$root/$(cat ../cgroup)/cgroup.kill"
    done
}
case "$2 $3 $4" in
    "get power "*) if [ -e off ]; then echo power:0; else echo power:1; fi ;;
    "set power 0") : >off; echo off >>switched; cut ;;
    "set power 1") rm -f off; echo on >>switched ;;
esac </dev/null 2>/dev/null
"#;

/// All outlets of one test.
pub(crate) struct Power {
    folder: tempfile::TempDir,
    outlets: Vec<(PathBuf, u16, Child)>,
}

impl Power {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        write(&folder.path().join("secret"), PASSWORD, 0o600);
        Self {
            folder,
            outlets: Vec::new(),
        }
    }

    fn of(&self, machine: &str) -> PathBuf {
        self.folder.path().join(machine)
    }

    /// One more outlet that gives a machine power.
    pub(crate) fn outlet(&mut self, machine: &str, name: &str) {
        let folder = self.of(machine).join(name);
        fs::create_dir_all(folder.join("state")).expect("folder");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("port");
        let port = socket.local_addr().expect("address").port();
        drop(socket);
        let switch = folder.join("switch");
        write(&switch, SWITCH, 0o755);
        let lan = format!(
            "name \"{name}\"\nset_working_mc 0x20\n  startlan 1\n    addr 127.0.0.1 {port}\n    priv_limit admin\n    \
             allowed_auths_callback none md2 md5 straight\n    allowed_auths_user none md2 md5 straight\n    \
             allowed_auths_operator none md2 md5 straight\n    allowed_auths_admin none md2 md5 straight\n    \
             guid a123456789abcdefa123456789abcdef\n  endlan\n  chassis_control \"{} 0x20\"\n  \
             user 1 true \"\" \"test\" user 10 none md2 md5 straight\n  \
             user 2 true \"admin\" \"{PASSWORD}\" admin 10 none md2 md5 straight\n",
            switch.display()
        );
        write(&folder.join("lan"), &lan, 0o600);
        let emulator = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n";
        write(&folder.join("emulator"), emulator, 0o600);
        let simulator = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "ipmi_sim", "-n", "-c", "lan"])
            .args(["-f", "emulator", "-s", "state"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ipmi_sim");
        self.outlets.push((folder, port, simulator));
    }

    fn place(&self, machine: &str, name: &str) -> usize {
        let folder = self.of(machine).join(name);
        let found = self.outlets.iter().position(|(of, _, _)| *of == folder);
        found.expect("an outlet")
    }

    /// The device in a configuration; `nodes` and the rest follow.
    pub(crate) fn device(&self, device: &str, machine: &str, name: &str) -> String {
        let (_, port, _) = self.outlets.get(self.place(machine, name)).expect("it");
        self.device_at(device, *port)
    }

    /// The same at any port.
    pub(crate) fn device_at(&self, device: &str, port: u16) -> String {
        format!(
            "[fence.{device}]\nagent = \"fence_ipmilan\"\nparameters = {{ ip = \"127.0.0.1\", ipport = {port}, username = \"admin\", \
             lanplus = true, cipher = 3, power_wait = 0, password = {{ secret_file = \"{}\" }} }}\n",
            self.folder.path().join("secret").display()
        )
    }

    /// Which process the machine is, now that it has booted.
    pub(crate) fn note(&self, machine: &Machine) {
        let pid = machine.agent_pid();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("process");
        let after_name = stat.rsplit(')').next().expect("fields");
        let began = after_name.split_whitespace().nth(19).expect("start");
        let folder = self.of(&machine.name);
        write(&folder.join("process"), &format!("{pid} {began}\n"), 0o600);
        write(&folder.join("cgroup"), &machine.cgroup, 0o600);
    }

    /// What an outlet was told, oldest first.
    pub(crate) fn switched(&self, machine: &str, name: &str) -> String {
        let told = fs::read_to_string(self.of(machine).join(name).join("switched"));
        told.unwrap_or_default().replace('\n', " ")
    }

    /// The board of an outlet is dead: what has power goes on having it.
    pub(crate) fn kill_board(&mut self, machine: &str, name: &str) {
        let place = self.place(machine, name);
        let (_, _, simulator) = self.outlets.get_mut(place).expect("it");
        simulator.kill().expect("kill");
        simulator.wait().expect("end");
    }

    /// Somebody pulls the plug, or puts it in: no board is asked.
    pub(crate) fn plug(&self, machine: &str, name: &str, has_power: bool) {
        let off = self.of(machine).join(name).join("off");
        match has_power {
            true => fs::remove_file(&off).expect("outlet"),
            false => write(&off, "", 0o600),
        }
    }
}

impl Drop for Power {
    fn drop(&mut self) {
        for (_, _, simulator) in &mut self.outlets {
            simulator.kill().ok();
            simulator.wait().ok();
        }
    }
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("file");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
}
