//! The simulator's command line.
use clap::Parser;
use standfast_sim::{Options, start};
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = Options::parse();
    let mut out = std::io::stdout().lock();
    match start(&options, &mut out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(_) => ExitCode::from(74),
    }
}
