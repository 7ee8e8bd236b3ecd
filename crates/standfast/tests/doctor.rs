//! The doctor finds what is really wrong with a machine: an address and a process that nobody manages, a key
//! that others may read.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command},
};
use support::Node;

/// Of 127.0.0.0/8, which reaches this machine only.
const ADDRESS: &str = "127.0.78.1";

/// An address on the loopback interface; dropped, it is gone.
struct Address;

impl Address {
    fn change(verb: &str) {
        let address = format!("{ADDRESS}/32");
        Command::new("ip")
            .args(["address", verb, &address, "dev", "lo"])
            .output()
            .expect("ip");
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        Self::change("del");
    }
}

/// A process in a control group that no agent made; dropped, both are gone.
struct Stray {
    group: PathBuf,
    process: Child,
}

impl Stray {
    fn new(node: &Node) -> Self {
        let hierarchy = standfast_guard::cgroup::find_hierarchy().expect("cgroup2");
        let group = hierarchy.join(&node.cgroup).join("ghost.1f");
        fs::create_dir_all(&group).expect("group");
        let process = Command::new("sleep").arg("1000").spawn().expect("sleep");
        fs::write(group.join("cgroup.procs"), process.id().to_string()).expect("moved");
        Self { group, process }
    }
}

impl Drop for Stray {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        fs::remove_dir(&self.group).ok();
    }
}

#[test]
fn what_nobody_manages_is_found_and_what_is_mended_is_not() {
    let mut node = Node::new("doctor");
    node.start();
    let resources = format!(
        "[groups.site]\nmembers = [\"ip\"]\nmaintenance = true\n[resources.ip]\nkind = \"vip\"\naddresses = [\"{ADDRESS}/32\"]\ninterface = \"lo\"\n"
    );
    let file = node.write("cluster.toml", &resources);
    node.ok(&["apply", &file]);
    node.wait_for("plan", |node| node.ask(&["explain", "site"]).code == 0);
    let critical = |node: &Node| {
        let said = node.ask(&["doctor"]).out;
        let lines = said.lines().filter(|line| line.starts_with("CRITICAL"));
        lines.map(str::to_owned).collect::<Vec<String>>()
    };
    assert_eq!(critical(&node), Vec::<String>::new());

    Address::change("add");
    let address = Address;
    let stray = Stray::new(&node);
    let key = node.path("state/pki/node.key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("mode");
    let found = critical(&node).join("\n");
    for says in [
        "addresses: 127.0.78.1 of ip is on lo of this machine, which does not run it",
        "ghost.1f still has processes",
        "node.key may be read by others than its owner (mode 644)",
    ] {
        assert!(found.contains(says), "{says} in\n{found}");
    }

    drop((address, stray));
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("mode");
    assert_eq!(critical(&node), Vec::<String>::new());
}
