//! A real agent with a resource that Debian's own resource agent runs: nginx is started, comes back when it crashes, is
//! left alone by a restart of the agent, and stops. What does not fit is refused before anything starts.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use rustix::mount::{MountPropagationFlags, mount_change};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    time::Duration,
};
use support::{Node, run};

/// An nginx of its own on a port that was free a moment ago.
struct Nginx {
    address: String,
    config: String,
    resource: String,
}

fn nginx(node: &Node) -> Nginx {
    let free = TcpListener::bind("127.0.0.1:0").expect("port");
    let address = free.local_addr().expect("address").to_string();
    drop(free);
    let folder = node.folder.path().display().to_string();
    let text = format!(
        "pid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nworker_processes 1;\nuser root;\n\
         events {{ }}\nhttp {{\naccess_log off;\n\
         client_body_temp_path {folder}/b;\nproxy_temp_path {folder}/p;\nfastcgi_temp_path {folder}/f;\n\
         uwsgi_temp_path {folder}/u;\nscgi_temp_path {folder}/s;\n\
         server {{ listen {address}; location / {{ return 200 \"here\"; }} }}\n}}\n"
    );
    let file = node.path("nginx.conf");
    fs::write(&file, text).expect("file");
    Nginx {
        address,
        config: file.clone(),
        resource: format!(
            "[groups.site]\nmembers = [\"web\"]\n[resources.web]\nkind = \"ocf\"\nagent = \"ocf:heartbeat:nginx\"\n\
             parameters = {{ configfile = \"{file}\" }}\n"
        ),
    }
}

impl Nginx {
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(&self.address) else {
            return false;
        };
        let mut text = String::new();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .is_ok()
            && stream.write_all(b"GET / HTTP/1.0\r\n\r\n").is_ok()
            && stream.read_to_string(&mut text).is_ok()
            && text.ends_with("here")
    }

    /// Its oldest process, as it is called outside of its namespace; empty while there is none.
    fn pid(&self) -> String {
        let pattern = format!("nginx: master process .*{}", self.config);
        let found = Command::new("pgrep")
            .args(["--oldest", "--full", &pattern])
            .output();
        let text = String::from_utf8(found.expect("pgrep").stdout).expect("a number");
        text.trim().to_owned()
    }
}

#[test]
fn a_resource_agent_of_debian_runs_a_service() {
    let mut node = Node::new("ocf");
    let nginx = nginx(&node);
    node.start();
    let wrong = nginx.resource.replace("configfile =", "configfil =");
    let said = node.ask(&["apply", &node.write("wrong.toml", &wrong)]);
    assert_eq!(said.code, 78, "{said:?}");
    let expected = "resources.web.parameters.configfil: ocf:heartbeat:nginx has no such parameter";
    assert!(said.err.contains("wrong.toml:10:16: "), "{said:?}");
    assert!(said.err.contains(expected), "{said:?}");
    assert!(
        said.err.contains("did you mean \"configfile\"?"),
        "{said:?}"
    );

    node.ok(&["apply", &node.write("good.toml", &nginx.resource)]);
    node.wait_for("nginx", |node| {
        let out = node.ask(&["status"]).out;
        out.contains("site   web       ocf:heartbeat:nginx  alpha  active") && nginx.answers()
    });
    let json = node.ok(&["status", "--json"]);
    assert!(json.contains("\"ocf:heartbeat:nginx\""), "{json}");

    let before = nginx.pid();
    let killed = Command::new("kill").args(["-9", &before]).status();
    assert!(killed.expect("kill").success());
    node.wait_for("nginx again", |_| {
        let now = nginx.pid();
        !now.is_empty() && now != before && nginx.answers()
    });
    let history = node.ok(&["history"]);
    assert!(
        history.contains("ocf:heartbeat:nginx monitor: "),
        "{history}"
    );

    let active = |node: &Node| node.ask(&["status"]).out.contains("alpha  active");
    node.wait_for("an active resource", active);
    let before = nginx.pid();
    node.ok(&["restart"]);
    let mut agent = node.agent.take().expect("agent");
    agent.wait().expect("ended");
    node.start();
    node.wait_for("the same nginx", active);
    assert_eq!(nginx.pid(), before);
    assert!(nginx.answers());

    node.ok(&["apply", &node.write("without.toml", "")]);
    node.wait_for("no nginx", |_| !nginx.answers() && nginx.pid().is_empty());
}

#[test]
fn an_agent_that_is_not_installed_is_named_before_anything_starts() {
    let mut node = Node::new("ocf-absent");
    node.start();
    let resource =
        "[resources.web]\nkind = \"ocf\"\nagent = \"ocf:sf-ours:none\"\neffects = \"processes\"\n";
    let file = node.write("x.toml", resource);
    let said = node.ask(&["apply", &file]);
    assert_eq!(said.code, 0, "{said:?}");
    let warning =
        "x.toml:7:1: warning: resources.web.agent: ocf:sf-ours:none is not installed here";
    assert!(said.err.contains(warning), "{said:?}");
    let doctor = node.ask(&["doctor"]).out;
    let finding = "web cannot run here: ocf:sf-ours:none is not installed here";
    assert!(doctor.contains(finding), "{doctor}");
    node.wait_for("the reason", |node| {
        let status = node.ask(&["status"]).out;
        status.contains("ocf:sf-ours:none is not installed here")
            && status.contains("another try would not help, so it may not run there until `standfast resource cleanup web`")
    });
    assert_eq!(failures(&node), 1, "{}", node.ok(&["history"]));
}

/// How often its history says that the resource failed.
fn failures(node: &Node) -> usize {
    let history = node.ok(&["history"]);
    history.matches("web failed on alpha: ").count()
}

/// Debian's nginx agent says that its file is missing, and is believed: it is called once, and every command says why
/// nothing runs and what to do. A cleanup once the file is there is all that it takes, and so is another configuration.
#[test]
fn what_an_agent_says_that_another_try_does_not_end_is_tried_once() {
    let mut node = Node::new("ocf-fatal");
    let nginx = nginx(&node);
    let good = fs::read(&nginx.config).expect("file");
    fs::remove_file(&nginx.config).expect("removed");
    node.start();
    node.ok(&["apply", &node.write("good.toml", &nginx.resource)]);
    let why = format!(
        "ocf:heartbeat:nginx start: not configured (6): Cannot parse config file [{}]",
        nginx.config
    );
    let told = format!("web cannot run anywhere as it is configured (found on alpha): {why}");
    node.wait_for("the end of all tries", |node| {
        node.ask(&["status"]).out.contains(&told)
    });
    let status = node.ask(&["status"]).out;
    let help = "until `standfast resource cleanup site` once the cause is mended";
    assert!(status.contains(help), "{status}");
    let explained = node.ok(&["explain", "site"]);
    let remedy = format!("{told}: `standfast resource cleanup site`, once the cause is mended");
    assert!(explained.contains(&remedy), "{explained}");
    let history = node.ok(&["history"]);
    let line = format!("web failed on alpha: {why}");
    assert!(history.contains(&line), "{history}");
    assert_eq!(failures(&node), 1, "{history}");

    fs::write(&nginx.config, good).expect("file");
    node.ok(&["resource", "cleanup", "site"]);
    node.wait_for("nginx", |_| nginx.answers());
    assert_eq!(failures(&node), 1);

    // What was wrong with another configuration says nothing of this one.
    let wrong = nginx.resource.replace("nginx.conf", "none.conf");
    node.ok(&["apply", &node.write("wrong.toml", &wrong)]);
    node.wait_for("the second failure", |node| failures(node) == 2);
    node.wait_for("nothing", |_| !nginx.answers());
    node.ok(&["apply", &node.write("good.toml", &nginx.resource)]);
    node.wait_for("nginx again", |_| nginx.answers());
}

#[test]
fn what_cannot_be_ended_is_refused_with_what_to_do_instead() {
    let node = Node::new("ocf-refused");
    let address = "kind = \"ocf\"\nagent = \"ocf:heartbeat:IPaddr2\"\n\
         parameters = { ip = \"10.0.0.1\", clusterip_hash = \"sourceip\" }\n";
    let file = node.write("x.toml", &format!("[resources.ip]\n{address}"));
    let said = run(&["plan", &file]);
    assert_eq!(said.code, 78, "{said:?}");
    assert!(
        said.err
            .contains("cannot be ended by killing its processes"),
        "{said:?}"
    );
    assert!(said.err.contains("kind = \"vip\""), "{said:?}");
    let why = "the address guard cannot silence them: clusterip_hash is given";
    assert!(said.err.contains(why), "{said:?}");
}

/// Mounts of this thread's own, and of all that it starts, which are shared as systemd has them.
fn own_mounts() {
    #[allow(unsafe_code, reason = "only the mounts of this thread are unshared")]
    // SAFETY: this flag changes only which mounts this thread sees; no memory or descriptor is affected.
    let unshared = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    assert_eq!(unshared, 0, "a mount namespace");
    for how in [
        MountPropagationFlags::PRIVATE,
        MountPropagationFlags::SHARED,
    ] {
        mount_change("/", how | MountPropagationFlags::REC).expect("propagation");
    }
}

/// Whether something is mounted there, where this thread is.
fn is_mounted(point: &str) -> bool {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("mounts");
    let point = format!(" {point} ");
    mounts.lines().any(|line| line.contains(&point))
}

/// Debian's Filesystem agent mounts on the machine itself. It is refused without fencing and without a device. What is in use
/// is not stopped, whatever was ordered, and `status` has the agent's words; nor does the agent's own death end it.
#[test]
fn a_mount_of_debians_agent_is_released_when_it_is_unmounted() {
    own_mounts();
    let mut node = Node::new("ocf-mount");
    node.start();
    let (disk, point) = (node.path("disk"), node.path("data"));
    for folder in [&disk, &point] {
        fs::create_dir(folder).expect("folder");
    }
    fs::write(format!("{disk}/file"), "here").expect("file");
    let resource = format!(
        "[resources.data]\nkind = \"ocf\"\nagent = \"ocf:heartbeat:Filesystem\"\nstop_timeout_ms = 3000\n\
         parameters = {{ device = \"{disk}\", directory = \"{point}\", fstype = \"none\", options = \"bind\", \
         force_unmount = \"false\" }}\n"
    );
    let said = node.ask(&["apply", &node.write("without.toml", &resource)]);
    assert_eq!(said.code, 78, "{said:?}");
    let expected = "requires = \"fencing\" beside it, with a fence device";
    assert!(said.err.contains(expected), "{said:?}");
    let fenced = format!("{resource}requires = \"fencing\"\n");
    let said = node.ask(&["apply", &node.write("no-device.toml", &fenced)]);
    assert_eq!(said.code, 107, "{said:?}");
    assert!(said.err.contains("nothing can fence alpha"), "{said:?}");

    let device = format!(
        "[fence.power]\nagent = \"fence_dummy\"\nnodes = [\"alpha\"]\n\
         parameters = {{ type = \"file\", status_file = \"{}\" }}\n",
        node.path("power")
    );
    let good = node.write("good.toml", &format!("{device}{fenced}"));
    node.ok(&["apply", &good]);
    let active = |node: &Node| node.ask(&["status"]).out.contains("alpha  active");
    node.wait_for("the mount", |node| active(node) && is_mounted(&point));

    let in_use = fs::File::open(format!("{point}/file")).expect("file");
    let off = node.write("off.toml", &device);
    node.ok(&["apply", &off]);
    node.wait_for("the agent's words", |node| {
        let status = node.ask(&["status"]).out;
        status.contains("ocf:heartbeat:Filesystem stop: ")
    });
    assert!(is_mounted(&point));
    // Its successor knows it too: what nobody keeps is asked for.
    let mut agent = node.agent.take().expect("agent");
    agent.kill().expect("killed");
    agent.wait().expect("ended");
    node.start();
    node.wait_for("the same words", |node| {
        node.ask(&["status"])
            .out
            .contains("ocf:heartbeat:Filesystem ")
    });
    assert!(is_mounted(&point));
    drop(in_use);
    node.wait_for("its end", |_| !is_mounted(&point));

    node.ok(&["apply", &good]);
    node.wait_for("the mount again", |node| active(node) && is_mounted(&point));
    node.ok(&["apply", &off]);
    node.wait_for("its end", |_| !is_mounted(&point));
}

#[test]
fn a_script_runs_a_service_and_is_missed_where_it_is_not() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut node = Node::new("script");
    node.start();
    let folder = node.folder.path().display().to_string();
    let (script, pid) = (format!("{folder}/billing"), format!("{folder}/pid"));
    let resource = format!(
        "[resources.web]\nkind = \"script\"\nscript = \"{script}\"\neffects = \"processes\"\n"
    );
    let file = node.write("x.toml", &resource);
    let said = node.ask(&["plan", &file]);
    let warning = format!("x.toml:7:1: warning: resources.web.script: there is no {script} here");
    assert!(said.err.contains(&warning), "{said:?}");
    let said = node.ask(&[
        "plan",
        &node.write("y.toml", &resource.replace("effects", "effect")),
    ]);
    assert_eq!(said.code, 78, "{said:?}");

    node.ok(&["apply", &file]);
    let doctor = node.ask(&["doctor"]).out;
    let finding = format!("web cannot run here: there is no {script} here");
    assert!(doctor.contains(&finding), "{doctor}");
    let daemon = format!("start-stop-daemon --oknodo --pidfile {pid}");
    let text = format!(
        "#!/bin/sh\ncase $1 in\n\
         start) {daemon} --start --background --make-pidfile --exec /bin/sleep -- 1000 ;;\n\
         stop) {daemon} --stop --retry 5 --remove-pidfile ;;\n\
         status) {daemon} --status ;;\nesac\n"
    );
    fs::write(&script, text).expect("file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("mode");
    node.ok(&["resource", "cleanup", "web"]);
    node.wait_for("the script's service", |node| {
        let out = node.ask(&["status"]).out;
        out.contains(&format!("{script}  alpha  active"))
    });
    let shown = node.ok(&["config", "show"]);
    assert!(shown.contains("kind = \"script\""), "{shown}");
    node.ok(&["apply", &node.write("without.toml", "")]);
    node.wait_for("its own stop", |_| !fs::exists(&pid).unwrap_or(true));
}
