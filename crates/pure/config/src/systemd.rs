//! Settings of resources of kind `systemd`: a unit in the place of a command.
//!
//! What the unit's own settings say, only a machine that has it can know: the crate `unit` asks there.

use crate::{
    mistake::{Mistake, Report},
    ocf::{read_limits, under_runner},
    process::read_check,
    script::not_promised,
    section::{Found, Section},
};
use standfast_model::{
    config::{CheckConfig, CheckKind, ProcessConfig, Starter},
    time::Micros,
};

const ENDING: &str = ".service";
/// Systemd's own limit.
const LONGEST: usize = 255;

pub(crate) fn read(table: &mut Section<'_>, report: &mut Report<'_>) -> ProcessConfig {
    let unit = table.required_string(report, "unit");
    let promise = table.choice(report, "effects", &[("processes", ())]);
    let mut process = under_runner();
    read_limits(table, report, &mut process);
    process.health = read_check(table, report, "health", (1000, 1000, 2));
    // The runner answers when the start is over; that the unit ends is heard from systemd.
    process.readiness = Some(CheckConfig {
        probe: CheckKind::Agent,
        interval: Micros::from_millis(50),
        timeout: process.start_timeout,
        failures: 1,
    });
    if let Some(found) = &unit {
        if !is_service(&found.value) {
            report.mistake(found.at.clone(), no_service(found));
        } else if promise.is_none() {
            report.mistake(found.at.clone(), not_promised(found));
        }
    }
    let name = unit.map(|found| found.value).unwrap_or_default();
    process.starter = Some(Box::new(Starter::Unit(name)));
    process
}

/// `NAME.service` or `TEMPLATE@INSTANCE.service`, with the letters that systemd allows.
fn is_service(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    name.len() <= LONGEST
        && name.chars().all(letter)
        && name.strip_suffix(ENDING).is_some_and(|begin| {
            !begin.is_empty() && !begin.starts_with(['@', '.']) && !begin.ends_with('@')
        })
}

fn no_service(unit: &Found<String>) -> Mistake {
    let problem = format!("\"{}\" is no service unit", unit.value);
    let mut mistake = Mistake::new(&unit.path, problem)
        .allowed("\"NAME.service\" or \"TEMPLATE@INSTANCE.service\"; sockets, timers, mounts and others are refused");
    let whole = format!("{}{ENDING}", unit.value);
    mistake.nearest = (!unit.value.contains('.') && is_service(&whole)).then_some(whole);
    mistake
}

#[cfg(test)]
mod tests {
    use crate::parse;
    use standfast_model::{
        config::{CheckKind, ProcessConfig, ResourceKind},
        time::Micros,
    };

    fn text(keys: &str) -> String {
        format!(
            "[cluster]\nname = \"demo\"\n[nodes.alpha]\naddresses = [\"10.0.0.1:7400\"]\n\
             [resources.web]\nkind = \"systemd\"\n{keys}\n"
        )
    }

    fn read(keys: &str) -> ProcessConfig {
        let (config, _) = parse(&text(keys), "x").expect("no mistakes");
        assert_eq!(config.level(), 4, "older programs would start nothing");
        match config.resources.values().next().map(|found| &found.kind) {
            Some(ResourceKind::Process(process)) => process.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn mistakes(keys: &str) -> Vec<String> {
        let found = parse(&text(keys), "x").expect_err("a mistake");
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_unit_is_a_process_that_systemd_tells_of() {
        let process = read(
            "unit = \"web@1.service\"\neffects = \"processes\"\nstop_timeout_ms = 7000\n\
             health = { tcp = \"127.0.0.1:80\" }",
        );
        assert_eq!(process.unit(), Some("web@1.service"));
        assert_eq!((process.kind(), process.private_pids), ("systemd", true));
        assert_eq!(process.stop_timeout, Micros::from_millis(7000));
        let health = process.health.expect("one").probe;
        assert_eq!(health, CheckKind::Tcp("127.0.0.1:80".to_owned()));
        assert_eq!(process.readiness.expect("one").probe, CheckKind::Agent);
        let quiet = read("unit = \"web.service\"\neffects = \"processes\"");
        assert_eq!(quiet.health, None);
    }

    #[test]
    fn only_services_are_units_here() {
        for name in [
            "web.socket",
            "web",
            "@1.service",
            "web@.service",
            ".service",
            "a/b.service",
        ] {
            let found = mistakes(&format!("unit = \"{name}\"\neffects = \"processes\""));
            assert!(found[0].contains("is no service unit"), "{found:?}");
        }
        let found = mistakes("unit = \"web\"\neffects = \"processes\"");
        assert!(
            found[0].ends_with("did you mean \"web.service\"?"),
            "{found:?}"
        );
    }

    #[test]
    fn nothing_is_promised_by_itself() {
        let found = mistakes("unit = \"web.service\"");
        assert!(
            found[0].contains("effects = \"processes\" beside it"),
            "{found:?}"
        );
        let found =
            mistakes("effects = \"processes\"\nunit = \"web.service\"\nmonitor_interval_ms = 500");
        assert!(
            found[0].contains("monitor_interval_ms: unknown key"),
            "{found:?}"
        );
    }
}
