//! Colours, where they help: on a terminal, and only when nobody asked for none.

/// How text is emphasised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    colour: bool,
}

/// What a piece of text tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing in particular.
    Plain,
    /// A heading.
    Heading,
    /// As it should be.
    Good,
    /// Look at it.
    Doubtful,
    /// Do something.
    Bad,
}

impl Style {
    /// With colours or without.
    #[must_use]
    pub const fn new(colour: bool) -> Self {
        Self { colour }
    }

    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Heading => "1",
            Tone::Good => "32",
            Tone::Doubtful => "33",
            Tone::Bad => "1;31",
        };
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
