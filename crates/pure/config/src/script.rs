//! Settings of resources of kind `script`: a start/stop/status script (LSB) in the place of a command.
//!
//! Whether it is there, and who may change it, only a machine that has it can know: the crate `ocf` asks there.

use crate::{
    mistake::{Mistake, Report},
    ocf::{read_times, under_runner},
    process::{absolute, read_environment},
    section::{Found, Section},
};
use standfast_model::config::{ProcessConfig, Starter};

pub(crate) fn read(table: &mut Section<'_>, report: &mut Report<'_>) -> ProcessConfig {
    let script = table.required_string(report, "script");
    let promise = table.choice(report, "effects", &[("processes", ())]);
    let mut process = under_runner();
    read_environment(table, report, &mut process);
    read_times(table, report, &mut process);
    let script = script.inspect(|found| {
        absolute(report, found);
        if promise.is_none() {
            report.mistake(found.at.clone(), not_promised(found));
        }
    });
    let path = script.map(|found| found.value).unwrap_or_default();
    process.starter = Some(Box::new(Starter::Script(path)));
    process
}

/// What is called that nobody knows anything of.
pub(crate) fn not_promised(called: &Found<String>) -> Mistake {
    let problem = format!(
        "it is not known whether everything that {} does ends with its processes; a lease is ended by killing them",
        called.value
    );
    Mistake::new(&called.path, problem)
        .allowed("effects = \"processes\" beside it, which promises it")
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
             [resources.web]\nkind = \"script\"\n{keys}\n"
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
    fn a_script_is_a_process_that_is_asked_for_its_status() {
        let process = read(
            "script = \"/etc/init.d/foo\"\neffects = \"processes\"\nmonitor_interval_ms = 5000\nstop_timeout_ms = 7000\n\
             environment = { MODE = \"quick\", TOKEN = { secret_file = \"/etc/t\" } }",
        );
        assert_eq!(process.script(), Some("/etc/init.d/foo"));
        assert_eq!(
            (process.kind(), process.private_pids, process.command.len()),
            ("script", true, 0)
        );
        let health = process.health.expect("one");
        assert_eq!(
            (health.probe, health.interval),
            (CheckKind::Agent, Micros::from_millis(5000))
        );
        assert_eq!(process.stop_timeout, Micros::from_millis(7000));
        let mode = process.environment.get("MODE").map(String::as_str);
        assert_eq!(mode, Some("quick"));
        assert!(process.secret_environment.contains_key("TOKEN"));
    }

    #[test]
    fn nothing_is_promised_by_itself() {
        assert_eq!(
            mistakes("script = \"/etc/init.d/foo\""),
            [
                "x:7:10: resources.web.script: it is not known whether everything that /etc/init.d/foo does ends with \
                 its processes; a lease is ended by killing them; allowed: effects = \"processes\" beside it, which \
                 promises it"
            ]
        );
    }

    #[test]
    fn mistakes_say_what_is_allowed() {
        let promised = |keys: &str| mistakes(&format!("effects = \"processes\"\n{keys}"));
        assert_eq!(promised(""), ["x:5:1: resources.web.script: is missing"]);
        assert_eq!(
            promised("script = \"foo\""),
            [
                "x:8:10: resources.web.script: \"foo\" is not absolute; allowed: a path that begins with /; no shell \
                 and no search path is used"
            ]
        );
        let found = promised("script = \"/etc/init.d/foo\"\nuser = \"www\"");
        assert!(
            found[0].contains("resources.web.user: unknown key"),
            "{found:?}"
        );
    }
}
