//! What the exit codes of OCF 1.1 and of LSB scripts mean. Not for what follows.

use serde::{Deserialize, Serialize};

/// How a program is asked and what it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// A resource agent.
    Ocf,
    /// A start/stop/status script (LSB core specification, "Init Script Actions").
    Script,
    /// A program of ours that asks systemd, with the codes of a script.
    Unit,
}

impl Dialect {
    /// What an action is called. The runner speaks OCF.
    pub(crate) fn word(self, action: &str) -> &str {
        match (self, action) {
            (Self::Script | Self::Unit, "monitor") => "status",
            _ => action,
        }
    }

    /// Says that it is cleanly stopped.
    pub(crate) const fn not_running(self) -> i32 {
        match self {
            Self::Ocf => 7,
            Self::Script | Self::Unit => 3,
        }
    }

    /// Whether a `monitor` that ends with it says that the resource runs. Promoted is an error of what is not promotable;
    /// degraded (190) runs.
    pub(crate) const fn runs(self, code: i32) -> bool {
        match self {
            Self::Ocf => matches!(code, 0 | 190),
            Self::Script | Self::Unit => code == 0,
        }
    }

    /// The code's name, for an operator.
    pub(crate) fn name(self, action: &str, code: i32) -> &'static str {
        match (self, action) {
            (Self::Ocf, _) => of_agent(code),
            (Self::Unit, "monitor") if code == 1 => "failed",
            (Self::Unit, "start") if code == 5 => "refused",
            (Self::Script | Self::Unit, "monitor") => of_status(code),
            (Self::Script | Self::Unit, _) => of_script(code),
        }
    }
}

const fn of_agent(code: i32) -> &'static str {
    match code {
        0 => "success",
        1 => "error",
        2 => "wrong arguments",
        3 => "not implemented",
        4 => "insufficient privileges",
        5 => "not installed",
        6 => "not configured",
        7 => "not running",
        8 => "running promoted",
        9 => "failed promoted",
        190 => "degraded",
        191 => "degraded promoted",
        _ => "no code of OCF",
    }
}

const fn of_status(code: i32) -> &'static str {
    match code {
        0 => "running",
        1 => "dead, and its pid file exists",
        2 => "dead, and its lock file exists",
        3 => "not running",
        4 => "unknown",
        _ => "no code of LSB",
    }
}

/// Whether a `monitor` that ends with it says that the resource runs promoted; degraded (191) as well.
pub(crate) const fn is_promoted(code: i32) -> bool {
    matches!(code, 8 | 191)
}

/// LSB's codes of actions are those of OCF up to there.
const fn of_script(code: i32) -> &'static str {
    match code {
        0..=7 => of_agent(code),
        _ => "no code of LSB",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_running_and_degraded_are_healthy() {
        let all = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 190, 191, 255];
        let healthy = |dialect: Dialect| -> Vec<i32> {
            let healthy = all.into_iter().filter(|code| dialect.runs(*code));
            healthy.collect()
        };
        assert_eq!(healthy(Dialect::Ocf), [0, 190]);
        assert_eq!(healthy(Dialect::Script), [0]);
        let named = |dialect: Dialect, action: &str| {
            let none = dialect.name(action, 255);
            let named = all
                .into_iter()
                .filter(|code| dialect.name(action, *code) != none);
            named.count()
        };
        assert_eq!(named(Dialect::Ocf, "monitor"), 12);
        assert_eq!(named(Dialect::Script, "start"), 8);
        assert_eq!(named(Dialect::Script, "monitor"), 5);
    }

    #[test]
    fn a_script_is_asked_for_its_status() {
        assert_eq!(Dialect::Script.word("monitor"), "status");
        assert_eq!(Dialect::Ocf.word("monitor"), "monitor");
        assert_eq!(Dialect::Script.name("monitor", 3), "not running");
        assert_eq!(Dialect::Script.name("start", 3), "not implemented");
    }
}
