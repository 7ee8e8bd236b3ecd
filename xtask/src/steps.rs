//! The list of checks: their names, their commands, and how each is counted. Runs nothing.

/// How the outcome of a command becomes counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// One check: the exit status.
    Exit,
    /// Sum of `test result:` lines.
    RustTests,
    /// The program's own last line `N passed, N failed, N skipped`; without one, its exit status.
    Summary,
}

/// One command of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) command: &'static [&'static str],
    pub(crate) count: Count,
    /// What of it is run again when it fails while the machine is restless.
    pub(crate) again: Again,
}

/// What is run again when a command fails on a machine that stood still meanwhile: it starts real programs, and judges what they do in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Nothing: it does the same every time, or sees to it itself.
    Nothing,
    /// The whole command.
    All,
    /// The test programs that failed.
    FailedTests,
}

/// What a step does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    /// Commands one after the other; a failing one does not keep the next from running.
    Commands(&'static [Run]),
    /// cargo-deny: everything that needs no network, and advisories where their database can be had.
    Deny,
    /// The rules of the `tidy` module.
    Tidy,
}

/// One step of `ci`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) action: Action,
}

const fn exit(command: &'static [&'static str]) -> Run {
    Run {
        command,
        count: Count::Exit,
        again: Again::Nothing,
    }
}

const fn own(command: &'static [&'static str]) -> Run {
    Run {
        command,
        count: Count::Summary,
        again: Again::Nothing,
    }
}

/// All checks in the order in which they run: what fails fast comes first.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "tidy",
        action: Action::Tidy,
    },
    Step {
        name: "fmt",
        action: Action::Commands(&[exit(&[
            "cargo", "fmt", "--all", "--check", "--", "--color", "never",
        ])]),
    },
    Step {
        name: "clippy",
        action: Action::Commands(&[exit(&[
            "cargo",
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])]),
    },
    Step {
        name: "test",
        action: Action::Commands(&[Run {
            command: &["cargo", "test", "--locked", "--workspace", "--no-fail-fast"],
            count: Count::RustTests,
            again: Again::FailedTests,
        }]),
    },
    Step {
        name: "build",
        action: Action::Commands(&[exit(&[
            "cargo",
            "build",
            "--locked",
            "--workspace",
            "--release",
        ])]),
    },
    Step {
        name: "sim",
        action: Action::Commands(&[
            // In these every case that coverage counts is met.
            own(&["target/release/standfast-sim", "--seeds", "2350..2600"]),
            own(&[
                "target/release/standfast-sim",
                "--seeds",
                "0..100",
                "--acts",
            ]),
            own(&[
                "target/release/standfast-sim",
                "--seeds",
                "0..60",
                "--orders",
            ]),
            own(&[
                "target/release/standfast-sim",
                "--seeds",
                "1000000..1000040",
            ]),
            own(&[
                "target/release/standfast-sim",
                "--seeds",
                "2000000..2000040",
            ]),
            own(&[
                "target/release/standfast-sim",
                "--seeds",
                "2500000..2500040",
            ]),
            own(&[
                "target/release/standfast-sim",
                "--seeds",
                "3000000..3000040",
            ]),
            own(&[
                "target/release/standfast-sim",
                "--seeds",
                "3500000..3500010",
            ]),
            own(&[
                "target/release/standfast-sim",
                "--pairs",
                "--seeds",
                "0..60",
            ]),
            own(&["target/release/standfast-sim", "--planted", "all"]),
            own(&["target/release/standfast-pair-model"]),
            own(&["target/release/standfast-pair-model", "--planted"]),
        ]),
    },
    Step {
        name: "lab",
        action: Action::Commands(&[
            own(&["target/release/standfast-lab", "lab"]),
            own(&["target/release/standfast-lab", "upgrade"]),
            own(&["target/release/standfast-lab", "fencing"]),
            own(&["target/release/standfast-lab", "exercises"]),
            own(&[
                "target/release/standfast-lab",
                "lab",
                "--system",
                "pair",
                "--fault",
                "power-loss",
                "--fault",
                "silent-partition",
            ]),
            // Of the other baseline only that it still runs here.
            own(&[
                "target/release/standfast-lab",
                "lab",
                "--system",
                "pacemaker=fencing",
                "--fault",
                "power-loss",
            ]),
        ]),
    },
    Step {
        name: "machines",
        action: Action::Commands(&[Run {
            command: &["target/release/standfast-machines", "--short"],
            count: Count::Summary,
            again: Again::All,
        }]),
    },
    Step {
        name: "doc",
        action: Action::Commands(&[exit(&[
            "cargo",
            "doc",
            "--locked",
            "--workspace",
            "--no-deps",
        ])]),
    },
    Step {
        name: "deny",
        action: Action::Deny,
    },
];
