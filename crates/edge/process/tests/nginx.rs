//! A real nginx, run by Debian's agent: it serves, its crash is noticed, and the keeper ends it with the lease.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail like the test itself"
)]

mod support;

use rustix::process::Signal;
use standfast_model::{
    config::{AgentConfig, CheckConfig, CheckKind, DeepMonitor, ProcessConfig},
    event::InstanceChange,
    time::Micros,
};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
    time::Duration,
};
use support::{World, config, deadline_in, is_alive, send, wait_until};

/// A world with the machine's agents, and an nginx of its own on a port that was free a moment ago.
fn nginx(test: &str) -> (World, ProcessConfig, String) {
    let world = World::new(test);
    symlink("/usr/lib/ocf", world.path("ocf")).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let folder = world.folder.path().display().to_string();
    let text = format!(
        "pid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nworker_processes 1;\nuser root;\n\
         events {{ }}\nhttp {{\naccess_log off;\n\
         client_body_temp_path {folder}/b;\nproxy_temp_path {folder}/p;\nfastcgi_temp_path {folder}/f;\n\
         uwsgi_temp_path {folder}/u;\nscgi_temp_path {folder}/s;\n\
         server {{ listen {address}; location / {{ return 200 \"here\"; }} }}\n}}\n"
    );
    fs::write(world.path("nginx.conf"), text).unwrap();
    let check = |interval| {
        Some(CheckConfig {
            probe: CheckKind::Agent,
            interval: Micros::from_millis(interval),
            timeout: Micros::from_millis(15_000),
            failures: 1,
        })
    };
    let parameters = [("configfile".to_owned(), world.text("nginx.conf"))];
    let config = ProcessConfig {
        agent: Some(Box::new(AgentConfig {
            name: "ocf:heartbeat:nginx".to_owned(),
            parameters: parameters.into(),
            ..AgentConfig::default()
        })),
        readiness: check(50),
        health: check(3_600_000),
        // Its numbers are to be known here.
        private_pids: false,
        ..config(&[])
    };
    (world, config, address)
}

fn get(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

fn master(world: &World) -> u32 {
    fs::read_to_string(world.path("nginx.pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

#[test]
fn the_lease_ends_a_real_nginx() {
    let (world, config, address) = nginx("nginx-lease");
    world.start_ready(&config);
    assert!(get(&address).unwrap().ends_with("here"));
    let pid = master(&world);
    assert!(is_alive(pid));
    world.driver().extend(&world.resource, deadline_in(200));
    assert_eq!(world.next(), InstanceChange::LeaseEnded);
    assert!(!is_alive(pid));
    assert!(TcpStream::connect(&address).is_err());
    world.wait_clean();
    // It left the number of its process behind. The next start is not misled by it.
    assert!(world.path("nginx.pid").exists());
    world.start_ready(&config);
    assert!(get(&address).unwrap().ends_with("here"));
    assert_ne!(master(&world), pid);
}

#[test]
fn a_real_nginx_that_crashes_is_noticed_and_one_that_is_stopped_is_gone() {
    let (world, config, address) = nginx("nginx-crash");
    world.start_ready(&config);
    send(master(&world), Signal::KILL);
    match world.next() {
        InstanceChange::AgentFailed { code: 7, why } => {
            assert!(why.contains("ocf:heartbeat:nginx monitor"), "{why}")
        }
        other => panic!("{other:?}"),
    }
    // Its workers held the port.
    assert!(TcpStream::connect(&address).is_err());
    world.wait_clean();
    world.start_ready(&config);
    let pid = master(&world);
    world.stop(20_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert!(!is_alive(pid));
    wait_until("the agent stopped it", || !world.path("nginx.pid").exists());
}

/// The agent's own meaning of depth 10: its status page is asked for.
#[test]
fn a_status_page_that_is_gone_is_found_by_a_deep_monitor_only() {
    let (world, mut config, address) = nginx("nginx-deep");
    let file = world.path("nginx.conf");
    let text = fs::read_to_string(&file).unwrap();
    let page = "location /nginx_status { stub_status; } location / {";
    fs::write(&file, text.replace("location / {", page)).unwrap();
    config.health = Some(CheckConfig {
        probe: CheckKind::Agent,
        interval: Micros::from_millis(100),
        timeout: Micros::from_millis(15_000),
        failures: 1,
    });
    if let Some(agent) = &mut config.agent {
        let url = format!("http://{address}/nginx_status");
        agent.parameters.insert("status10url".to_owned(), url);
        agent.monitors = vec![DeepMonitor {
            depth: 10,
            interval: Micros::from_millis(200),
            timeout: Micros::from_millis(15_000),
            failures: 1,
        }];
    }
    world.start_ready(&config);
    world.assert_silence(2000);
    fs::write(&file, text).unwrap();
    send(master(&world), Signal::HUP);
    match world.next() {
        InstanceChange::Unhealthy(why) => assert!(
            why.starts_with(
                "a health check failed: ocf:heartbeat:nginx monitor of depth 10: error (1)"
            ),
            "{why}"
        ),
        other => panic!("{other:?}"),
    }
    assert!(
        get(&address).unwrap().ends_with("here"),
        "it answers all the same"
    );
}

#[test]
fn process_numbers_of_its_own_are_no_trouble() {
    let (world, mut config, address) = nginx("nginx-private");
    config.private_pids = true;
    world.start_ready(&config);
    let number = master(&world);
    assert!(get(&address).unwrap().ends_with("here"));
    // Numbers do not begin anew with every namespace: a file of an earlier run names nobody.
    assert!(number >= 1000, "{number}");
    world.stop(20_000);
    assert_eq!(world.next(), InstanceChange::Stopped);
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn what_nginx_itself_says_of_a_wrong_file_is_told() {
    let (world, mut config, _) = nginx("nginx-wrong");
    fs::write(world.path("nginx.conf"), "nonsense;\n").unwrap();
    config.start_timeout = Micros::from_millis(15_000);
    world.start(&config, 60_000);
    match world.next() {
        InstanceChange::AgentFailed { why, .. } => {
            assert!(why.starts_with("ocf:heartbeat:nginx start: "), "{why}")
        }
        other => panic!("{other:?}"),
    }
    world.wait_clean();
}
