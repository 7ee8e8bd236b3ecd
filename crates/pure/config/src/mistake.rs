//! Mistakes and warnings with their place in the file, printed as compilers print them.

use standfast_model::config::ClusterConfig;
use std::{fmt, ops::Range};

/// Something in the file that has to be mended before it means anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file, as it was named by whoever read it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The key, with dots: `resources.web.kind`. Empty where the text is not even TOML.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What is allowed there; may be empty.
    pub allowed: String,
    /// The valid name that is nearest to what was written.
    pub nearest: Option<String>,
}

impl Mistake {
    /// A mistake without its place, which [`Report::mistake`] adds.
    pub(crate) fn new(key: &str, problem: impl Into<String>) -> Self {
        Self {
            file: String::new(),
            line: 0,
            column: 0,
            key: key.to_owned(),
            problem: problem.into(),
            allowed: String::new(),
            nearest: None,
        }
    }

    pub(crate) fn allowed(mut self, text: impl Into<String>) -> Self {
        self.allowed = text.into();
        self
    }

    /// Adds the list of valid names, and the one that `written` probably meant.
    pub(crate) fn names(mut self, written: &str, valid: &[&str]) -> Self {
        self.allowed = if valid.is_empty() {
            String::from("none, because none is defined")
        } else {
            valid.join(", ")
        };
        self.nearest = nearest(written, valid).map(String::from);
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)?;
        if !self.allowed.is_empty() {
            write!(f, "; allowed: {}", self.allowed)?;
        }
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean \"{nearest}\"?")?;
        }
        Ok(())
    }
}

/// Something in the file that works and is probably not what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file, as it was named by whoever read it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The key, with dots.
    pub key: String,
    /// What it leads to, and what to do.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, line, column) = (&self.file, self.line, self.column);
        write!(
            f,
            "{file}:{line}:{column}: warning: {}: {}",
            self.key, self.text
        )
    }
}

/// Collects what is found in one text.
#[derive(Debug)]
pub(crate) struct Report<'t> {
    text: &'t str,
    file: &'t str,
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
}

impl<'t> Report<'t> {
    pub(crate) const fn new(text: &'t str, file: &'t str) -> Self {
        Self {
            text,
            file,
            mistakes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Notes a mistake at a range of bytes.
    pub(crate) fn mistake(&mut self, at: Range<usize>, mistake: Mistake) {
        let (line, column) = self.position(at.start);
        self.mistakes.push(Mistake {
            file: self.file.to_owned(),
            line,
            column,
            ..mistake
        });
    }

    pub(crate) fn warning(&mut self, at: Range<usize>, key: &str, text: impl Into<String>) {
        let (line, column) = self.position(at.start);
        self.warnings.push(Warning {
            file: self.file.to_owned(),
            line,
            column,
            key: key.to_owned(),
            text: text.into(),
        });
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(start..).map_or(0, |l| l.chars().count()) + 1;
        (line, column)
    }

    pub(crate) fn into_mistakes(mut self) -> Vec<Mistake> {
        self.mistakes.sort_by_key(|m| (m.line, m.column));
        self.mistakes
    }

    /// The configuration, if nothing is wrong with it.
    pub(crate) fn finish(
        mut self,
        config: ClusterConfig,
    ) -> Result<(ClusterConfig, Vec<Warning>), Vec<Mistake>> {
        if self.mistakes.is_empty() {
            self.warnings.sort_by_key(|w| (w.line, w.column));
            Ok((config, self.warnings))
        } else {
            Err(self.into_mistakes())
        }
    }
}

/// The valid name that is so near that it was probably meant.
pub(crate) fn nearest<'n>(written: &str, valid: &[&'n str]) -> Option<&'n str> {
    let written = written.to_lowercase();
    // The unit is what is forgotten most: `timeout` for `timeout_ms`.
    let with_unit = |name: &&&str| {
        let rest = name.strip_prefix(written.as_str());
        rest.is_some_and(|rest| rest.starts_with('_'))
    };
    if let Some(name) = valid.iter().find(with_unit) {
        return Some(name);
    }
    // A third of the letters may be wrong, but at least one.
    let limit = (written.chars().count() / 3).max(1);
    valid
        .iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&written, &name.to_lowercase()),
                *name,
            )
        })
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}
