//! Golden texts: each `tests/golden/*.toml` with the `.txt` that it gives: every mistake, or the
//! configuration with its warnings. `UPDATE=1` writes what is given at present.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test reads files and the environment, and may panic"
)]

use standfast_config::{differences, parse};
use standfast_model::config::ClusterConfig;
use std::{
    fs,
    path::{Path, PathBuf},
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn read(name: &str) -> ClusterConfig {
    let text = fs::read_to_string(folder().join(name)).expect("file");
    parse(&text, name).expect("no mistakes").0
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

fn outcome(text: &str, name: &str) -> String {
    let mut lines = Vec::new();
    match parse(text, name) {
        Ok((config, warnings)) => {
            lines.extend(warnings.iter().map(ToString::to_string));
            lines.push(format!("{config:#?}"));
        }
        Err(mistakes) => lines.extend(mistakes.iter().map(ToString::to_string)),
    }
    lines.push(String::new());
    lines.join("\n")
}

#[test]
fn every_file_gives_what_stands_beside_it() {
    let mut files: Vec<PathBuf> = fs::read_dir(folder())
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 15, "files are missing");
    let mut wrong = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("file");
        let name = file.file_name().expect("name").to_string_lossy();
        let given = outcome(&text, &name);
        wrong.extend(compare(&file.with_extension("txt"), &given).err());
    }
    assert!(
        wrong.is_empty(),
        "these give something else:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn differences_read_as_an_operator_would_say_them() {
    let lines = differences(&read("pair.toml"), &read("good.toml"));
    let given = lines.join("\n") + "\n";
    assert_eq!(compare(&folder().join("differences.txt"), &given), Ok(()));
}

#[test]
fn a_configuration_does_not_differ_from_itself() {
    let config = read("good.toml");
    assert_eq!(differences(&config, &config), Vec::<String>::new());
}

#[test]
fn copies_differ_as_they_are_written() {
    let old = fs::read_to_string(folder().join("copies.toml")).expect("file");
    let new = old.replace("copies = \"all\"", "copies = 2");
    let new = new.replace("/bin/cache", "/bin/cached");
    let new = parse(&new, "new").expect("no mistakes").0;
    let lines = differences(&read("copies.toml"), &new);
    let expected = [
        "resource cache: command [/bin/cache] -> [/bin/cached]",
        "group web: copies all -> 2",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn attributes_and_locations_differ_one_by_one() {
    let old = fs::read_to_string(folder().join("location.toml")).expect("file");
    let new = old.replace("rack = \"b\"", "rack = \"c\"\nrow = 4");
    let new = new.replace("below = 64", "below = 32");
    let new = new.replace("score = 10", "score = 20");
    let new = new.replace("disk = \"ssd\", ", "");
    let new = new.replace("[location.web-licensed]", "[location.web-unlicensed]");
    let (new, warnings) = parse(&new, "new").expect("no mistakes");
    assert_eq!(
        warnings.len(),
        2,
        "disk is gone, rak never was: {warnings:?}"
    );
    assert_eq!(new.level(), 4);
    let lines = differences(&read("location.toml"), &new);
    let expected = [
        "node alpha: attribute disk ssd -> none",
        "node beta: attribute rack b -> c",
        "node beta: attribute row none -> 4",
        "location web-licensed: removed (web where licensed is not defined, -INFINITY)",
        "location db-well: where cores is at least 8 and cores is below 64 and kernel is above version 5.10 and kernel is \
         defined and rack is a or b -> cores is at least 8 and cores is below 32 and kernel is above version 5.10 and kernel \
         is defined and rack is a or b",
        "location web-room: score 10 -> 20",
        "location web-unlicensed: added (web where licensed is not defined, -INFINITY)",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn attributes_alone_need_the_newest_program() {
    let text = fs::read_to_string(folder().join("minimal.toml")).expect("file");
    let (old, _) = parse(&text, "old").expect("no mistakes");
    let mut new = old.clone();
    let node = new.nodes.values_mut().next().expect("a node");
    node.attributes.insert("rack".into(), "a".into());
    assert_eq!((old.level(), new.level()), (1, 4));
}

#[test]
fn a_changed_secret_is_not_shown() {
    let old = fs::read_to_string(folder().join("good.toml")).expect("file");
    let new = old.replace("A = \"b\"", "A = \"secret\"");
    let new = parse(&new, "new").expect("no mistakes").0;
    let lines = differences(&read("good.toml"), &new);
    assert_eq!(lines, ["resource web: environment of [A] differs"]);
}

#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let text = "#".repeat(standfast_config::MAX_TEXT + 1);
    let mistakes = parse(&text, "huge.toml").expect_err("too large");
    assert_eq!(mistakes.len(), 1);
}

#[test]
fn the_column_counts_characters() {
    let mistakes = parse("[cluster]\nname = \"é\" ä", "x.toml").expect_err("mistake");
    assert_eq!((mistakes[0].line, mistakes[0].column), (2, 12));
}
