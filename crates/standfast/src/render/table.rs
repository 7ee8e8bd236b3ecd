//! Tables for people: as wide as they need to be, two blanks between columns.

use super::style::{Style, Tone};

/// A cell.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl Cell {
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(Tone::Plain, text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(Tone::Plain, text)
    }
}

/// Rows under their headings, indented by two blanks.
pub(crate) fn table(style: Style, headings: &[&str], rows: Vec<Vec<Cell>>) -> String {
    let heading = headings.iter().map(|h| Cell::new(Tone::Heading, *h));
    let mut all = vec![heading.collect::<Vec<_>>()];
    all.extend(rows);
    let width_of = |column: usize| {
        let cells = all.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.text.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width_of).collect();
    let mut text = String::new();
    for row in &all {
        let mut line = String::from(" ");
        let mut gap = 1;
        for (cell, width) in row.iter().zip(&widths) {
            // Trailing blanks are left out: they wrap on narrow terminals.
            if !cell.text.is_empty() {
                line.push_str(&" ".repeat(gap));
                line.push_str(&style.paint(cell.tone, &cell.text));
                gap = 0;
            }
            gap += width - cell.text.chars().count() + 2;
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}
