//! A handmade simulation, and what is said of it: `tests/golden/simulation.txt`. `UPDATE=1` writes what is said at
//! present.

use super::{simulation, simulation_json};
use standfast_model::{
    id::GroupId,
    request::{Interruption, Source},
    simulation::{Simulation, Stage, Step},
    time::Micros,
};
use std::{collections::BTreeMap, fs, path::Path};

fn compare(name: &str, given: &str) {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/simulation{name}.txt"));
    if std::env::var("UPDATE").is_ok() {
        fs::write(&file, given).expect("write");
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        expected == given,
        "{} says something else:\n{given}",
        file.display()
    );
}

fn step(at: u64, length: u64, group: &str, what: &str, source: Source) -> Step {
    Step {
        at: Micros::from_millis(at),
        length: Micros::from_millis(length),
        group: group.into(),
        what: what.to_owned(),
        source,
    }
}

fn away(group: &str, to: Option<&str>, length: Option<u64>) -> Interruption {
    Interruption {
        group: group.into(),
        from: "alpha".into(),
        to: to.map(Into::into),
        length: length.map(Micros::from_millis),
        parts: Vec::new(),
    }
}

fn places(
    places: &[(&str, Option<&str>)],
) -> BTreeMap<GroupId, Option<standfast_model::id::NodeId>> {
    let places = places.iter();
    places
        .map(|(group, node)| ((*group).into(), node.map(Into::into)))
        .collect()
}

fn imagined() -> Simulation {
    let measured = || Source::Measured("beta".into());
    let calm = Stage {
        what: "the configuration is applied".to_owned(),
        places: places(&[("db", Some("alpha")), ("site", Some("alpha"))]),
        ..Stage::default()
    };
    let failure = Stage {
        what: "web fails on alpha: 1 of the 3 failures within 60 s that move it away".to_owned(),
        steps: vec![step(0, 60, "site", "start web on alpha", measured())],
        interruptions: vec![away("site", Some("alpha"), Some(60))],
        length: Micros::from_millis(60),
        places: places(&[("db", Some("alpha")), ("site", Some("alpha"))]),
        ..Stage::default()
    };
    let loss = Stage {
        what: "alpha is lost".to_owned(),
        steps: vec![
            step(0, 758, "db", "lease runs out", Source::Usual),
            step(0, 758, "site", "lease runs out", Source::Usual),
            step(758, 11, "site", "decision on disks", Source::Usual),
            step(769, 60, "site", "start web on beta", measured()),
            step(829, 30_000, "site", "start mail on beta", Source::Limit),
        ],
        interruptions: vec![
            away("db", None, None),
            away("site", Some("beta"), Some(30_829)),
            away("files", Some("beta"), None),
        ],
        length: Micros::from_millis(30_829),
        places: places(&[("db", None), ("site", Some("beta"))]),
        warnings: vec!["db runs nowhere then: beta is drained; alpha is not online".to_owned()],
    };
    Simulation {
        based_on: 7,
        stages: vec![calm, failure, loss],
        length: Micros::from_millis(30_889),
        warnings: vec![
            "gamma hears no leader with a majority: this goes by what it knew last".to_owned(),
        ],
    }
}

#[test]
fn a_simulation_reads_as_a_timetable() {
    compare("", &simulation(&imagined()));
}

#[test]
fn the_document_has_its_version() {
    let document = simulation_json(&imagined());
    let value: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!(value["schema"], "standfast/simulation/1");
    assert_eq!(value["stages"][2]["steps"][3]["at"], 769_000);
    assert_eq!(value["stages"][2]["places"]["db"], serde_json::Value::Null);
}
