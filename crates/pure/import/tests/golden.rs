//! Golden texts: each `tests/golden/*.xml` with the `.toml` that is made of it, and each
//! `tests/mistakes/*` with the sentence that it gets. `UPDATE=1` writes what is given at present.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test reads files and the environment, and may panic"
)]

use roxmltree::Document;
use standfast_import::{Imported, More, pacemaker};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// 2026-01-01.
const NOW: i64 = 1_767_225_600;

fn files(folder: &str, ends: &[&str]) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
        .filter(|file| {
            file.extension()
                .is_some_and(|end| ends.iter().any(|e| end == *e))
        })
        .collect();
    files.sort();
    files
}

fn compare(file: &Path, given: &str) -> Result<(), String> {
    if std::env::var("UPDATE").is_ok() {
        fs::write(file, given).expect("write");
    }
    let expected = fs::read_to_string(file).unwrap_or_default();
    if expected == given {
        return Ok(());
    }
    Err(format!("{}:\n{given}", file.display()))
}

fn import(file: &Path) -> Imported {
    let text = fs::read_to_string(file).expect("text");
    let corosync = fs::read_to_string(file.with_extension("conf")).ok();
    let more = More {
        corosync: corosync.as_deref(),
        now: NOW,
    };
    let name = file.file_name().expect("name").to_string_lossy();
    pacemaker(&text, &name, &more).expect("a CIB")
}

#[test]
fn every_cib_gives_the_configuration_beside_it() {
    let files = files("golden", &["xml"]);
    assert!(files.len() >= 12, "files are missing");
    let wrong: Vec<String> = files
        .iter()
        .filter_map(|file| compare(&file.with_extension("toml"), &import(file).text).err())
        .collect();
    assert!(
        wrong.is_empty(),
        "UPDATE=1 writes these:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_result_is_a_valid_configuration() {
    for file in files("golden", &["xml"]) {
        let imported = import(&file);
        if let Err(mistakes) = standfast_config::parse(&imported.text, "cluster.toml") {
            let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            panic!("{}:\n{}", file.display(), lines.join("\n"));
        }
    }
}

/// What is configured has a name in the result or in a note; what is within something that has no
/// kind here is covered by the note on that.
#[test]
fn nothing_is_dropped_silently() {
    const NAMED: [&str; 14] = [
        "node",
        "primitive",
        "group",
        "clone",
        "master",
        "bundle",
        "template",
        "rsc_location",
        "rsc_colocation",
        "rsc_order",
        "rsc_ticket",
        "alert",
        "acl_role",
        "tag",
    ];
    for file in files("golden", &["xml"]) {
        let text = fs::read_to_string(&file).expect("text");
        let document = Document::parse(&text).expect("XML");
        let result = import(&file).text;
        for element in document
            .descendants()
            .filter(|element| element.is_element())
        {
            let name = element.tag_name().name();
            let wanted = match (name, element.parent_element().map(|p| p.tag_name().name())) {
                ("node", _) => element.attribute("uname"),
                (_, Some("fencing-topology")) => None,
                ("nvpair", Some("cluster_property_set")) => element.attribute("name"),
                _ if NAMED.contains(&name) => element.attribute("id"),
                _ => None,
            };
            if let Some(wanted) = wanted {
                // These are keys of [cluster], which have names of their own.
                let keys = ["cluster-name", "maintenance-mode"];
                let said = keys.contains(&wanted) || result.contains(wanted);
                assert!(said, "{}: <{name}> {wanted} is nowhere", file.display());
            }
        }
    }
}

#[test]
fn no_secret_is_in_any_result() {
    for file in files("golden", &["xml"]) {
        let text = fs::read_to_string(&file).expect("text");
        let imported = import(&file);
        // Every password of the inputs has this in it.
        assert!(!imported.text.contains("hunter2"), "{}", file.display());
        let notes = imported.notes.iter().map(ToString::to_string);
        assert!(!notes.collect::<String>().contains("hunter2"));
        if text.contains("hunter2") {
            let replaced = ["secret_file", "looks like a secret"];
            let said = replaced.iter().any(|text| imported.text.contains(text));
            assert!(said, "{}", file.display());
        }
    }
}

#[test]
fn what_is_no_cib_is_refused_with_its_place() {
    let files = files("mistakes", &["xml", "conf", "sh"]);
    assert!(files.len() >= 6, "files are missing");
    let mut given = String::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("text");
        let name = file.file_name().expect("name").to_string_lossy();
        let more = More {
            corosync: None,
            now: NOW,
        };
        let mistake = pacemaker(&text, &name, &more).expect_err("no CIB");
        given.push_str(&format!("{mistake}\n"));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let same = compare(&folder.join("sentences.txt"), &given);
    assert!(same.is_ok(), "UPDATE=1 writes these:\n{same:?}");
}
