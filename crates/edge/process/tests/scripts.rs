//! Resources that a start/stop/status script runs, under real keepers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail like the test itself"
)]

mod support;

use rustix::process::Signal;
use standfast_model::{
    config::{CheckConfig, ProcessConfig, Starter},
    event::InstanceChange,
    time::Micros,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};
use support::{
    LONG_MS, World,
    agents::{agent_failed, asked_every, write_program},
    config, is_alive, send, wait_until,
};

/// As scripts are written for Debian: with `init-functions`, a daemon that forks, and a pid file. Sources a file of the
/// action's name, if there is one.
const OURS: &str = r#"#!/bin/sh
d=FOLDER
echo "$1 $MODE" >>"$d/actions"
. /lib/lsb/init-functions
[ -e "$d/$1" ] && . "$d/$1"
case $1 in
start) start-stop-daemon --start --quiet --oknodo --background --make-pidfile --pidfile "$d/pid" --exec /bin/sleep -- 1000 ;;
stop) start-stop-daemon --stop --quiet --oknodo --retry TERM/5/KILL/5 --remove-pidfile --pidfile "$d/pid" ;;
status) status_of_proc -p "$d/pid" /bin/sleep ours ;;
*) exit 2 ;;
esac
"#;

fn ours(test: &str) -> (World, ProcessConfig) {
    let world = World::new(test);
    let folder = world.path("ours");
    fs::create_dir(&folder).unwrap();
    let program = OURS.replace("FOLDER", folder.to_str().unwrap());
    write_program(&world.path("script"), &program);
    let config = ProcessConfig {
        starter: Some(Box::new(Starter::Script(world.text("script")))),
        environment: [("MODE".to_owned(), "quick".to_owned())].into(),
        readiness: asked_every(20, 10_000),
        health: asked_every(20, 5000),
        ..config(&[])
    };
    (world, config)
}

/// What an action is to do first, in shell.
fn first(world: &World, action: &str, text: &str) {
    fs::write(world.path("ours").join(action), text).unwrap();
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn actions(world: &World) -> Vec<String> {
    let text = read(&world.path("ours/actions"));
    text.lines().map(str::to_owned).collect()
}

/// The daemon's number, where it has one that this test sees.
fn daemon(world: &World) -> u32 {
    read(&world.path("ours/pid"))
        .trim()
        .parse()
        .unwrap_or_default()
}

#[test]
fn is_asked_started_asked_and_stopped() {
    let (world, mut config) = ours("script-life");
    config.health = None;
    let look = "ls -A /run/dbus /run/systemd/seats /run/systemd/system 2>/dev/null | grep -v : | tr -d '\\n'";
    first(
        &world,
        "start",
        &format!("env >\"$d/environment\"; {look} >\"$d/others\""),
    );
    world.start_ready(&config);
    assert_eq!(
        actions(&world),
        ["status quick", "start quick", "status quick"]
    );
    let environment = read(&world.path("ours/environment"));
    let has = |line: &str| environment.lines().any(|found| found == line);
    assert!(
        has("STANDFAST_RESOURCE=web") && has("SYSTEMCTL_SKIP_REDIRECT=1"),
        "{environment}"
    );
    assert!(!environment.contains("OCF_"), "{environment}");
    // Nobody else can be asked to run the service.
    assert_eq!(read(&world.path("ours/others")), "");
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert_eq!(actions(&world).last().unwrap(), "stop quick");
    assert_eq!(daemon(&world), 0, "the script's own stop has ended it");
    world.wait_clean();
}

#[test]
fn every_status_but_not_running_is_stopped_first() {
    let (world, mut config) = ours("script-remains");
    config.health = None;
    for code in [0, 1, 2, 4, 77] {
        fs::remove_file(world.path("ours/actions")).ok();
        let text = format!("[ -e \"$d/asked\" ] || {{ : >\"$d/asked\"; exit {code}; }}");
        first(&world, "status", &text);
        world.start_ready(&config);
        let found: Vec<String> = actions(&world);
        let found: Vec<&str> = found
            .iter()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(found, ["status", "stop", "start", "status"], "{code}");
        world.stop(10_000);
        assert_eq!(world.next(), InstanceChange::Stopped);
        fs::remove_file(world.path("ours/asked")).unwrap();
        world.wait_clean();
    }
}

#[test]
fn each_code_of_a_failed_start_is_told_by_name() {
    let (world, config) = ours("script-codes");
    let told = [
        (1, "error (1)"),
        (2, "wrong arguments (2)"),
        (3, "not implemented (3)"),
        (4, "insufficient privileges (4)"),
        (5, "not installed (5)"),
        (6, "not configured (6)"),
        (7, "not running (7)"),
        (99, "no code of LSB (99)"),
    ];
    for (code, name) in told {
        // Scripts say why on either output.
        first(&world, "start", &format!("echo 'no /etc/x'; exit {code}"));
        world.start(&config, LONG_MS);
        let why = format!("{} start: {name}: no /etc/x", world.text("script"));
        assert_eq!(agent_failed(world.next()), (code, why));
        world.wait_clean();
    }
}

#[test]
fn a_script_that_is_not_there_or_that_others_may_change_starts_nothing() {
    let (world, config) = ours("script-absent");
    let program = world.path("script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
    world.start(&config, LONG_MS);
    let (code, why) = agent_failed(world.next());
    let expected = "can be changed by others than root";
    assert!(code == 5 && why.contains(expected), "{code} {why}");
    fs::remove_file(program).unwrap();
    world.start(&config, LONG_MS);
    assert_eq!(
        agent_failed(world.next()),
        (5, format!("there is no {} here", world.text("script")))
    );
    assert!(!world.run_dir().exists());
}

#[test]
fn the_end_of_its_daemon_is_noticed_at_once() {
    let (world, mut config) = ours("script-crash");
    config.private_pids = false;
    // Too late for this test.
    config.health = config.health.map(|health| CheckConfig {
        interval: Micros::from_millis(3_600_000),
        ..health
    });
    world.start_ready(&config);
    let killed = Instant::now();
    send(daemon(&world), Signal::KILL);
    let why = format!(
        "{} status: dead, and its pid file exists (1): ours is not running ... failed!, after a process of it ended",
        world.text("script")
    );
    assert_eq!(world.next(), InstanceChange::Exited(why));
    assert!(killed.elapsed() < Duration::from_secs(10));
    world.wait_clean();
}

#[test]
fn its_status_is_its_health() {
    let (world, config) = ours("script-health");
    world.start_ready(&config);
    first(&world, "status", "exit 4");
    let unhealthy = world.next();
    let why = format!(
        "a health check failed: {} status: unknown (4)",
        world.text("script")
    );
    assert_eq!(unhealthy, InstanceChange::Unhealthy(why));
    first(&world, "status", "exit 0");
    assert_eq!(world.next(), InstanceChange::Healthy);
}

#[test]
fn the_lease_ends_what_the_script_left_running() {
    let (world, mut config) = ours("script-lease");
    config.private_pids = false;
    config.health = None;
    // The stop would not end it.
    first(&world, "stop", "exit 0");
    let deadline = world.start(&config, 1500);
    assert_eq!(world.next(), InstanceChange::Started);
    let daemon = daemon(&world);
    assert!(is_alive(daemon));
    assert_eq!(world.next(), InstanceChange::LeaseEnded);
    assert!(support::boot_now() >= deadline && !is_alive(daemon));
    world.wait_clean();
}

#[test]
fn the_next_agent_takes_it_over() {
    let (mut world, mut config) = ours("script-adopt");
    config.private_pids = false;
    world.start_ready(&config);
    let before = daemon(&world);
    world.restart_driver();
    world.driver().probe(&world.resource, &config);
    assert!(matches!(world.next(), InstanceChange::Adopted { .. }));
    assert_eq!(daemon(&world), before);
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    wait_until("it is gone", || !is_alive(before));
}
