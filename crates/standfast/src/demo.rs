//! `standfast demo`: three agents on this machine, with faults. The laboratory does it, a program of
//! its own beside this one: what measures an agent is not part of it.

use crate::{
    cli::{DemoArgs, exit},
    failure::Failure,
};
use std::{os::unix::process::CommandExt, process::Command};

/// The laboratory's program.
const LABORATORY: &str = "standfast-lab";

/// Becomes the demonstration; returns only when that is not possible.
///
/// # Errors
/// The laboratory is not there or cannot be run.
pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let own = std::env::current_exe()
        .map_err(|error| Failure::cannot("find this program's own file", &error))?;
    let program = own.with_file_name(LABORATORY);
    if !program.exists() {
        return Err(Failure::new(
            exit::UNAVAILABLE,
            format!(
                "the demonstration needs {LABORATORY} beside {}; `make demo` builds both",
                own.display()
            ),
        ));
    }
    let mut command = Command::new(&program);
    command.arg("demo");
    for (flag, given) in [("--json", args.json), ("--script", args.script)] {
        if given {
            command.arg(flag);
        }
    }
    for (flag, value) in [("--profile", &args.profile), ("--mode", &args.mode)] {
        if let Some(value) = value {
            command.args([flag, value]);
        }
    }
    let error = command.exec();
    Err(Failure::cannot(
        &format!("run {}", program.display()),
        &error,
    ))
}
