//! The promoted role of a copy, under a real keeper: with the two agents `Stateful` of Debian, and with one of our own that
//! does what a test wants of each action.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail like the test itself"
)]

mod support;

use standfast_model::{
    config::{AgentConfig, ProcessConfig, Role},
    event::InstanceChange,
    id::ResourceId,
    time::Micros,
};
use standfast_process::ProcessDriver;
use std::{
    cell::Cell,
    fs,
    sync::mpsc::{Receiver, channel},
    time::Duration,
};
use support::{
    LONG_MS, PATIENCE, SINCE, World,
    agents::{self, asked_every},
    boot_now, config, deadline_in, settings, wait_until,
};

const COPY: &str = "db:alpha";
const ROLE: &str = "db:promoted";

/// Sources a file of the action's name, if there is one, and else behaves. Its service is a process.
const OURS: &str = r#"#!/bin/sh
d=$OCF_RESKEY_folder
echo "$1" >>"$d/actions"
env >"$d/env-$1"
[ -e "$d/$1" ] && . "$d/$1"
case $1 in
start) setsid sleep 100000 >/dev/null 2>&1 </dev/null & touch "$d/running" ;;
stop) rm -f "$d/running" "$d/promoted" ;;
promote) touch "$d/promoted"; crm_master -l reboot -v 10 ;;
demote) rm -f "$d/promoted"; "$HA_SBIN_DIR"/crm_attribute -p -v 5 ;;
reload-agent) ;;
monitor) [ -e "$d/running" ] || exit 7; [ ! -e "$d/promoted" ] || exit 8 ;;
*) exit 3 ;;
esac
"#;

struct Db {
    world: World,
    driver: Option<ProcessDriver>,
    changes: Receiver<(ResourceId, InstanceChange)>,
    name: &'static str,
    parameter: (&'static str, String),
    said: Cell<Option<i64>>,
}

impl Db {
    fn new(test: &str, name: &'static str) -> Self {
        let mut world = World::new(test);
        world.drop_driver();
        world.resource = ResourceId::from(COPY);
        agents::install(&world, OURS);
        let parameter = match name {
            "ocf:test:ours" => ("folder", world.text("agent")),
            _ => ("state", world.text("agent/state")),
        };
        let (driver, changes) = driver(&world);
        Self {
            world,
            driver: Some(driver),
            changes,
            name,
            parameter,
            said: Cell::new(None),
        }
    }

    fn config(&self, role: Role) -> ProcessConfig {
        ProcessConfig {
            agent: Some(Box::new(AgentConfig {
                name: self.name.to_owned(),
                parameters: [(self.parameter.0.to_owned(), self.parameter.1.clone())].into(),
                copies: Some(3),
                role: Some(role),
                ..AgentConfig::default()
            })),
            readiness: asked_every(20, 10_000),
            health: asked_every(50, 5000),
            ..config(&[])
        }
    }

    fn driver(&self) -> &ProcessDriver {
        self.driver.as_ref().unwrap()
    }

    fn start(&self) {
        let config = self.config(Role::Unpromoted);
        self.driver()
            .start(&COPY.into(), &config, SINCE, deadline_in(LONG_MS));
        self.until(COPY, &InstanceChange::Started);
    }

    fn promote(&self, lease_ms: u64) -> u64 {
        let config = self.config(Role::Promoted);
        let deadline = deadline_in(lease_ms);
        self.driver().start(&ROLE.into(), &config, SINCE, deadline);
        deadline
    }

    fn promoted(&self) {
        self.promote(LONG_MS);
        self.until(ROLE, &InstanceChange::Started);
    }

    fn stop(&self, resource: &str, grace_ms: u64) {
        let grace = Micros::from_millis(grace_ms);
        self.driver().stop(&resource.into(), grace);
    }

    /// Another value of a parameter that can be taken over.
    fn reconfigure(&self, live: &str) {
        for (resource, role) in [(COPY, Role::Unpromoted), (ROLE, Role::Promoted)] {
            let mut config = self.config(role);
            if let Some(agent) = &mut config.agent {
                agent.parameters.insert("live".to_owned(), live.to_owned());
                agent.reloadable = ["live".to_owned()].into();
            }
            self.driver().reconfigure(&resource.into(), &config);
        }
    }

    fn restart_driver(&mut self) {
        self.driver = None;
        let (driver, changes) = driver(&self.world);
        (self.driver, self.changes) = (Some(driver), changes);
    }

    /// What is told next, but for scores.
    fn next(&self) -> (String, InstanceChange) {
        loop {
            let told = self.changes.recv_timeout(PATIENCE);
            let (resource, change) = told.unwrap_or_else(|_| panic!("nothing is told"));
            match change {
                InstanceChange::Promotion(score) => self.said.set(score),
                // A check may see the end of the runner before the keeper has said what it was.
                InstanceChange::Unhealthy(why) if why.contains("its runner ") => {}
                change => return (resource.to_string(), change),
            }
        }
    }

    fn until(&self, resource: &str, change: &InstanceChange) {
        let (of, told) = self.next();
        assert_eq!((of.as_str(), &told), (resource, change));
    }

    /// Waits until the copy's score is this one.
    fn score(&self, score: Option<i64>) {
        while self.said.get() != score {
            match self.changes.recv_timeout(PATIENCE) {
                Ok((_, InstanceChange::Promotion(said))) => self.said.set(said),
                other => panic!("{other:?}, and the score is {:?}", self.said.get()),
            }
        }
    }

    fn script(&self, action: &str, text: &str) {
        agents::script(&self.world, action, text);
    }

    fn actions(&self) -> Vec<String> {
        let all = agents::actions(&self.world).into_iter();
        all.filter(|action| action != "monitor").collect()
    }

    fn env(&self, action: &str) -> String {
        fs::read_to_string(self.world.path(&format!("agent/env-{action}"))).unwrap()
    }

    fn is_promoted(&self) -> bool {
        self.world.path("agent/promoted").exists()
    }
}

fn driver(world: &World) -> (ProcessDriver, Receiver<(ResourceId, InstanceChange)>) {
    let (sender, changes) = channel();
    let settings = settings(world.folder.path(), &world.group);
    let driver = ProcessDriver::new(settings, move |resource, change| {
        sender.send((resource, change)).ok();
    });
    (driver.unwrap(), changes)
}

fn why(change: InstanceChange) -> String {
    match change {
        InstanceChange::StartFailed(why)
        | InstanceChange::Exited(why)
        | InstanceChange::AgentFailed { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn debians_stateful_agents_are_promoted_and_demoted_and_say_their_score() {
    for name in ["ocf:heartbeat:Stateful", "ocf:pacemaker:Stateful"] {
        let test = name.replace(':', "-");
        let db = Db::new(&test, name);
        let state = || fs::read_to_string(db.world.path("agent/state")).unwrap_or_default();
        db.start();
        let unpromoted = state();
        db.score(Some(5));
        db.promoted();
        assert_ne!(state(), unpromoted, "{name}");
        db.score(Some(10));
        db.stop(ROLE, 10_000);
        db.until(ROLE, &InstanceChange::Stopped);
        assert_eq!(state(), unpromoted, "{name}");
        db.score(Some(5));
        db.promoted();
        db.stop(COPY, 10_000);
        db.until(ROLE, &InstanceChange::Stopped);
        db.until(COPY, &InstanceChange::Stopped);
        assert_eq!(state(), "", "{name}");
        db.world.wait_clean();
    }
}

#[test]
fn an_agent_is_told_its_role_and_called_in_order() {
    let db = Db::new("order", "ocf:test:ours");
    db.start();
    assert_eq!(db.actions(), ["start"]);
    for (name, value) in [
        ("CRM_meta_promotable", "true"),
        ("CRM_meta_promoted_max", "1"),
        ("CRM_meta_master_max", "1"),
        ("CRM_meta_clone_max", "3"),
        ("CRM_meta_notify", "false"),
    ] {
        let line = format!("OCF_RESKEY_{name}={value}\n");
        assert!(db.env("start").contains(&line), "{line}");
    }
    wait_until("a check of an unpromoted copy", || {
        db.env("monitor").contains("CRM_meta_role=Unpromoted\n")
    });
    db.promoted();
    assert!(db.is_promoted());
    wait_until("a check of a promoted copy", || {
        db.env("monitor").contains("CRM_meta_role=Promoted\n")
    });
    db.stop(ROLE, 5000);
    db.until(ROLE, &InstanceChange::Stopped);
    assert!(!db.is_promoted());
    db.score(Some(5));
    db.promoted();
    db.stop(COPY, 5000);
    db.until(ROLE, &InstanceChange::Stopped);
    db.until(COPY, &InstanceChange::Stopped);
    let all = ["start", "promote", "demote", "promote", "demote", "stop"];
    assert_eq!(db.actions(), all);
    db.world.wait_clean();
}

#[test]
fn without_its_copy_nothing_is_promoted() {
    let db = Db::new("alone", "ocf:test:ours");
    db.promote(LONG_MS);
    let (resource, change) = db.next();
    assert_eq!(resource, ROLE);
    assert_eq!(why(change), "db:alpha does not run here");
    assert_eq!(db.actions(), Vec::<String>::new());
    db.driver().probe(&ROLE.into(), &db.config(Role::Promoted));
    db.until(ROLE, &InstanceChange::Stopped);
}

/// The end of the role's lease ends the copy, whose own goes on: nobody but the keeper is there to do it.
#[test]
fn the_kernel_ends_a_promoted_copy_with_the_lease_of_its_role() {
    let mut db = Db::new("lease", "ocf:test:ours");
    db.start();
    let deadline = db.promote(1500);
    db.until(ROLE, &InstanceChange::Started);
    db.driver().extend(&COPY.into(), deadline_in(LONG_MS));
    db.driver = None;
    let pid = db.world.service_pid();
    wait_until("its end", || !support::is_alive(pid));
    let late = boot_now().saturating_sub(deadline);
    assert!(boot_now() >= deadline && late < 300_000, "{late} µs late");
    // Who comes next finds nothing.
    db.restart_driver();
    db.driver()
        .probe(&COPY.into(), &db.config(Role::Unpromoted));
    db.until(COPY, &InstanceChange::Stopped);
    db.driver().probe(&ROLE.into(), &db.config(Role::Promoted));
    db.until(ROLE, &InstanceChange::Stopped);
}

#[test]
fn both_leases_are_extended_together_and_a_demoted_copy_has_its_own_again() {
    let db = Db::new("extend", "ocf:test:ours");
    db.start();
    let deadline = db.promote(1500);
    db.until(ROLE, &InstanceChange::Started);
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(200));
        for resource in [COPY, ROLE] {
            db.driver().extend(&resource.into(), deadline_in(1500));
        }
    }
    db.stop(ROLE, 5000);
    db.until(ROLE, &InstanceChange::Stopped);
    db.driver().extend(&COPY.into(), deadline_in(LONG_MS));
    let rest = (deadline + 2_500_000).saturating_sub(boot_now());
    std::thread::sleep(Duration::from_micros(rest));
    db.stop(COPY, 5000);
    db.until(COPY, &InstanceChange::Stopped);
}

#[test]
fn a_successor_of_this_program_finds_it_promoted_and_under_the_same_lease() {
    let mut db = Db::new("adopted", "ocf:test:ours");
    db.start();
    let deadline = db.promote(4000);
    db.until(ROLE, &InstanceChange::Started);
    db.restart_driver();
    // In the order of the names, and in the other one: both are asked for.
    db.driver().probe(&ROLE.into(), &db.config(Role::Promoted));
    db.driver()
        .probe(&COPY.into(), &db.config(Role::Unpromoted));
    db.score(Some(10));
    let found = InstanceChange::Adopted {
        since: SINCE,
        deadline,
    };
    db.until(COPY, &found);
    db.until(ROLE, &found);
    // The copy's lease alone is not enough.
    db.driver().extend(&COPY.into(), deadline_in(LONG_MS));
    db.until(ROLE, &InstanceChange::LeaseEnded);
    db.until(COPY, &InstanceChange::LeaseEnded);
    assert!(boot_now() < deadline + 500_000);
}

#[test]
fn what_cannot_be_promoted_is_demoted_and_its_copy_goes_on() {
    let db = Db::new("not-promoted", "ocf:test:ours");
    db.script(
        "promote",
        "touch $d/promoted; echo 'ocf-exit-reason:no log to replay' >&2; exit 6",
    );
    db.start();
    db.promote(LONG_MS);
    let (resource, change) = db.next();
    assert_eq!(resource, ROLE);
    let failed = "ocf:test:ours promote: not configured (6): no log to replay";
    let told = InstanceChange::AgentFailed {
        code: 6,
        why: failed.to_owned(),
    };
    assert_eq!(change, told);
    assert!(!db.is_promoted());
    // One that says it is promoted and is not.
    db.script("promote", "exit 0");
    db.promote(LONG_MS);
    let (_, change) = db.next();
    assert_eq!(why(change), "ocf:test:ours monitor: success (0)");
    db.stop(COPY, 5000);
    db.until(COPY, &InstanceChange::Stopped);
}

#[test]
fn what_cannot_be_demoted_ends_with_its_copy() {
    for (test, script) in [
        ("fails", "exit 1"),
        ("lies", "exit 0"),
        ("hangs", "sleep 1000"),
    ] {
        let db = Db::new(test, "ocf:test:ours");
        db.start();
        db.promoted();
        db.script("demote", script);
        let pid = db.world.service_pid();
        db.stop(ROLE, 600);
        db.until(ROLE, &InstanceChange::Stopped);
        assert!(!support::is_alive(pid), "{test}: told after its end");
        let (resource, change) = db.next();
        assert_eq!(resource, COPY);
        let why = why(change);
        assert!(
            why.contains("demote") || why.contains("monitor"),
            "{test}: {why}"
        );
        db.world.wait_clean();
    }
}

#[test]
fn an_agent_that_does_not_even_let_its_runner_demote_is_killed() {
    let db = Db::new("stopped-runner", "ocf:test:ours");
    db.start();
    db.promoted();
    support::send(db.world.service_pid(), rustix::process::Signal::STOP);
    db.stop(ROLE, 100);
    db.until(ROLE, &InstanceChange::Stopped);
    let (resource, _) = db.next();
    assert_eq!(resource, COPY);
}

#[test]
fn who_is_not_promoted_any_more_has_lost_the_role_and_who_is_unasked_is_demoted() {
    let db = Db::new("unasked", "ocf:test:ours");
    db.start();
    fs::write(db.world.path("agent/promoted"), "").unwrap();
    wait_until("it is demoted", || !db.is_promoted());
    assert_eq!(db.actions(), ["start", "demote"]);
    db.promoted();
    fs::remove_file(db.world.path("agent/promoted")).unwrap();
    let (resource, change) = db.next();
    assert_eq!(resource, ROLE);
    assert!(why(change).contains("is not promoted any more"));
    db.promoted();
    db.stop(COPY, 5000);
    db.until(ROLE, &InstanceChange::Stopped);
    db.until(COPY, &InstanceChange::Stopped);
}

#[test]
fn a_promoted_copy_that_crashes_takes_its_role_along() {
    let db = Db::new("crash", "ocf:test:ours");
    db.start();
    db.promoted();
    fs::remove_file(db.world.path("agent/running")).unwrap();
    let (resource, change) = db.next();
    assert_eq!(resource, COPY);
    assert!(matches!(change, InstanceChange::Unhealthy(_)), "{change:?}");
    // As the core does it then.
    db.stop(ROLE, 5000);
    db.until(ROLE, &InstanceChange::Stopped);
    db.stop(COPY, 5000);
    db.until(COPY, &InstanceChange::Stopped);
}

/// What concerns the role does not wait for parameters that are being taken over; they come after it.
#[test]
fn a_promoted_copy_takes_parameters_over_and_stays_promoted() {
    let db = Db::new("reload", "ocf:test:ours");
    db.start();
    db.promoted();
    db.reconfigure("b");
    db.until(COPY, &InstanceChange::Reloaded);
    assert!(db.is_promoted());
    assert!(db.env("reload-agent").contains("OCF_RESKEY_live=b\n"));
    let hangs = "[ -e \"$d/free\" ] || { touch \"$d/hangs\"; exec sleep 1000; }";
    db.script("reload-agent", hangs);
    db.reconfigure("c");
    let hung = db.world.path("agent/hangs");
    wait_until("it hangs", || hung.exists());
    db.world.touch("agent/free");
    db.stop(ROLE, 10_000);
    // Each is heard by a thread of its own.
    let told = [db.next(), db.next()];
    for (resource, change) in [
        (ROLE, InstanceChange::Stopped),
        (COPY, InstanceChange::Reloaded),
    ] {
        assert!(told.contains(&(resource.to_owned(), change)), "{told:?}");
    }
    assert!(!db.is_promoted());
    let actions = [
        "start",
        "promote",
        "reload-agent",
        "reload-agent",
        "demote",
        "reload-agent",
    ];
    assert_eq!(db.actions(), actions);
    assert!(db.env("reload-agent").contains("OCF_RESKEY_live=c\n"));
}

/// Longer than who finds it waits for its role, and longer than a check may take.
#[test]
fn a_successor_of_this_program_finds_it_promoted_in_the_middle_of_a_long_reload() {
    let mut db = Db::new("reload-long", "ocf:test:ours");
    db.start();
    db.promoted();
    let once = "[ -e \"$d/reloads\" ] || { touch \"$d/reloads\"; sleep 8; }";
    db.script("reload-agent", once);
    db.reconfigure("b");
    let reloads = db.world.path("agent/reloads");
    wait_until("it reloads", || reloads.exists());
    db.restart_driver();
    db.driver().probe(&ROLE.into(), &db.config(Role::Promoted));
    db.driver()
        .probe(&COPY.into(), &db.config(Role::Unpromoted));
    let mut found = [db.next(), db.next()].map(|(resource, change)| {
        assert!(
            matches!(change, InstanceChange::Adopted { .. }),
            "{change:?}"
        );
        resource
    });
    found.sort();
    assert_eq!(found, [COPY, ROLE]);
    db.reconfigure("c");
    db.until(COPY, &InstanceChange::Reloaded);
    assert!(db.is_promoted());
    let actions = ["start", "promote", "reload-agent", "reload-agent"];
    assert_eq!(db.actions(), actions);
}

#[test]
fn an_heir_is_promoted_before_it_takes_parameters_over() {
    let db = Db::new("reload-heir", "ocf:test:ours");
    db.start();
    let hangs = "[ -e \"$d/free\" ] || { touch \"$d/hangs\"; exec sleep 1000; }";
    db.script("reload-agent", hangs);
    db.reconfigure("b");
    let hung = db.world.path("agent/hangs");
    wait_until("it hangs", || hung.exists());
    db.world.touch("agent/free");
    db.promote(LONG_MS);
    let told = [db.next(), db.next()];
    for (resource, change) in [
        (ROLE, InstanceChange::Started),
        (COPY, InstanceChange::Reloaded),
    ] {
        assert!(told.contains(&(resource.to_owned(), change)), "{told:?}");
    }
    let actions = ["start", "reload-agent", "promote", "reload-agent"];
    assert_eq!(db.actions(), actions);
}
