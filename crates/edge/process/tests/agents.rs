//! Resources that an agent runs, under real keepers: an agent of our own that does what a test wants of each action.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail like the test itself"
)]

mod support;

use rustix::process::Signal;
use standfast_model::{
    config::{CheckConfig, DeepMonitor, ProcessConfig},
    event::InstanceChange,
    time::Micros,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};
use support::{
    LONG_MS, World,
    agents::{self, OURS, actions, agent, agent_failed, script},
    is_alive, send, wait_until,
};

fn ours(test: &str) -> World {
    let world = World::new(test);
    agents::install(&world, OURS);
    world
}

fn of_test(world: &World) -> ProcessConfig {
    agent("ocf:test:ours", &[("folder", world.text("agent"))])
}

fn start_failed(change: InstanceChange) -> String {
    match change {
        InstanceChange::StartFailed(why) => why,
        other => panic!("{other:?}"),
    }
}

fn unhealthy(world: &World) -> String {
    match world.next() {
        InstanceChange::Unhealthy(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn is_asked_started_asked_and_stopped() {
    let world = ours("life");
    let mut config = of_test(&world);
    config.health = None;
    let look = "ls -A /run/dbus /run/systemd/seats /run/systemd/system 2>/dev/null | grep -v : | tr -d '\\n'";
    let text = format!("env >\"$d/environment\"; {look} >\"$d/others\"");
    script(&world, "start", &text);
    let mounts = || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let hidden = |line: &&str| line.contains(" /run/dbus ") || line.contains(" /run/systemd/");
        mounts.lines().filter(hidden).count()
    };
    let before = mounts();
    world.start_ready(&config);
    assert_eq!(actions(&world), ["monitor", "start", "monitor"]);
    let environment = fs::read_to_string(world.path("agent/environment")).unwrap();
    for line in [
        "OCF_RESOURCE_INSTANCE=web",
        "OCF_RESOURCE_TYPE=ours",
        "OCF_RESOURCE_PROVIDER=test",
        "OCF_RA_VERSION_MAJOR=1",
        "OCF_RA_VERSION_MINOR=1",
        "OCF_RESKEY_CRM_meta_name=start",
        "OCF_RESKEY_CRM_meta_timeout=10000",
        "OCF_RESKEY_CRM_meta_interval=0",
        "OCF_RESKEY_CRM_meta_on_node=alpha",
    ] {
        assert!(environment.lines().any(|found| found == line), "{line}");
    }
    // No other daemon can be asked to run something, and nobody else sees that.
    let others = fs::read_to_string(world.path("agent/others")).unwrap();
    assert_eq!(others, "");
    assert_eq!(mounts(), before);
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert_eq!(actions(&world).last().unwrap(), "stop");
    world.wait_clean();
}

fn deep(depth: u32, interval: u64) -> DeepMonitor {
    DeepMonitor {
        depth,
        interval: Micros::from_millis(interval),
        timeout: Micros::from_millis(700),
        failures: 1,
    }
}

/// The agent writes down each depth that it is asked for.
const DEPTHS: &str = "echo ${OCF_CHECK_LEVEL:-0} ${OCF_RESKEY_CRM_meta_timeout} ${OCF_RESKEY_CRM_meta_interval} >>\"$d/depths\"";

fn depths(world: &World) -> Vec<String> {
    let text = fs::read_to_string(world.path("agent/depths")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn each_depth_is_asked_for_at_its_own_times() {
    let world = ours("depths");
    let mut config = of_test(&world);
    if let Some(agent) = &mut config.agent {
        agent.monitors = vec![deep(10, 120), deep(20, 3_600_000)];
    }
    script(&world, "monitor", DEPTHS);
    world.start_ready(&config);
    let of = |line: &str| depths(&world).iter().filter(|found| *found == line).count();
    wait_until("both depths", || {
        of("10 700 120") >= 3 && of("0 5000 20") >= 9
    });
    assert!(of("0 5000 20") > of("10 700 120"));
    assert!(!depths(&world).iter().any(|line| line.starts_with("20 ")));
    // Only looking closely shows it.
    script(
        &world,
        "monitor",
        "[ \"$OCF_CHECK_LEVEL\" != 10 ] || { echo 'ocf-exit-reason:a wrong page' >&2; exit 1; }",
    );
    assert_eq!(
        unhealthy(&world),
        "a health check failed: ocf:test:ours monitor of depth 10: error (1): a wrong page"
    );
    script(&world, "monitor", "");
    assert_eq!(world.next(), InstanceChange::Healthy);
}

#[test]
fn a_deep_monitor_that_hangs_is_killed_at_its_own_limit_and_the_first_one_goes_on() {
    let world = ours("deep-hangs");
    let mut config = of_test(&world);
    if let Some(agent) = &mut config.agent {
        agent.monitors = vec![deep(10, 100)];
    }
    world.start_ready(&config);
    let hangs = format!("{DEPTHS}; [ \"$OCF_CHECK_LEVEL\" != 10 ] || exec sleep 1000");
    script(&world, "monitor", &hangs);
    let began = Instant::now();
    assert_eq!(
        unhealthy(&world),
        "a health check failed: ocf:test:ours monitor of depth 10: no end within 700 ms; killed"
    );
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    let before = depths(&world).len();
    wait_until("more of the first", || depths(&world).len() > before + 2);
}

/// The kernel says that the service has ended while a deep one is under way: that is looked at now.
#[test]
fn the_end_of_the_service_does_not_wait_for_a_deep_monitor() {
    let world = ours("deep-urgent");
    let mut config = of_test(&world);
    let mut slow = deep(10, 100);
    slow.timeout = Micros::from_millis(60_000);
    if let Some(agent) = &mut config.agent {
        agent.monitors = vec![slow];
    }
    config.health = None;
    script(
        &world,
        "start",
        "sleep 1000 >/dev/null 2>&1 & echo $! >\"$d/pid\"",
    );
    script(
        &world,
        "monitor",
        "[ \"$OCF_CHECK_LEVEL\" != 10 ] || { touch \"$d/deep\"; exec sleep 1000; }\n\
         [ ! -e \"$d/pid\" ] || kill -0 $(cat \"$d/pid\") || exit 7",
    );
    config.private_pids = false;
    world.start_ready(&config);
    wait_until("a deep one", || world.path("agent/deep").exists());
    let began = Instant::now();
    let pid = fs::read_to_string(world.path("agent/pid")).unwrap();
    send(pid.trim().parse().unwrap(), Signal::KILL);
    // Whoever waited for the deep one may be heard first.
    let (code, why) = match world.next() {
        InstanceChange::Unhealthy(why) => {
            assert!(!why.contains("of depth"), "{why}");
            agent_failed(world.next())
        }
        other => agent_failed(other),
    };
    assert_eq!(code, 7, "{why}");
    assert!(why.contains("after a process of it ended"), "{why}");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn remains_of_an_earlier_run_are_stopped_first() {
    let world = ours("remains");
    let mut config = of_test(&world);
    config.health = None;
    fs::write(world.path("agent/running"), "").unwrap();
    world.start_ready(&config);
    assert_eq!(actions(&world), ["monitor", "stop", "start", "monitor"]);
}

#[test]
fn each_code_of_a_failed_start_is_told_by_name() {
    let world = ours("codes");
    let told = [
        (1, "error (1)"),
        (2, "wrong arguments (2)"),
        (3, "not implemented (3)"),
        (4, "insufficient privileges (4)"),
        (5, "not installed (5)"),
        (6, "not configured (6)"),
        (7, "not running (7)"),
        (8, "running promoted (8)"),
        (9, "failed promoted (9)"),
        (190, "degraded (190)"),
        (191, "degraded promoted (191)"),
        (77, "no code of OCF (77)"),
    ];
    for (code, name) in told {
        let text = format!("echo noise >&2; echo 'ocf-exit-reason:no /etc/x' >&2; exit {code}");
        script(&world, "start", &text);
        fs::remove_file(world.path("agent/actions")).ok();
        world.start(&of_test(&world), LONG_MS);
        let expected = format!("ocf:test:ours start: {name}: no /etc/x");
        assert_eq!(agent_failed(world.next()), (code, expected));
        assert_eq!(actions(&world), ["monitor", "start", "stop"]);
        world.wait_clean();
    }
}

#[test]
fn what_is_not_installed_is_said_before_anything_starts() {
    let world = ours("absent");
    world.start(&agent("ocf:heartbeat:sf-none", &[]), LONG_MS);
    let (code, why) = agent_failed(world.next());
    let expected = "ocf:heartbeat:sf-none is not installed here";
    assert!(code == 5 && why.contains(expected), "{code} {why}");
    assert!(!world.run_dir().exists());
    let program = world.path("ocf/resource.d/test/ours");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
    world.start(&of_test(&world), LONG_MS);
    let (code, why) = agent_failed(world.next());
    let expected = "can be changed by others than root";
    assert!(code == 5 && why.contains(expected), "{code} {why}");
}

/// A first monitor that says why it will never run is believed, and one that says "not yet" is asked again. So is the
/// code when the stop after it hangs for longer than a start may take.
#[test]
fn a_code_that_lasts_is_told_at_once_and_not_lost() {
    let world = ours("lasting");
    let config = of_test(&world);
    let later = "[ -e \"$d/running\" ] || exit 7\nn=$(grep -c monitor \"$d/actions\")\n";
    script(&world, "monitor", &format!("{later}[ $n -gt 3 ] || exit 1"));
    world.start_ready(&config);
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    world.wait_clean();

    fs::remove_file(world.path("agent/actions")).unwrap();
    script(&world, "monitor", &format!("{later}exit 5"));
    world.start(&config, LONG_MS);
    let (code, why) = agent_failed(world.next());
    assert_eq!(
        (code, why.as_str()),
        (5, "ocf:test:ours monitor: not installed (5)")
    );
    assert_eq!(actions(&world), ["monitor", "start", "monitor", "stop"]);
    world.wait_clean();

    script(&world, "start", "exit 6");
    script(&world, "stop", "sleep 1000");
    let mut config = config;
    config.start_timeout = Micros::from_millis(700);
    world.start(&config, LONG_MS);
    assert_eq!(agent_failed(world.next()).0, 6);
    world.wait_clean();
}

#[test]
fn a_start_that_hangs_is_ended_with_everything_it_started() {
    let world = ours("hang-start");
    script(
        &world,
        "start",
        "setsid sleep 1000 & echo $! >\"$d/pid\"; sleep 1000",
    );
    let mut config = of_test(&world);
    config.private_pids = false;
    config.start_timeout = Micros::from_millis(700);
    world.start(&config, LONG_MS);
    let why = start_failed(world.next());
    assert!(why.starts_with("not ready within 700 ms"), "{why}");
    let pid = fs::read_to_string(world.path("agent/pid")).unwrap_or_default();
    let pid: u32 = pid.trim().parse().unwrap_or_default();
    assert!(pid == 0 || !is_alive(pid));
    world.wait_clean();
}

#[test]
fn a_monitor_that_hangs_is_killed_and_the_service_is_not() {
    let world = ours("hang-monitor");
    script(
        &world,
        "start",
        "setsid sleep 1000 & echo $! >\"$d/service\"",
    );
    let mut config = of_test(&world);
    config.private_pids = false;
    config.health = config.health.map(|health| CheckConfig {
        timeout: Micros::from_millis(1500),
        ..health
    });
    world.start_ready(&config);
    script(
        &world,
        "monitor",
        "setsid sleep 1000 & echo $! >\"$d/left\"; sleep 1000",
    );
    let why = unhealthy(&world);
    assert_eq!(
        why,
        "a health check failed: ocf:test:ours monitor: no end within 1500 ms; killed"
    );
    let number = |file: &str| -> u32 {
        let text = fs::read_to_string(world.path("agent").join(file)).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    };
    assert!(is_alive(number("service")));
    // It left its session and its group of processes; the control group has it all the same. Whichever was the last.
    script(&world, "monitor", "exit 0");
    assert_eq!(world.next(), InstanceChange::Healthy);
    wait_until("what the monitor left is gone", || {
        !is_alive(number("left"))
    });
    assert!(is_alive(number("service")));
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert!(!is_alive(number("service")));
}

#[test]
fn a_stop_that_hangs_or_fails_ends_by_force() {
    let world = ours("hang-stop");
    let mut config = of_test(&world);
    config.health = None;
    for text in ["sleep 1000", "exit 1"] {
        script(&world, "stop", text);
        world.start_ready(&config);
        let pid = world.service_pid();
        world.stop(300);
        assert_eq!(world.next(), InstanceChange::Stopped);
        assert!(!is_alive(pid));
        world.wait_clean();
    }
}

#[test]
fn garbage_and_megabytes_do_no_harm() {
    let world = ours("garbage");
    let noise = "head -c 3000000 /dev/urandom; head -c 3000000 /dev/urandom >&2\n";
    for action in ["start", "monitor", "stop"] {
        script(&world, action, noise);
    }
    let mut config = of_test(&world);
    config.health = None;
    world.start_ready(&config);
    script(&world, "monitor", &format!("{noise} exit 1"));
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    let kept: u64 = fs::read_dir(world.path("output/web"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(kept < 9_000_000, "{kept}");
}

#[test]
fn degraded_is_healthy_and_everything_else_is_not() {
    let world = ours("degraded");
    world.start_ready(&of_test(&world));
    script(&world, "monitor", "exit 190");
    world.assert_silence(300);
    script(
        &world,
        "monitor",
        "echo 'ocf-exit-reason:the disk is full' >&2; exit 1",
    );
    assert_eq!(
        unhealthy(&world),
        "a health check failed: ocf:test:ours monitor: error (1): the disk is full"
    );
    script(&world, "monitor", "exit 0");
    assert_eq!(world.next(), InstanceChange::Healthy);
    // Nothing that is not promotable is promoted.
    script(&world, "monitor", "exit 8");
    assert!(unhealthy(&world).contains("running promoted (8)"));
}

#[test]
fn the_end_of_its_process_is_noticed_at_once() {
    let world = ours("crash");
    script(
        &world,
        "start",
        "setsid sleep 1000 & echo $! >\"$d/service\"",
    );
    let mut config = of_test(&world);
    config.private_pids = false;
    // Too late for this test.
    config.health = config.health.map(|health| CheckConfig {
        interval: Micros::from_millis(3_600_000),
        ..health
    });
    script(
        &world,
        "monitor",
        "kill -0 \"$(cat \"$d/service\")\" 2>/dev/null || exit 7",
    );
    world.start_ready(&config);
    let service = fs::read_to_string(world.path("agent/service")).unwrap();
    let service: u32 = service.trim().parse().unwrap();
    let killed = Instant::now();
    send(service, Signal::KILL);
    assert_eq!(
        world.next(),
        InstanceChange::AgentFailed {
            code: 7,
            why: "ocf:test:ours monitor: not running (7), after a process of it ended".to_owned()
        }
    );
    assert!(killed.elapsed() < Duration::from_secs(10));
    world.wait_clean();
}

#[test]
fn the_next_agent_takes_it_over_and_asks_on() {
    let mut world = ours("adopt");
    let config = of_test(&world);
    world.start_ready(&config);
    world.restart_driver();
    world.driver().probe(&world.resource, &config);
    assert!(matches!(world.next(), InstanceChange::Adopted { .. }));
    fs::remove_file(world.path("agent/running")).unwrap();
    assert!(unhealthy(&world).contains("not running (7)"));
    let starts = actions(&world)
        .iter()
        .filter(|action| *action == "start")
        .count();
    assert_eq!(starts, 1);
}

#[test]
fn a_secret_reaches_the_agent_and_nobody_else() {
    let world = ours("secret");
    fs::write(world.path("secret"), "hunter2\n").unwrap();
    let mut config = of_test(&world);
    config.secret_environment = [("OCF_RESKEY_token".to_owned(), world.text("secret"))].into();
    script(
        &world,
        "start",
        "echo \"ocf-exit-reason:token $OCF_RESKEY_token is wrong\" >&2; exit 6",
    );
    world.start(&config, LONG_MS);
    let expected = "ocf:test:ours start: not configured (6): token (hidden) is wrong";
    assert_eq!(agent_failed(world.next()), (6, expected.to_owned()));
}

#[test]
fn agents_of_debian_run_as_they_are() {
    let world = ours("debian");
    let mut dummy = agent("ocf:heartbeat:Dummy", &[("state", world.text("state"))]);
    dummy.health = None;
    world.start_ready(&dummy);
    assert!(world.path("state").exists());
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert!(!world.path("state").exists());
    let delays = [
        ("startdelay", "1".to_owned()),
        ("stopdelay", "0".to_owned()),
        ("mondelay", "0".to_owned()),
    ];
    let began = Instant::now();
    world.wait_clean();
    world.start_ready(&agent("ocf:heartbeat:Delay", &delays));
    assert!(began.elapsed() >= Duration::from_secs(1));
    // It leaves a mark outside of this world while it runs.
    world.stop(10_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
}
