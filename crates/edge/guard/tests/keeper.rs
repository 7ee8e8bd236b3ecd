//! A keeper's life on the real kernel: start, deadline, extension, stop, exit, output.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail like the test itself"
)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use standfast_guard::clock::boot_now_ns;
use standfast_guard::{
    Exit, ExtendError, Guard, GuardSupport, KeeperError, LeaseState, Phase, Reason, StopRequest,
};
use support::{MS, PATIENCE, PROGRAM, World, is_alive, last_beat, wait_beating, wait_until};

/// How long after the deadline a service may still show life: 0.1 ms is measured. The confirmation may come later, since
/// on a busy machine a killed process waits for a processor to die on; it does nothing any more meanwhile.
const TOLERATED_LATENESS_NS: u64 = 20 * MS;

#[test]
fn the_tree_ends_at_the_deadline() {
    let world = World::new("deadline");
    let beat = world.path("beat");
    let (handle, deadline) = world.spawn(
        &world.spec(&[PROGRAM, "beat", beat.to_str().unwrap()]),
        1_500,
    );
    world.wait_running();
    wait_beating(&beat);
    let (reason, at, status) = world.wait_ended();
    assert_eq!(reason, Reason::LeaseExpired);
    assert!(at >= deadline);
    assert!(last_beat(&beat) < deadline + TOLERATED_LATENESS_NS);
    assert_eq!(status.exit, Some(Exit::Signal(9)));
    assert_eq!(
        handle.extend(boot_now_ns() + 1_000 * MS),
        Err(ExtendError::Closed)
    );
    assert_eq!(handle.lease(), LeaseState::Closed);
    world.wait_groups_gone();
    handle.forget().unwrap();
    assert!(!world.path("run").exists());
}

#[test]
fn a_daemonised_grandchild_of_another_user_ends_too() {
    for private_pids in [true, false] {
        let world = World::new(if private_pids {
            "daemon"
        } else {
            "daemon-plain"
        });
        let beat = world.path("beat");
        fs::write(&beat, "").unwrap();
        std::os::unix::fs::chown(&beat, Some(65534), None).unwrap();
        fs::set_permissions(
            world.folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let shared = world.path("beat-program");
        fs::copy(PROGRAM, &shared).unwrap();
        let line = format!(
            "setsid --fork setpriv --reuid 65534 --clear-groups {} beat {} & exec sleep 1000",
            shared.display(),
            beat.display()
        );
        let mut spec = world.spec(&["sh", "-c", &line]);
        spec.private_pids = private_pids;
        let (_handle, deadline) = world.spawn(&spec, 1_500);
        wait_beating(&beat);
        let (reason, _, status) = world.wait_ended();
        assert_eq!(
            (reason, status.init.is_some()),
            (Reason::LeaseExpired, private_pids)
        );
        let last = last_beat(&beat);
        assert!(last < deadline + TOLERATED_LATENESS_NS);
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(last_beat(&beat), last, "it still beats");
    }
}

#[test]
fn one_store_extends_the_lease() {
    let world = World::new("extend");
    let beat = world.path("beat");
    let (handle, first) = world.spawn(
        &world.spec(&[PROGRAM, "beat", beat.to_str().unwrap()]),
        1_500,
    );
    world.wait_running();
    let second = first + 500 * MS;
    handle.extend(second).unwrap();
    handle.extend(first).unwrap();
    assert_eq!(handle.lease(), LeaseState::Until(second));
    let (reason, at, _) = world.wait_ended();
    assert_eq!(reason, Reason::LeaseExpired);
    assert!(at >= second);
    assert!((first..second + TOLERATED_LATENESS_NS).contains(&last_beat(&beat)));
}

#[test]
fn a_shortened_lease_ends_earlier() {
    let world = World::new("shorten");
    let beat = world.path("beat");
    let (handle, far) = world.spawn(
        &world.spec(&[PROGRAM, "beat", beat.to_str().unwrap()]),
        60_000,
    );
    wait_beating(&beat);
    let near = boot_now_ns() + 200 * MS;
    handle.shorten(near).unwrap();
    let (reason, at, _) = world.wait_ended();
    assert_eq!(reason, Reason::LeaseExpired);
    assert!((near..far).contains(&at));
    assert!(last_beat(&beat) < near + TOLERATED_LATENESS_NS);
}

#[test]
fn a_lease_that_is_over_or_was_never_granted_starts_nothing() {
    for (test, deadline) in [("past", boot_now_ns() - 1), ("zero", 0)] {
        let world = World::new(test);
        let mark = world.path("mark");
        let spec = world.spec(&["touch", mark.to_str().unwrap()]);
        let handle = world.keepers.spawn(&spec, deadline);
        if deadline == 0 {
            // Armed with zero the word is closed, and the keeper sees it so.
            assert_eq!(
                handle
                    .as_ref()
                    .map(standfast_guard::KeeperHandle::lease)
                    .unwrap(),
                LeaseState::Closed
            );
        }
        assert_eq!(world.wait_ended().0, Reason::Refused);
        assert!(!mark.exists());
        world.wait_groups_gone();
    }
}

#[test]
fn an_exit_is_told_at_once_and_leaves_nothing() {
    let world = World::new("exit");
    let at = world.path("at");
    let line = format!(
        "sleep 1000 & sleep 0.1; cut -d' ' -f1 /proc/uptime > {}; exit 7",
        at.display()
    );
    let (handle, _) = world.spawn(&world.spec(&["sh", "-c", &line]), 5_000);
    let status = world.wait_for(|status| status.exit.is_some());
    assert_eq!(status.exit, Some(Exit::Code(7)));
    let exited = fs::read_to_string(at)
        .unwrap()
        .trim()
        .parse::<f64>()
        .unwrap();
    let told = Duration::from_nanos(boot_now_ns()).as_secs_f64();
    assert!(
        told - exited < 1.0,
        "told {} s after the exit",
        told - exited
    );
    assert_eq!(world.wait_ended().0, Reason::Exited);
    assert_eq!(handle.extend(boot_now_ns() + MS), Err(ExtendError::Closed));
}

#[test]
fn a_stop_is_graceful_and_then_a_kill() {
    let world = World::new("stop");
    let line = "trap 'echo going; exit 3' TERM; echo up; while :; do sleep 0.01; done";
    let (handle, _) = world.spawn(&world.spec(&["sh", "-c", line]), 10_000);
    wait_until("it is up", || handle.output_tail(100).unwrap() == "up\n");
    handle
        .stop(StopRequest {
            grace_ms: 5_000,
            signal: 15,
        })
        .unwrap();
    let (reason, _, status) = world.wait_ended();
    assert_eq!(
        (reason, status.exit),
        (Reason::Stopped, Some(Exit::Code(3)))
    );
    wait_until("its last words are kept", || {
        handle.output_tail(100).unwrap() == "up\ngoing\n"
    });

    let deaf = "trap '' TERM; echo up; while :; do sleep 0.01; done";
    let mut spec = world.spec(&["sh", "-c", deaf]);
    spec.output.directory = world.path("second");
    let (handle, _) = world.spawn(&spec, 10_000);
    wait_until("it is up", || handle.output_tail(100).unwrap() == "up\n");
    let asked = Instant::now();
    handle
        .stop(StopRequest {
            grace_ms: 100,
            signal: 15,
        })
        .unwrap();
    let (reason, _, status) = world.wait_ended();
    assert_eq!(
        (reason, status.exit),
        (Reason::Stopped, Some(Exit::Signal(9)))
    );
    assert!((Duration::from_millis(100)..PATIENCE).contains(&asked.elapsed()));

    let (handle, _) = world.spawn(&world.spec(&["sleep", "1000"]), 10_000);
    world.wait_running();
    handle.kill().unwrap();
    assert_eq!(world.wait_ended().0, Reason::Killed);
}

#[test]
fn user_groups_environment_and_folder_are_as_asked() {
    let world = World::new("user");
    let mut spec = world.spec(&[
        "sh",
        "-c",
        "id -un; id -gn; pwd; env | sort; ls -d /proc/[0-9]* | wc -l; cat /proc/self/oom_score_adj",
    ]);
    spec.user = Some("nobody".to_owned());
    spec.group = Some("daemon".to_owned());
    spec.working_directory = Some("/usr".into());
    spec.environment
        .insert("COLOUR".to_owned(), "blue".to_owned());
    let (handle, _) = world.spawn(&spec, 5_000);
    let (reason, _, status) = world.wait_ended();
    assert_eq!((reason, status.exit), (Reason::Exited, Some(Exit::Code(0))));
    // Only what this machine does not offer is missing.
    let offered = GuardSupport::probe(world.group.as_ref());
    assert!(
        status
            .missing
            .iter()
            .all(|missing| !offered.offers(missing.guard)),
        "{:?}",
        status.missing
    );
    wait_until("the output is kept", || {
        handle.output_tail(1_000).unwrap().lines().count() >= 11
    });
    let output = handle.output_tail(1_000).unwrap();
    let mut lines = output.lines();
    assert_eq!(
        [lines.next(), lines.next(), lines.next()],
        [Some("nobody"), Some("daemon"), Some("/usr")]
    );
    let rest: Vec<_> = lines.collect();
    for wanted in [
        "COLOUR=blue",
        "HOME=/nonexistent",
        "LOGNAME=nobody",
        "USER=nobody",
    ] {
        assert!(rest.contains(&wanted), "{wanted} in {output}");
    }
    assert!(!output.contains("CARGO"), "{output}");
    let visible: u32 = rest.iter().rev().nth(1).unwrap().parse().unwrap();
    assert!(visible < 8, "it sees {visible} processes");
    assert_eq!(rest.last(), Some(&"0"));
}

#[test]
fn what_cannot_be_started_says_why() {
    let world = World::new("failed");
    let mut nobody = world.spec(&["true"]);
    nobody.user = Some("no-such-user".to_owned());
    for (spec, wanted) in [
        (world.spec(&["/no/such/program"]), "/no/such/program"),
        (nobody, "no-such-user"),
    ] {
        let (handle, _) = world.spawn(&spec, 5_000);
        match world.wait_ended().0 {
            Reason::StartFailed(why) => assert!(why.contains(wanted), "{why}"),
            other => panic!("{other:?}"),
        }
        handle.forget().unwrap();
    }
    world.wait_groups_gone();
}

#[test]
fn output_is_rotated_and_its_end_readable() {
    let world = World::new("output");
    let line = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; echo last";
    let (handle, _) = world.spawn(&world.spec(&["sh", "-c", line]), 20_000);
    world.wait_ended();
    wait_until("all is kept", || {
        handle.output_tail(10).unwrap().ends_with("last\n")
    });
    assert_eq!(handle.output_tail(18).unwrap(), "line 2999\nlast\n");
    let sizes = ["output.log", "output.log.1"].map(|name| {
        fs::metadata(world.path("output").join(name))
            .unwrap()
            .size()
    });
    assert!(
        sizes.iter().all(|size| (1..=10_000).contains(size)),
        "{sizes:?}"
    );
}

#[test]
fn a_killed_logger_is_replaced() {
    let world = World::new("logger");
    let (handle, _) = world.spawn(
        &world.spec(&["sh", "-c", "while :; do echo on; sleep 0.01; done"]),
        20_000,
    );
    let keeper = world.wait_running().keeper.unwrap().pid;
    wait_until("output comes", || {
        !handle.output_tail(10).unwrap().is_empty()
    });
    let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
    let status = handle.status().unwrap();
    let known = [status.init, status.service].map(|process| process.unwrap().pid.to_string());
    let logger = children
        .split_whitespace()
        .find(|pid| !known.contains(&(*pid).to_owned()))
        .unwrap();
    let pid = rustix::process::Pid::from_raw(logger.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    wait_until("it is gone", || !is_alive(logger.parse().unwrap()));
    let length = || fs::metadata(world.path("output/output.log")).unwrap().len();
    let before = length();
    wait_until("output comes again", || length() > before);
    assert_eq!(handle.status().unwrap().phase, Phase::Running);
}

/// A shell ignores the interrupt for what it starts in the background, an agent too.
#[test]
fn a_service_ignores_no_signal_that_the_agent_was_started_with_ignored() {
    let world = World::new("ignored");
    let mut spec = world.spec(&["sh", "-c", "grep SigIgn /proc/self/status; exec sleep 1000"]);
    spec.output.max_bytes = 1 << 20;
    let program = std::path::Path::new(PROGRAM);
    let shell = format!("trap '' INT HUP; exec {} \"$@\"", program.display());
    let file = world.path("spec");
    fs::write(&file, serde_json::to_vec(&spec).unwrap()).unwrap();
    let mut agent = std::process::Command::new("sh")
        .args([
            "-c",
            &shell,
            "sh",
            "agent",
            file.to_str().unwrap(),
            "10000",
            "once",
        ])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let log = world.path("output/output.log");
    wait_until("it says what it ignores", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("SigIgn"))
    });
    let said = fs::read_to_string(&log).unwrap();
    agent.kill().unwrap();
    agent.wait().unwrap();
    // 32 and 33 are the C library's own.
    let ignored = u64::from_str_radix(said.trim().trim_start_matches("SigIgn:\t"), 16).unwrap();
    assert_eq!(ignored & !(0b11 << 31), 0, "{said}");
}

#[test]
fn one_place_holds_one_tree() {
    let world = World::new("occupied");
    let spec = world.spec(&["sleep", "1000"]);
    let (handle, deadline) = world.spawn(&spec, 5_000);
    let again = world.keepers.spawn(&spec, deadline);
    assert!(matches!(again, Err(KeeperError::Occupied(_))), "{again:?}");
    handle.kill().unwrap();
    world.wait_ended();
    world.spawn(&spec, 100);
    world.wait_ended();
}

/// A place where no control group can be made, as on a machine without a writable cgroup2 hierarchy.
const NO_GROUP: &str = "cgroup.procs/nowhere";

#[test]
fn without_control_groups_the_namespace_alone_ends_the_tree() {
    let world = World::new("no-cgroup");
    let beat = world.path("beat");
    let line = format!(
        "setsid --fork {PROGRAM} beat {} & exec sleep 1000",
        beat.display()
    );
    let mut spec = world.spec(&["sh", "-c", &line]);
    spec.cgroup_parent = NO_GROUP.into();
    let (handle, first) = world.spawn(&spec, 1_500);
    assert!(!handle.has_network_guard());
    let deadline = first + 200 * MS;
    handle.extend(deadline).unwrap();
    wait_beating(&beat);
    let (reason, at, status) = world.wait_ended();
    assert_eq!(reason, Reason::LeaseExpired);
    assert!(at >= deadline);
    assert!((first..deadline + TOLERATED_LATENESS_NS).contains(&last_beat(&beat)));
    let missing: Vec<_> = status.missing.iter().map(|missing| missing.guard).collect();
    assert!(
        missing.contains(&Guard::Cgroup) && missing.contains(&Guard::Network),
        "{missing:?}"
    );
    assert_eq!(
        handle.extend(boot_now_ns() + 1_000 * MS),
        Err(ExtendError::Closed)
    );
    handle.forget().unwrap();
}

#[test]
fn with_nothing_to_hold_it_nothing_is_started() {
    let world = World::new("nothing-holds");
    let mut spec = world.spec(&["true"]);
    spec.cgroup_parent = NO_GROUP.into();
    spec.private_pids = false;
    let refused = world.keepers.spawn(&spec, boot_now_ns() + 1_000 * MS);
    assert!(
        matches!(refused, Err(KeeperError::Invalid(_))),
        "{refused:?}"
    );
    for (name, command) in [("../up", vec!["true".to_owned()]), ("fine", Vec::new())] {
        let mut spec = world.spec(&["true"]);
        (spec.name, spec.command) = (name.to_owned(), command);
        let refused = world.keepers.spawn(&spec, boot_now_ns() + 1_000 * MS);
        assert!(
            matches!(refused, Err(KeeperError::Invalid(_))),
            "{refused:?}"
        );
    }
}

#[test]
fn what_the_probe_offers_a_keeper_gets() {
    let world = World::new("probe");
    let support = GuardSupport::probe(world.group.as_ref());
    for guard in [
        Guard::Cgroup,
        Guard::Freeze,
        Guard::Kill,
        Guard::Network,
        Guard::PrivatePids,
    ] {
        assert!(support.offers(guard), "{:?}", support.missing());
    }
    assert!(
        support
            .missing()
            .iter()
            .all(|missing| !missing.why.is_empty())
    );
    world.wait_groups_gone();
    let nowhere = GuardSupport::probe(NO_GROUP.as_ref());
    assert!(
        !nowhere.offers(Guard::Cgroup)
            && !nowhere.offers(Guard::Network)
            && nowhere.offers(Guard::PrivatePids)
    );
}
