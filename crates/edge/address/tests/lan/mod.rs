//! A small network of namespaces on one bridge, made and removed by the test that uses it.
//!
//! Host `i` (from 0) has `eth0` with MAC `02:00:00:00:00:0(i+1)`, `10.77.0.(i+1)/24` and `fd77::(i+1)/64`.
#![allow(dead_code, reason = "every test file uses another part of it")]
#![allow(unreachable_pub, reason = "shared by the test files")]

use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

static COUNTER: AtomicU32 = AtomicU32::new(0);

pub struct Lan {
    prefix: String,
    hosts: usize,
}

impl Lan {
    pub fn new(hosts: usize) -> Self {
        let prefix = format!(
            "sfa{}-{}",
            std::process::id(),
            COUNTER.fetch_add(1, Ordering::Relaxed)
        );
        let lan = Self { prefix, hosts: 0 };
        let switch = lan.switch();
        run("ip", &["netns", "add", &switch]);
        lan.on_switch("ip link set lo up; ip link add br0 type bridge; ip link set br0 up");
        let mut lan = lan;
        for _ in 0..hosts {
            lan.add_host();
        }
        lan
    }

    pub fn add_host(&mut self) -> usize {
        let index = self.hosts;
        self.hosts += 1;
        let (name, switch, n) = (self.name(index), self.switch(), index + 1);
        run("ip", &["netns", "add", &name]);
        self.on_switch(&format!(
            "ip link add p{index} type veth peer name eth0 netns {name} address 02:00:00:00:00:{n:02x};
             ip link set p{index} master br0; ip link set p{index} up"
        ));
        let _ = switch;
        self.on(
            index,
            &format!(
                "ip link set lo up; sysctl -qw net.ipv6.conf.eth0.accept_dad=0; ip link set eth0 up;
                 ip addr add 10.77.0.{n}/24 dev eth0; ip addr add fd77::{n}/64 dev eth0 nodad"
            ),
        );
        index
    }

    pub fn name(&self, host: usize) -> String {
        format!("{}-h{host}", self.prefix)
    }

    fn switch(&self) -> String {
        format!("{}-sw", self.prefix)
    }

    /// Runs a shell script on a host and returns what it prints.
    pub fn on(&self, host: usize, script: &str) -> String {
        run(
            "ip",
            &["netns", "exec", &self.name(host), "sh", "-ec", script],
        )
    }

    pub fn on_switch(&self, script: &str) -> String {
        run(
            "ip",
            &["netns", "exec", &self.switch(), "sh", "-ec", script],
        )
    }

    /// Moves the calling thread onto a host.
    pub fn enter(&self, host: usize) {
        enter(&self.name(host));
    }

    /// Runs a closure on a host in a thread of its own.
    pub fn spawn<T: Send + 'static>(
        &self,
        host: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let name = self.name(host);
        std::thread::spawn(move || {
            enter(&name);
            work()
        })
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for host in 0..self.hosts {
            drop(
                Command::new("ip")
                    .args(["netns", "del", &self.name(host)])
                    .status(),
            );
        }
        drop(
            Command::new("ip")
                .args(["netns", "del", &self.switch()])
                .status(),
        );
    }
}

fn enter(name: &str) {
    let file = File::open(format!("/run/netns/{name}")).unwrap();
    rustix::thread::move_into_link_name_space(
        std::os::fd::AsFd::as_fd(&file),
        Some(rustix::thread::LinkNameSpaceType::Network),
    )
    .unwrap();
}

pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}
