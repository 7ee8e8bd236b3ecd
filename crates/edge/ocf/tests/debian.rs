//! What the agents of Debian's `resource-agents` say of themselves, and whether what is known of them by name is true.
#![allow(
    clippy::unwrap_used,
    reason = "a test's helpers fail like the test itself"
)]

use standfast_model::{
    agent::{Effects, effects},
    config::{AgentConfig, ProcessConfig},
};
use standfast_ocf::{Kind, ROOT, find, metadata, problems};
use std::{fs, path::Path};

fn config(name: &str, parameters: &[(&str, &str)]) -> ProcessConfig {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    ProcessConfig {
        agent: Some(Box::new(AgentConfig {
            name: name.to_owned(),
            parameters: parameters.iter().map(owned).collect(),
            ..AgentConfig::default()
        })),
        ..ProcessConfig::default()
    }
}

fn said(name: &str, parameters: &[(&str, &str)]) -> Vec<String> {
    let found = problems(
        &config(name, parameters),
        &metadata(Path::new(ROOT), name).unwrap(),
    );
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn every_agent_that_may_run_describes_itself() {
    let mut known = 0;
    for entry in fs::read_dir("/usr/lib/ocf/resource.d/heartbeat").unwrap() {
        let name = format!("ocf:heartbeat:{}", entry.unwrap().file_name().display());
        if effects(&name) != Effects::Processes {
            continue;
        }
        known += 1;
        let found = metadata(Path::new(ROOT), &name).unwrap();
        let none: Vec<String> = Vec::new();
        let own = found
            .parameters
            .iter()
            .filter(|p| p.required && p.default.is_none());
        let own: Vec<(&str, &str)> = own.map(|p| (p.name.as_str(), "1")).collect();
        assert_eq!(said(&name, &own), none, "{name}");
    }
    assert!(known >= 33, "only {known} of the list are installed");
}

#[test]
fn pgsql_is_judged_by_its_own_description() {
    let name = "ocf:heartbeat:pgsql";
    let found = metadata(Path::new(ROOT), name).unwrap();
    assert_eq!(found.find("pgport").unwrap().kind, Kind::Integer);
    assert_eq!(
        found.find("pgport").unwrap().default.as_deref(),
        Some("5432")
    );
    assert_eq!(found.timeout("start"), Some(120_000));
    let none: Vec<String> = Vec::new();
    let good = [
        ("pgdata", "/var/lib/postgresql/15/main"),
        ("pgport", "5432"),
        ("restart_on_promote", "no"),
    ];
    assert_eq!(said(name, &good), none);
    let bad = said(
        name,
        &[
            ("pgdta", "/x"),
            ("pgport", "five"),
            ("check_wal_receiver", "maybe"),
        ],
    );
    assert_eq!(bad.len(), 3, "{bad:?}");
    assert!(bad[0].ends_with("did you mean \"pgdata\"?"), "{bad:?}");
    assert!(bad[1].contains("\"maybe\" does not fit"), "{bad:?}");
}

#[test]
fn nginx_has_one_of_each_file() {
    let found = metadata(Path::new(ROOT), "ocf:heartbeat:nginx").unwrap();
    assert!(found.find("configfile").unwrap().unique);
    assert_eq!(found.timeout("monitor"), Some(30_000));
}

#[test]
fn what_is_not_there_is_said() {
    let absent = find(Path::new(ROOT), "ocf:heartbeat:sf-none").unwrap_err();
    assert!(absent.contains("package resource-agents"), "{absent}");
    assert!(
        find(Path::new(ROOT), "nginx")
            .unwrap_err()
            .contains("is no resource agent")
    );
    // Prints something else, and nothing.
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("resource.d/test");
    fs::create_dir_all(&own).unwrap();
    for (kind, text) in [
        ("talks", "#!/bin/sh\nhead -c 3000000 /dev/urandom\n"),
        ("fails", "#!/bin/sh\nexit 3\n"),
        ("html", "#!/bin/sh\necho '<html/>'\n"),
    ] {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(own.join(kind), text).unwrap();
        fs::set_permissions(own.join(kind), fs::Permissions::from_mode(0o755)).unwrap();
        let why = metadata(folder.path(), &format!("ocf:test:{kind}")).unwrap_err();
        assert!(why.contains("describes no parameters"), "{why}");
    }
}
