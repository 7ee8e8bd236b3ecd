//! State that an older build has written and a newer one has to read: a configuration with everything that it can say, its history,
//! a draft, and a journal. Not for the upgrade itself.

use serde_json::Value;

use crate::error::{LabError, Result};
use crate::standfast_system::Standfast;
use crate::system::System;

/// What is asked before and after; what was answered before has to be in the answer afterwards.
const QUESTIONS: [&[&str]; 5] = [
    &["config", "show", "--reveal", "--json"],
    &["config", "history", "--json"],
    &["config", "draft", "list", "--json"],
    &["config", "draft", "show", "later", "--reveal", "--json"],
    &["history", "--number", "500", "--json"],
];

/// The node that is asked, and whose program changes things.
const ASKED: usize = 0;

/// Answers of before, by question.
pub(crate) type Known = Vec<Value>;

/// Changes the state in every way that the build on the hosts can, and returns what it answers then.
///
/// # Errors
/// When one of the changes is refused, or an answer is no JSON.
pub(crate) fn change(system: &Standfast) -> Result<Known> {
    for index in 0..system.lab().nodes.len() {
        system.file_of(index, "secret", "not for eyes\n")?;
    }
    let secret = system.file_of(ASKED, "secret", "not for eyes\n")?;
    let full = format!("{}{}", system.configuration(), extra(&secret));
    let file = system.file_of(ASKED, "full.toml", &full)?;
    let later = system.file_of(ASKED, "later.toml", &full.replace("blue", "red"))?;
    let commands: [&[&str]; 6] = [
        &["apply", &file, "--reason", "everything"],
        &["config", "draft", "save", "later", &later],
        &["switchover", "extra", "--to", "gamma", "--wait", "20"],
        &["switchover", "extra", "--to", "beta", "--wait", "20"],
        &["resource", "cleanup", "extra"],
        &["apply", &later, "--reason", "another colour"],
    ];
    for command in commands {
        system.ask_anything(ASKED, command)?;
    }
    QUESTIONS
        .iter()
        .map(|question| ask(system, question))
        .collect()
}

/// What the build on the hosts has lost or reads in another way.
///
/// # Errors
/// When it does not answer in JSON.
pub(crate) fn lost(before: &Known, system: &Standfast) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for (question, known) in QUESTIONS.iter().zip(before) {
        let now = ask(system, question)?;
        if let Err(missing) = contained(known, &now) {
            problems.push(format!("{}: {missing}", question.join(" ")));
        }
    }
    Ok(problems)
}

fn ask(system: &Standfast, question: &[&str]) -> Result<Value> {
    let said = system.ask_anything(ASKED, question)?;
    serde_json::from_str(&said)
        .map_err(|error| LabError::Unexpected(format!("{}: {error}", question.join(" "))))
}

/// A group that uses what configurations can say, and one that is left alone.
fn extra(secret: &str) -> String {
    format!(
        "[timing]\nrestart_grant_ms = 9000\ndrift_percent = 1.5\n\
         [groups.extra]\nmembers = [\"worker\"]\nprefer = {{ beta = 200, gamma = 100, alpha = \"-INFINITY\" }}\n\
         priority = 5\nstickiness = 1000\n\
         [groups.quiet]\nmembers = [\"sleeper\"]\nmaintenance = true\n\
         [resources.sleeper]\nkind = \"process\"\ncommand = [\"/bin/sleep\", \"1000001\"]\n\
         [resources.worker]\nkind = \"process\"\ncommand = [\"/bin/sleep\", \"1000000\"]\nuser = \"root\"\ndirectory = \"/\"\n\
         start_timeout_ms = 9000\nstop_timeout_ms = 500\nstop_signal = \"INT\"\nmax_failures = 7\nfailure_window_ms = 50000\n\
         restart_delay_ms = 300\nreadiness = {{ exec = [\"/bin/true\"] }}\n\
         health = {{ exec = [\"/bin/true\"], interval_ms = 2000, timeout_ms = 1500, failures = 3 }}\n\
         [resources.worker.environment]\nCOLOR = \"blue\"\nPASSWORD = {{ secret_file = \"{secret}\" }}\n"
    )
}

/// Whether everything in `old` is in `new`, which may have more keys and more entries.
fn contained(old: &Value, new: &Value) -> std::result::Result<(), String> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => old.iter().try_for_each(|(key, value)| {
            let other = new.get(key).ok_or_else(|| format!("{key} is gone"))?;
            contained(value, other).map_err(|missing| format!("{key}: {missing}"))
        }),
        (Value::Array(old), Value::Array(new)) => old.iter().try_for_each(|value| {
            let found = new.iter().any(|other| contained(value, other).is_ok());
            found
                .then_some(())
                .ok_or_else(|| format!("{value} is gone"))
        }),
        _ if old == new => Ok(()),
        _ => Err(format!("{old} became {new}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn more_is_no_loss_and_less_or_other_is() {
        let old = json!({"text": "a", "entries": [{"index": 1}, {"index": 2}]});
        let more = json!({"text": "a", "new": 1, "entries": [{"index": 1, "by": "x"}, {"index": 2}, {"index": 3}]});
        assert_eq!(contained(&old, &more), Ok(()));
        let less = json!({"text": "a", "entries": [{"index": 2}]});
        let said = contained(&old, &less);
        assert_eq!(said, Err("entries: {\"index\":1} is gone".to_owned()));
        let other = json!({"text": "b", "entries": []});
        assert!(contained(&old, &other).is_err());
    }
}
