//! The network guard on the real kernel: what it cuts, when, and for how long.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail like the test itself"
)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use standfast_guard::cgroup::{Cgroup, find_hierarchy};
use standfast_guard::clock::boot_now_ns;
use standfast_guard::network::NetworkError;
use standfast_guard::{ExtendError, LeaseState, NetworkGuard, Reason};
use support::{MS, PROGRAM, World, wait_until};

/// A server that answers with its time, inside a control group, killed with the value.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(world: &World, group: &Cgroup) -> Self {
        let port_file = world.path("port");
        fs::write(&port_file, "").unwrap();
        let line = format!(
            "echo 0 > {}/cgroup.procs; exec {PROGRAM} answer {}",
            group.dir().display(),
            port_file.display()
        );
        let process = Command::new("sh").args(["-c", &line]).spawn().unwrap();
        wait_until("the server listens", || {
            !fs::read(&port_file).unwrap().is_empty()
        });
        Self {
            process,
            port: fs::read_to_string(port_file).unwrap().parse().unwrap(),
        }
    }

    fn connect(&self) -> TcpStream {
        let connection =
            TcpStream::connect_timeout(&([127, 0, 0, 1], self.port).into(), Duration::from_secs(2))
                .unwrap();
        connection.set_nodelay(true).unwrap();
        connection
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        connection
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn group(world: &World) -> Cgroup {
    Cgroup::create(&find_hierarchy().unwrap(), world.group.as_ref(), "net").unwrap()
}

/// The time at which the server gave its answer, if one comes.
fn ask(connection: &mut TcpStream) -> Option<u64> {
    let mut time = [0; 8];
    connection.write_all(b"x").ok()?;
    connection.read_exact(&mut time).ok()?;
    Some(u64::from_ne_bytes(time))
}

/// The time of the last answer until well after the deadline. A missing answer on a busy machine is asked for again.
fn last_answer(connection: &mut TcpStream, deadline: u64) -> u64 {
    let mut last = 0;
    while boot_now_ns() < deadline + 200 * MS {
        last = ask(connection).unwrap_or(last);
    }
    last
}

/// Never later than the deadline; and not much earlier either, though a busy machine may keep the server waiting.
fn assert_cut_at(deadline: u64, last: u64) {
    assert!(
        (deadline - 500 * MS..deadline + MS).contains(&last),
        "{} ns",
        last.cast_signed() - deadline.cast_signed()
    );
}

#[test]
fn is_born_closed_and_cuts_an_established_connection_at_the_deadline() {
    let world = World::new("cut");
    let group = group(&world);
    let guard = NetworkGuard::attach(group.dir()).unwrap();
    assert_eq!(guard.state(), LeaseState::Unset);
    let server = Server::start(&world, &group);
    let refused = TcpStream::connect_timeout(
        &([127, 0, 0, 1], server.port).into(),
        Duration::from_millis(50),
    );
    assert!(refused.is_err(), "a guard is born closed");
    let first = boot_now_ns() + 1_000 * MS;
    guard.lease().arm(first).unwrap();
    let mut connection = server.connect();
    assert!(ask(&mut connection).is_some());
    // Extended by one store, twice: the first deadline passes unnoticed.
    let deadline = first + 500 * MS;
    guard.extend(deadline).unwrap();
    assert_cut_at(deadline, last_answer(&mut connection, deadline));
    let refused = TcpStream::connect_timeout(
        &([127, 0, 0, 1], server.port).into(),
        Duration::from_millis(50),
    );
    assert!(refused.is_err(), "no new connections either");
    // What has expired stays so.
    assert_eq!(
        guard.extend(boot_now_ns() + 60_000 * MS),
        Err(ExtendError::Expired)
    );
    assert_eq!(ask(&mut connection), None);
}

#[test]
fn outlives_its_loader_and_is_found_again() {
    let world = World::new("loader");
    let group = group(&world);
    let loader = Command::new(PROGRAM)
        .args(["attach", group.dir().to_str().unwrap(), "2000"])
        .stdout(Stdio::piped())
        .output();
    let loader = loader.unwrap();
    assert!(loader.status.success());
    let deadline: u64 = String::from_utf8(loader.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    // The loader is dead and nothing else holds program or map.
    let server = Server::start(&world, &group);
    let mut connection = server.connect();
    assert!(ask(&mut connection).is_some());
    let guard = NetworkGuard::open(group.dir()).unwrap();
    assert_eq!(guard.state(), LeaseState::Until(deadline));
    let twice = NetworkGuard::attach(group.dir());
    assert!(
        matches!(twice, Err(NetworkError::AlreadyAttached(_))),
        "{twice:?}"
    );
    guard.extend(deadline + 300 * MS).unwrap();
    drop(guard);
    let deadline = deadline + 300 * MS;
    assert_cut_at(deadline, last_answer(&mut connection, deadline));
}

#[test]
fn a_group_without_a_guard_has_none_to_open() {
    let world = World::new("none");
    let group = group(&world);
    let opened = NetworkGuard::open(group.dir());
    assert!(
        matches!(opened, Err(NetworkError::NotAttached(_))),
        "{opened:?}"
    );
}

#[test]
fn cuts_a_service_whose_keeper_is_stopped() {
    let world = World::new("stopped");
    let port_file = world.path("port");
    let (_handle, deadline) = world.spawn(
        &world.spec(&[PROGRAM, "answer", port_file.to_str().unwrap()]),
        1_500,
    );
    let status = world.wait_running();
    wait_until("the server listens", || {
        fs::read_to_string(&port_file).is_ok_and(|port| !port.is_empty())
    });
    let keeper =
        rustix::process::Pid::from_raw(status.keeper.unwrap().pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(keeper, rustix::process::Signal::STOP).unwrap();
    let port: u16 = fs::read_to_string(&port_file).unwrap().parse().unwrap();
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.set_nodelay(true).unwrap();
    connection
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    assert_cut_at(deadline, last_answer(&mut connection, deadline));
    rustix::process::kill_process(keeper, rustix::process::Signal::CONT).unwrap();
    assert_eq!(world.wait_ended().0, Reason::LeaseExpired);
}
