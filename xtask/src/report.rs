//! Results of checks: counts read from a program's output, the table, and the last line. Runs nothing.

use std::io::{self, Write};
use std::time::Duration;

/// Checks by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    pub(crate) const PASSED: Self = Self {
        passed: 1,
        failed: 0,
        skipped: 0,
    };
    pub(crate) const FAILED: Self = Self {
        passed: 0,
        failed: 1,
        skipped: 0,
    };

    pub(crate) fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }

    /// These checks, those that failed having been run once more: what failed again has failed, all others passed.
    pub(crate) fn but_now(self, again: Self) -> Self {
        Self {
            passed: (self.passed + self.failed).saturating_sub(again.failed),
            failed: again.failed,
            skipped: self.skipped,
        }
    }

    /// A skipped check is one that nobody has seen pass.
    pub(crate) fn good(self) -> bool {
        self.failed == 0 && self.skipped == 0 && self.passed > 0
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Outcome of one step.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) counts: Counts,
    pub(crate) took: Duration,
    pub(crate) note: String,
}

/// The table and, alone on the last line, the sum over all checks.
pub(crate) fn print(lines: &[Line], out: &mut impl Write) -> io::Result<Counts> {
    let mut total = Counts::default();
    let mut took = Duration::ZERO;
    writeln!(
        out,
        "\n{:<12} {:>7} {:>7} {:>7} {:>9}",
        "check", "passed", "failed", "skipped", "time"
    )?;
    for line in lines {
        let Counts {
            passed,
            failed,
            skipped,
        } = line.counts;
        let seconds = line.took.as_secs_f64();
        let name = line.name;
        write!(
            out,
            "{name:<12} {passed:>7} {failed:>7} {skipped:>7} {seconds:>7.1} s"
        )?;
        let note = if line.note.is_empty() {
            String::new()
        } else {
            format!("  {}", line.note)
        };
        writeln!(out, "{note}")?;
        total = total.add(line.counts);
        took += line.took;
    }
    writeln!(out, "{:<36} {:>7.1} s", "", took.as_secs_f64())?;
    writeln!(out, "{total}")?;
    Ok(total)
}

/// Sums what test programs of Rust say: `test result: ok. 9 passed; 0 failed; 1 ignored; ...`.
pub(crate) fn rust_tests(output: &str) -> Counts {
    output
        .lines()
        .filter_map(|line| line.split_once("test result: "))
        .map(|(_, rest)| Counts {
            passed: number_before(rest, " passed"),
            failed: number_before(rest, " failed"),
            skipped: number_before(rest, " ignored"),
        })
        .fold(Counts::default(), Counts::add)
}

/// The targets of test programs that failed, as cargo names them at its end: `--test guard` of "to rerun pass `-p standfast-address --test guard`".
pub(crate) fn failed_tests(output: &str) -> Vec<String> {
    let mut targets: Vec<String> = output
        .lines()
        .filter_map(|line| line.split_once("to rerun pass `"))
        .filter_map(|(_, rest)| rest.strip_suffix('`')?.strip_prefix("-p ")?.split_once(' '))
        .map(|(_, target)| target.to_owned())
        .collect();
    targets.sort();
    targets.dedup();
    targets
}

/// The last line of the form `3 passed, 0 failed, 0 skipped`, which our own programs end with.
pub(crate) fn summary(output: &str) -> Option<Counts> {
    output.lines().rev().find_map(|line| {
        let counts = Counts {
            passed: number_before(line, " passed"),
            failed: number_before(line, " failed"),
            skipped: number_before(line, " skipped"),
        };
        line.trim().ends_with(&counts.to_string()).then_some(counts)
    })
}

/// What cargo-deny says on its last line: `bans ok, licenses FAILED, sources ok`.
pub(crate) fn deny(output: &str) -> Counts {
    let last = output.lines().last().unwrap_or_default();
    last.split(", ").fold(Counts::default(), |counts, check| {
        counts.add(match check.split_once(' ') {
            Some((_, "ok")) => Counts::PASSED,
            Some((_, "FAILED")) => Counts::FAILED,
            _ => Counts::default(),
        })
    })
}

fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split(word).next().unwrap_or_default();
    let digits = before
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    digits.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_several_test_programs_are_summed() {
        let output = "running 2 tests\n\
            test result: ok. 9 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
            noise\n\
            test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(
            rust_tests(output),
            Counts {
                passed: 12,
                failed: 2,
                skipped: 1
            }
        );
        assert_eq!(rust_tests("nothing ran"), Counts::default());
    }

    #[test]
    fn what_failed_is_named_once_and_counts_as_it_is_at_last() {
        let output = "test a ... FAILED\n\
            error: test failed, to rerun pass `-p standfast-address --test guard`\n\
            error: test failed, to rerun pass `-p standfast-model --lib`\n\
            error: 2 targets failed:\n    `-p standfast-address --test guard`\n    `-p standfast-model --lib`\n";
        assert_eq!(failed_tests(output), ["--lib", "--test guard"]);
        assert_eq!(failed_tests("test result: ok."), Vec::<String>::new());
        let counts = |passed, failed| Counts {
            passed,
            failed,
            skipped: 0,
        };
        assert_eq!(counts(700, 2).but_now(counts(11, 0)), counts(702, 0));
        assert_eq!(counts(700, 2).but_now(counts(10, 1)), counts(701, 1));
    }

    #[test]
    fn the_last_summary_counts() {
        let output = "1 passed, 0 failed, 0 skipped\nmore\nlab: 12 passed, 1 failed, 0 skipped\n";
        assert_eq!(
            summary(output),
            Some(Counts {
                passed: 12,
                failed: 1,
                skipped: 0
            })
        );
        assert_eq!(summary("all is well"), None);
        assert_eq!(summary(""), None);
    }

    #[test]
    fn each_check_of_cargo_deny_counts() {
        let output = "warning: x\nbans ok, licenses FAILED, sources ok\n";
        let expected = Counts {
            passed: 2,
            failed: 1,
            skipped: 0,
        };
        assert_eq!(deny(output), expected);
        assert_eq!(deny("[ERROR] no such file"), Counts::default());
    }

    #[test]
    fn failures_skips_and_nothing_at_all_are_not_good() {
        assert!(Counts::PASSED.good());
        assert!(!Counts::FAILED.good());
        assert!(
            !Counts {
                passed: 5,
                failed: 0,
                skipped: 1
            }
            .good()
        );
        assert!(!Counts::default().good());
    }

    #[test]
    fn the_total_stands_alone_on_the_last_line() {
        let line = |name, counts| Line {
            name,
            counts,
            took: Duration::ZERO,
            note: String::new(),
        };
        let mut out = Vec::new();
        let lines = [line("a", Counts::PASSED), line("b", Counts::FAILED)];
        print(&lines, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().last(), Some("1 passed, 1 failed, 0 skipped"));
    }
}
