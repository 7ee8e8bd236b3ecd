//! The text formats themselves: Prometheus 0.0.4 and OpenMetrics 1.0.0, which differ in the names of
//! counters' families, in `UNIT` lines and in the end mark. Not for what is said.

use std::fmt::{Display, Write as _};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Prometheus,
    OpenMetrics,
}

/// What a family of series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Gauge,
    Counter,
    Histogram,
}

/// Text under construction.
#[derive(Debug)]
pub(crate) struct Exposition {
    form: Form,
    text: String,
}

impl Exposition {
    pub(crate) const fn new(form: Form) -> Self {
        Self {
            form,
            text: String::new(),
        }
    }

    /// Begins a family; all its series have to follow at once. A counter's name ends in `_total`.
    pub(crate) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let open = self.form == Form::OpenMetrics;
        let family = match kind {
            Kind::Counter if open => name.trim_end_matches("_total"),
            Kind::Gauge | Kind::Counter | Kind::Histogram => name,
        };
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {family} {}", escape(help, false)));
        self.line(format_args!("# TYPE {family} {kind}"));
        if open && family.ends_with("_seconds") {
            self.line(format_args!("# UNIT {family} seconds"));
        }
    }

    /// A series with a whole number.
    pub(crate) fn integer(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let mut list = String::new();
        for (label, content) in labels {
            let comma = if list.is_empty() { "" } else { "," };
            list.push_str(&format!("{comma}{label}=\"{}\"", escape(content, true)));
        }
        if list.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{list}}} {value}"));
        }
    }

    /// A series with 0 or 1.
    pub(crate) fn flag(&mut self, name: &str, labels: &[(&str, &str)], value: bool) {
        self.integer(name, labels, u8::from(value));
    }

    /// The whole text.
    pub(crate) fn finish(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        self.text.write_fmt(line).ok();
        self.text.push('\n');
    }
}

fn escape(text: &str, quotes: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '"' if quotes => escaped.push_str("\\\""),
            other => escaped.push(other),
        }
    }
    escaped
}
