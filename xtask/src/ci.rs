//! Runs the checks one after the other, keeps their output under `target/ci`, shows it when one
//! fails, and ends with the table. What the checks are is in `steps.rs`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::report::{self, Counts, Line};
use crate::steps::{Action, Again, Count, Run, STEPS, Step};
use crate::tidy;
use standfast_unrest::{Priority, Watch};

/// Longest time for one command: a check that hangs fails.
const COMMAND_LIMIT: Duration = Duration::from_secs(40 * 60);

/// How often a command is run that failed while the machine was restless.
const ATTEMPTS: u32 = 3;

/// Longest time for which a download may keep the checks waiting.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// Prints the names of the steps.
pub(crate) fn list(out: &mut impl Write) -> io::Result<bool> {
    for step in STEPS {
        writeln!(out, "{}", step.name)?;
    }
    Ok(true)
}

/// Runs the named steps, or all if none is named; true when every check passed.
pub(crate) fn run(root: &Path, only: &[&str], out: &mut impl Write) -> io::Result<bool> {
    if let Some(unknown) = only
        .iter()
        .find(|name| STEPS.iter().all(|step| step.name != **name))
    {
        return Err(io::Error::other(format!(
            "no check is called {unknown}; see ci --list"
        )));
    }
    let context = Context {
        root,
        logs: &root.join("target/ci"),
    };
    fs::create_dir_all(context.logs)?;
    let mut lines = Vec::new();
    for step in STEPS
        .iter()
        .filter(|step| only.is_empty() || only.contains(&step.name))
    {
        write!(out, "{:<12} ", step.name)?;
        out.flush()?;
        let line = context.step(step, out)?;
        let word = if line.counts.good() { "ok" } else { "FAILED" };
        writeln!(
            out,
            "{word:<6} {:>7.1} s  {}",
            line.took.as_secs_f64(),
            line.counts
        )?;
        lines.push(line);
    }
    let total = report::print(&lines, out)?;
    fs::write(context.logs.join("summary"), format!("{total}\n"))?;
    Ok(total.good())
}

struct Context<'a> {
    root: &'a Path,
    logs: &'a Path,
}

impl Context<'_> {
    fn step(&self, step: &Step, out: &mut impl Write) -> io::Result<Line> {
        let started = Instant::now();
        let (counts, note) = match step.action {
            Action::Commands(runs) => (self.commands(step.name, runs, out)?, String::new()),
            Action::Deny => self.deny(step.name, out)?,
            Action::Tidy => (tidy::check(self.root, out)?, String::new()),
        };
        Ok(Line {
            name: step.name,
            counts,
            took: started.elapsed(),
            note,
        })
    }

    fn commands(&self, name: &str, runs: &[Run], out: &mut impl Write) -> io::Result<Counts> {
        let mut counts = Counts::default();
        for run in runs {
            counts = counts.add(self.command(name, *run, out)?);
        }
        Ok(counts)
    }

    /// Runs one command and counts its outcome; shows all of its output if it failed. What failed while the machine was restless is run
    /// again, twice at most, and counts as it is then.
    fn command(&self, name: &str, run: Run, out: &mut impl Write) -> io::Result<Counts> {
        let watch = Watch::start(self.logs, Priority::Ordinary)?;
        let (mut counts, mut output) = self.counted(name, run, run.command, out)?;
        for _ in 1..ATTEMPTS {
            let unrest = watch.seen()?;
            let commands = again(run, &output);
            if counts.good() || commands.is_empty() || !unrest.is_restless() {
                break;
            }
            writeln!(out, "the machine {unrest}: what failed is run again")?;
            let mut rest = Counts::default();
            output.clear();
            for command in commands {
                let words: Vec<&str> = command.iter().map(String::as_str).collect();
                let (one, said) = self.counted(name, run, &words, out)?;
                rest = rest.add(one);
                output.push_str(&said);
            }
            counts = counts.but_now(rest);
        }
        Ok(counts)
    }

    /// Runs a command once.
    fn counted(
        &self,
        name: &str,
        run: Run,
        command: &[&str],
        out: &mut impl Write,
    ) -> io::Result<(Counts, String)> {
        let (status, output) = self.capture(name, command, COMMAND_LIMIT)?;
        // Silence is not success: a check that prints nothing has not been written yet.
        let spoke = run.count == Count::Exit || !output.trim().is_empty();
        let one = if status.success() && spoke {
            Counts::PASSED
        } else {
            Counts::FAILED
        };
        let counted = match run.count {
            Count::Exit => one,
            Count::RustTests => report::rust_tests(&output),
            Count::Summary => report::summary(&output).unwrap_or(one),
        };
        // A program that failed without counting a failure: it did not build, or it crashed.
        let counts = if status.success() || counted.failed > 0 {
            counted
        } else {
            counted.add(one)
        };
        if !counts.good() {
            writeln!(out, "\n--- {} ({status})\n{output}---", command.join(" "))?;
        }
        Ok((counts, output))
    }

    fn deny(&self, name: &str, out: &mut impl Write) -> io::Result<(Counts, String)> {
        let deny = self.root.join("target/tools/bin/cargo-deny");
        let deny = if deny.exists() {
            deny.display().to_string()
        } else {
            "cargo-deny".to_owned()
        };
        let mut counts = self.deny_check(name, &deny, &["bans", "licenses", "sources"], out)?;
        let fetch = [deny.as_str(), "fetch", "db"];
        let reachable = self
            .capture(name, &fetch, FETCH_LIMIT)
            .is_ok_and(|(status, _)| status.success());
        if !reachable {
            return Ok((
                counts,
                "advisories: their database is not reachable from here".to_owned(),
            ));
        }
        counts =
            counts.add(self.deny_check(name, &deny, &["--disable-fetch", "advisories"], out)?);
        Ok((counts, "with advisories".to_owned()))
    }

    /// One run of cargo-deny, counted by its last line: `bans ok, licenses FAILED, sources ok`.
    fn deny_check(
        &self,
        name: &str,
        deny: &str,
        checks: &[&str],
        out: &mut impl Write,
    ) -> io::Result<Counts> {
        let command = [
            &[deny, "--locked", "check", "--hide-inclusion-graph"],
            checks,
        ]
        .concat();
        let (status, output) = self.capture(name, &command, COMMAND_LIMIT)?;
        let counts = report::deny(&output);
        if status.success() && counts.good() {
            return Ok(counts);
        }
        writeln!(out, "\n--- {} ({status})\n{output}---", command.join(" "))?;
        Ok(if counts.failed > 0 {
            counts
        } else {
            counts.add(Counts::FAILED)
        })
    }

    /// Runs a command with its output in a file, which is also returned. Killed after `limit`.
    fn capture(
        &self,
        name: &str,
        command: &[&str],
        limit: Duration,
    ) -> io::Result<(ExitStatus, String)> {
        let [program, arguments @ ..] = command else {
            return Err(io::Error::other("an empty command"));
        };
        let path = self.logs.join(format!("{name}.log"));
        let log = File::create(&path)?;
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(self.root)
            .env("RUSTDOCFLAGS", "-D warnings")
            .env("CARGO_TERM_COLOR", "never")
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| io::Error::other(format!("{program}: {error}")))?;
        let status = wait_at_most(&mut child, limit)?;
        Ok((
            status,
            String::from_utf8_lossy(&fs::read(&path)?).into_owned(),
        ))
    }
}

/// The commands that run once more what failed.
fn again(run: Run, output: &str) -> Vec<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match run.again {
        Again::Nothing => Vec::new(),
        Again::All => vec![words(run.command)],
        // The package is left out and the workspace is in: with other features everything would be built anew.
        Again::FailedTests => report::failed_tests(output)
            .into_iter()
            .map(|target| {
                let mut command: Vec<String> = words(run.command);
                command.extend(target.split_whitespace().map(str::to_owned));
                command
            })
            .collect(),
    }
}

fn wait_at_most(child: &mut Child, limit: Duration) -> io::Result<ExitStatus> {
    let started = Instant::now();
    while started.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill()?;
    child.wait()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(name: &str, command: &[&'static str], count: Count) -> Counts {
        let logs =
            std::env::temp_dir().join(format!("standfast-xtask-{}-{name}", std::process::id()));
        fs::create_dir_all(&logs).unwrap();
        let context = Context {
            root: &logs,
            logs: &logs,
        };
        let command: &'static [&'static str] = command.to_vec().leak();
        let counts = context
            .command(
                name,
                Run {
                    command,
                    count,
                    again: Again::Nothing,
                },
                &mut Vec::new(),
            )
            .unwrap();
        fs::remove_dir_all(&logs).unwrap();
        counts
    }

    #[test]
    fn a_command_counts_by_its_exit_status() {
        assert_eq!(count("true", &["true"], Count::Exit), Counts::PASSED);
        assert_eq!(count("false", &["false"], Count::Exit), Counts::FAILED);
    }

    #[test]
    fn a_failing_program_is_a_failed_check_whatever_it_counted() {
        let tests = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; exit 1";
        let counts = count("tests", &["sh", "-c", tests], Count::RustTests);
        assert_eq!(
            counts,
            Counts {
                passed: 2,
                failed: 1,
                skipped: 0
            }
        );
        let lab = "echo '3 passed, 2 failed, 0 skipped'; exit 1";
        let counts = count("lab", &["sh", "-c", lab], Count::Summary);
        assert_eq!(
            counts,
            Counts {
                passed: 3,
                failed: 2,
                skipped: 0
            }
        );
    }

    #[test]
    fn a_program_that_does_not_count_is_one_check_and_no_tests_are_none() {
        let words = ["echo", "all is well"];
        assert_eq!(count("words", &words, Count::Summary), Counts::PASSED);
        assert_eq!(count("mute", &["true"], Count::Summary), Counts::FAILED);
        assert_eq!(count("lame", &["false"], Count::Summary), Counts::FAILED);
        assert!(!count("empty", &["true"], Count::RustTests).good());
    }

    #[test]
    fn a_download_that_hangs_is_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let started = Instant::now();
        assert!(
            !wait_at_most(&mut child, Duration::from_millis(100))
                .unwrap()
                .success()
        );
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
