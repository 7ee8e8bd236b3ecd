//! The command line against a real agent: a cluster of one on loopback, with a real process.
//!
//! What takes several nodes is the lab's.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};
use support::{Node, PATIENCE, PROGRAM, SITE, run};

#[test]
fn without_an_agent_each_command_says_so_in_its_own_way() {
    let socket = ["--socket", "/nonexistent/socket"];
    let ask = |command: &[&str]| run(&[&socket[..], command].concat());
    for command in [
        &["status"][..],
        &["history"],
        &["explain", "site"],
        &["switchover", "site"],
        &["node", "drain", "a"],
        &["restart"],
        &["token"],
    ] {
        let said = ask(command);
        assert_eq!(said.code, 102, "{command:?}: {said:?}");
        assert!(
            said.err.contains("no agent answers on /nonexistent/socket"),
            "{said:?}"
        );
    }
    let said = ask(&["check"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.out
            .starts_with("STANDFAST CRITICAL - no agent answers"),
        "{said:?}"
    );
}

#[test]
fn usage_files_and_mistakes_have_their_exit_codes() {
    assert_eq!(run(&[]).code, 2);
    assert_eq!(run(&["dance"]).code, 2);
    let said = run(&["node", "unstandby", "alpha"]);
    assert_eq!(said.code, 2);
    assert_eq!(
        said.err,
        "standfast: `node unstandby` is here `standfast node resume alpha`\n"
    );
    assert_eq!(run(&["status", "--watch=0"]).code, 2);
    assert_eq!(run(&["--help"]).code, 0);
    assert!(run(&["--version"]).out.starts_with("standfast "));
    assert_eq!(run(&["apply", "/nonexistent/file"]).code, 66);
    assert_eq!(
        run(&[
            "join",
            "--name",
            "a",
            "--address",
            "127.0.0.1:1",
            "--token-file",
            "/nonexistent/t"
        ])
        .code,
        66
    );
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("cluster.toml").display().to_string();
    fs::write(&file, "[cluster]\nname = \"demo\"\nprofile = \"lam\"\n").expect("file");
    let said = run(&["plan", &file]);
    assert_eq!(said.code, 78, "{said:?}");
    assert!(
        said.err
            .contains("cluster.toml:3:11: cluster.profile: unknown profile \"lam\""),
        "{said:?}"
    );
    assert!(said.err.contains("did you mean \"lan\"?"), "{said:?}");
    assert!(
        said.err.contains("2 mistakes; nothing was changed"),
        "{said:?}"
    );
    let said = run(&["plan", "--json", &file]);
    assert!(
        said.out.contains("\"schema\": \"standfast/mistakes/1\""),
        "{said:?}"
    );
}

#[test]
fn a_group_is_applied_looked_at_moved_drained_and_handed_over() {
    let mut node = Node::new("life");
    node.start();
    let file = node.write("cluster.toml", SITE);

    let plan = node.ok(&["plan", &file]);
    assert!(
        plan.contains("resource web: added (process /bin/sleep 100000)"),
        "{plan}"
    );
    assert!(plan.contains("1. start web on alpha"), "{plan}");
    assert!(
        !node.ok(&["status"]).contains("web"),
        "plan changes nothing"
    );
    assert!(
        node.ok(&["apply", "--dry-run", &file])
            .contains("1. start web on alpha")
    );

    let applied = node.ok(&["apply", &file]);
    assert!(
        applied.contains("Configuration 1 is in force."),
        "{applied}"
    );
    node.wait_for("running group", Node::runs);
    assert!(node.ok(&["apply", &file]).contains("Nothing would change"));
    let json = node.ok(&["apply", "--json", &file]);
    assert!(json.contains("\"changed\": false"), "{json}");

    look(&node);
    refusals(&node);
    simulations(&node);
    let said = node.ask(&["switchover", "site"]);
    assert_eq!(said.code, 69, "nowhere to go: {said:?}");
    assert!(said.err.contains("it stays on alpha"), "{said:?}");
    node.ok(&["resource", "cleanup", "web"]);
    orders(&node);

    assert!(
        node.ok(&["node", "drain", "alpha", "--force"])
            .contains("alpha is empty after")
    );
    let said = node.ask(&["check"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.out
            .contains("OUTAGE: site is not running, because no node can run it: alpha is drained"),
        "{said:?}"
    );
    node.ok(&["node", "resume", "alpha"]);
    node.wait_for("running group", Node::runs);

    hand_over(&mut node);
    let empty = node.write("empty.toml", "");
    node.ok(&["apply", &empty]);
    node.wait_for("end of the group", |node| {
        !node.ask(&["status"]).out.contains("site")
    });
}

fn look(node: &Node) {
    let said = node.ask(&["check"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.out
            .contains("STANDFAST OK - All well: 1 of 1 nodes online, 1 group running"),
        "{said:?}"
    );
    assert!(
        said.out
            .contains(" | nodes_online=1;;;0;1 groups_running=1;;;0;1"),
        "{said:?}"
    );
    assert!(
        node.ok(&["explain", "site"])
            .starts_with("site runs on alpha.")
    );
    assert!(
        node.ok(&["history"])
            .contains("configuration version 1 applied by root")
    );
}

fn refusals(node: &Node) {
    let codes = [
        (&["explain", "sit"][..], 105),
        (&["switchover", "sit"], 105),
        (&["switchover", "site", "--to", "delta"], 105),
        (&["switchover", "site", "--to", "alpha"], 108),
        (&["resource", "cleanup", "other"], 105),
        (&["node", "drain", "delta"], 105),
        (&["node", "drain", "alpha"], 107),
        (&["simulate"], 2),
        (&["simulate", "--fail", "delta"], 105),
        (&["simulate", "--fail-resource", "site"], 105),
    ];
    for (command, code) in codes {
        let said = node.ask(command);
        assert_eq!(said.code, code, "{command:?}: {said:?}");
    }
}

/// What operators order is done, is shown with who wants it, and ends.
fn orders(node: &Node) {
    let one = |node: &Node| Some(services(node)).filter(|found| found.len() == 1);
    node.wait_for("one process", |node| one(node).is_some());
    let before = one(node);
    let said = node.ok(&["resource", "restart", "web", "--dry-run"]);
    assert!(said.contains("site restarts on alpha"), "{said}");
    let said = node.ok(&["resource", "disable", "site", "--dry-run"]);
    assert!(said.contains("root@alpha disabled it"), "{said}");
    let said = node.ok(&["resource", "restart", "site", "--wait", "60"]);
    assert!(
        said.contains("site was restarted: site runs on alpha after"),
        "{said}"
    );
    node.wait_for("another process", |node| {
        one(node).is_some_and(|now| Some(now) != before)
    });

    let said = node.ok(&["resource", "disable", "site", "--wait", "60"]);
    assert!(said.contains("site is stopped after"), "{said}");
    node.wait_for("warning", |node| {
        let said = node.ask(&["check"]);
        said.code == 1 && said.out.contains("Degraded: site is disabled")
    });
    assert_eq!(services(node), [""; 0]);
    let status = node.ok(&["status"]);
    assert!(
        status.contains("site is disabled by root@alpha since"),
        "{status}"
    );
    assert_eq!(node.ask(&["resource", "disable", "site"]).code, 108);
    assert_eq!(node.ask(&["resource", "restart", "site"]).code, 107);
    node.ok(&["resource", "enable", "site", "--wait", "60"]);
    node.wait_for("running group", Node::runs);

    let keep = ["resource", "move", "site", "alpha", "--lifetime", "2d"];
    node.ok(&[&keep[..], &["--wait", "60"]].concat());
    let status = node.ok(&["status"]);
    assert!(status.contains("site is kept on alpha until 2"), "{status}");
    assert!(status.contains("as root@alpha ordered"), "{status}");
    let document = node.ok(&["status", "--json"]);
    assert!(document.contains("\"by\": \"root@alpha\""), "{document}");
    node.ok(&["resource", "clear", "site"]);
    assert!(!node.ok(&["status"]).contains("kept on"));
    maintenance(node);
    let said = node.ask(&["resource", "ban", "site"]);
    assert_eq!(said.code, 107, "{said:?}");
    assert!(
        said.err.contains("no other node can run site now"),
        "{said:?}"
    );
    assert_eq!(node.ask(&["resource", "move", "web", "alpha"]).code, 105);
    let wrong = ["resource", "move", "site", "alpha", "--lifetime", "8"];
    assert_eq!(node.ask(&wrong).code, 2);
}

/// Of the group, of the node and of everything: what runs goes on throughout.
fn maintenance(node: &Node) {
    let before = services(node);
    let switched = |end: bool| if end { "off" } else { "on" };
    let group = |end: bool| vec!["resource", if end { "manage" } else { "unmanage" }, "site"];
    let of_node = |end| vec!["node", "maintenance", "alpha", switched(end)];
    let of_all = |end| vec!["cluster", "maintenance", switched(end)];
    for (begin, end, shown) in [
        (
            group(false),
            group(true),
            "site is left alone by root@alpha",
        ),
        (
            of_node(false),
            of_node(true),
            "alpha is in maintenance by root@alpha",
        ),
        (
            of_all(false),
            of_all(true),
            "the cluster is in maintenance by root@alpha",
        ),
    ] {
        let said = node.ok(&[&begin[..], &["--dry-run"]].concat());
        assert!(
            said.contains("nothing is started, stopped or moved"),
            "{said}"
        );
        let said = node.ok(&[&begin[..], &["--wait", "60"]].concat());
        assert!(said.contains(" after "), "{said}");
        let status = node.ok(&["status"]);
        assert!(status.contains(shown), "{status}");
        assert_eq!(node.ask(&begin).code, 108);
        let said = node.ok(&[&end[..], &["--wait", "60"]].concat());
        assert!(said.contains("goes on untouched"), "{said}");
        assert!(!node.ok(&["status"]).contains(shown));
    }
    let said = node.ok(&["resource", "refresh", "site", "--wait", "60"]);
    assert!(said.contains("looks again"), "{said}");
    let standby = ["node", "standby", "alpha", "--lifetime", "1h", "--dry-run"];
    let said = node.ok(&standby);
    assert!(said.contains("1. alpha is drained"), "{said}");
    assert_eq!(services(node), before, "nothing was restarted");
}

/// What was kept is decided again without an agent.
fn replays(node: &Node) {
    let there = node.write("there.json", "");
    let said = node.ask(&["simulate", "--save", &there]);
    assert_eq!(said.code, 108, "{said:?}");
    let file = format!("{there}.saved");
    let kept = node.ok(&["simulate", "--save", &file, "--fail", "alpha"]);
    assert!(kept.contains("no majority of the voters is left"), "{kept}");
    let again = run(&["replay", &file, "--fail", "alpha"]);
    assert_eq!((again.code, again.out), (0, kept));
    let again = run(&["replay", &file]);
    assert!(again.out.contains("1. it is decided again"), "{again:?}");
    assert_eq!(run(&["replay", &there]).code, 65);
}

/// Nothing of it happens.
fn simulations(node: &Node) {
    replays(node);
    let said = node.ok(&["simulate", "--fail", "alpha"]);
    assert!(said.contains("no majority of the voters is left"), "{said}");
    assert!(said.contains("then: site nowhere"), "{said}");
    let threefold = ["--fail-resource", "web"].repeat(3);
    let said = node.ok(&[&["simulate"][..], &threefold].concat());
    assert!(
        said.contains("1. web fails on alpha: 1 of the 3 failures"),
        "{said}"
    );
    assert!(
        said.contains("site restarts on alpha: away for about"),
        "{said}"
    );
    assert!(
        said.contains("site runs nowhere then: web failed 3 times on alpha"),
        "{said}"
    );
    let empty = node.write("nothing.toml", "");
    let said = node.ok(&["simulate", "--json", "--apply", &empty]);
    assert!(
        said.contains("\"schema\": \"standfast/simulation/1\""),
        "{said}"
    );
    assert!(said.contains("stop web on alpha"), "{said}");
    let said = node.ok(&["node", "drain", "alpha", "--dry-run"]);
    assert!(said.contains("1. alpha is drained"), "{said}");
    assert!(
        said.contains("site runs nowhere then: alpha is drained"),
        "{said}"
    );
    let said = node.ask(&["switchover", "site", "--to", "alpha", "--dry-run"]);
    assert_eq!(said.code, 108, "refused as in earnest: {said:?}");
    node.wait_for("group that runs on", Node::runs);
}

/// In a Pacemaker cluster; what is decided is compared with Pacemaker itself elsewhere.
#[test]
fn failures_are_imagined_in_a_cib() {
    let cib = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../test/differential/tests/injected/three-nodes.xml"
    );
    let ask = |flags: &[&str]| run(&[&["simulate", "--cib", cib][..], flags].concat());
    let said = ask(&["--fail", "n1"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("n1: offline, fenced"), "{said:?}");
    assert!(!said.out.contains("on n1"), "{said:?}");
    let said = ask(&[
        "--fail-resource",
        "ip",
        "--fail-resource",
        "ip@n1",
        "--json",
    ]);
    assert!(
        said.out.contains("\"schema\":\"standfast/simulate/1\""),
        "{said:?}"
    );
    assert!(
        !said
            .out
            .contains("\"resource\":\"ip\",\"instance\":null,\"node\":\"n1\",\"role\":\"Started\""),
        "{said:?}"
    );
    let said = ask(&["--explain", "web"]);
    assert!(said.out.contains("What would have to change"), "{said:?}");
    for (flags, code) in [
        (&["--fail", "n4"][..], 105),
        (&["--fail-resource", "g"], 105),
        (&["--explain", "nothing"], 105),
        (&["--fail-resource", "web"], 2),
        (&["--apply", "x.toml"], 2),
    ] {
        assert_eq!(ask(flags).code, code, "{flags:?}");
    }
}

/// A planned restart: the agent ends, what it ran goes on, the next agent takes it over.
fn hand_over(node: &mut Node) {
    let before = pid_of_service(node);
    assert!(node.ok(&["restart"]).contains("goes on for 10 s"));
    let mut old = node.agent.take().expect("agent");
    let start = Instant::now();
    while old.try_wait().expect("agent").is_none() {
        if start.elapsed() > PATIENCE {
            old.kill().ok();
            panic!("the agent did not end");
        }
        thread::sleep(Duration::from_millis(20));
    }
    node.start();
    node.wait_for("running group", Node::runs);
    assert_eq!(pid_of_service(node), before, "it was not restarted");
}

/// Found by its control group, which carries this test's own name.
fn services(node: &Node) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let read = |name| fs::read(entry.path().join(name)).unwrap_or_default();
        let cgroup = String::from_utf8_lossy(&read("cgroup")).into_owned();
        if cgroup.contains(&node.cgroup) && read("cmdline").starts_with(b"/bin/sleep\0") {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

fn pid_of_service(node: &Node) -> Vec<String> {
    let found = services(node);
    assert_eq!(found.len(), 1, "one service");
    found
}

/// In maintenance the address is never put anywhere.
#[test]
fn whoever_works_through_an_address_is_told_before_it_moves() {
    let mut node = Node::new("ssh");
    node.start();
    let resources = "[groups.site]\nmembers = [\"ip\"]\nmaintenance = true\n[resources.ip]\nkind = \"vip\"\naddresses = [\"127.0.77.1/32\"]\ninterface = \"lo\"\n";
    let file = node.write("cluster.toml", resources);
    node.ok(&["apply", &file]);
    node.wait_for("plan", |node| node.ask(&["explain", "site"]).code == 0);
    let socket = node.path("run/standfast.sock");
    let ask = |arguments: &[&str], server: &str| {
        let output = Command::new(PROGRAM)
            .args(["--socket", &socket])
            .args(arguments)
            .env("SSH_CONNECTION", format!("192.0.2.1 50000 {server} 22"))
            .output()
            .expect("runs");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), err)
    };
    let (code, err) = ask(&["switchover", "site"], "127.0.77.1");
    assert_eq!(code, Some(107), "{err}");
    assert!(
        err.contains("you work through 127.0.77.1, an address of ip in site"),
        "{err}"
    );
    for (arguments, server) in [
        (&["switchover", "site"][..], "127.0.0.1"),
        (&["switchover", "site", "--force"], "127.0.77.1"),
    ] {
        let (code, err) = ask(arguments, server);
        assert!(!err.contains("you work through"), "{code:?} {err}");
    }
    let empty = node.write("empty.toml", "");
    node.ok(&["apply", &empty]);
}
