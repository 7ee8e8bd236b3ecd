//! Who dies and what lives on: agents and keepers killed and stopped, new agents that adopt.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail like the test itself"
)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use standfast_guard::clock::boot_now_ns;
use standfast_guard::{
    Exit, ExtendError, KeeperError, KeeperSpec, LeaseState, Phase, Reason, Status, StopRequest,
};
use support::{MS, PROGRAM, World, is_alive, last_beat, wait_beating, wait_until};

const TOLERATED_LATENESS_NS: u64 = 20 * MS;

fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// An agent process of its own, and the first deadline it set.
struct Agent {
    process: Child,
    deadline: u64,
}

impl Agent {
    fn start(world: &World, spec: &KeeperSpec, lease_ms: u64, extend: bool) -> Self {
        let file = world.path("spec");
        fs::write(&file, serde_json::to_vec(spec).unwrap()).unwrap();
        let extend = if extend { "extend" } else { "once" };
        let mut process = Command::new(PROGRAM)
            .args([
                "agent",
                file.to_str().unwrap(),
                &lease_ms.to_string(),
                extend,
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            process,
            deadline: line.trim().parse().unwrap(),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn beating(world: &World) -> (KeeperSpec, std::path::PathBuf) {
    let beat = world.path("beat");
    (world.spec(&[PROGRAM, "beat", beat.to_str().unwrap()]), beat)
}

fn read_status(spec: &KeeperSpec) -> Status {
    serde_json::from_slice(&fs::read(spec.run_dir.join("status")).unwrap()).unwrap()
}

fn wait_running(spec: &KeeperSpec) -> Status {
    wait_until("the status says it runs", || {
        spec.run_dir.join("status").exists() && read_status(spec).phase == Phase::Running
    });
    read_status(spec)
}

fn assert_still(beat: &Path) -> u64 {
    let last = last_beat(beat);
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(last_beat(beat), last, "it still beats");
    last
}

#[test]
fn a_dead_or_stopped_agent_ends_the_service_at_the_deadline() {
    for signal in [Signal::KILL, Signal::STOP] {
        let mut world = World::new(if signal == Signal::KILL {
            "agent-killed"
        } else {
            "agent-stopped"
        });
        let (spec, beat) = beating(&world);
        let agent = Agent::start(&world, &spec, 1_500, true);
        wait_beating(&beat);
        std::thread::sleep(Duration::from_millis(1_800));
        send(agent.process.id(), signal);
        let signalled = boot_now_ns();
        assert!(signalled > agent.deadline);
        assert_eq!(
            read_status(&spec).phase,
            Phase::Running,
            "the extensions keep it alive"
        );
        wait_until("the status says it ended", || {
            matches!(
                read_status(&spec).phase,
                Phase::Ended {
                    reason: Reason::LeaseExpired,
                    ..
                }
            )
        });
        let last = assert_still(&beat);
        assert!(last < signalled + 1_500 * MS + TOLERATED_LATENESS_NS);
        // The new agent learns the outcome although nobody was there to see it.
        world.restart_agent();
        let handle = world.keepers.adopt(&spec.run_dir).unwrap();
        assert_eq!(world.wait_ended().0, Reason::LeaseExpired);
        assert_eq!(
            handle.extend(boot_now_ns() + 1_000 * MS),
            Err(ExtendError::Closed)
        );
        handle.forget().unwrap();
        world.wait_groups_gone();
    }
}

#[test]
fn a_killed_keeper_takes_the_tree_along() {
    for private_pids in [true, false] {
        let world = World::new(if private_pids {
            "keeper-killed"
        } else {
            "keeper-killed-plain"
        });
        let (mut spec, beat) = beating(&world);
        spec.private_pids = private_pids;
        let (handle, _) = world.spawn(&spec, 10_000);
        let status = world.wait_running();
        wait_beating(&beat);
        send(status.keeper.unwrap().pid, Signal::KILL);
        let killed = boot_now_ns();
        let (reason, ..) = world.wait_ended();
        assert_eq!(reason, Reason::KeeperDied);
        let last = assert_still(&beat);
        assert!(
            last < killed + 500 * MS,
            "alive for {} ns more",
            last - killed
        );
        assert!(!is_alive(status.service.unwrap().pid));
        assert_eq!(
            handle.extend(boot_now_ns() + 1_000 * MS),
            Err(ExtendError::Closed)
        );
        assert_eq!(handle.lease(), LeaseState::Closed);
        handle.forget().unwrap();
        world.wait_groups_gone();
    }
}

#[test]
fn a_namespace_dies_with_its_keeper_when_no_agent_is_there() {
    let mut world = World::new("both-killed");
    let (spec, beat) = beating(&world);
    let agent = Agent::start(&world, &spec, 10_000, false);
    wait_beating(&beat);
    let status = wait_running(&spec);
    drop(agent);
    send(status.keeper.unwrap().pid, Signal::KILL);
    wait_until("the service is dead", || {
        !is_alive(status.service.unwrap().pid)
    });
    let again = world.keepers.spawn(&spec, boot_now_ns() + 1_000 * MS);
    assert!(
        matches!(again, Err(KeeperError::Occupied(_))),
        "not before its end is confirmed: {again:?}"
    );
    world.restart_agent();
    let handle = world.keepers.adopt(&spec.run_dir).unwrap();
    assert_eq!(world.wait_ended().0, Reason::KeeperDied);
    handle.forget().unwrap();
    world.wait_groups_gone();
}

#[test]
fn a_new_agent_adopts_what_an_old_one_left() {
    let mut world = World::new("adopt");
    let (spec, beat) = beating(&world);
    let agent = Agent::start(&world, &spec, 5_000, false);
    wait_beating(&beat);
    let first = agent.deadline;
    drop(agent);
    world.restart_agent();
    let handle = world.keepers.adopt(&spec.run_dir).unwrap();
    assert_eq!(handle.spec(), &spec);
    assert!(handle.has_network_guard());
    let status = world.wait_running();
    assert_eq!(handle.lease(), LeaseState::Until(first));
    handle.extend(first + 1_000 * MS).unwrap();
    assert_eq!(handle.lease(), LeaseState::Until(first + 1_000 * MS));
    // An orderly restart of the agent disturbs nothing either.
    drop(handle);
    world.restart_agent();
    let handle = world.keepers.adopt(&spec.run_dir).unwrap();
    assert_eq!(world.wait_running().service, status.service);
    assert_eq!(handle.lease(), LeaseState::Until(first + 1_000 * MS));
    handle
        .stop(StopRequest {
            grace_ms: 5_000,
            signal: 15,
        })
        .unwrap();
    let (reason, _, status) = world.wait_ended();
    assert_eq!(
        (reason, status.exit),
        (Reason::Stopped, Some(Exit::Signal(15)))
    );
    assert_still(&beat);
}

#[test]
fn a_stopped_keeper_is_adopted_and_ends_late_but_never_reopens() {
    let mut world = World::new("keeper-stopped");
    let (spec, beat) = beating(&world);
    let agent = Agent::start(&world, &spec, 1_500, false);
    wait_beating(&beat);
    let deadline = agent.deadline;
    let keeper = wait_running(&spec).keeper.unwrap().pid;
    drop(agent);
    send(keeper, Signal::STOP);
    world.restart_agent();
    let handle = world.keepers.adopt(&spec.run_dir).unwrap();
    assert_eq!(handle.lease(), LeaseState::Until(deadline));
    while boot_now_ns() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    // The keeper has not noticed, but a store after the stall is refused all the same.
    assert_eq!(
        handle.extend(boot_now_ns() + 60_000 * MS),
        Err(ExtendError::Expired)
    );
    send(keeper, Signal::CONT);
    assert_eq!(world.wait_ended().0, Reason::LeaseExpired);
    assert_still(&beat);
}

#[test]
fn nothing_is_adopted_where_nothing_was_started() {
    let world = World::new("nothing");
    let adopted = world.keepers.adopt(&world.path("run"));
    assert!(
        matches!(adopted, Err(KeeperError::NothingThere(_))),
        "{adopted:?}"
    );
}

/// The old freezer hierarchy, which puts a process into uninterruptible sleep as a stuck disk would.
struct Freezer(std::path::PathBuf);

impl Freezer {
    fn new(world: &World) -> Self {
        let mount = world.path("freezer");
        fs::create_dir(&mount).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "cgroup", "-o", "freezer", "none"])
            .arg(&mount)
            .status();
        assert!(mounted.unwrap().success());
        let group = mount.join(format!("sf-guard-test-{}", std::process::id()));
        fs::create_dir(&group).unwrap();
        Self(group)
    }

    fn freeze(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
        fs::write(self.0.join("freezer.state"), "FROZEN").unwrap();
        wait_until("frozen", || {
            fs::read_to_string(self.0.join("freezer.state")).unwrap() == "FROZEN\n"
        });
    }

    fn thaw(&self) {
        fs::write(self.0.join("freezer.state"), "THAWED").unwrap();
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.thaw();
        wait_until("the frozen process is gone", || {
            fs::remove_dir(&self.0).is_ok()
        });
        assert!(
            Command::new("umount")
                .arg(self.0.parent().unwrap())
                .status()
                .unwrap()
                .success()
        );
    }
}

#[test]
fn a_kill_that_cannot_be_confirmed_is_not_taken_for_an_end() {
    let world = World::new("unconfirmed");
    let freezer = Freezer::new(&world);
    let mut spec = world.spec(&["sleep", "1000"]);
    spec.confirm_ms = 100;
    let (handle, _) = world.spawn(&spec, 10_000);
    let status = world.wait_running();
    freezer.freeze(status.service.unwrap().pid);
    handle.kill().unwrap();
    match world
        .wait_for(|status| matches!(status.phase, Phase::NotConfirmed { .. }))
        .phase
    {
        Phase::NotConfirmed { reason, left } => {
            assert_eq!(reason, Reason::Killed);
            assert!(left.contains("(sleep) in state D"), "{left}");
        }
        other => panic!("{other:?}"),
    }
    let again = world.keepers.spawn(&spec, boot_now_ns() + 1_000 * MS);
    assert!(matches!(again, Err(KeeperError::Occupied(_))), "{again:?}");

    // The same when the keeper dies over it and the agent goes on.
    send(status.keeper.unwrap().pid, Signal::KILL);
    let status = world.wait_for(|status| {
        matches!(
            &status.phase,
            Phase::NotConfirmed {
                reason: Reason::KeeperDied,
                ..
            }
        )
    });
    assert!(!status.is_ended());
    freezer.thaw();
    assert_eq!(world.wait_ended().0, Reason::KeeperDied);
}

/// Processor time of a process so far, in clock ticks: fields 14 and 15 of proc_pid_stat(5).
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    fields
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum()
}

/// At real-time priority a spinning keeper keeps a core from everybody, also from what it kills.
#[test]
fn a_keeper_that_waits_for_a_tree_to_end_does_not_spin() {
    let world = World::new("waits");
    let freezer = Freezer::new(&world);
    let mut spec = world.spec(&["sleep", "1000"]);
    spec.confirm_ms = 100;
    let (_handle, _) = world.spawn(&spec, 1_000);
    let status = world.wait_running();
    let keeper = status.keeper.unwrap().pid;
    freezer.freeze(status.service.unwrap().pid);
    world.wait_for(|status| {
        matches!(
            status.phase,
            Phase::NotConfirmed {
                reason: Reason::LeaseExpired,
                ..
            }
        )
    });
    let before = ticks(keeper);
    std::thread::sleep(Duration::from_millis(1000));
    // 100 ticks are the whole second.
    let used = ticks(keeper) - before;
    assert!(used < 25, "{used} ticks in a second of waiting");
    freezer.thaw();
    assert_eq!(world.wait_ended().0, Reason::LeaseExpired);
}
