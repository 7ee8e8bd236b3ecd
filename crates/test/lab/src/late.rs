//! A library that makes each flush of an agent take longer: how a slow disk is made.

use std::path::Path;
use std::process::Command;

use crate::error::{LabError, Result};

/// Where it is in each host.
pub(crate) const LIBRARY: &str = "var/lib/late.so";

/// Compiles it. A tracer could do the same, and stalls other threads and children now and then.
///
/// # Errors
/// When it cannot be written or compiled.
pub(crate) fn make(to: &Path) -> Result<()> {
    let source = to.with_extension("c");
    std::fs::write(&source, include_str!("late.c"))
        .map_err(|error| LabError::file("write", &source, error))?;
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]);
    let output = compiler.arg(to).arg(&source).output();
    let output = output.map_err(|error| LabError::file("compile", &source, error))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(LabError::Unexpected(format!("cc: {}", text.trim())));
    }
    Ok(())
}
