//! What is looked at before a machine becomes a node: each thing by itself, with what to do about it.
//! Changes nothing but a scratch file in the state folder.
//!
//! Not for saying it (`render::checks`) and not for what the cluster decides when it is asked.

use super::offered::probe_guards;
use serde::Serialize;
use standfast_transport::join::{Checked, JoinOptions, check};
use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, UdpSocket},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, with less to rely on.
    Warn,
    /// It would not work.
    Refuse,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) check: &'static str,
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) text: String,
    /// What to do about it, empty when there is nothing to do.
    pub(crate) remedy: String,
}

fn finding(check: &'static str, verdict: Verdict, text: String, remedy: &str) -> Finding {
    Finding {
        check,
        verdict,
        text,
        remedy: remedy.to_owned(),
    }
}

/// A clock before this was never set: 2026-01-01, milliseconds since 1970.
const EARLIEST_MS: u64 = 1_767_225_600_000;
/// Writes that are measured.
const WRITES: usize = 20;
/// How long it is watched whether this machine stalls.
const WATCH: Duration = Duration::from_millis(300);

/// Clocks that differ by more confuse people, and nothing else.
const CLOCK_DIFFERENCE_MS: u64 = 2000;

/// Looks at this machine.
pub(crate) fn machine(folder: &Path, addresses: &[SocketAddr], wall_ms: u64) -> Vec<Finding> {
    let mut findings = vec![clock(wall_ms)];
    findings.extend(addresses.iter().map(|address| own_address(*address)));
    let guards = guards();
    let strong = guards.verdict == Verdict::Ok;
    findings.push(guards);
    findings.push(speed(folder, strong));
    findings
}

fn clock(wall_ms: u64) -> Finding {
    if wall_ms < EARLIEST_MS {
        return finding(
            "clock",
            Verdict::Warn,
            "this machine's clock was never set".to_owned(),
            "set it (timedatectl, chrony): leases do not need it, but journal and certificates show it",
        );
    }
    finding(
        "clock",
        Verdict::Ok,
        "this machine's clock is set".to_owned(),
        "",
    )
}

fn own_address(address: SocketAddr) -> Finding {
    match UdpSocket::bind(address) {
        Ok(_) => finding(
            "address",
            Verdict::Ok,
            format!("{address} (UDP) is this machine's and free"),
            "",
        ),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => finding(
            "address",
            Verdict::Refuse,
            format!("{address} (UDP) is in use"),
            "another agent runs, or another program has the port (`ss -lunp`): end it, or take another port",
        ),
        Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => finding(
            "address",
            Verdict::Refuse,
            format!("{} is no address of this machine", address.ip()),
            "give one of `ip address`, or configure it first",
        ),
        Err(error) => finding(
            "address",
            Verdict::Refuse,
            format!("{address} (UDP) cannot be used: {error}"),
            "run this as root, or take a port above 1023",
        ),
    }
}

fn guards() -> Finding {
    let support = probe_guards(Path::new("standfast"), false, false);
    let missing: Vec<String> = support
        .missing
        .iter()
        .filter(|(guard, _)| guard.as_str() != "realtime")
        .map(|(guard, why)| format!("{guard} ({why})"))
        .collect();
    if missing.is_empty() {
        return finding(
            "guards",
            Verdict::Ok,
            "this kernel offers every guard".to_owned(),
            "",
        );
    }
    finding(
        "guards",
        Verdict::Warn,
        format!("this kernel lacks: {}", missing.join(", ")),
        "leases are safe without, but others wait longer for this node, and profile fast is refused",
    )
}

/// How long a durable write and a stall take, and the profile that they allow.
fn speed(folder: &Path, guarded: bool) -> Finding {
    let writes = match measure_writes(folder) {
        Ok(times) => times,
        Err(error) => {
            return finding(
                "disk",
                Verdict::Refuse,
                format!("{} cannot be written: {error}", folder.display()),
                "free space on it, or make it writable for root",
            );
        }
    };
    let (median, longest) = writes;
    let stall = measure_stall();
    let text = format!(
        "a durable write takes {} ms (longest of {WRITES}: {} ms), longest stall in {} ms: {} ms",
        millis(median),
        millis(longest),
        WATCH.as_millis(),
        millis(stall)
    );
    let slowest = longest.max(stall);
    if slowest <= Duration::from_millis(20) && guarded {
        return finding(
            "speed",
            Verdict::Ok,
            format!("{text}: profiles fast and lan"),
            "",
        );
    }
    if slowest <= Duration::from_millis(200) {
        return finding("speed", Verdict::Ok, format!("{text}: profile lan"), "");
    }
    finding(
        "speed",
        Verdict::Warn,
        text,
        "slow for profile lan: elections take longer; put the state folder on a faster disk, or use profile wan",
    )
}

fn millis(length: Duration) -> String {
    format!("{:.1}", length.as_secs_f64() * 1000.0)
}

/// Median and longest time of a few durable writes.
fn measure_writes(folder: &Path) -> std::io::Result<(Duration, Duration)> {
    fs::create_dir_all(folder)?;
    let path = folder.join("probe");
    let mut file = fs::File::create(&path)?;
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let began = Instant::now();
        file.write_all(&[0; 512])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    fs::remove_file(&path)?;
    times.sort_unstable();
    let median = times.get(WRITES / 2).copied().unwrap_or_default();
    Ok((median, times.last().copied().unwrap_or_default()))
}

/// How late this thread wakes up at worst.
fn measure_stall() -> Duration {
    let pause = Duration::from_millis(1);
    let end = Instant::now() + WATCH;
    let mut worst = Duration::ZERO;
    while Instant::now() < end {
        let began = Instant::now();
        thread::sleep(pause);
        worst = worst.max(began.elapsed().saturating_sub(pause));
    }
    worst
}

/// Asks a member how it is, and whether both ways are open.
pub(crate) fn cluster(options: &JoinOptions) -> Vec<Finding> {
    match check(options) {
        Ok(checked) => peer(&checked, options.feature_level),
        Err(error) => vec![finding(
            "member",
            Verdict::Refuse,
            error.to_string(),
            "make a new token on a member (`standfast token`), and look whether its UDP port is open from here",
        )],
    }
}

fn peer(checked: &Checked, own_level: u32) -> Vec<Finding> {
    let mut findings = vec![versions(checked, own_level), clocks(checked)];
    for (address, result) in &checked.reached {
        findings.push(match result {
            Ok(()) => finding("link", Verdict::Ok, format!("{address} answers"), ""),
            Err(why) => finding(
                "link",
                Verdict::Warn,
                format!("{address} does not answer: {why}"),
                "this link is dead from here: look at routes and firewalls on the way (UDP, both directions)",
            ),
        });
    }
    let any = checked.heard.iter().any(|(_, heard)| *heard);
    for (own, heard) in &checked.heard {
        findings.push(if *heard {
            finding("way back", Verdict::Ok, format!("the member reaches {own}"), "")
        } else {
            finding(
                "way back",
                if any { Verdict::Warn } else { Verdict::Refuse },
                format!("nothing of the member arrives at {own}"),
                "open this UDP port in the firewall here, and look whether the address is the one that others see",
            )
        });
    }
    findings
}

fn versions(checked: &Checked, own_level: u32) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    let (theirs, level) = (&checked.version, checked.feature_level);
    if level > own_level {
        return finding(
            "version",
            Verdict::Refuse,
            format!(
                "this program is {own} with feature level {own_level}, the cluster's is {theirs} with {level}"
            ),
            "install the cluster's version here first",
        );
    }
    if own != theirs {
        return finding(
            "version",
            Verdict::Warn,
            format!(
                "this program is {own}, the cluster's is {theirs}; feature level {level} is spoken by both"
            ),
            "use the same version everywhere before long",
        );
    }
    finding(
        "version",
        Verdict::Ok,
        format!("version {own}, feature level {level}, as in the cluster"),
        "",
    )
}

fn clocks(checked: &Checked) -> Finding {
    let (theirs, own) = checked.clocks_ms;
    let took = u64::try_from(checked.took.as_millis()).unwrap_or(u64::MAX);
    let apart = theirs.abs_diff(own);
    let which = if own > theirs { "ahead of" } else { "behind" };
    if apart > CLOCK_DIFFERENCE_MS.saturating_add(took) {
        return finding(
            "clocks",
            Verdict::Warn,
            format!(
                "this machine's clock is {} s {which} the member's",
                apart / 1000
            ),
            "set both by the same source (chrony): leases do not need it, but journal and logs would disagree",
        );
    }
    finding(
        "clocks",
        Verdict::Ok,
        format!("both clocks agree, as far as {took} ms on the way show"),
        "",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked() -> Checked {
        Checked {
            feature_level: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            clocks_ms: (EARLIEST_MS, EARLIEST_MS + 40),
            took: Duration::from_millis(50),
            reached: vec![("10.0.0.1:7400".parse().expect("address"), Ok(()))],
            heard: vec![("10.0.0.2:7400".parse().expect("address"), true)],
        }
    }

    fn worst(findings: &[Finding]) -> Vec<(&'static str, Verdict)> {
        let bad = findings.iter().filter(|f| f.verdict != Verdict::Ok);
        bad.map(|f| (f.check, f.verdict)).collect()
    }

    #[test]
    fn a_member_like_us_is_fine() {
        assert_eq!(worst(&peer(&checked(), 1)), []);
    }

    #[test]
    fn differences_are_named_exactly() {
        let mut other = checked();
        other.version = "0.9.0".to_owned();
        assert_eq!(worst(&peer(&other, 1)), [("version", Verdict::Warn)]);
        other.feature_level = 2;
        let findings = peer(&other, 1);
        assert_eq!(worst(&findings), [("version", Verdict::Refuse)]);
        let text = format!(
            "this program is {} with feature level 1, the cluster's is 0.9.0 with 2",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(
            findings.first().map(|f| f.text.as_str()),
            Some(text.as_str())
        );

        let mut late = checked();
        late.clocks_ms.1 += 90_000;
        let findings = peer(&late, 1);
        assert_eq!(worst(&findings), [("clocks", Verdict::Warn)]);
        assert!(
            findings.iter().any(|f| f.text.contains("90 s ahead of")),
            "{findings:?}"
        );

        let mut deaf = checked();
        deaf.heard[0].1 = false;
        assert_eq!(worst(&peer(&deaf, 1)), [("way back", Verdict::Refuse)]);
        deaf.heard
            .push(("10.1.0.2:7400".parse().expect("address"), true));
        assert_eq!(
            worst(&peer(&deaf, 1)),
            [("way back", Verdict::Warn)],
            "one link works"
        );
    }

    #[test]
    fn this_machine_is_looked_at_for_real() {
        let folder = tempfile::tempdir().expect("folder");
        let taken = UdpSocket::bind("127.0.0.1:0").expect("port");
        let addresses = [
            taken.local_addr().expect("address"),
            "192.0.2.1:7400".parse().expect("address"),
        ];
        let findings = machine(folder.path(), &addresses, 1000);
        let refused: Vec<&str> = findings
            .iter()
            .filter(|f| f.verdict == Verdict::Refuse)
            .map(|f| f.text.as_str())
            .collect();
        let taken = format!("{} (UDP) is in use", addresses[0]);
        assert_eq!(
            refused,
            [taken.as_str(), "192.0.2.1 is no address of this machine"]
        );
        assert!(worst(&findings).contains(&("clock", Verdict::Warn)));
        assert!(
            findings
                .iter()
                .any(|f| f.text.contains("a durable write takes"))
        );
        assert!(!folder.path().join("probe").exists());
        let nowhere = speed(Path::new("/proc/nowhere"), true);
        assert_eq!(nowhere.verdict, Verdict::Refuse);
    }
}
