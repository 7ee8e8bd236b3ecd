//! A real agent with a resource whose agent takes changed parameters over while it runs: Debian's Dummy of Pacemaker, which writes
//! down each call with what it was given, and a changed copy of it whose `reload-agent` fails.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use std::{fs, os::unix::fs::PermissionsExt as _};
use support::Node;

const AGENTS: &str = "/usr/lib/ocf/resource.d/pacemaker";

/// Its configuration: where it keeps that it runs, and `fake`, which it can take over.
fn dummy(node: &Node, state: &str, more: &str) -> String {
    let text = format!(
        "[timing]\nlease_ms = 10000\n[resources.web]\nkind = \"ocf\"\nagent = \"ocf:pacemaker:Dummy\"\neffects = \"processes\"\n\
         monitor_interval_ms = 500\n\
         parameters = {{ state = \"{}\", envfile = \"{}\", {more} }}\n",
        node.path(state),
        node.path("calls")
    );
    node.write(&format!("{state}.toml"), &text)
}

/// How often it was called for this, with this value of `fake`.
fn calls(node: &Node, action: &str, fake: &str) -> usize {
    let text = fs::read_to_string(node.path("calls")).unwrap_or_default();
    let calls = text.split("### ").filter(|call| {
        let begins = call.starts_with(&format!("{action} @"));
        begins && call.contains(&format!("OCF_RESKEY_fake={fake}\n"))
    });
    calls.count()
}

fn is_active(node: &Node) -> bool {
    node.ask(&["status"]).out.contains("alpha  active")
}

fn taken_over(node: &Node) -> usize {
    let text = "web on alpha has taken over its changed parameters, without a restart";
    node.ok(&["history"]).matches(text).count()
}

fn starts(node: &Node) -> usize {
    let text = fs::read_to_string(node.path("calls")).unwrap_or_default();
    text.matches("### start @").count()
}

#[test]
fn an_agent_of_debian_takes_over_what_it_says_it_can() {
    let mut node = Node::new("reload");
    node.start();
    node.ok(&["apply", &dummy(&node, "one", "fake = \"first\"")]);
    node.wait_for("a start", is_active);

    let file = dummy(&node, "one", "fake = \"second\"");
    let plan = node.ok(&["plan", &file]);
    for line in [
        "none: nothing is started or stopped",
        "web on alpha: its agent takes over fake (reload-agent), without a restart",
    ] {
        assert!(plan.contains(line), "{plan}");
    }
    assert!(!plan.contains("Interrupted"), "{plan}");
    node.ok(&["apply", &file]);
    node.wait_for("a reload", |node| taken_over(node) == 1);
    node.wait_for("a monitor with the new value", |node| {
        calls(node, "monitor", "second") > 0
    });
    assert_eq!(
        (calls(&node, "reload-agent", "second"), starts(&node)),
        (1, 1)
    );

    // The agent of this node is killed while the resource's agent takes something over. `op_sleep` makes that take a while.
    let slow = "fake = \"third\", op_sleep = \"2\"";
    node.ok(&["apply", &dummy(&node, "one", slow)]);
    node.wait_for("the beginning of a reload", |node| {
        calls(node, "reload-agent", "third") == 1
    });
    let mut agent = node.agent.take().expect("agent");
    agent.kill().expect("killed");
    agent.wait().expect("ended");
    node.start();
    node.wait_for("the word of it", |node| {
        is_active(node) && taken_over(node) == 2
    });
    assert_eq!(
        (calls(&node, "reload-agent", "third"), starts(&node)),
        (1, 1)
    );

    // It is killed before it could tell anybody: the next run finds out by itself.
    let last = dummy(&node, "one", "fake = \"fourth\"");
    node.ok(&["apply", &last]);
    let mut agent = node.agent.take().expect("agent");
    agent.kill().expect("killed");
    agent.wait().expect("ended");
    node.start();
    node.wait_for("the last value", |node| {
        is_active(node) && calls(node, "monitor", "fourth") > 0
    });
    assert_eq!(starts(&node), 1);

    // Together with what it cannot take over.
    let other = dummy(&node, "other", "fake = \"fifth\"");
    let plan = node.ok(&["plan", &other]);
    assert!(
        plan.contains("Interrupted") && !plan.contains("takes over"),
        "{plan}"
    );
    node.ok(&["apply", &other]);
    node.wait_for("another start", |node| {
        calls(node, "start", "fifth") == 1 && is_active(node)
    });
    assert_eq!(calls(&node, "reload-agent", "fifth"), 0);
    assert!(
        !fs::exists(node.path("one")).expect("a folder"),
        "it was stopped where it was"
    );
    let history = node.ok(&["history"]);
    assert!(!history.contains("web failed"), "{history}");
    node.ok(&["apply", &node.write("without.toml", "")]);
    node.wait_for("its stop", |node| calls(node, "stop", "fifth") == 1);
}

/// Agents of this thread's own in the place of Pacemaker's, for it and for all that it starts: a Dummy whose `reload-agent`
/// does this.
fn own_agents(node: &Node, reload: &str) {
    let text = fs::read(format!("{AGENTS}/Dummy")).expect("Debian's");
    // It has a name in an older encoding in it.
    let text = String::from_utf8_lossy(&text);
    let changed = text.replace(
        "reload-agent)   ocf_log err \"Reloading $OCF_RESOURCE_INSTANCE (agent)\"",
        &format!("reload-agent) {reload}"),
    );
    assert_ne!(text, changed, "Debian's agent is another one");
    let folder = node.path("agents");
    fs::create_dir(&folder).expect("folder");
    let file = format!("{folder}/Dummy");
    fs::write(&file, changed).expect("file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("mode");
    #[allow(unsafe_code, reason = "only the mounts of this thread are unshared")]
    // SAFETY: this flag changes only which mounts this thread sees; no memory or descriptor is affected.
    let unshared = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    assert_eq!(unshared, 0, "a mount namespace");
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).expect("propagation");
    mount_bind(&folder, AGENTS).expect("a mount");
}

#[test]
fn what_is_not_taken_over_is_started_anew_with_it() {
    let mut node = Node::new("reload-fails");
    own_agents(&node, "ocf_exit_reason no; exit 1");
    node.start();
    node.ok(&["apply", &dummy(&node, "one", "fake = \"first\"")]);
    node.wait_for("a start", is_active);
    node.ok(&["apply", &dummy(&node, "one", "fake = \"second\"")]);
    node.wait_for("another start", |node| {
        calls(node, "start", "second") == 1 && is_active(node)
    });
    assert_eq!(
        (calls(&node, "reload-agent", "second"), taken_over(&node)),
        (1, 0)
    );
    assert_eq!(
        calls(&node, "stop", "first"),
        1,
        "it is stopped by what it has"
    );
    let history = node.ok(&["history"]);
    let line = "web failed on alpha: ocf:pacemaker:Dummy reload-agent: error (1): no";
    assert!(history.contains(line), "{history}");
}
