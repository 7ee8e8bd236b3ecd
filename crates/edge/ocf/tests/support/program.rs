//! The runner as a program of its own, without a keeper. Not shipped.

use std::process::ExitCode;

fn main() -> ExitCode {
    let order = std::env::args().nth(1).unwrap_or_default();
    match serde_json::from_str(&order) {
        Ok(order) => ExitCode::from(standfast_ocf::run(order, None)),
        Err(_) => ExitCode::FAILURE,
    }
}
