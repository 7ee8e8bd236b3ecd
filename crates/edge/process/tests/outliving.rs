//! Resources whose agents do what outlives their processes, under real keepers: nothing counts as ended before the agent
//! itself says so, however its keeper ended. The effect of the agent of these tests is a file; Debian's mounts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail like the test itself"
)]

mod support;

use rustix::{
    mount::{MountPropagationFlags, mount_change},
    process::Signal,
};
use standfast_model::{config::ProcessConfig, event::InstanceChange, time::Micros};
use std::{
    fs,
    time::{Duration, Instant},
};
use support::{
    LONG_MS, World,
    agents::{self, OURS, actions, asked_every, script},
    send, stop_failed, wait_until,
};

/// Mounts of this thread's own, and of all that it starts, which are shared as systemd has them.
fn own_mounts() {
    #[allow(unsafe_code, reason = "only the mounts of this thread are unshared")]
    // SAFETY: this flag changes only which mounts this thread sees; no memory or descriptor is affected.
    let unshared = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    assert_eq!(unshared, 0, "a mount namespace");
    for how in [
        MountPropagationFlags::PRIVATE,
        MountPropagationFlags::SHARED,
    ] {
        mount_change("/", how | MountPropagationFlags::REC).unwrap();
    }
}

fn ours(test: &str) -> World {
    own_mounts();
    let world = World::new(test);
    agents::install(&world, OURS);
    world
}

fn agent(name: &str, parameters: &[(&str, String)]) -> ProcessConfig {
    let mut config = agents::agent(name, parameters);
    if let Some(agent) = &mut config.agent {
        agent.outlives = true;
    }
    ProcessConfig {
        health: asked_every(3_600_000, 10_000),
        private_pids: false,
        stop_timeout: Micros::from_millis(5000),
        ..config
    }
}

fn of_test(world: &World) -> ProcessConfig {
    agent("ocf:test:ours", &[("folder", world.text("agent"))])
}

fn behave(world: &World, action: &str) {
    fs::remove_file(world.path("agent").join(action)).unwrap();
}

fn is_there(world: &World) -> bool {
    world.path("agent/running").exists()
}

#[test]
fn a_stop_is_believed_when_a_monitor_confirms_it() {
    let world = ours("confirmed");
    world.start_ready(&of_test(&world));
    assert_eq!(actions(&world), ["monitor", "start", "monitor"]);
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert_eq!(actions(&world).split_off(3), ["stop", "monitor"]);
    assert!(!is_there(&world));
    world.wait_clean();
}

#[test]
fn a_stop_that_only_says_so_is_none() {
    let world = ours("liar");
    world.start_ready(&of_test(&world));
    script(&world, "stop", "exit 0");
    world.stop(10_000);
    let why = stop_failed(world.next());
    assert_eq!(why, "ocf:test:ours monitor: success (0)");
    // Asked again, it says the same; nothing is started beside it.
    world.stop(10_000);
    stop_failed(world.next());
    world.start(&of_test(&world), LONG_MS);
    assert_eq!(
        stop_failed(world.next()),
        "its last run is not known to be stopped"
    );
    behave(&world, "stop");
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert!(!is_there(&world));
    world.start_ready(&of_test(&world));
}

#[test]
fn the_end_of_a_lease_is_told_when_the_agent_has_ended_it_too() {
    let world = ours("lease");
    let before = Instant::now();
    world.start(&of_test(&world), 1500);
    assert_eq!(world.next(), InstanceChange::Started);
    script(
        &world,
        "stop",
        "echo 'ocf-exit-reason:target is busy' >&2; exit 1",
    );
    let why = stop_failed(world.next());
    assert!(before.elapsed() >= Duration::from_millis(1490));
    assert_eq!(why, "ocf:test:ours stop: error (1): target is busy");
    assert!(is_there(&world));
    behave(&world, "stop");
    world.stop(0);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert!(!is_there(&world));
    world.wait_clean();

    world.start(&of_test(&world), 1500);
    assert_eq!(world.next(), InstanceChange::Started);
    assert_eq!(world.next(), InstanceChange::LeaseEnded);
    assert!(!is_there(&world));
}

#[test]
fn a_stop_that_hangs_is_killed_and_is_no_stop() {
    let world = ours("hangs");
    let mut config = of_test(&world);
    config.stop_timeout = Micros::from_millis(700);
    world.start_ready(&config);
    script(&world, "stop", "sleep 1000");
    world.stop(300);
    let why = stop_failed(world.next());
    assert!(
        why.starts_with("ocf:test:ours stop: no end within"),
        "{why}"
    );
    assert!(is_there(&world));
    behave(&world, "stop");
    world.stop(300);
    assert_eq!(world.next(), InstanceChange::Stopped);
}

#[test]
fn the_death_of_its_keeper_or_its_runner_leaves_nothing_behind() {
    let world = ours("dies");
    for keeper in [true, false] {
        world.start_ready(&of_test(&world));
        let pid = if keeper {
            world.keeper_pid()
        } else {
            world.service_pid()
        };
        send(pid, Signal::KILL);
        assert!(
            matches!(world.next(), InstanceChange::Unhealthy(_)),
            "{keeper}"
        );
        assert_eq!(world.next(), InstanceChange::Stopped);
        assert!(!is_there(&world));
        world.wait_clean();
    }
}

/// What it has taken over while it ran, its last stop is given too, whoever calls that.
#[test]
fn what_its_keeper_leaves_is_stopped_by_what_its_agent_has() {
    let world = ours("dies-reloaded");
    let with = |live: &str| {
        let folder = ("folder", world.text("agent"));
        let mut config = agent("ocf:test:ours", &[folder, ("live", live.to_owned())]);
        if let Some(agent) = &mut config.agent {
            agent.reloadable = ["live".to_owned()].into();
        }
        config
    };
    script(&world, "reload-agent", "exit 0");
    script(&world, "stop", "echo $OCF_RESKEY_live >>\"$d/stopped\"");
    world.start_ready(&with("old"));
    world.driver().reconfigure(&world.resource, &with("new"));
    assert_eq!(world.next(), InstanceChange::Reloaded);
    send(world.keeper_pid(), Signal::KILL);
    assert!(matches!(world.next(), InstanceChange::Unhealthy(_)));
    assert_eq!(world.next(), InstanceChange::Stopped);
    let stopped = fs::read_to_string(world.path("agent/stopped")).unwrap();
    assert!(stopped.lines().all(|line| line == "new"), "{stopped}");
    world.wait_clean();
}

#[test]
fn a_start_that_fails_has_failed_when_nothing_of_it_is_left() {
    let world = ours("fails");
    script(&world, "start", "touch \"$d/running\"; exit 1");
    world.start(&of_test(&world), LONG_MS);
    assert!(matches!(
        world.next(),
        InstanceChange::AgentFailed { code: 1, .. }
    ));
    assert!(!is_there(&world));
    world.wait_clean();
    // Killed in the middle of it.
    script(&world, "start", "touch \"$d/running\"; sleep 1000");
    let mut config = of_test(&world);
    config.start_timeout = Micros::from_millis(700);
    world.start(&config, LONG_MS);
    assert!(matches!(world.next(), InstanceChange::StartFailed(_)));
    assert!(!is_there(&world));
    world.wait_clean();
}

/// Where every action says that it is not installed, nothing was begun, and nothing is blocked.
#[test]
fn what_is_not_installed_was_not_started() {
    let world = ours("absent");
    for action in ["monitor", "start", "stop"] {
        script(&world, action, "exit 5");
    }
    world.start(&of_test(&world), LONG_MS);
    assert!(matches!(
        world.next(),
        InstanceChange::AgentFailed { code: 5, .. }
    ));
    world.wait_clean();
    world.driver().probe(&world.resource, &of_test(&world));
    assert_eq!(world.next(), InstanceChange::Stopped);
    // What had been started is not gone because its tools are.
    for action in ["monitor", "start", "stop"] {
        behave(&world, action);
    }
    world.start_ready(&of_test(&world));
    for action in ["monitor", "stop"] {
        script(&world, action, "exit 5");
    }
    world.stop(10_000);
    stop_failed(world.next());
    for action in ["monitor", "stop"] {
        behave(&world, action);
    }
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
}

/// Also after a restart of the machine, when nobody remembers: the agent is asked before anything is said.
#[test]
fn an_agent_that_finds_it_without_a_keeper_says_so() {
    let world = ours("found");
    let config = of_test(&world);
    world.driver().probe(&world.resource, &config);
    assert_eq!(world.next(), InstanceChange::Stopped);
    fs::write(world.path("agent/running"), "").unwrap();
    world.driver().probe(&world.resource, &config);
    assert_eq!(
        stop_failed(world.next()),
        "ocf:test:ours monitor: success (0)"
    );
    assert!(is_there(&world), "nobody has ordered its end yet");
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert!(!is_there(&world));

    // Also where what it would be started with cannot be had.
    fs::write(world.path("agent/running"), "").unwrap();
    let mut lacking = config;
    let file = world.text("no-such-secret");
    lacking.secret_environment = [("OCF_RESKEY_password".to_owned(), file)].into();
    world.driver().probe(&world.resource, &lacking);
    stop_failed(world.next());
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert!(!is_there(&world));
}

/// As after the restart of an agent: what runs is taken over, and ended as it was started.
#[test]
fn the_next_driver_takes_it_over() {
    let mut world = ours("adopt");
    let config = of_test(&world);
    world.start_ready(&config);
    world.restart_driver();
    // Meanwhile it was configured anew: what runs is stopped as it was started.
    let other = agent("ocf:test:ours", &[("folder", world.text("elsewhere"))]);
    world.driver().probe(&world.resource, &other);
    assert!(matches!(world.next(), InstanceChange::Adopted { .. }));
    assert!(is_there(&world));
    send(world.service_pid(), Signal::KILL);
    assert!(matches!(world.next(), InstanceChange::Unhealthy(_)));
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert!(!is_there(&world));
}

#[test]
fn mounts_that_others_would_keep_are_not_begun() {
    let world = ours("private");
    mount_change("/", MountPropagationFlags::PRIVATE).unwrap();
    world.start(&of_test(&world), LONG_MS);
    match world.next() {
        InstanceChange::StartFailed(why) => assert!(why.contains("make-rshared"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(actions(&world), [""; 0]);
}

fn mounted(world: &World) -> bool {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let point = format!(" {} ", world.text("there"));
    mounts.lines().any(|line| line.contains(&point))
}

/// Debian's agent mounts where the machine sees it, and what its keeper could not end is unmounted at the lease's end, and
/// as long as it is in use it counts as running.
#[test]
fn debians_filesystem_is_mounted_on_the_machine_and_released_when_it_is_not() {
    let world = ours("filesystem");
    for folder in ["disk", "there"] {
        fs::create_dir(world.path(folder)).unwrap();
    }
    world.touch("disk/data");
    let parameters = [
        ("device", world.text("disk")),
        ("directory", world.text("there")),
        ("fstype", "none".to_owned()),
        ("options", "bind".to_owned()),
        // Or it kills this test.
        ("force_unmount", "false".to_owned()),
    ];
    let config = agent("ocf:heartbeat:Filesystem", &parameters);
    world.driver().probe(&world.resource, &config);
    assert_eq!(world.next(), InstanceChange::Stopped);
    world.start_ready(&config);
    assert!(mounted(&world) && world.path("there/data").exists());
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert!(!mounted(&world));
    world.wait_clean();

    world.start(&config, 3000);
    assert_eq!(world.next(), InstanceChange::Started);
    let in_use = fs::File::open(world.path("there/data")).unwrap();
    let why = stop_failed(world.next());
    assert!(why.starts_with("ocf:heartbeat:Filesystem stop: "), "{why}");
    assert!(mounted(&world));
    drop(in_use);
    world.stop(0);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert!(!mounted(&world));
    wait_until("nothing is left", || !world.run_dir().exists());
}

fn ip(arguments: &str) -> String {
    let arguments = arguments.split_whitespace();
    let output = std::process::Command::new("ip").args(arguments).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Debian's IPaddr2 on an interface of this test's own: the address is the machine's, and is taken away after the end of the lease
/// and after the death of its keeper.
#[test]
fn debians_address_is_taken_away_when_its_lease_ends() {
    #[allow(unsafe_code, reason = "only the network of this thread is unshared")]
    // SAFETY: this flag changes only which network this thread sees; no memory or descriptor is affected.
    let unshared = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(unshared, 0, "a network namespace");
    ip("link set lo up");
    ip("link add sf0 type veth peer name sf1");
    ip("link set sf1 up");
    ip("link set sf0 up");
    ip("address add 10.99.0.1/24 dev sf0");
    // Its threads see that network too.
    let world = ours("address");
    let parameters = [
        ("ip", "10.99.0.100".to_owned()),
        ("cidr_netmask", "24".to_owned()),
        ("nic", "sf0".to_owned()),
    ];
    let config = agent("ocf:heartbeat:IPaddr2", &parameters);
    let held = || ip("-4 address show dev sf0").contains("10.99.0.100/24");
    world.start_ready(&config);
    assert!(held());
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert!(!held());
    world.wait_clean();

    world.start(&config, 4000);
    assert_eq!(world.next(), InstanceChange::Started);
    assert!(held());
    assert_eq!(world.next(), InstanceChange::LeaseEnded);
    assert!(!held());
    world.wait_clean();

    world.start_ready(&config);
    send(world.keeper_pid(), Signal::KILL);
    assert!(matches!(world.next(), InstanceChange::Unhealthy(_)));
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert!(!held());
}
