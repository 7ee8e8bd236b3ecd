//! Settings of one machine (`/etc/standfast/node.toml`): never replicated, read when its agent starts.
//!
//! Not for what the cluster agrees on: that is the configuration (`parse`).

use crate::{
    document,
    mistake::{Mistake, Report},
    section::{Found, Section},
};
use std::{net::SocketAddr, time::Duration};

/// Largest file, in bytes.
const MAX_TEXT: usize = 64 * 1024;

/// Shorter than the shortest, an agent has no time to come back after a restart.
const TIMEOUT_MS: std::ops::RangeInclusive<i64> = 5000..=600_000;

/// What a machine's file says; none where it says nothing, and the program's own value counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSettings {
    /// What is logged, as a filter expression.
    pub log: Option<String>,
    /// Folder of the agent's state.
    pub state: Option<String>,
    /// Folder of sockets and of what runs.
    pub run: Option<String>,
    /// Folder in the control-group hierarchy.
    pub cgroup: Option<String>,
    /// Real-time priority and locked memory where the machine allows them.
    pub realtime: Option<bool>,
    /// Where metrics are served, `IP:port` or `off`.
    pub metrics: Option<String>,
    /// Who may ask the agent.
    pub access: AccessSettings,
    /// The hardware watchdog to be fed, if any.
    pub watchdog: Option<WatchdogSettings>,
}

/// A hardware watchdog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchdogSettings {
    /// The device, such as `/dev/watchdog`.
    pub device: String,
    /// So long after the last feeding it is to reset the machine; whole seconds.
    pub timeout: Option<Duration>,
}

/// Who may ask the agent, besides root and the agent's own user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessSettings {
    /// Members of this group may look and change; none counts as `standfast`.
    pub group: Option<String>,
    /// Everybody else may look.
    pub anybody_reads: bool,
}

/// Reads a machine's settings. `file_name` is for the messages.
///
/// # Errors
/// Every mistake in the text, in its order.
pub fn parse_node(text: &str, file_name: &str) -> Result<NodeSettings, Vec<Mistake>> {
    let mut report = Report::new(text, file_name);
    let Some(document) = document(text, MAX_TEXT, &mut report) else {
        return Err(report.into_mistakes());
    };
    let settings = read(
        Section::new(document.get_ref(), String::new(), 0..0),
        &mut report,
    );
    let mistakes = report.into_mistakes();
    if mistakes.is_empty() {
        Ok(settings)
    } else {
        Err(mistakes)
    }
}

fn read(mut root: Section<'_>, report: &mut Report<'_>) -> NodeSettings {
    let mut settings = NodeSettings {
        log: root.string(report, "log").map(|found| found.value),
        state: folder(&mut root, report, "state"),
        run: folder(&mut root, report, "run"),
        cgroup: None,
        realtime: root.boolean(report, "realtime"),
        metrics: None,
        access: AccessSettings::default(),
        watchdog: None,
    };
    if let Some(found) = root.string(report, "cgroup") {
        let outside = |part: &str| part.is_empty() || part == "." || part == "..";
        if found.value.split('/').any(outside) {
            let problem = format!("\"{}\" is no folder in the hierarchy", found.value);
            let mistake = Mistake::new(&found.path, problem);
            let allowed = "a relative path, such as standfast or system.slice/standfast";
            report.mistake(found.at.clone(), mistake.allowed(allowed));
        }
        settings.cgroup = Some(found.value);
    }
    if let Some(found) = root.string(report, "metrics") {
        if found.value != "off" && found.value.parse::<SocketAddr>().is_err() {
            let mistake = Mistake::new(&found.path, format!("\"{}\" is no address", found.value));
            let allowed = "IP:port, such as 127.0.0.1:7401, or off";
            report.mistake(found.at.clone(), mistake.allowed(allowed));
        }
        settings.metrics = Some(found.value);
    }
    if let Some(section) = root.section(report, "access") {
        settings.access = read_access(section, report);
    }
    if let Some(section) = root.section(report, "watchdog") {
        settings.watchdog = read_watchdog(section, report);
    }
    root.finish(report);
    settings
}

fn read_watchdog(mut section: Section<'_>, report: &mut Report<'_>) -> Option<WatchdogSettings> {
    if !section.has("device") {
        section.missing(report, "device");
    }
    let device = folder(&mut section, report, "device");
    let timeout = section.integer(report, "timeout_ms", TIMEOUT_MS);
    if let Some(found) = timeout.as_ref().filter(|found| found.value % 1000 != 0) {
        let problem = format!("{} is no whole number of seconds", found.value);
        let mistake = Mistake::new(&found.path, problem);
        let allowed = "thousands: watchdogs count in seconds";
        report.mistake(found.at.clone(), mistake.allowed(allowed));
    }
    section.finish(report);
    let millis = timeout.and_then(|found| u64::try_from(found.value).ok());
    Some(WatchdogSettings {
        device: device?,
        timeout: millis.map(Duration::from_millis),
    })
}

fn folder(root: &mut Section<'_>, report: &mut Report<'_>, key: &'static str) -> Option<String> {
    let Found { value, at, path } = root.string(report, key)?;
    if !value.starts_with('/') {
        let mistake = Mistake::new(&path, format!("\"{value}\" is not absolute"));
        report.mistake(at, mistake.allowed("a path that begins with /"));
    }
    Some(value)
}

fn read_access(mut section: Section<'_>, report: &mut Report<'_>) -> AccessSettings {
    let group = section.string(report, "group");
    if let Some(found) = &group {
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !found.value.chars().all(letters) || found.value.len() > 32 {
            let mistake = Mistake::new(&found.path, format!("\"{}\" is no group", found.value));
            let allowed =
                "the name of a group of this machine: at most 32 letters, digits and - _ .";
            report.mistake(found.at.clone(), mistake.allowed(allowed));
        }
    }
    let readers = [("group", false), ("any", true)];
    let settings = AccessSettings {
        group: group.map(|found| found.value),
        anybody_reads: section.choice(report, "read", &readers).unwrap_or(false),
    };
    section.finish(report);
    settings
}
