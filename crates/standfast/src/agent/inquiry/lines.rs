//! The agent's own last log lines, in memory: what was written before the present run is in the journal of
//! the system.

use super::{Inquiry, Work};
use standfast_model::query::{AGENT, Line, Page};
use std::{collections::VecDeque, io};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes kept.
const KEPT: usize = 1024 * 1024;
/// Longer lines are cut.
const LONGEST: usize = 4 * 1024;

/// The last lines, numbered from the first one of this run.
#[derive(Debug, Default)]
pub(super) struct Ring {
    lines: VecDeque<String>,
    bytes: usize,
    /// Number of the line after the last.
    end: u64,
}

impl Ring {
    pub(super) fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.end += 1;
        self.lines.push_back(line);
        while self.bytes > KEPT
            && let Some(gone) = self.lines.pop_front()
        {
            self.bytes -= gone.len();
        }
    }

    /// Lines from number `after` on, or the last `lines`, as long as there is room.
    pub(super) fn read(&self, after: Option<u64>, lines: usize, room: &mut usize, page: &mut Page) {
        let first = self.end - u64::try_from(self.lines.len()).unwrap_or(0);
        let from =
            after.unwrap_or_else(|| self.end.saturating_sub(u64::try_from(lines).unwrap_or(0)));
        // A number of an earlier run is beyond the end: everything is new then.
        let from = if from > self.end {
            first
        } else {
            from.max(first)
        };
        let mut next = from;
        let skip = usize::try_from(from - first).unwrap_or(usize::MAX);
        for line in self.lines.iter().skip(skip) {
            if *room < line.len() {
                page.more = true;
                break;
            }
            *room -= line.len();
            next += 1;
            page.lines.push(Line {
                source: AGENT.to_owned(),
                text: line.clone(),
            });
        }
        page.next.insert(AGENT.to_owned(), next);
    }
}

/// Where the log's second copy goes.
#[derive(Clone, Debug)]
pub(crate) struct LogWriter(pub(crate) Inquiry);

impl<'w> MakeWriter<'w> for LogWriter {
    type Writer = OneLine<'w>;

    fn make_writer(&'w self) -> Self::Writer {
        OneLine {
            inquiry: &self.0,
            text: Vec::new(),
        }
    }
}

/// Collects one line, and hands it over at its end.
#[derive(Debug)]
pub(crate) struct OneLine<'w> {
    inquiry: &'w Inquiry,
    text: Vec<u8>,
}

impl io::Write for OneLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = LONGEST.saturating_sub(self.text.len());
        self.text.extend(bytes.iter().take(room));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for OneLine<'_> {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        let line = text.trim_end().to_owned();
        if !line.is_empty() {
            self.inquiry.hand(Work::Line(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ring: &Ring, after: Option<u64>, lines: usize, mut room: usize) -> Page {
        let mut page = Page::default();
        ring.read(after, lines, &mut room, &mut page);
        page
    }

    fn texts(page: &Page) -> Vec<&str> {
        page.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn pages_follow_each_other_without_gap() {
        let mut ring = Ring::default();
        for number in 0..10 {
            ring.push(format!("line {number}"));
        }
        let last = read(&ring, None, 3, 1000);
        assert_eq!(texts(&last), ["line 7", "line 8", "line 9"]);
        let end = last.next[AGENT];
        assert!(texts(&read(&ring, Some(end), 3, 1000)).is_empty());
        let small = read(&ring, Some(0), 0, 13);
        assert_eq!((texts(&small).len(), small.more), (2, true));
        let rest = read(&ring, Some(small.next[AGENT]), 0, 1000);
        assert_eq!(texts(&rest).len(), 8);
        assert_eq!(
            texts(&read(&ring, Some(99), 0, 1000)).len(),
            10,
            "a new run"
        );
    }

    #[test]
    fn old_lines_give_way() {
        let mut ring = Ring::default();
        for number in 0..3000 {
            ring.push(format!("{number} {}", "x".repeat(1000)));
        }
        assert!(ring.bytes <= KEPT);
        let page = read(&ring, Some(0), 0, KEPT);
        assert!(!page.lines[0].text.starts_with("0 "));
        assert_eq!(page.next[AGENT], 3000);
    }
}
