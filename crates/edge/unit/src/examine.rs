//! Asking whether a unit may be a resource here, by a process of its own: whoever asks may be the agent, whose memory is
//! locked and whose threads wait for nothing that systemd does. Not for what is judged (`facts`).

use crate::Order;
use std::{
    io::Read as _,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The word for it.
pub(crate) const EXAMINE: &str = "examine";
/// Systemd answers at once unless something is badly wrong.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);

/// Whether a unit could be run here as a resource, as far as its settings say. Only for the program whose `unit` is
/// [`run`](crate::run).
///
/// # Errors
/// Why not, and what to do.
pub fn examine(unit: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{unit} cannot be looked at: {error}");
    let order = Order {
        resource: String::new(),
        unit: unit.to_owned(),
        slice: String::new(),
        slices: PathBuf::new(),
    };
    let order = serde_json::to_string(&order).map_err(|error| failed(error.into()))?;
    let mut command = Command::new("/proc/self/exe");
    command.args(["unit", &order, EXAMINE]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().map_err(failed)?;
    let until = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if Instant::now() >= until {
            child.kill().and_then(|()| child.wait()).map_err(failed)?;
            return Err(format!(
                "{unit} cannot be looked at: systemd does not answer"
            ));
        }
        thread::sleep(LOOK);
    };
    let mut why = String::new();
    if let Some(mut said) = child.stderr.take() {
        said.read_to_string(&mut why).map_err(failed)?;
    }
    if status.success() {
        return Ok(());
    }
    Err(why.trim().to_owned())
}
