//! Management boards of the hosts: Debian's `ipmi_sim` speaks real IPMI on the client network, and what it is told to do with the power really
//! happens to the host. Not for what is asked of them (`fencing`).

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::error::{LabError, Result};
use crate::lab::Lab;
use crate::processes;

/// Password of the boards.
const PASSWORD: &str = "Geheim7";

/// Port of the first host's board; the others follow.
const FIRST_PORT: u16 = 9001;

/// What a board runs to look at the power, and to switch it. "On" is only a wish: hosts are booted by [`Boards::tend`].
const POWER: &str = r#"#!/bin/sh
cd "${0%/*}" || exit 1
# Field 3 is the state, field 22 the start: another process may have got the number since.
is_on() {
    read -r pid began <pid && set -- $(cat "/proc/$pid/stat") && [ "$began" = "${22}" ] &&
        case $3 in Z | X) false ;; esac
}
case "$2 $3 $4" in
    "get power "*) if is_on; then echo power:1; else echo power:0; fi ;;
    # Links first: the network of a dead machine goes away some time after its processes, and its kernel would answer until then.
    "set power 0") if is_on; then while read -r port; do echo 0x1002 >"$port/flags"; done <ports; kill -KILL "$pid"; fi ;;
    "set power 1") if ! is_on; then : >wanted; fi ;;
esac </dev/null 2>/dev/null
"#;

/// One for each node. Dropped, they end.
#[derive(Debug)]
pub struct Boards {
    folders: Vec<PathBuf>,
    programs: Vec<Child>,
}

impl Boards {
    /// Starts them in the client's network, at the gateway's address.
    ///
    /// # Errors
    /// When the hosts have no networks of their own, or a board cannot be started.
    pub fn start(lab: &Lab) -> Result<Self> {
        let without = || LabError::Unexpected("boards need networks of their own".to_owned());
        let client = lab.client_process().ok_or_else(without)?.to_string();
        let mut boards = Self {
            folders: Vec::new(),
            programs: Vec::new(),
        };
        for (index, host) in lab.nodes.iter().enumerate() {
            let folder = host.folder().join("board");
            write_files(&folder, host.name(), lab.gateway(), Self::port(index))?;
            write(&folder.join("ports"), &host.ports())?;
            let program = Command::new("setpriv")
                .args([
                    "--pdeathsig",
                    "KILL",
                    "nsenter",
                    "-n",
                    "-t",
                    &client,
                    "ipmi_sim",
                    "-n",
                    "-c",
                ])
                .arg(folder.join("lan.conf"))
                .arg("-f")
                .arg(folder.join("bmc.emu"))
                .arg("-s")
                .arg(folder.join("state"))
                .current_dir(&folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|error| LabError::system("start ipmi_sim", error))?;
            boards.folders.push(folder);
            boards.programs.push(program);
        }
        boards.note(lab)?;
        Ok(boards)
    }

    /// UDP port of the board of node `index`.
    #[must_use]
    pub fn port(index: usize) -> u16 {
        FIRST_PORT + u16::try_from(index).unwrap_or(u16::MAX - FIRST_PORT)
    }

    /// Writes down which process each host is, after one has booted.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn note(&self, lab: &Lab) -> Result<()> {
        for (folder, host) in self.folders.iter().zip(&lab.nodes) {
            let process = host.process().map_or_else(String::new, |pid| {
                format!("{pid} {}\n", processes::began(pid).unwrap_or_default())
            });
            // Whole or not at all: a board may be reading.
            write(&folder.join("pid.new"), &process)?;
            let file = folder.join("pid");
            fs::rename(folder.join("pid.new"), &file)
                .map_err(|error| LabError::file("write", &file, error))?;
        }
        Ok(())
    }

    /// The devices as a part of a configuration, with their password in a file on every node.
    ///
    /// # Errors
    /// When the password cannot be written.
    pub fn configuration(&self, lab: &Lab) -> Result<String> {
        let mut text = String::new();
        for (index, host) in lab.nodes.iter().enumerate() {
            let name = host.name();
            text.push_str(&format!(
                "[fence.ipmi-{name}]\nagent = \"fence_ipmilan\"\nnodes = [\"{name}\"]\n\
                 parameters = {{ ip = \"{}\", ipport = {}, username = \"admin\", lanplus = true, cipher = 3, power_wait = 0, \
                 password = {{ secret_file = \"/etc/standfast/ipmi\" }} }}\n",
                lab.gateway(),
                Self::port(index)
            ));
            let secret = host.folder().join("etc/standfast/ipmi");
            write(&secret, PASSWORD)?;
            fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))
                .map_err(|error| LabError::file("protect", &secret, error))?;
        }
        Ok(text)
    }

    /// Boots the hosts that were told to have power again. True when there was one.
    ///
    /// # Errors
    /// When a host cannot boot.
    pub fn tend(&self, lab: &mut Lab) -> Result<bool> {
        let mut booted = false;
        for (index, folder) in self.folders.iter().enumerate() {
            let wanted = folder.join("wanted");
            if wanted.exists() {
                fs::remove_file(&wanted)
                    .map_err(|error| LabError::file("remove", &wanted, error))?;
                // Somebody else may have given it its power back.
                if lab.boot(index)? {
                    self.note(lab)?;
                    booted = true;
                }
            }
        }
        Ok(booted)
    }
}

impl Drop for Boards {
    fn drop(&mut self) {
        for program in &mut self.programs {
            drop(program.kill());
            drop(program.wait());
        }
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| LabError::file("write", path, error))
}

fn write_files(folder: &Path, name: &str, address: Ipv4Addr, port: u16) -> Result<()> {
    let state = folder.join("state");
    fs::create_dir_all(&state).map_err(|error| LabError::file("create", &state, error))?;
    let power = folder.join("power");
    write(&power, POWER)?;
    fs::set_permissions(&power, fs::Permissions::from_mode(0o755))
        .map_err(|error| LabError::file("make executable", &power, error))?;
    let lan = format!(
        "name \"{name}\"\nset_working_mc 0x20\n  startlan 1\n    addr {address} {port}\n    priv_limit admin\n    \
         allowed_auths_callback none md2 md5 straight\n    allowed_auths_user none md2 md5 straight\n    \
         allowed_auths_operator none md2 md5 straight\n    allowed_auths_admin none md2 md5 straight\n    \
         guid a123456789abcdefa123456789abcdef\n  endlan\n  chassis_control \"{} 0x20\"\n  \
         user 1 true \"\" \"test\" user 10 none md2 md5 straight\n  \
         user 2 true \"admin\" \"{PASSWORD}\" admin 10 none md2 md5 straight\n",
        power.display()
    );
    write(&folder.join("lan.conf"), &lan)?;
    write(
        &folder.join("bmc.emu"),
        "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n",
    )
}
