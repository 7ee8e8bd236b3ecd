//! The repository's own checks: `cargo run -p xtask -- ci` runs all of them, here as in CI, and
//! `-- tidy` only those that read the files. Nothing of the product is here.

mod ci;
mod report;
mod steps;
mod tidy;

use std::env;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo run -p xtask -- COMMAND

  ci [--only NAME]...   run all checks, or the named ones, and print a table
  ci --list             print the names
  tidy                  check sizes, dependencies, docs and words; no build
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."));
    let mut out = std::io::stdout();
    let result = match arguments.as_slice() {
        ["tidy"] => tidy::run(root, &mut out),
        ["ci", "--list"] => ci::list(&mut out),
        ["ci", options @ ..] => match only(options) {
            Some(names) => ci::run(root, &names, &mut out),
            None => usage(),
        },
        _ => usage(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "xtask: {error}"));
            ExitCode::from(2)
        }
    }
}

/// The names after `--only`, or nothing if anything else is there.
fn only<'a>(options: &[&'a str]) -> Option<Vec<&'a str>> {
    let (pairs, rest) = options.as_chunks::<2>();
    let names: Option<Vec<&str>> = pairs
        .iter()
        .map(|[flag, name]| (*flag == "--only").then_some(*name))
        .collect();
    if rest.is_empty() { names } else { None }
}

fn usage() -> std::io::Result<bool> {
    Err(std::io::Error::other(USAGE))
}
