//! The acts: what is asked of a device, and what its answer is worth.

use crate::{
    agent, check as judge,
    error::FenceError,
    run::{self, Ended, Finished},
    secret::{self, Secret},
};
use standfast_model::{fence::FenceDevice, id::NodeId};
use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// Between two questions whether it is off by now.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// Longest text of an agent that is passed on, in characters.
const LONGEST: usize = 400;

/// Whether a machine has power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It has.
    On,
    /// It has not.
    Off,
}

impl Power {
    const fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// Whether the agent is installed, the device's settings fit it, and its secrets can be read here. Asks nothing of the
/// device itself.
///
/// # Errors
/// Everything that does not fit.
pub fn check(device: &FenceDevice) -> Result<(), FenceError> {
    Act::new(device, None).map(drop)
}

/// Asks the device whether it answers.
///
/// # Errors
/// It does not, or the act cannot be carried out.
pub fn monitor(device: &FenceDevice) -> Result<(), FenceError> {
    let act = Act::new(device, None)?;
    act.ask("monitor", act.until())
}

/// Asks the device whether a node has power.
///
/// # Errors
/// It does not say, or the act cannot be carried out.
pub fn status(device: &FenceDevice, node: &NodeId) -> Result<Power, FenceError> {
    let act = Act::new(device, Some(node))?;
    act.status(act.until())
}

/// Cuts a node's power. Returns only when the device, asked again afterwards, says that it is off.
///
/// # Errors
/// It is not certain that the node is off.
pub fn power_off(device: &FenceDevice, node: &NodeId) -> Result<(), FenceError> {
    Act::new(device, Some(node))?.switch("off", Power::Off)
}

/// Gives a node its power back, and returns when the device says that it has it.
///
/// # Errors
/// It is not certain that the node has power.
pub fn power_on(device: &FenceDevice, node: &NodeId) -> Result<(), FenceError> {
    Act::new(device, Some(node))?.switch("on", Power::On)
}

/// Has a device that keeps out whom it has fenced let a node in again, as its agent's own description asks for when a node
/// joins. Devices that only switch power need nothing. Whether there was something to be done.
///
/// # Errors
/// It is not certain that the node is let in.
pub fn unfence(device: &FenceDevice, node: &NodeId) -> Result<bool, FenceError> {
    let needed = agent::metadata(&agent::find(&device.agent)?)?.unfences;
    if needed {
        power_on(device, node)?;
    }
    Ok(needed)
}

/// A device ready to be asked.
struct Act<'a> {
    device: &'a FenceDevice,
    program: PathBuf,
    /// Everything but the action, one parameter a line.
    input: String,
    secrets: Vec<Secret>,
    began: Instant,
}

impl<'a> Act<'a> {
    fn new(device: &'a FenceDevice, node: Option<&NodeId>) -> Result<Self, FenceError> {
        let began = Instant::now();
        let program = agent::find(&device.agent)?;
        let metadata = agent::metadata(&program)?;
        let problems = judge::problems(device, &metadata);
        if !problems.is_empty() {
            return Err(FenceError::Settings(problems));
        }
        let mut secrets = Vec::new();
        let mut lines: Vec<String> = device
            .parameters
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        for (name, path) in &device.secret_parameters {
            let value = secret::read(name, path)?;
            lines.push(format!("{name}={}\n", value.reveal()));
            secrets.push(value);
        }
        if let Some(node) = node {
            lines.extend(plug_line(device, node, metadata.plug())?);
        }
        Ok(Self {
            device,
            program,
            input: lines.concat(),
            secrets,
            began,
        })
    }

    /// When this act's time is over.
    fn until(&self) -> Instant {
        self.began + Duration::from_micros(self.device.timeout.0)
    }

    fn switch(&self, action: &'static str, wanted: Power) -> Result<(), FenceError> {
        let until = self.until();
        self.ask(action, until)?;
        // What the agent says of its own work is not enough: some report success before the machine is off.
        loop {
            let is = self.status(until)?;
            if is == wanted {
                return Ok(());
            }
            if Instant::now() + ASK_AGAIN >= until {
                return Err(FenceError::NotSo {
                    agent: self.device.agent.clone(),
                    action,
                    is: is.word(),
                });
            }
            thread::sleep(ASK_AGAIN);
        }
    }

    fn status(&self, until: Instant) -> Result<Power, FenceError> {
        let finished = self.run("status", until)?;
        match finished.ended {
            Ended::Code(0) => Ok(Power::On),
            Ended::Code(2) => Ok(Power::Off),
            Ended::Code(_) | Ended::Signal(_) | Ended::TimedOut => {
                Err(self.failed("status", &finished))
            }
        }
    }

    fn ask(&self, action: &'static str, until: Instant) -> Result<(), FenceError> {
        let finished = self.run(action, until)?;
        if finished.ended == Ended::Code(0) {
            return Ok(());
        }
        Err(self.failed(action, &finished))
    }

    fn run(&self, action: &'static str, until: Instant) -> Result<Finished, FenceError> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.timed_out(action));
        }
        let input = format!("action={action}\n{}", self.input);
        run::run(&self.program, input.into_bytes(), left)
            .map_err(|error| FenceError::Agent(format!("{}: {error}", self.program.display())))
    }

    fn timed_out(&self, action: &'static str) -> FenceError {
        FenceError::TimedOut {
            agent: self.device.agent.clone(),
            action,
            after: Duration::from_micros(self.device.timeout.0),
        }
    }

    fn failed(&self, action: &'static str, finished: &Finished) -> FenceError {
        let how = match finished.ended {
            Ended::TimedOut => return self.timed_out(action),
            Ended::Code(code) => format!("failed with exit code {code}"),
            Ended::Signal(signal) => format!("was killed by signal {signal}"),
        };
        let said = if finished.errors.iter().all(u8::is_ascii_whitespace) {
            &finished.output
        } else {
            &finished.errors
        };
        FenceError::Failed {
            agent: self.device.agent.clone(),
            action,
            how,
            says: last_words(&secret::hide(&String::from_utf8_lossy(said), &self.secrets)),
        }
    }
}

/// The line that says which machine is meant.
fn plug_line(
    device: &FenceDevice,
    node: &NodeId,
    parameter: Option<&str>,
) -> Result<Option<String>, FenceError> {
    let Some(plug) = device.nodes.get(node) else {
        let text = format!("this device cannot fence {node}: its `nodes` does not name it");
        return Err(FenceError::Agent(text));
    };
    Ok(match (plug, parameter) {
        (Some(plug), Some(parameter)) => Some(format!("{parameter}={plug}\n")),
        // Agents without outlets may still want to know whom they act on.
        (None, Some("nodename")) => Some(format!("nodename={node}\n")),
        _ => None,
    })
}

/// A line of an agent without its time and level: it is told once, not anew for every second.
fn without_time(line: &str) -> &str {
    let is_time = |c: char| c.is_ascii_digit() || ['-', ':', ',', '.', ' '].contains(&c);
    let Some((time, rest)) = line.split_once(" ERROR: ") else {
        return line;
    };
    if time.len() >= 19 && time.chars().all(is_time) {
        rest
    } else {
        line
    }
}

/// The end of what an agent said, as one line.
fn last_words(text: &str) -> String {
    let lines = text.lines().map(|line| without_time(line.trim()));
    let lines = lines.filter(|line| !line.is_empty() && !line.contains("use '-h' for usage"));
    let all = lines.collect::<Vec<_>>().join("; ");
    let clean: String = all.chars().filter(|c| !c.is_control()).collect();
    let surplus = clean.chars().count().saturating_sub(LONGEST);
    if surplus == 0 {
        clean
    } else {
        format!("…{}", clean.chars().skip(surplus).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_one_line_and_not_long() {
        let text = "a\n\n  Please use '-h' for usage\nb\x1b[1m\n";
        assert_eq!(last_words(text), "a; b[1m");
        let text = "2026-11-21 22:30:02,350 ERROR: Failed: Timed out";
        assert_eq!(last_words(text), "Failed: Timed out");
        assert_eq!(last_words(&"x".repeat(1000)).chars().count(), LONGEST + 1);
    }
}
