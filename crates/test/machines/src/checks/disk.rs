//! A power cut on a machine with a disk of its own: what its kernel had not written yet is lost, as on a real one. Not for every
//! point at which the power may fail: `crates/test/power` has those.

use std::{path::Path, process::Command, thread, time::Duration};

use crate::{
    checks::Place,
    error::{Broken, Result, file, unexpected},
    machine::Hardware,
    node::{Node, PATIENCE},
};

/// Power cuts, each right after something was acknowledged.
const CUTS: u32 = 3;
/// From the start of an agent until it has read its disk and leads, by plain emulation on a busy machine.
const READ: Duration = Duration::from_secs(90);
/// Takes the place of fsync and its like, and does nothing.
const WITHOUT_FSYNC: &str = "/usr/lib/x86_64-linux-gnu/libeatmydata.so";

pub(super) fn power_cut(place: &Place) -> Result<String> {
    let (kept, seen) = rounds(place, "power-cut", "")?;
    if kept != CUTS {
        return unexpected(format!(
            "{kept} of {CUTS} acknowledged changes survived: {seen}"
        ));
    }
    // The same without fsync has to lose something, or nothing was shown.
    let (without, _) = rounds(place, "no-fsync", &format!("LD_PRELOAD={WITHOUT_FSYNC} "))?;
    if without == CUTS {
        return unexpected("without fsync everything survived, too: the power cut loses nothing");
    }
    Ok(format!(
        "{CUTS} acknowledged changes survived as many power cuts; without fsync {without} did"
    ))
}

/// How many acknowledged changes are there after a power cut each. Ends with the first that is not, and what is there instead.
fn rounds(place: &Place, name: &str, before: &str) -> Result<(u32, String)> {
    let disk = place.folder.join(format!("{name}.disk"));
    make_disk(&disk)?;
    let hardware = Hardware {
        name: name.to_owned(),
        devices: vec![
            "-drive".to_owned(),
            format!(
                "file={},if=virtio,format=raw,cache=writeback",
                disk.display()
            ),
        ],
    };
    let mut node = boot(place, &hardware)?;
    node.ok("init --name alpha --address 127.0.0.1:7400 --cluster machines 2>&1")?;
    node.machine.ok("sync")?;
    for cut in 0..CUTS {
        node.start_agent_with(before, "--metrics off")?;
        node.apply(&configuration(cut))?;
        drop(node);
        node = boot(place, &hardware)?;
        node.start_agent("--metrics off")?;
        let shown = node.standfast("config show 2>&1");
        // What is there is there once the agent has read its disk and leads again.
        let there = node
            .machine
            .until(&format!("{shown} | grep -F machines-{cut}"), READ);
        if there.is_err() {
            let seen = node
                .machine
                .run(&format!("{shown}; tail -5 /run/agent.log"))?;
            return Ok((cut, seen.text));
        }
        node.machine.ok("touch /run/down")?;
        node.signal_agent("TERM")?;
        node.machine
            .until("! pgrep -f '/standfast [a]gent '", PATIENCE)?;
        node.machine.ok("rm /run/down; sync")?;
    }
    Ok((CUTS, String::new()))
}

fn configuration(cut: u32) -> String {
    format!(
        "[cluster]\nname = \"machines-{cut}\"\nprofile = \"wan\"\n[nodes.alpha]\naddresses = [\"127.0.0.1:7400\"]\n"
    )
}

fn boot(place: &Place, hardware: &Hardware) -> Result<Node> {
    // The disk's lock goes a moment after the emulator that had it.
    thread::sleep(Duration::from_millis(200));
    let mut node = Node::boot(place, hardware)?;
    node.machine
        .ok("mount -t ext4 /dev/vda /var/lib/standfast")?;
    Ok(node)
}

/// Makes an ext4 of 64 MiB in a file.
pub(super) fn make_disk(disk: &Path) -> Result<()> {
    std::fs::File::create(disk)
        .and_then(|made| made.set_len(64 << 20))
        .map_err(file(disk))?;
    let made = Command::new("/sbin/mkfs.ext4").arg("-q").arg(disk).output();
    let made = made.map_err(|error| Broken::NotReady(format!("mkfs.ext4: {error}")))?;
    if !made.status.success() {
        return unexpected(String::from_utf8_lossy(&made.stderr).into_owned());
    }
    Ok(())
}
