//! `crm_simulate` says of every scenario of the reader's tests what is written there.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "../../../pure/cib/tests/scenarios/notation.rs"]
mod notation;

use standfast_differential::{judge, reference};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Scenarios that end otherwise on purpose, with the reason.
const INTENDED: [(&str, &str); 0] = [];

/// So many at once: each asks a program of its own.
const AT_ONCE: usize = 4;

#[test]
fn the_reference_ends_every_scenario_the_same() {
    assert!(
        reference::is_there(),
        "crm_simulate is missing: scripts/setup installs it"
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pure/cib/tests/scenarios");
    let folders = fs::read_dir(folder).expect("folder");
    let folders = folders.map(|entry| entry.expect("entry").path());
    let files: Vec<PathBuf> = folders
        .filter(|path| path.is_dir())
        .flat_map(|folder| fs::read_dir(folder).expect("folder"))
        .map(|entry| entry.expect("entry").path())
        .collect();
    assert!(files.len() >= 150, "only {} scenarios", files.len());
    let different: Vec<String> = std::thread::scope(|scope| {
        let parts = files.chunks(files.len().div_ceil(AT_ONCE));
        let run = |part: &'_ [PathBuf]| part.iter().filter_map(|file| unlike(file)).collect();
        let parts: Vec<_> = parts
            .map(|part| scope.spawn(move || -> Vec<String> { run(part) }))
            .collect();
        let done = parts.into_iter();
        done.flat_map(|part| part.join().expect("compared"))
            .collect()
    });
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// What is not as it should be, if anything is.
fn unlike(file: &Path) -> Option<String> {
    let feature = file.parent().and_then(Path::file_name).unwrap_or_default();
    let case = file.file_stem().unwrap_or_default();
    let name = format!("{}/{}", feature.display(), case.display());
    let text = fs::read_to_string(file).expect("text");
    let judged = judge(&notation::read(&text).cib, notation::NOW);
    let same = judged == Ok(Vec::new());
    let intended = INTENDED.iter().any(|(intended, _)| *intended == name);
    (same == intended).then(|| format!("{name}: {judged:?}"))
}
