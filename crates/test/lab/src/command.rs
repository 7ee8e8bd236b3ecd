//! Runs the machine's own programs (ip, nft, nsenter) and reports failures with their words. Not for processes under test.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::error::{LabError, Result};

/// Runs `argv`, with `input` on its standard input, and returns what it printed.
///
/// # Errors
/// When it cannot be started or ends with a failure.
pub fn run(argv: &[&str], input: &str) -> Result<String> {
    let output = output(argv, input)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut printed = String::from_utf8_lossy(&output.stderr).into_owned();
    printed.push_str(&String::from_utf8_lossy(&output.stdout));
    Err(LabError::Command {
        command: argv.join(" "),
        output: format!("{}; {}", output.status, printed.trim()),
    })
}

/// Runs `argv` and returns status and output, whatever the status.
///
/// # Errors
/// When it cannot be started.
pub fn output(argv: &[&str], input: &str) -> Result<Output> {
    let failed = |source: std::io::Error| LabError::Command {
        command: argv.join(" "),
        output: source.to_string(),
    };
    let Some((program, arguments)) = argv.split_first() else {
        return Err(LabError::Unexpected("an empty command".to_owned()));
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(if input.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading tells why through its status.
        if let Err(error) = stdin.write_all(input.as_bytes())
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            return Err(failed(error));
        }
    }
    child.wait_with_output().map_err(failed)
}
