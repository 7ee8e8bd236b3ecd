//! A document as a manual page: the headings, paragraphs, lists, tables and examples that our documents use, as man(7).
//! Not a Markdown reader for anything else.

/// The whole page.
pub(super) fn page(name: &str, section: u8, markdown: &str) -> String {
    let mut page = format!(
        ".TH {} {section} \"\" \"Standfast {}\" Standfast\n.SH NAME\n{} \\- the configuration of a cluster\n",
        text(name),
        env!("CARGO_PKG_VERSION"),
        text(name)
    );
    let mut writer = Writer::default();
    for line in markdown.lines() {
        writer.line(line, &mut page);
    }
    page.push_str(".SH \"SEE ALSO\"\nstandfast(1), standfast\\-agent(8)\n");
    page
}

#[derive(Default)]
struct Writer {
    example: bool,
    /// The titles of the table that is being read.
    titles: Vec<String>,
}

impl Writer {
    fn line(&mut self, line: &str, page: &mut String) {
        if line.starts_with("```") {
            self.example = !self.example;
            page.push_str(if self.example {
                ".PP\n.nf\n.RS 4\n"
            } else {
                ".RE\n.fi\n"
            });
        } else if self.example {
            push(page, &escaped(line));
        } else if let Some(row) = line.strip_prefix('|') {
            self.row(row.trim_end().trim_end_matches('|'), page);
        } else {
            self.titles.clear();
            prose(line, page);
        }
    }

    /// A row of a table becomes a paragraph: the first cell is its tag, the others follow with their titles.
    fn row(&mut self, row: &str, page: &mut String) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let rule = |cell: &&str| cell.chars().all(|c| matches!(c, '-' | ':'));
        if cells.iter().all(rule) {
            return;
        }
        if self.titles.is_empty() {
            self.titles = cells.iter().map(|cell| (*cell).to_owned()).collect();
            return;
        }
        let mut pairs = self.titles.iter().zip(cells);
        let tag = pairs.next().map_or("", |(_, tag)| tag);
        push(page, ".TP");
        push(page, &text(tag));
        let mut first = true;
        for (title, cell) in pairs {
            if !first {
                push(page, ".br");
            }
            if first {
                push(page, &text(cell));
            } else {
                push(page, &format!("{}: {}", text(title), text(cell)));
            }
            first = false;
        }
    }
}

fn prose(line: &str, page: &mut String) {
    if line.is_empty() {
        push(page, ".PP");
    } else if let Some(title) = line.strip_prefix("### ") {
        push(page, &format!(".SS \"{}\"", text(title)));
    } else if let Some(title) = line.strip_prefix("## ") {
        push(page, &format!(".SH \"{}\"", text(title)));
    } else if line.starts_with("# ") {
        push(page, ".SH DESCRIPTION");
    } else if let Some(item) = line.strip_prefix("- ") {
        push(page, ".IP \\(bu 2");
        push(page, &text(item));
    } else {
        push(page, &text(line.trim_start()));
    }
}

fn push(page: &mut String, line: &str) {
    page.push_str(line);
    page.push('\n');
}

/// Running text: code is bold, links keep their words.
fn text(markdown: &str) -> String {
    let mut out = String::new();
    for (position, part) in markdown.split('`').enumerate() {
        let code = position % 2 == 1;
        let words = if code { part.to_owned() } else { plain(part) };
        let words = escaped(&words).replace('"', "\\(dq");
        if code {
            out.push_str(&format!("\\fB{words}\\fR"));
        } else {
            out.push_str(&words);
        }
    }
    out.trim_end_matches("\\fR\\fB").to_owned()
}

/// `[words](target)` is words.
fn plain(part: &str) -> String {
    let mut out = String::new();
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('[') {
        let link = after
            .split_once("](")
            .and_then(|(words, target)| Some((words, target.split_once(')')?.1)));
        let Some((words, behind)) = link else {
            break;
        };
        out.push_str(before);
        out.push_str(words);
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// Neither a backslash nor a control character at the beginning of a line is a request.
fn escaped(line: &str) -> String {
    let mut out = String::new();
    if line.starts_with(['.', '\'']) {
        out.push_str("\\&");
    }
    for c in line.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '×' => out.push_str("\\(mu"),
            '−' => out.push_str("\\(mi"),
            '…' => out.push_str("..."),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_become_tagged_paragraphs() {
        let page = page(
            "x",
            5,
            "| key | meaning | default |\n|---|---|---|\n| `a-b` | what | `\"c\"` |\n",
        );
        let expected = ".TP\n\\fBa\\-b\\fR\nwhat\n.br\ndefault: \\fB\\(dqc\\(dq\\fR\n";
        assert!(page.contains(expected), "{page}");
    }

    #[test]
    fn nothing_in_the_text_is_taken_for_a_request() {
        assert_eq!(text(".so a\\b [see](x.md)"), "\\&.so a\\eb see");
    }
}
