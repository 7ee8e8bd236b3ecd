//! What a backup looks like: a first line that says what it is, and a second one with the replicated
//! state, both JSON. The first holds the checksum of the second.
//!
//! No key is in it: whoever restores it makes a new cluster with keys of its own.

use super::exit;
use crate::{agent::recovery::wall_ms, failure::Failure};
use serde::{Deserialize, Serialize};
use standfast_model::{request::View, state::ClusterState};
use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

const SCHEMA: &str = "standfast/backup/1";

/// Longest file that is read, in bytes: far more than any state.
const MAX: u64 = 256 * 1024 * 1024;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) schema: String,
    /// Program that wrote it.
    pub(crate) version: String,
    /// Oldest feature level that understands it.
    pub(crate) feature_level: u32,
    /// Node that wrote it.
    pub(crate) node: String,
    /// When, milliseconds since 1970, by that node's clock.
    pub(crate) wall_ms: u64,
    /// Of the second line without its end.
    pub(crate) sha256: String,
}

/// Writes a backup: afterwards, also after a crash, the file is either the old or the new one, whole.
pub(super) fn write(file: &Path, view: &View) -> Result<(), Failure> {
    let failure = |error: io::Error| {
        let file = file.display();
        Failure::new(exit::IO, format!("cannot write {file}: {error}"))
    };
    let body = serde_json::to_vec(&view.state).map_err(|error| failure(error.into()))?;
    let head = Head {
        schema: SCHEMA.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        feature_level: standfast_model::FEATURE_LEVEL,
        node: view.node.clone(),
        wall_ms: wall_ms(),
        sha256: sha256(&body),
    };
    let mut text = serde_json::to_vec(&head).map_err(|error| failure(error.into()))?;
    text.push(b'\n');
    text.extend(body);
    text.push(b'\n');
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    write_whole(beside, &text)
        .and_then(|()| fs::rename(beside, file))
        .map_err(failure)
}

fn write_whole(file: &Path, text: &[u8]) -> io::Result<()> {
    if let Err(error) = fs::remove_file(file)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut open = fs::OpenOptions::new();
    let mut file = open.write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Reads a backup, and believes it only whole.
pub(super) fn read(file: &Path) -> Result<(Head, ClusterState), Failure> {
    let name = file.display();
    let unreadable =
        |error: io::Error| Failure::new(exit::NO_INPUT, format!("cannot read {name}: {error}"));
    let length = fs::metadata(file).map_err(unreadable)?.len();
    if length > MAX {
        return Err(Failure::data(format!("{name} is too long to be a backup")));
    }
    let text = fs::read(file).map_err(unreadable)?;
    parse(&text).map_err(|why| Failure::data(format!("{name} {why}")))
}

fn parse(text: &[u8]) -> Result<(Head, ClusterState), String> {
    let no_backup = || String::from("is no backup of Standfast");
    let end = text
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or_else(no_backup)?;
    let (head, body) = text.split_at_checked(end).ok_or_else(no_backup)?;
    let head: Head = serde_json::from_slice(head).map_err(|_error| no_backup())?;
    if head.schema != SCHEMA {
        return Err(format!("is {}, this program reads {SCHEMA}", head.schema));
    }
    if head.feature_level > standfast_model::FEATURE_LEVEL {
        return Err(format!(
            "was written by version {} (feature level {}); this program understands level {}: install that version",
            head.version,
            head.feature_level,
            standfast_model::FEATURE_LEVEL
        ));
    }
    let body = body.trim_ascii();
    if sha256(body) != head.sha256 {
        return Err("is damaged: its checksum does not fit".to_owned());
    }
    let state = serde_json::from_slice(body)
        .map_err(|error| format!("holds a state that this program does not understand: {error}"))?;
    Ok((head, state))
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn written() -> (tempfile::TempDir, Vec<u8>) {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("backup");
        let mut view = View {
            node: "alpha".to_owned(),
            ..View::default()
        };
        view.state.cluster_id = "c1".to_owned();
        view.state.applied = 7;
        write(&file, &view).expect("written");
        let mode = fs::metadata(&file).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs::read(&file).expect("file");
        (folder, text)
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let (_folder, text) = written();
        let (head, state) = parse(&text).expect("a backup");
        assert_eq!((head.node.as_str(), state.applied), ("alpha", 7));
        // Every single byte counts.
        for at in 0..text.len().saturating_sub(1) {
            let mut damaged = text.clone();
            if let Some(byte) = damaged.get_mut(at) {
                *byte ^= 1;
            }
            if let Ok((other, same)) = parse(&damaged) {
                assert_eq!(same, state, "byte {at}");
                assert_ne!(other, head, "byte {at}");
            }
        }
        assert!(parse(&text[..text.len() - 2]).is_err());
        assert!(parse(b"").is_err());
        assert!(parse(b"{}\n{}\n").is_err());
    }

    #[test]
    fn a_newer_one_names_the_version_that_it_needs() {
        let (_folder, text) = written();
        let text = String::from_utf8(text).expect("text");
        let known = format!("\"feature_level\":{}", standfast_model::FEATURE_LEVEL);
        let newer = text.replacen(&known, "\"feature_level\":99", 1);
        let why = parse(newer.as_bytes()).expect_err("newer");
        assert!(why.contains("feature level 99"), "{why}");
    }
}
