//! What can go wrong with a fencing act. No variant carries the value of a secret parameter.

use std::{fmt, time::Duration};

/// Why an act was not carried out, or is not confirmed. Whatever it says: nobody may take the machine for off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FenceError {
    /// The agent cannot be run here. Another node may be able to.
    #[error("{0}")]
    Agent(String),
    /// The device's settings do not fit the agent. Trying again does not help.
    #[error("{}", list(.0))]
    Settings(Vec<Problem>),
    /// A secret cannot be read here. Another node may be able to.
    #[error("{0}")]
    Secret(String),
    /// The agent was killed because it took too long. Whether it acted is unknown.
    #[error("{agent} {action}: no end within {} ms; killed", after.as_millis())]
    TimedOut {
        /// The agent.
        agent: String,
        /// What it was asked to do.
        action: &'static str,
        /// What it was given.
        after: Duration,
    },
    /// The agent says that it could not.
    #[error("{agent} {action}: {how}{}", colon(says))]
    Failed {
        /// The agent.
        agent: String,
        /// What it was asked to do.
        action: &'static str,
        /// How it ended.
        how: String,
        /// Its last words, without secrets.
        says: String,
    },
    /// The agent said "done", and the device says that it is not.
    #[error(
        "{agent} {action}: the agent reported success, but the device says that the machine is {is}"
    )]
    NotSo {
        /// The agent.
        agent: String,
        /// What it was asked to do.
        action: &'static str,
        /// What the device says.
        is: &'static str,
    },
}

fn colon(says: &str) -> String {
    if says.is_empty() {
        String::new()
    } else {
        format!(": {says}")
    }
}

fn list(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
    texts.join("\n")
}

/// A setting that does not fit the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key inside the device, such as `parameters.ip`.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What is allowed; may be empty.
    pub allowed: String,
    /// The valid name that was probably meant.
    pub nearest: Option<String>,
}

impl Problem {
    pub(crate) fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
            allowed: String::new(),
            nearest: None,
        }
    }

    pub(crate) fn allowed(mut self, text: impl Into<String>) -> Self {
        self.allowed = text.into();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)?;
        if !self.allowed.is_empty() {
            write!(f, "; allowed: {}", self.allowed)?;
        }
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean \"{nearest}\"?")?;
        }
        Ok(())
    }
}
