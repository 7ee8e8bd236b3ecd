//! Settings of resources of kind `process`, with their checks.

use crate::{
    HIDDEN,
    mistake::{Mistake, Report},
    section::{Found, Section, string_of, wrong_type},
};
use standfast_model::{
    config::{CheckConfig, CheckKind, ProcessConfig},
    time::Micros,
};
use toml::{Spanned, de::DeValue};

/// Signals that end a process gracefully, with their numbers on Linux.
const SIGNALS: [(&str, i32); 7] = [
    ("TERM", 15),
    ("INT", 2),
    ("QUIT", 3),
    ("HUP", 1),
    ("USR1", 10),
    ("USR2", 12),
    ("WINCH", 28),
];

pub(crate) const DAY_MS: u32 = 86_400_000;

pub(crate) fn read(table: &mut Section<'_>, report: &mut Report<'_>) -> ProcessConfig {
    let mut process = ProcessConfig {
        command: read_command(table, report),
        start_timeout: Micros::from_millis(30_000),
        stop_timeout: Micros::from_millis(10_000),
        stop_signal: 15,
        private_pids: table.boolean(report, "private_pids").unwrap_or(true),
        ..ProcessConfig::default()
    };
    process.user = table.string(report, "user").map(|found| found.value);
    process.directory = table.string(report, "directory").map(|found| {
        absolute(report, &found);
        found.value
    });
    read_environment(table, report, &mut process);
    process.readiness = read_check(table, report, "readiness", (50, 500, 1));
    process.health = read_check(table, report, "health", (1000, 1000, 2));
    if let Some(found) = table.millis(report, "start_timeout_ms", 1..=DAY_MS) {
        process.start_timeout = found.value;
    }
    if let Some(found) = table.millis(report, "stop_timeout_ms", 1..=DAY_MS) {
        process.stop_timeout = found.value;
    }
    if let Some(signal) = table.choice(report, "stop_signal", &SIGNALS) {
        process.stop_signal = signal;
    }
    process
}

fn read_command(table: &mut Section<'_>, report: &mut Report<'_>) -> Vec<String> {
    let words = table.required_strings(report, "command");
    if let Some(program) = words.first() {
        absolute(report, program);
    }
    words.into_iter().map(|word| word.value).collect()
}

pub(crate) fn absolute(report: &mut Report<'_>, found: &Found<String>) {
    if !found.value.starts_with('/') {
        let mistake = Mistake::new(&found.path, format!("\"{}\" is not absolute", found.value));
        let allowed = "a path that begins with /; no shell and no search path is used";
        report.mistake(found.at.clone(), mistake.allowed(allowed));
    }
}

/// Variables by value, and variables by file: `NAME = "value"`, `NAME = { secret_file = "/path" }`.
pub(crate) fn read_environment(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    process: &mut ProcessConfig,
) {
    let Some(section) = table.section(report, "environment") else {
        return;
    };
    for (name, value) in section.entries() {
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.value.chars().all(letters) || name.value.starts_with(|c: char| c.is_ascii_digit())
        {
            let mistake = Mistake::new(&name.path, "is no name of a variable");
            let allowed = "letters, digits and _, not beginning with a digit";
            report.mistake(name.at.clone(), mistake.allowed(allowed));
        }
        match value.get_ref() {
            DeValue::Table(_) => {
                if let Some(file) = read_secret_file(value, &name, report) {
                    process.secret_environment.insert(name.value, file);
                }
            }
            DeValue::String(text) if text.as_ref() == HIDDEN => {
                let problem = "is hidden: this text was shown without its values";
                let mistake = Mistake::new(&name.path, problem);
                let allowed = "the value itself; `config edit` and `config show --reveal` have it";
                report.mistake(value.span(), mistake.allowed(allowed));
            }
            DeValue::String(_) => {
                if let Some(text) = string_of(value, name.path, report) {
                    process.environment.insert(name.value, text.value);
                }
            }
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => {
                let wanted = "a text in quotes, or { secret_file = \"/path\" }";
                wrong_type(report, value, &name.path, wanted);
            }
        }
    }
}

pub(crate) fn read_secret_file(
    value: &Spanned<DeValue<'_>>,
    name: &Found<String>,
    report: &mut Report<'_>,
) -> Option<String> {
    let mut table = Section::of(value, name.path.clone(), report)?;
    let file = table.required_string(report, "secret_file");
    table.finish(report);
    let file = file?;
    absolute(report, &file);
    Some(file.value)
}

/// A check with its defaults for interval and timeout in milliseconds and for failures.
pub(crate) fn read_check(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    key: &'static str,
    defaults: (u64, u64, u32),
) -> Option<CheckConfig> {
    let mut section = table.section(report, key)?;
    let probe = read_probe(&mut section, report);
    let mut check = CheckConfig {
        probe: CheckKind::Exec(Vec::new()),
        interval: Micros::from_millis(defaults.0),
        timeout: Micros::from_millis(defaults.1),
        failures: defaults.2,
    };
    if let Some(found) = section.millis(report, "interval_ms", 5..=DAY_MS) {
        check.interval = found.value;
    }
    if let Some(found) = section.millis(report, "timeout_ms", 1..=DAY_MS) {
        check.timeout = found.value;
    }
    if let Some(found) = section.integer(report, "failures", 1..=1000) {
        check.failures = u32::try_from(found.value).unwrap_or(check.failures);
    }
    section.finish(report);
    check.probe = probe?;
    Some(check)
}

fn read_probe(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<CheckKind> {
    let kinds = ["http", "tcp", "exec"];
    let given = kinds.iter().filter(|kind| section.has(kind)).count();
    if given != 1 {
        let problem = if given == 0 {
            "does not say what to ask"
        } else {
            "says more than one thing to ask"
        };
        let mistake = Mistake::new(&section.path, problem);
        let allowed =
            "one of http = \"http://host:port/path\", tcp = \"host:port\", exec = [\"/command\"]";
        report.mistake(section.at.clone(), mistake.allowed(allowed));
    }
    let http = section.string(report, "http");
    let tcp = section.string(report, "tcp");
    if section.has("exec") {
        let words = section.required_strings(report, "exec");
        if let Some(program) = words.first() {
            absolute(report, program);
        }
        return Some(CheckKind::Exec(
            words.into_iter().map(|w| w.value).collect(),
        ));
    }
    // Known as a key although nothing was given, so that a misspelling is matched against it.
    section.take("exec");
    if let Some(url) = http {
        let target = url
            .value
            .strip_prefix("http://")
            .map(|rest| rest.split('/').next());
        if !target.flatten().is_some_and(is_target_of_url) {
            let mistake = Mistake::new(&url.path, format!("\"{}\" is not such a URL", url.value));
            report.mistake(
                url.at,
                mistake.allowed("http://host[:port]/path (plain HTTP)"),
            );
        }
        return Some(CheckKind::Http(url.value));
    }
    let target = tcp?;
    if !is_target(&target.value) {
        let mistake = Mistake::new(&target.path, format!("\"{}\" has no port", target.value));
        report.mistake(target.at, mistake.allowed("host:port"));
    }
    Some(CheckKind::Tcp(target.value))
}

fn is_target(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let bare_ipv6 = host.contains(':') && !host.starts_with('[');
    !host.is_empty() && !bare_ipv6 && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_target_of_url(text: &str) -> bool {
    is_target(text) || (!text.is_empty() && !text.contains(':')) || text.ends_with(']')
}
