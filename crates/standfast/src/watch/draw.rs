//! Drawing the live view: the sentence, nodes, resources, warnings, the journal, the keys. Fits 80x24;
//! what does not fit is named, never silently left out.

use super::{
    faults::Fault,
    screen::{Mode, Row, Screen},
};
use crate::render::{
    Cell, Health, NODE_HEADINGS, RESOURCE_HEADINGS, Status, Tone, group_rows, heading, node_rows,
    resource_rows, utc,
};
use ratatui::{
    Frame,
    layout::Rect,
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};
use standfast_model::{request::View, state::JournalEntry};

/// Lines of warnings at most, one of them for what is left out.
const WARNINGS: usize = 4;
/// Lines of the journal at least, its heading included: on a screen of so many lines, and on a smaller one.
const JOURNAL: (usize, usize, usize) = (20, 4, 2);

/// Draws everything. Without colours, emphasis is bold or reversed.
pub(crate) fn draw(frame: &mut Frame<'_>, screen: &Screen, colour: bool) {
    let area = frame.area();
    let width = usize::from(area.width);
    let mut lines = Vec::new();
    let foot = foot(screen, width, colour);
    let height = usize::from(area.height).saturating_sub(foot.len());
    match &screen.picture {
        Some((view, status)) => lines.extend(body(screen, view, status, width, height, colour)),
        None => {
            let text = screen.trouble.as_deref().unwrap_or("Asking the agent ...");
            lines.extend(wrapped(text, width, plain()));
        }
    }
    lines.truncate(height);
    let top = Rect {
        height: u16::try_from(height).unwrap_or(area.height),
        ..area
    };
    frame.render_widget(Paragraph::new(lines), top);
    let bottom = Rect {
        y: area.y.saturating_add(top.height),
        height: area.height.saturating_sub(top.height),
        ..area
    };
    frame.render_widget(Paragraph::new(foot).wrap(Wrap { trim: false }), bottom);
}

const fn plain() -> Style {
    Style::new()
}

fn toned(tone: Tone, colour: bool) -> Style {
    let style = plain();
    match (tone, colour) {
        (Tone::Plain, _) | (Tone::Good | Tone::Doubtful, false) => style,
        (Tone::Heading, _) | (Tone::Bad, false) => style.add_modifier(Modifier::BOLD),
        (Tone::Good, true) => style.fg(Color::Green),
        (Tone::Doubtful, true) => style.fg(Color::Yellow),
        (Tone::Bad, true) => style.fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}

/// Text broken at blanks into lines of at most `width`.
fn wrapped(text: &str, width: usize, style: Style) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let long = line.chars().count() + 1 + word.chars().count() > width;
        if long && !line.is_empty() {
            lines.push(Line::styled(std::mem::take(&mut line), style));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(Line::styled(line, style));
    lines
}

fn cut(text: &str, width: usize) -> String {
    if width == 0 {
        return String::new();
    }
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn body(
    screen: &Screen,
    view: &View,
    status: &Status,
    width: usize,
    height: usize,
    colour: bool,
) -> Vec<Line<'static>> {
    let tone = match status.health {
        Health::Ok => Tone::Good,
        Health::Degraded => Tone::Doubtful,
        Health::Outage | Health::NoQuorum => Tone::Bad,
    };
    let mut lines = Vec::new();
    if let Some(trouble) = &screen.trouble {
        let text = format!("OLD PICTURE: {trouble}");
        lines.extend(wrapped(&text, width, toned(Tone::Bad, colour)));
    }
    lines.extend(wrapped(&status.sentence, width, toned(tone, colour)));
    lines.push(Line::raw(cut(&heading(status), width)));
    let selected = screen.rows().get(screen.selected).cloned();
    let (on_node, on_resource) = positions(status, selected.as_ref());
    let warnings = warnings(status, width, colour);
    let nodes = node_rows(status);
    let resources = resource_rows(status);
    let (large, at_least, small) = JOURNAL;
    let history = if height < large { small } else { at_least };
    let fixed = lines.len() + warnings.len() + 2 + history;
    let (room, left) = shares(nodes.len(), resources.len(), height.saturating_sub(fixed));
    let table =
        |headings: &[&str], rows, marked, room| table(headings, rows, marked, room, width, colour);
    lines.extend(table(&NODE_HEADINGS, nodes, on_node, room.0));
    if !resources.is_empty() {
        lines.extend(gap(left > 3));
        lines.extend(table(&RESOURCE_HEADINGS, resources, on_resource, room.1));
    }
    if !warnings.is_empty() {
        lines.extend(gap(left > 2));
        lines.extend(warnings);
    }
    lines.extend(gap(left > 1));
    let rest = height.saturating_sub(lines.len());
    lines.extend(journal(view, rest, width));
    lines
}

fn gap(wanted: bool) -> Option<Line<'static>> {
    wanted.then(|| Line::raw(""))
}

/// Which row of which table is selected.
fn positions(status: &Status, selected: Option<&Row>) -> (Option<usize>, Option<usize>) {
    match selected {
        Some(Row::Node(node)) => {
            let mut nodes = status.nodes.iter();
            (nodes.position(|line| line.name == node.as_str()), None)
        }
        Some(Row::Group(group)) => {
            let before = status.groups.iter();
            let before = before.take_while(|line| line.name != group.as_str());
            (
                None,
                Some(before.map(|line| group_rows(status, line).len()).sum()),
            )
        }
        None => (None, None),
    }
}

/// Rows for nodes and for resources, and what is left for blanks and more journal.
fn shares(nodes: usize, resources: usize, room: usize) -> ((usize, usize), usize) {
    if nodes + resources <= room {
        return ((nodes, resources), room - nodes - resources);
    }
    let half = room / 2;
    let for_nodes = nodes.min(half.max(room.saturating_sub(resources)));
    ((for_nodes, room - for_nodes.min(room)), 0)
}

/// A table of at most `room` rows that shows the marked one.
fn table(
    headings: &[&str],
    rows: Vec<Vec<Cell>>,
    marked: Option<usize>,
    room: usize,
    width: usize,
    colour: bool,
) -> Vec<Line<'static>> {
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            let cells = cells.map(|cell| cell.text.chars().count());
            cells.max().unwrap_or(0).max(heading.len())
        })
        .collect();
    let heading: Vec<Cell> = headings
        .iter()
        .map(|text| Cell::new(Tone::Heading, *text))
        .collect();
    let mut lines = vec![row(&heading, &widths, false, width, colour)];
    let all = rows.len();
    let shown = if all > room {
        room.saturating_sub(1)
    } else {
        all
    };
    let first = marked.map_or(0, |marked| (marked + 1).saturating_sub(shown));
    for (index, cells) in rows.iter().enumerate().skip(first).take(shown) {
        lines.push(row(cells, &widths, marked == Some(index), width, colour));
    }
    if shown < all {
        lines.push(Line::raw(format!("  … {} more", all - shown)));
    }
    lines
}

fn row(
    cells: &[Cell],
    widths: &[usize],
    marked: bool,
    width: usize,
    colour: bool,
) -> Line<'static> {
    let mut left = width;
    let mut spans = Vec::new();
    let mut push = |text: String, style: Style| {
        let text = cut(&text, left);
        left -= text.chars().count();
        spans.push(Span::styled(text, style));
    };
    push(String::from(if marked { "> " } else { "  " }), plain());
    for (index, (cell, cell_width)) in cells.iter().zip(widths).enumerate() {
        let last = index + 1 == cells.len();
        let padding = cell_width.saturating_sub(cell.text.chars().count()) + 2;
        push(cell.text.clone(), toned(cell.tone, colour));
        if !last {
            push(" ".repeat(padding), plain());
        }
    }
    let line = Line::from(spans);
    if marked {
        line.style(Style::new().add_modifier(Modifier::REVERSED))
    } else {
        line
    }
}

fn warnings(status: &Status, width: usize, colour: bool) -> Vec<Line<'static>> {
    let all = status.warnings.len();
    let shown = if all > WARNINGS { WARNINGS - 1 } else { all };
    let style = toned(Tone::Doubtful, colour);
    let mut lines: Vec<Line<'static>> = status
        .warnings
        .iter()
        .take(shown)
        .map(|text| Line::styled(cut(&format!("! {text}"), width), style))
        .collect();
    if shown < all {
        let text = format!("! {} more warnings: `standfast status`", all - shown);
        lines.push(Line::styled(text, style));
    }
    lines
}

/// Newest first.
fn journal(view: &View, room: usize, width: usize) -> Vec<Line<'static>> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines = vec![Line::styled("JOURNAL, newest first", bold)];
    let entries = view.state.journal.iter().rev();
    let lines_of = |entry: &JournalEntry| {
        let time = utc(entry.wall_ms);
        let time = time.split_once(' ').map_or("", |(_, time)| time);
        let text = format!("  {time}  {:<10} {}", entry.kind, entry.text);
        Line::raw(cut(&text, width))
    };
    lines.extend(entries.take(room.saturating_sub(1)).map(lines_of));
    lines.truncate(room);
    lines
}

fn foot(screen: &Screen, width: usize, colour: bool) -> Vec<Line<'static>> {
    let (text, tone) = match &screen.mode {
        Mode::Keys => (keys(screen.faults), Tone::Heading),
        Mode::Confirm(question) => (question.text.clone(), Tone::Bad),
        Mode::Said(text) => (text.clone(), Tone::Heading),
    };
    let style = toned(tone, colour);
    wrapped(&text, width, style)
}

fn keys(faults: bool) -> String {
    let mut text =
        String::from("q quit  ↑↓ Tab select  s switchover  d drain/resume  m M maintenance");
    if faults {
        for fault in Fault::ALL {
            let what = match fault {
                Fault::Kill => "power off",
                Fault::Freeze => "freeze",
                Fault::Cut => "cut off",
                Fault::Heal => "heal",
            };
            text.push_str(&format!("  {} {what}", fault.key()));
        }
    }
    text
}
