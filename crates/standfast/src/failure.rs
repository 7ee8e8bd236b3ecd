//! Why a command ends without success: a sentence for the operator, and the exit code that scripts
//! know (conventions: sysexits, and Pacemaker's own above 100).

use std::error::Error;

/// A command's failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Exit code.
    pub(crate) code: u8,
    /// What happened, where, and what to do.
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(code: u8, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    /// The command line is wrong (2).
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(2, text)
    }

    /// Input data is wrong (65, `EX_DATAERR`).
    pub(crate) fn data(text: impl Into<String>) -> Self {
        Self::new(65, text)
    }

    /// It exists already (108).
    pub(crate) fn exists(text: impl Into<String>) -> Self {
        Self::new(108, text)
    }

    /// Something that should have worked did not (70, `EX_SOFTWARE`), with every cause once.
    pub(crate) fn cannot(what: &str, error: &dyn Error) -> Self {
        let mut text = format!("cannot {what}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            let line = error.to_string();
            if !text.contains(&line) {
                text.push_str(": ");
                text.push_str(&line);
            }
            cause = error.source();
        }
        Self::new(70, text)
    }
}
