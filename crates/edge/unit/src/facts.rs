//! What systemd says of a unit, and whether a lease could end all of it. Not for asking.

/// What is known of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `loaded`, `not-found`, `masked`, ...
    pub(crate) load: String,
    /// `active`, `inactive`, `failed`, ...
    pub(crate) active: String,
    /// The same, in the words of its type.
    pub(crate) sub: String,
    /// How its last run ended.
    pub(crate) result: String,
    /// `enabled`, `disabled`, `static`, ...
    pub(crate) file: String,
    /// `simple`, `notify`, `oneshot`, ...
    pub(crate) kind: String,
    /// It is active without any process.
    pub(crate) remains: bool,
    /// The service name for PAM, which gives it a session.
    pub(crate) pam: String,
    /// A name on the bus that it is started for.
    pub(crate) bus_name: String,
    /// Sockets, timers and paths that start it.
    pub(crate) triggers: Vec<String>,
    /// Units whose start is its start.
    pub(crate) pulled_by: Vec<String>,
    /// Where the next start is put.
    pub(crate) slice: String,
    /// Whether systemd starts it again by itself: `no`, `always`, ...
    pub(crate) restart: String,
    /// Where its processes are, below the hierarchy's root.
    pub(crate) group: String,
}

impl Facts {
    /// Whether it has processes, or is about to have.
    pub(crate) fn runs(&self) -> bool {
        !matches!(self.active.as_str(), "inactive" | "failed")
    }

    /// Whether its processes are in a slice whose name begins so.
    pub(crate) fn is_below(&self, slice: &str) -> bool {
        let below = format!("/{}/{slice}", crate::SLICES);
        self.group.contains(&below)
    }

    /// How it is, for an operator.
    pub(crate) fn describe(&self) -> String {
        let result = match self.result.as_str() {
            "" | "success" => String::new(),
            result => format!(", {result}"),
        };
        format!("{} ({}{result})", self.active, self.sub)
    }
}

/// Whether a lease could end all that the unit does, and nobody else starts it.
///
/// # Errors
/// Why not, and what to do.
pub(crate) fn judge(unit: &str, facts: &Facts) -> Result<(), String> {
    match facts.load.as_str() {
        "loaded" => {}
        "not-found" => return Err(format!("there is no unit {unit} here")),
        "masked" => return Err(format!("{unit} is masked: systemctl unmask {unit}")),
        other => {
            return Err(format!(
                "{unit} cannot be loaded ({other}): systemctl status {unit} says why"
            ));
        }
    }
    if facts.file.starts_with("enabled") {
        return Err(format!(
            "{unit} is started at boot, by systemd and not by the cluster: systemctl disable --now {unit}"
        ));
    }
    if let Some(other) = facts.triggers.first() {
        return Err(format!(
            "{unit} is started by {other} too: systemctl disable --now {other}"
        ));
    }
    if let Some(other) = facts.pulled_by.first() {
        return Err(format!(
            "{unit} is started with {other} too: take it out of what {other} wants or requires"
        ));
    }
    let why = match facts.kind.as_str() {
        "oneshot" => "Type=oneshot: what it does is not a process that a lease could end",
        "dbus" => "Type=dbus: the system's bus starts it too",
        _ if !facts.bus_name.is_empty() => "BusName=: the system's bus starts it too",
        _ if facts.remains => "RemainAfterExit=yes: it is active without a process",
        _ if !facts.pam.is_empty() => {
            "PAMName=: a session takes its processes out of their control group"
        }
        _ => return Ok(()),
    };
    Err(format!(
        "{unit} cannot be ended by killing its processes ({why}); write a unit without that, or use kind = \"process\""
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        let text = |text: &str| text.to_owned();
        Facts {
            load: text("loaded"),
            active: text("inactive"),
            sub: text("dead"),
            file: text("disabled"),
            kind: text("notify"),
            ..Facts::default()
        }
    }

    #[test]
    fn what_nobody_else_starts_and_a_kill_ends_is_allowed() {
        assert_eq!(judge("a.service", &good()), Ok(()));
        for file in ["static", "indirect", ""] {
            let facts = Facts {
                file: file.to_owned(),
                ..good()
            };
            assert_eq!(judge("a.service", &facts), Ok(()), "{file}");
        }
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        type Change = fn(&mut Facts);
        let cases: [(Change, &str); 10] = [
            (
                |f| f.load = "not-found".into(),
                "there is no unit a.service here",
            ),
            (|f| f.load = "masked".into(), "systemctl unmask a.service"),
            (|f| f.load = "bad-setting".into(), "(bad-setting)"),
            (
                |f| f.file = "enabled".into(),
                "systemctl disable --now a.service",
            ),
            (
                |f| f.file = "enabled-runtime".into(),
                "disable --now a.service",
            ),
            (
                |f| f.triggers = vec!["a.socket".into()],
                "disable --now a.socket",
            ),
            (
                |f| f.pulled_by = vec!["b.target".into()],
                "started with b.target too",
            ),
            (|f| f.kind = "oneshot".into(), "Type=oneshot"),
            (|f| f.remains = true, "RemainAfterExit=yes"),
            (|f| f.pam = "login".into(), "PAMName="),
        ];
        for (change, said) in cases {
            let mut facts = good();
            change(&mut facts);
            let why = judge("a.service", &facts).expect_err(said);
            assert!(why.contains(said), "{why}");
        }
        for bus in [("dbus", ""), ("simple", "org.x")] {
            let facts = Facts {
                kind: bus.0.to_owned(),
                bus_name: bus.1.to_owned(),
                ..good()
            };
            let why = judge("a.service", &facts).expect_err("the bus starts it");
            assert!(why.contains("the system's bus starts it too"), "{why}");
        }
    }

    #[test]
    fn a_slice_of_another_run_is_not_this_one() {
        let facts = Facts {
            group: "/standfast.slice/standfast-web.1f.slice/a.service".to_owned(),
            ..good()
        };
        assert!(facts.is_below("standfast-web.1f.slice"));
        assert!(facts.is_below("standfast-web."));
        assert!(!facts.is_below("standfast-web.2f.slice"));
        assert!(!good().is_below("standfast-web."));
    }
}
