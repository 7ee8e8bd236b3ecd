//! The management board of an emulated machine: Debian's `ipmi_sim` speaks real IPMI on loopback, and what it is told to do
//! with the power happens to the emulator. Not for what is asked of it: fence agents do that.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::error::{Broken, Result, file};

/// Its user's password.
pub(crate) const PASSWORD: &str = "Geheim7";

/// Looks at the power and cuts it. Field 3 of the kernel's line is the state, field 22 the start: the number may be another's
/// by now. Nobody switches a machine on again.
const POWER: &str = r#"#!/bin/sh
cd "${0%/*}" || exit 1
is_on() {
    read -r pid began <pid && set -- $(cat "/proc/$pid/stat") && [ "$began" = "${22}" ] &&
        case $3 in Z | X) false ;; esac
}
case "$2 $3 $4" in
    "get power "*) if is_on; then echo power:1; else echo power:0; fi ;;
    "set power 0") if is_on; then kill -KILL "$pid"; fi ;;
esac </dev/null 2>/dev/null
"#;

/// A board. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Board(Child);

impl Board {
    /// Starts the board of a machine, whose emulator is process `emulator`, at a port of 127.0.0.1. Its files are in a folder
    /// of its own below `folder`.
    pub(crate) fn start(folder: &Path, name: &str, emulator: u32, port: u16) -> Result<Self> {
        let folder = folder.join(format!("{name}-board"));
        let state = folder.join("state");
        fs::create_dir_all(&state).map_err(file(&state))?;
        let power = folder.join("power");
        write(&power, POWER)?;
        fs::set_permissions(&power, fs::Permissions::from_mode(0o755)).map_err(file(&power))?;
        let stat = format!("/proc/{emulator}/stat");
        let stat = fs::read_to_string(&stat).map_err(file(&stat))?;
        let began = stat.split_whitespace().nth(21).unwrap_or_default();
        write(&folder.join("pid"), &format!("{emulator} {began}\n"))?;
        let kinds: String = ["callback", "user", "operator", "admin"]
            .iter()
            .map(|level| format!("    allowed_auths_{level} none md2 md5 straight\n"))
            .collect();
        let lan = format!(
            "name \"{name}\"\nset_working_mc 0x20\n  startlan 1\n    addr 127.0.0.1 {port}\n    priv_limit admin\n{kinds}    \
             guid a123456789abcdefa123456789abcdef\n  endlan\n  chassis_control \"{} 0x20\"\n  \
             user 1 true \"\" \"test\" user 10 none md2 md5 straight\n  \
             user 2 true \"admin\" \"{PASSWORD}\" admin 10 none md2 md5 straight\n",
            power.display()
        );
        write(&folder.join("lan.conf"), &lan)?;
        write(
            &folder.join("bmc.emu"),
            "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n",
        )?;
        let program = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "ipmi_sim", "-n"])
            .args(["-c", "lan.conf", "-f", "bmc.emu", "-s", "state"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let missing =
            |error| Broken::NotReady(format!("ipmi_sim: {error}: run scripts/setup machines"));
        program.map(Self).map_err(missing)
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // Already gone is as good.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(file(path))
}
