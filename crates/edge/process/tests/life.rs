//! A process's ordinary life on the real kernel: start, readiness, health, exit, stop.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail like the test itself"
)]

mod support;

use rustix::process::Signal;
use standfast_model::{
    config::{CheckKind, ProcessConfig},
    event::InstanceChange,
    time::Micros,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};
use support::{
    LONG_MS, PROGRAM, World, check, config, exec, exists, http_service, is_alive, last_beat, send,
    shell, wait_until,
};

#[test]
fn is_started_when_ready_and_stopped_gracefully() {
    let world = World::new("ready");
    let mut config =
        shell("trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.05; done");
    config.readiness = check(exists(&world.path("ready")));
    world.start(&config, LONG_MS);
    wait_until("it says hello", || world.output().contains("hello"));
    world.assert_silence(200);
    world.touch("ready");
    assert_eq!(world.next(), InstanceChange::Started);
    // Every order may be repeated.
    world.start(&config, LONG_MS);
    assert_eq!(world.next(), InstanceChange::Started);
    let pid = world.service_pid();
    world.stop(10_000);
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert!(!is_alive(pid));
    wait_until("the output is kept", || world.output().ends_with("bye\n"));
    world.wait_clean();
    world.assert_silence(50);
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
}

#[test]
fn service_and_checks_run_as_the_user_in_a_clean_environment() {
    let world = World::new("user");
    for name in ["service", "check"] {
        world.touch(name);
        let open = fs::Permissions::from_mode(0o666);
        fs::set_permissions(world.path(name), open).unwrap();
    }
    let program = world.text("program");
    fs::copy(PROGRAM, &program).unwrap();
    let mut config = config(&[&program, "describe-and-stay", &world.text("service")]);
    config.user = Some("nobody".to_owned());
    config.directory = Some("/usr".to_owned());
    config.environment = [("COLOUR".to_owned(), "blue".to_owned())].into();
    config.readiness = check(exec(&[&program, "describe", &world.text("check")]));
    world.start_ready(&config);
    wait_until("it describes itself", || {
        fs::read_to_string(world.path("service"))
            .unwrap()
            .ends_with("end")
    });
    let lines = |name: &str| {
        let text = fs::read_to_string(world.path(name)).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (service, mut checked) = (lines("service"), lines("check"));
    let line = "Uid: 65534 65534 65534 65534".to_owned();
    assert!(
        service.contains(&line) && checked.contains(&line),
        "{service:?} {checked:?}"
    );
    // The user's own group or none, but none of the agent's.
    assert!(checked.contains(&"Groups:".to_owned()), "{checked:?}");
    assert!(service.contains(&"Groups: 65534".to_owned()), "{service:?}");
    assert!(service.contains(&"in /usr".to_owned()));
    let names: Vec<&str> = service
        .iter()
        .filter_map(|line| line.split_once('=').map(|(name, _)| name))
        .collect();
    let expected = [
        "COLOUR",
        "HOME",
        "LOGNAME",
        "PATH",
        "SHELL",
        "STANDFAST_NODE",
        "STANDFAST_RESOURCE",
        "STANDFAST_SINCE",
        "USER",
    ];
    assert_eq!(names, expected);
    // A check sees what the service sees.
    checked.retain(|line| !line.starts_with("Groups:"));
    let mut service = service;
    service.retain(|line| !line.starts_with("Groups:") && !line.starts_with("STANDFAST_SINCE"));
    assert_eq!(service, checked);
}

#[test]
fn what_cannot_be_started_says_why_and_nothing_secret() {
    let world = World::new("cannot");
    let secret = |mut config: ProcessConfig| {
        config.command.push("--password=hunter2".to_owned());
        config.environment = [("TOKEN".to_owned(), "hunter2".to_owned())].into();
        config
    };
    let missing = secret(config(&["/usr/bin/sf-no-such-program"]));
    let mut nobody = secret(config(&["/bin/true"]));
    nobody.user = Some("sf-no-such-user".to_owned());
    let mut folder = secret(config(&["/bin/true"]));
    folder.directory = Some("/sf-no-such-folder".to_owned());
    let failing_check = exec(&["/bin/false", "--password=hunter2"]);
    let mut unready = secret(shell("exec sleep 1000"));
    unready.start_timeout = Micros::from_millis(100);
    unready.readiness = check(failing_check);
    let mut unknown = unready.clone();
    unknown.command = vec!["/usr/bin/sleep".to_owned(), "1000".to_owned()];
    unknown.readiness = check(exec(&["/usr/bin/sf-no-such-check", "--password=hunter2"]));
    for (config, word) in [
        (missing, "sf-no-such-program"),
        (nobody, "sf-no-such-user"),
        (folder, "No such file"),
        (unready, "not ready within 100 ms: check /bin/false"),
        (unknown, "sf-no-such-check"),
    ] {
        world.start(&config, LONG_MS);
        match world.next() {
            InstanceChange::StartFailed(why) => {
                assert!(why.contains(word) && !why.contains("hunter2"), "{why}");
            }
            other => panic!("{other:?}"),
        }
        world.wait_clean();
    }
}

#[test]
fn a_start_that_takes_too_long_is_ended_also_without_a_check_that_says_so() {
    let world = World::new("slow-start");
    let mut config = shell("echo starting; exec sleep 1000");
    config.start_timeout = Micros::from_millis(300);
    config.readiness = check(exec(&["/bin/sleep", "1000"]));
    let began = Instant::now();
    world.start(&config, LONG_MS);
    wait_until("it starts", || world.output().contains("starting"));
    let pid = world.service_pid();
    match world.next() {
        InstanceChange::StartFailed(why) => {
            assert!(why.contains("not ready within 300 ms"), "{why}");
            assert!(why.ends_with("its last output: starting"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(!is_alive(pid));
    // The next run's failure is not explained by this one's output.
    config.command = vec!["/bin/false".to_owned()];
    config.start_timeout = Micros::from_millis(10_000);
    world.start(&config, LONG_MS);
    let why = InstanceChange::StartFailed("exited with code 1".to_owned());
    assert_eq!(world.next(), why);
}

#[test]
fn readiness_and_health_over_tcp_and_http() {
    let world = World::new("network");
    let (mut config, address) = http_service(&world);
    config.readiness = check(CheckKind::Tcp(address.clone()));
    config.health = check(CheckKind::Http(format!(
        "http://{address}/health?key=hunter2"
    )));
    world.start_ready(&config);
    world.assert_silence(100);
    world.touch("sick");
    match world.next() {
        InstanceChange::Unhealthy(why) => {
            assert!(
                why.contains("2 health checks failed") && why.contains("503"),
                "{why}"
            );
            assert!(!why.contains("hunter2"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    world.assert_silence(100);
    fs::remove_file(world.path("sick")).unwrap();
    assert_eq!(world.next(), InstanceChange::Healthy);
    world.stop(1000);
    assert_eq!(world.next(), InstanceChange::Stopped);
}

#[test]
fn readiness_over_http_waits_for_the_right_answer() {
    let world = World::new("http-ready");
    let (mut config, address) = http_service(&world);
    world.touch("sick");
    config.readiness = check(CheckKind::Http(format!("http://{address}/")));
    world.start(&config, LONG_MS);
    world.assert_silence(200);
    fs::remove_file(world.path("sick")).unwrap();
    assert_eq!(world.next(), InstanceChange::Started);
}

#[test]
fn a_hanging_service_is_unhealthy_and_can_be_stopped() {
    let world = World::new("hang");
    let (mut config, address) = http_service(&world);
    let url = CheckKind::Http(format!("http://{address}/"));
    config.readiness = check(url.clone());
    config.health = check(url);
    config.health.as_mut().unwrap().timeout = Micros::from_millis(100);
    world.start_ready(&config);
    send(world.service_pid(), Signal::STOP);
    match world.next() {
        InstanceChange::Unhealthy(why) => assert!(why.contains("no answer in time"), "{why}"),
        other => panic!("{other:?}"),
    }
    world.stop(100);
    assert_eq!(world.next(), InstanceChange::Stopped);
}

#[test]
fn an_exit_is_noticed_at_once() {
    let world = World::new("exit");
    let config = shell("exec sleep 1000");
    let median = || {
        let mut took: Vec<Duration> = (0..7).map(|_| time_an_exit(&world, &config)).collect();
        took.sort();
        took[3]
    };
    // Other work of this machine may delay one or the other, or for a while all of them.
    let best = (0..3)
        .map(|_| median())
        .find(|&took| took < Duration::from_millis(20));
    assert!(best.is_some(), "never within 20 ms");
    world.wait_clean();
}

fn time_an_exit(world: &World, config: &ProcessConfig) -> Duration {
    world.start_ready(config);
    let pid = world.service_pid();
    let killed = Instant::now();
    send(pid, Signal::KILL);
    let (told, change) = world.next_at();
    let why = "killed by signal 9".to_owned();
    assert_eq!(change, InstanceChange::Exited(why));
    assert!(!is_alive(pid));
    told - killed
}

#[test]
fn what_ignores_the_signal_is_killed_after_its_grace() {
    let world = World::new("ignore");
    let config = shell("trap '' TERM; echo deaf; while :; do sleep 0.05; done");
    world.start_ready(&config);
    wait_until("the signal is ignored", || world.output().contains("deaf"));
    let pid = world.service_pid();
    let asked = Instant::now();
    world.stop(300);
    let (told, change) = world.next_at();
    assert_eq!(change, InstanceChange::Stopped);
    assert!(told - asked >= Duration::from_millis(300));
    assert!(told - asked < Duration::from_millis(1300));
    assert!(!is_alive(pid));
}

#[test]
fn a_daemonised_grandchild_dies_with_its_service() {
    for private_pids in [true, false] {
        let world = World::new(if private_pids {
            "daemon"
        } else {
            "daemon-plain"
        });
        let beat = world.path("beat");
        let daemon = format!("setsid --fork {PROGRAM} beat {}", beat.display());
        let mut config = shell(&format!("{daemon}; exec sleep 1000"));
        config.private_pids = private_pids;
        world.start_ready(&config);
        wait_until("it beats", || last_beat(&beat) > 0);
        world.stop(1000);
        assert_eq!(world.next(), InstanceChange::Stopped);
        let last = last_beat(&beat);
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(last_beat(&beat), last, "it still beats");
    }
}

#[test]
fn a_start_can_be_stopped_before_it_is_ready() {
    let world = World::new("stop-start");
    let mut config = shell("echo up; exec sleep 1000");
    config.readiness = check(exec(&["/bin/sleep", "1000"]));
    world.start(&config, LONG_MS);
    world.stop(2000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    world.start(&config, LONG_MS);
    wait_until("it is up", || world.output().contains("up"));
    world.stop(2000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    // At once again, while the remains of the last run may still be there.
    config.readiness = None;
    world.start_ready(&config);
}

#[test]
fn a_check_of_an_earlier_run_says_nothing_of_this_one() {
    let world = World::new("serial");
    let (mut config, address) = http_service(&world);
    world.touch("mute");
    config.health = check(CheckKind::Http(format!("http://{address}/")));
    let health = config.health.as_mut().unwrap();
    (health.timeout, health.failures) = (Micros::from_millis(600), 1);
    world.start_ready(&config);
    // The check has begun and will not be answered; what it asked ends meanwhile, and starts again.
    std::thread::sleep(Duration::from_millis(250));
    world.stop(0);
    assert_eq!(world.next(), InstanceChange::Stopped);
    config.health = None;
    world.start_ready(&config);
    world.assert_silence(600);
}
