//! What services print, from the files that their keepers write. Positions are bytes of the present file;
//! the file before it is only shown together with the last lines.

use standfast_model::query::{Line, Page};
use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::Path,
};

/// Bytes at the end of a file that are looked through for its last lines.
const TAIL: u64 = 64 * 1024;
/// Longer lines are cut.
const LONGEST: usize = 4 * 1024;

/// Everything that has an output here.
pub(super) fn resources(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Whole lines from `after` on, or the last `lines`.
pub(super) fn read(
    folder: &Path,
    resource: &str,
    after: Option<u64>,
    lines: usize,
    room: &mut usize,
    page: &mut Page,
) {
    let Ok(mut file) = File::open(folder.join(resource).join("output.log")) else {
        return;
    };
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    // A file that is shorter than what was read of it is a new one.
    let from = match after {
        Some(after) if after <= length => after,
        Some(_) => 0,
        None => length.saturating_sub(TAIL),
    };
    let most = u64::try_from(*room).unwrap_or(0).min(TAIL);
    let mut bytes = Vec::new();
    let read = file
        .seek(SeekFrom::Start(from))
        .and_then(|_| file.take(most).read_to_end(&mut bytes));
    if read.is_err() {
        return;
    }
    // What has no end yet comes with the next page, unless it alone fills one.
    let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(last) => last + 1,
        None if bytes.len() >= LONGEST => bytes.len(),
        None => 0,
    };
    bytes.truncate(whole);
    let next = from + u64::try_from(whole).unwrap_or(0);
    page.next.insert(resource.to_owned(), next);
    page.more |= whole > 0 && next < length && after.is_some();
    *room = room.saturating_sub(whole);
    let text = String::from_utf8_lossy(&bytes);
    let mut found: Vec<&str> = text.lines().collect();
    if after.is_none() {
        // The first one may have lost its beginning.
        let whole_from = usize::from(from > 0).min(found.len());
        found.drain(..whole_from);
        found.drain(..found.len().saturating_sub(lines));
    }
    page.lines.extend(found.into_iter().map(|line| Line {
        source: resource.to_owned(),
        text: line.chars().take(LONGEST).collect(),
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_model::query::PAGE_BYTES;

    fn page(folder: &Path, after: Option<u64>, lines: usize) -> Page {
        let mut page = Page::default();
        read(
            folder,
            "web",
            after,
            lines,
            &mut PAGE_BYTES.clone(),
            &mut page,
        );
        page
    }

    fn texts(page: &Page) -> Vec<&str> {
        page.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn output_is_followed_through_a_new_file() {
        let folder = tempfile::tempdir().expect("folder");
        let own = folder.path().join("web");
        fs::create_dir(&own).expect("folder");
        let file = own.join("output.log");
        fs::write(&file, "one\ntwo\nthree\nhal").expect("file");
        let last = page(folder.path(), None, 2);
        assert_eq!(texts(&last), ["two", "three"]);
        fs::write(&file, "one\ntwo\nthree\nhalf\nfour\n").expect("file");
        let more = page(folder.path(), Some(last.next["web"]), 0);
        assert_eq!(texts(&more), ["half", "four"]);
        fs::write(&file, "anew\n").expect("file");
        let new = page(folder.path(), Some(more.next["web"]), 0);
        assert_eq!(texts(&new), ["anew"]);
        assert_eq!(resources(folder.path()), ["web"]);
    }

    #[test]
    fn a_long_output_comes_in_pages() {
        let folder = tempfile::tempdir().expect("folder");
        let own = folder.path().join("web");
        fs::create_dir(&own).expect("folder");
        let text: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        fs::write(own.join("output.log"), &text).expect("file");
        let (mut after, mut lines, mut pages) = (Some(0), 0, 0);
        loop {
            let page = page(folder.path(), after, 0);
            lines += page.lines.len();
            pages += 1;
            after = page.next.get("web").copied();
            if !page.more {
                break;
            }
        }
        assert_eq!(lines, 20_000);
        assert!(pages > 1);
    }
}
