//! Checks that are more than one fault: run, judged like a trial, tried again where the machine was restless, with the logs of what failed.
//! Not for what they do.

use std::io::Write;

use crate::check::{self, Problem, Verdict};
use crate::enclosure::Enclosure;
use crate::error::{LabError, Result};
use crate::evidence;
use crate::sys;
use standfast_unrest::{Priority, Watch};

/// Runs `body`, which makes lab `number` of `enclosure`, until it is good or counts as it is. Prints what was wrong, and of a failure the logs, which
/// are kept. Returns what came of it, and whether it was good.
///
/// # Errors
/// When the machine cannot be watched or nothing can be printed. An error of `body` is a failure.
pub fn run<T>(
    (enclosure, number): (&Enclosure, u8),
    out: &mut impl Write,
    mut body: impl FnMut() -> Result<T>,
    problems: impl Fn(&T) -> Vec<Problem>,
) -> Result<(Option<T>, bool)> {
    let failed = |error| LabError::system("print", error);
    let watching = |error| LabError::system("watch the machine", error);
    let mut attempt = 1;
    loop {
        let watch = Watch::start(&enclosure.folder, Priority::RealTime).map_err(watching)?;
        let result = body();
        let unrest = watch.seen().map_err(watching)?;
        drop(watch);
        let found = match &result {
            Ok(value) => problems(value),
            Err(error) => vec![check::broken(error)],
        };
        let verdict = check::verdict(&found, &unrest, attempt);
        check::print(&found, &unrest, verdict, out).map_err(failed)?;
        if verdict == Verdict::Bad {
            let lab = enclosure.folder.join(format!("lab{number}"));
            let name = format!("standfast-lab-failed-{}", sys::now_ns());
            let kept = evidence::keep(&lab, &name)?;
            let text = evidence::text(&kept);
            writeln!(out, "{text}kept in {}", kept.display()).map_err(failed)?;
        }
        if verdict != Verdict::Again {
            return Ok((result.ok(), verdict != Verdict::Bad));
        }
        attempt += 1;
    }
}
