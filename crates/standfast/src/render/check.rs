//! `check`: one line for Nagios and Icinga, with performance data.

use super::summary::{Health, Status};

/// A plugin's result: its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 0
    Ok,
    /// 1
    Warning,
    /// 2
    Critical,
    /// 3
    Unknown,
}

impl Verdict {
    /// The plugin's exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The plugin's line without performance data.
    #[must_use]
    pub fn line(self, text: &str) -> String {
        // A bar would begin the performance data.
        format!("STANDFAST {} - {}", self.word(), text.replace('|', "/"))
    }
}

/// The plugin's line and verdict.
#[must_use]
pub fn check(status: &Status) -> (Verdict, String) {
    let verdict = match status.health {
        Health::Ok => Verdict::Ok,
        Health::Degraded => Verdict::Warning,
        Health::Outage | Health::NoQuorum => Verdict::Critical,
    };
    let nodes = status.nodes.len();
    let online = status.nodes.iter().filter(|n| n.online).count();
    let groups = status.groups.len();
    let running = status.groups.iter().filter(|g| g.running).count();
    let rto = status
        .groups
        .iter()
        .filter_map(|g| g.predicted_rto_ms)
        .max();
    let rto = rto.map_or_else(String::new, |ms| format!(" predicted_rto={ms}ms;;;0"));
    let line = format!(
        "{} | nodes_online={online};;;0;{nodes} groups_running={running};;;0;{groups} quorum={};;;0;1 warnings={};;;0{rto}\n",
        verdict.line(&status.sentence),
        u8::from(status.quorum),
        status.warnings.len(),
    );
    (verdict, line)
}
