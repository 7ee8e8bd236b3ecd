//! What is kept of a trial that failed: the logs of every node and what their agents say, in a folder that outlives the
//! laboratory, and the end of each as text, for whoever has only the output. Not for judging.

use std::path::{Path, PathBuf};

use crate::error::{LabError, Result};
use crate::standfast_system::Standfast;
use crate::system::System;

/// Lines of each file that are printed.
const LINES: usize = 120;

/// What agents are asked, each answer in a file of its own.
const QUESTIONS: [(&str, &[&str]); 2] = [
    ("status.txt", &["status"]),
    ("history.txt", &["history", "--number", "100"]),
];

/// Asks the agents that still answer what happened, beside their logs.
pub fn ask(system: &Standfast) {
    for (index, host) in system.lab().nodes.iter().enumerate() {
        for (file, question) in QUESTIONS {
            let said = system.ask_anything(index, question);
            let said = said.unwrap_or_else(|error| error.to_string());
            // What cannot be written is missing in the report; the trial has failed anyway.
            drop(std::fs::write(host.folder().join("log").join(file), said));
        }
    }
}

/// Copies the logs of all hosts of a lab out of its folder. Returns where they are.
///
/// # Errors
/// When the copy cannot be written.
pub fn keep(lab: &Path, name: &str) -> Result<PathBuf> {
    let kept = std::env::temp_dir().join(name);
    for (host, file) in logs(lab) {
        let folder = kept.join(&host);
        std::fs::create_dir_all(&folder)
            .map_err(|error| LabError::file("create", &folder, error))?;
        let to = folder.join(file.file_name().unwrap_or_default());
        std::fs::copy(&file, &to).map_err(|error| LabError::file("copy to", &to, error))?;
    }
    Ok(kept)
}

/// The last lines of every log below a folder that [`keep`] made or a lab lives in.
#[must_use]
pub fn text(folder: &Path) -> String {
    let mut text = String::new();
    for (host, file) in logs(folder) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let whole = std::fs::read_to_string(&file).unwrap_or_default();
        let lines: Vec<&str> = whole.lines().collect();
        let from = lines.len().saturating_sub(LINES);
        let last = lines.get(from..).unwrap_or_default();
        text.push_str(&format!(
            "----- {host}: {name}, last {} of {} lines\n",
            last.len(),
            lines.len()
        ));
        for line in last {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Hosts with their log files, in order: in `HOST/log`, or in `HOST` once they are kept.
fn logs(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for host in children(folder) {
        let name = host
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let files = [children(&host), children(&host.join("log"))].concat();
        let files = files.into_iter().filter(|file| {
            let kind = file.extension().and_then(|extension| extension.to_str());
            file.is_file() && matches!(kind, Some("log" | "txt"))
        });
        found.extend(files.map(|file| (name.clone(), file)));
    }
    found
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_logged_is_kept_and_its_end_is_printed() {
        let name = |what: &str| format!("standfast-evidence-{what}-{}", std::process::id());
        let lab = std::env::temp_dir().join(name("lab"));
        let folder = lab.join("alpha/log");
        std::fs::create_dir_all(&folder).expect("a folder");
        let lines: String = (0..LINES + 5)
            .map(|line| format!("line {line}\n"))
            .collect();
        std::fs::write(folder.join("agent.log"), lines).expect("a log");
        std::fs::write(folder.join("core"), "no log").expect("a file");
        let kept = keep(&lab, &name("kept")).expect("kept");
        let text = text(&kept);
        for folder in [&lab, &kept] {
            std::fs::remove_dir_all(folder).expect("removed");
        }
        assert!(
            text.starts_with("----- alpha: agent.log, last 120 of 125 lines\nline 5\n"),
            "{text}"
        );
        assert!(text.ends_with("line 124\n"), "{text}");
        assert!(!text.contains("no log"), "{text}");
    }
}
