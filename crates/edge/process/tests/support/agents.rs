//! Agents of a test's own beside those of the machine, which do what the test wants of each action.

use super::{World, config};
use standfast_model::{
    config::{AgentConfig, CheckConfig, CheckKind, ProcessConfig},
    event::InstanceChange,
    time::Micros,
};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

/// Sources a file of the action's name, if there is one, and else behaves.
pub const OURS: &str = r#"#!/bin/sh
d=$OCF_RESKEY_folder
echo "$1" >>"$d/actions"
[ -e "$d/$1" ] && . "$d/$1"
case $1 in
start) touch "$d/running" ;;
stop) rm -f "$d/running" ;;
monitor) [ -e "$d/running" ] || exit 7 ;;
*) exit 3 ;;
esac
"#;

/// Makes this program the agent `ocf:test:ours`, whose parameter `folder` is to be `agent` of this world. Debian's agents are
/// there too.
pub fn install(world: &World, program: &str) {
    let own = world.path("ocf/resource.d/test");
    fs::create_dir_all(&own).unwrap();
    write_program(&own.join("ours"), program);
    symlink("/usr/lib/ocf/lib", world.path("ocf/lib")).unwrap();
    for provider in ["heartbeat", "pacemaker"] {
        let debian = format!("/usr/lib/ocf/resource.d/{provider}");
        symlink(debian, world.path("ocf/resource.d").join(provider)).unwrap();
    }
    fs::create_dir(world.path("agent")).unwrap();
}

pub fn write_program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// An agent that is asked so often, one failure being enough.
pub fn agent(name: &str, parameters: &[(&str, String)]) -> ProcessConfig {
    let owned = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
    ProcessConfig {
        agent: Some(Box::new(AgentConfig {
            name: name.to_owned(),
            parameters: parameters.iter().map(owned).collect(),
            ..AgentConfig::default()
        })),
        readiness: asked_every(20, 10_000),
        health: asked_every(20, 5000),
        ..config(&[])
    }
}

/// One failure is enough. Milliseconds.
pub fn asked_every(interval: u64, timeout: u64) -> Option<CheckConfig> {
    Some(CheckConfig {
        probe: CheckKind::Agent,
        interval: Micros::from_millis(interval),
        timeout: Micros::from_millis(timeout),
        failures: 1,
    })
}

/// What an action is to do first, in shell.
pub fn script(world: &World, action: &str, text: &str) {
    fs::write(world.path("agent").join(action), text).unwrap();
}

/// What was asked of the agent, in order.
pub fn actions(world: &World) -> Vec<String> {
    let text = fs::read_to_string(world.path("agent/actions")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

pub fn agent_failed(change: InstanceChange) -> (i32, String) {
    match change {
        InstanceChange::AgentFailed { code, why } => (code, why),
        other => panic!("{other:?}"),
    }
}
