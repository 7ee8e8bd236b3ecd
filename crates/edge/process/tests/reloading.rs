//! Parameters that an agent takes over while it runs, under real keepers: an agent of our own, and one of Debian's.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail like the test itself"
)]

mod support;

use standfast_model::{config::ProcessConfig, event::InstanceChange, time::Micros};
use standfast_ocf::{PREFIX, Word};
use std::{
    fs,
    io::Write as _,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};
use support::{
    World,
    agents::{self, agent, script},
    is_alive, wait_until,
};

/// Leaves a process running, and writes down each action with its parameters.
const OURS: &str = r#"#!/bin/sh
d=$OCF_RESKEY_folder
echo "$1 ${OCF_RESKEY_live-none} ${OCF_RESKEY_fixed-none} ${OCF_RESKEY_passwd-none} $OCF_RESKEY_CRM_meta_timeout" >>"$d/actions"
[ -e "$d/$1" ] && . "$d/$1"
case $1 in
start) sleep 100000 >/dev/null 2>&1 & echo $! >"$d/running" ;;
stop) [ ! -e "$d/running" ] || kill $(cat "$d/running"); rm -f "$d/running" ;;
monitor) [ -e "$d/running" ] || exit 7 ;;
reload-agent) ;;
*) exit 3 ;;
esac
"#;

fn ours(test: &str) -> World {
    let world = World::new(test);
    agents::install(&world, OURS);
    world
}

fn with(world: &World, parameters: &[(&str, &str)]) -> ProcessConfig {
    let mut all = vec![("folder", world.text("agent"))];
    all.extend(
        parameters
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    let mut config = agent("ocf:test:ours", &all);
    if let Some(agent) = &mut config.agent {
        agent.reloadable = ["live".to_owned(), "passwd".to_owned()].into();
    }
    config
}

fn reconfigure(world: &World, config: &ProcessConfig) {
    world.driver().reconfigure(&world.resource, config);
}

/// What was asked of the agent since the last look, without what recurs.
fn actions(world: &World) -> Vec<String> {
    let actions = agents::actions(world).into_iter();
    actions
        .filter(|line| !line.starts_with("monitor "))
        .collect()
}

fn is_monitored_with(world: &World, what: &str) -> bool {
    let line = format!("monitor {what} 5000");
    agents::actions(world).contains(&line)
}

fn unhealthy(world: &World) -> String {
    match world.next() {
        InstanceChange::Unhealthy(why) => why,
        other => panic!("{other:?}"),
    }
}

fn adopted(world: &mut World, config: &ProcessConfig) {
    world.restart_driver();
    world.driver().probe(&world.resource, config);
    let told = world.next();
    assert!(matches!(told, InstanceChange::Adopted { .. }), "{told:?}");
}

/// A word to the runner whose answer nobody hears once this is dropped. A driver that is dropped would hear it.
fn said_by_one_that_is_killed(world: &World, config: &ProcessConfig) -> UnixStream {
    let agent = config.agent.as_ref().unwrap();
    let variable = |name: &String| format!("{PREFIX}{name}");
    let parameters = agent.parameters.iter();
    let word = Word::Reload {
        parameters: parameters
            .map(|(name, value)| (variable(name), value.clone()))
            .collect(),
        reloadable: agent.reloadable.iter().map(variable).collect(),
    };
    let mut stream = UnixStream::connect(world.run_dir().join("words.socket")).unwrap();
    let line = serde_json::to_string(&word).unwrap();
    writeln!(stream, "{line}").unwrap();
    stream
}

#[test]
fn takes_over_what_changed_and_goes_on() {
    let world = ours("reload");
    fs::write(world.path("secret"), "hush-hush\n").unwrap();
    world.start_ready(&with(&world, &[("live", "a"), ("fixed", "x")]));
    let (service, keeper) = (world.service_pid(), world.keeper_pid());
    let running = fs::read_to_string(world.path("agent/running")).unwrap();
    let mut config = with(&world, &[("live", "b"), ("fixed", "x")]);
    config
        .secret_environment
        .insert("OCF_RESKEY_passwd".to_owned(), world.text("secret"));
    reconfigure(&world, &config);
    assert_eq!(world.next(), InstanceChange::Reloaded);
    wait_until("a monitor with the new ones", || {
        is_monitored_with(&world, "b x hush-hush")
    });
    // Said again, it is so already.
    reconfigure(&world, &config);
    // What is not given any more is not given any more.
    let none = with(&world, &[("fixed", "x")]);
    reconfigure(&world, &none);
    assert_eq!(world.next(), InstanceChange::Reloaded);
    wait_until("a monitor without it", || {
        is_monitored_with(&world, "none x none")
    });
    assert_eq!((world.service_pid(), world.keeper_pid()), (service, keeper));
    assert_eq!(
        fs::read_to_string(world.path("agent/running")).unwrap(),
        running
    );
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert_eq!(
        actions(&world),
        [
            "start a x none 10000",
            "reload-agent b x hush-hush 10000",
            "reload-agent none x none 10000",
            "stop none x none 1000",
        ]
    );
    world.wait_clean();
}

#[test]
fn a_failed_reload_is_a_failure_and_its_text_shows_no_secret() {
    let world = ours("reload-fails");
    fs::write(world.path("secret"), "hush-hush\n").unwrap();
    world.start_ready(&with(&world, &[("live", "a")]));
    script(
        &world,
        "reload-agent",
        "echo \"ocf-exit-reason:$OCF_RESKEY_passwd is wrong\" >&2; exit 5",
    );
    let mut config = with(&world, &[("live", "b")]);
    config
        .secret_environment
        .insert("OCF_RESKEY_passwd".to_owned(), world.text("secret"));
    reconfigure(&world, &config);
    assert_eq!(
        unhealthy(&world),
        "ocf:test:ours reload-agent: not installed (5): (hidden) is wrong"
    );
    // It runs on until somebody has it stopped, with what it is known to have.
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    let last = actions(&world).pop().unwrap();
    assert_eq!(last, "stop a none none 1000");
}

#[test]
fn a_reload_that_hangs_has_failed_in_time_and_a_stop_does_not_wait_for_it() {
    let world = ours("reload-hangs");
    let mut config = with(&world, &[("live", "a")]);
    world.start_ready(&config);
    script(
        &world,
        "reload-agent",
        "touch \"$d/hangs\"; exec sleep 1000",
    );
    config = with(&world, &[("live", "b")]);
    reconfigure(&world, &config);
    wait_until("it hangs", || world.path("agent/hangs").exists());
    let began = Instant::now();
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );

    config = with(&world, &[("live", "a")]);
    config.start_timeout = Micros::from_millis(2000);
    world.start_ready(&config);
    if let Some(agent) = &mut config.agent {
        agent.parameters.insert("live".to_owned(), "b".to_owned());
    }
    reconfigure(&world, &config);
    assert_eq!(
        unhealthy(&world),
        "ocf:test:ours reload-agent: no end within 2000 ms; killed"
    );
}

/// The driver's program is killed in the middle: the next one finds out what the agent has.
#[test]
fn a_successor_neither_loses_nor_repeats_a_reload() {
    let mut world = ours("reload-adopted");
    let (old, new) = (
        with(&world, &[("live", "a"), ("fixed", "x")]),
        with(&world, &[("live", "b"), ("fixed", "x")]),
    );
    world.start_ready(&old);
    let service = world.service_pid();
    // It had been told nothing.
    adopted(&mut world, &new);
    reconfigure(&world, &new);
    assert_eq!(world.next(), InstanceChange::Reloaded);
    // It had heard it.
    adopted(&mut world, &new);
    reconfigure(&world, &new);
    world.assert_silence(300);
    // The agent was taking it over.
    script(
        &world,
        "reload-agent",
        "touch \"$d/begun\"; while [ ! -e \"$d/go\" ]; do sleep 0.01; done",
    );
    let killed = said_by_one_that_is_killed(&world, &old);
    wait_until("it has begun", || world.path("agent/begun").exists());
    drop(killed);
    adopted(&mut world, &old);
    reconfigure(&world, &old);
    world.touch("agent/go");
    assert_eq!(world.next(), InstanceChange::Reloaded, "told once more");
    let reloads = |text: &str| {
        actions(&world)
            .iter()
            .filter(|line| line.starts_with(text))
            .count()
    };
    assert_eq!(
        (reloads("reload-agent a"), reloads("reload-agent b")),
        (1, 1)
    );
    // It fails while nobody hears: whether the agent has it is not known.
    script(
        &world,
        "reload-agent",
        "touch \"$d/failing\"; sleep 0.5; exit 1",
    );
    reconfigure(&world, &new);
    wait_until("it fails", || world.path("agent/failing").exists());
    adopted(&mut world, &old);
    std::thread::sleep(Duration::from_millis(800));
    script(&world, "reload-agent", "");
    reconfigure(&world, &old);
    assert_eq!(world.next(), InstanceChange::Reloaded);
    assert_eq!(world.service_pid(), service);
}

/// Changes that come faster than the agent takes them over: the last one is what it has in the end.
#[test]
fn the_last_of_many_changes_is_in_force() {
    let world = ours("reload-often");
    world.start_ready(&with(&world, &[("live", "0")]));
    script(&world, "reload-agent", "sleep 0.1");
    for number in 1..=20 {
        reconfigure(&world, &with(&world, &[("live", &number.to_string())]));
    }
    wait_until("the last", || is_monitored_with(&world, "20 none none"));
    let monitors = agents::actions(&world).len();
    wait_until("more monitors", || {
        agents::actions(&world).len() > monitors + 5
    });
    let last = agents::actions(&world).pop().unwrap();
    assert_eq!(last, "monitor 20 none none 5000");
    let reloads = actions(&world).len() - 1;
    assert!(reloads < 20, "only the newest waits: {reloads}");
}

#[test]
fn what_cannot_be_taken_over_is_said_and_nothing_is_called() {
    let mut world = ours("reload-outdated");
    world.start_ready(&with(&world, &[("live", "a"), ("fixed", "x")]));
    let new = with(&world, &[("live", "b"), ("fixed", "y")]);
    adopted(&mut world, &new);
    reconfigure(&world, &new);
    let why = "it runs with another value of fixed".to_owned();
    assert_eq!(world.next(), InstanceChange::Outdated(why));
    assert_eq!(actions(&world).len(), 1, "{:?}", actions(&world));
}

#[test]
fn what_does_not_run_any_more_takes_nothing_over() {
    let world = ours("reload-gone");
    reconfigure(&world, &with(&world, &[("live", "b")]));
    world.start_ready(&with(&world, &[("live", "a")]));
    script(&world, "stop", "sleep 0.5");
    world.stop(10_000);
    reconfigure(&world, &with(&world, &[("live", "b")]));
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert_eq!(actions(&world).len(), 2, "{:?}", actions(&world));
}

/// The service ends while its agent takes something over: that is noticed at once, as ever.
#[test]
fn the_end_of_the_service_during_a_reload_is_noticed() {
    let world = ours("reload-dies");
    let mut config = with(&world, &[("live", "a")]);
    config.health = None;
    config.private_pids = false;
    world.start_ready(&config);
    script(
        &world,
        "reload-agent",
        "kill $(cat \"$d/running\"); rm \"$d/running\"; sleep 0.2",
    );
    if let Some(agent) = &mut config.agent {
        agent.parameters.insert("live".to_owned(), "b".to_owned());
    }
    let pid: u32 = fs::read_to_string(world.path("agent/running"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    reconfigure(&world, &config);
    // Each is heard by a thread of its own, and of what has ended nobody needs to know the rest.
    let ended = match world.next() {
        InstanceChange::Reloaded => world.next(),
        ended => ended,
    };
    let (code, why) = agents::agent_failed(ended);
    assert_eq!(code, 7, "{why}");
    assert!(!is_alive(pid));
}

/// Debian's own example, which writes down what it is called with.
#[test]
fn the_dummy_of_pacemaker_takes_over_what_it_says_it_can() {
    let world = ours("reload-dummy");
    let dummy = |fake: &str| {
        let parameters = [
            ("state", world.text("state")),
            ("envfile", world.text("calls")),
            ("fake", fake.to_owned()),
        ];
        let mut config = agent("ocf:pacemaker:Dummy", &parameters);
        let root = std::path::Path::new(standfast_ocf::ROOT);
        let said = standfast_ocf::metadata(root, "ocf:pacemaker:Dummy").unwrap();
        if let Some(agent) = &mut config.agent {
            agent.reloadable = said.reloadable();
            assert!(agent.reloadable.contains("fake") && !agent.reloadable.contains("state"));
        }
        config
    };
    world.start_ready(&dummy("one"));
    reconfigure(&world, &dummy("two"));
    assert_eq!(world.next(), InstanceChange::Reloaded);
    let called = |action: &str, fake: &str| {
        let text = fs::read_to_string(world.path("calls")).unwrap_or_default();
        let mut calls = text.split("### ").filter(|call| call.starts_with(action));
        calls.any(|call| call.contains(&format!("OCF_RESKEY_fake={fake}\n")))
    };
    assert!(called("start ", "one") && called("reload-agent ", "two"));
    wait_until("monitors with it", || called("monitor ", "two"));
    assert!(!called("start ", "two") && !called("stop ", "one"));
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert!(called("stop ", "two"));
}

/// Whoever finds it running compares, and has nothing to start that would need the file.
#[test]
fn a_secret_whose_file_is_gone_ends_nothing_that_runs() {
    let mut world = ours("reload-secret-gone");
    fs::write(world.path("secret"), "hush-hush\n").unwrap();
    let with_secret = |world: &World, live| {
        let mut config = with(world, &[("live", live)]);
        let file = world.text("secret");
        config
            .secret_environment
            .insert("OCF_RESKEY_passwd".to_owned(), file);
        config
    };
    let config = with_secret(&world, "a");
    world.start_ready(&config);
    fs::remove_file(world.path("secret")).unwrap();
    adopted(&mut world, &config);
    reconfigure(&world, &config);
    let other = with_secret(&world, "b");
    reconfigure(&world, &other);
    assert_eq!(world.next(), InstanceChange::Reloaded);
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert_eq!(
        actions(&world),
        [
            "start a none hush-hush 10000",
            "reload-agent b none hush-hush 10000",
            "stop b none hush-hush 1000",
        ]
    );
}

/// One of an older program knows no words.
#[test]
fn a_runner_that_cannot_be_told_is_started_anew_only_for_other_parameters() {
    let world = ours("reload-untold");
    world.start_ready(&with(&world, &[("live", "a")]));
    fs::remove_file(world.run_dir().join("words.socket")).unwrap();
    let same = with(&world, &[("live", "a")]);
    reconfigure(&world, &same);
    let other = with(&world, &[("live", "b")]);
    reconfigure(&world, &other);
    let told = world.next();
    let outdated = "it runs with another value of live".to_owned();
    assert_eq!(told, InstanceChange::Outdated(outdated));
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
}
