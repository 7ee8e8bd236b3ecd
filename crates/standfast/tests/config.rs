//! Configurations by version, drafts, the editor and secrets, against a real agent: a cluster of one on
//! loopback.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};
use support::{Node, PROGRAM, SITE, Said, run};

/// A group whose process has been given something to keep to itself, and does not.
const TALKER: &str = r#"
[resources.talker]
kind = "process"
command = ["/bin/sh", "-c", "echo my password is $PASSWORD and $TOKEN; sleep 0.2; exit 3"]
environment = { PASSWORD = "planted-secret-one", TOKEN = { secret_file = "FILE" } }
"#;

impl Node {
    fn fails(&self, arguments: &[&str], code: i32, says: &str) -> Said {
        let said = self.ask(arguments);
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
        assert!(said.err.contains(says), "{arguments:?}: {said:?}");
        said
    }

    /// `config edit` with this script as the editor; `$1` is the file.
    fn edit(&self, script: &str) -> Said {
        let editor = self.path("editor");
        fs::write(&editor, format!("#!/bin/sh\n{script}\n")).expect("editor");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&editor, mode).expect("mode");
        let output = Command::new(PROGRAM)
            .args(["--socket", &self.path("run/standfast.sock")])
            .args(["config", "edit", "--yes", "--reason", "by hand"])
            .env("EDITOR", &editor)
            .env_remove("VISUAL")
            .env("TMPDIR", self.folder.path())
            .env("STANDFAST", PROGRAM)
            .env("SOCKET", self.path("run/standfast.sock"))
            .output()
            .expect("runs");
        Said {
            code: output.status.code().expect("exit code"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }

    fn kept_edits(&self) -> usize {
        let entries = fs::read_dir(self.folder.path()).expect("folder");
        let names = entries.map(|entry| entry.expect("entry").file_name());
        let edits = names.filter(|name| name.to_string_lossy().starts_with("standfast-edit-"));
        edits.count()
    }
}

#[test]
fn versions_are_compared_and_come_back_and_nobody_overwrites_another() {
    let mut node = Node::new("versions");
    node.start();
    assert!(
        node.ok(&["config", "show"]).contains("[nodes.alpha]"),
        "a cluster that was just made has a text to start from"
    );
    assert!(node.ok(&["config", "history"]).contains("No configuration"));
    let one = node.write("one.toml", SITE);
    let two = node.write("two.toml", &SITE.replace("100000", "200000"));
    node.ok(&["apply", &one, "--reason", "first\nof all"]);
    node.wait_for("running group", Node::runs);

    let plan = node.ok(&["plan", &two]);
    assert!(
        plan.contains("1. stop web on alpha\n  2. start web on alpha, after 1"),
        "{plan}"
    );
    assert!(plan.contains("site restarts on alpha: away for "), "{plan}");
    assert!(plan.contains("start web on alpha: "), "{plan}");
    assert!(
        plan.contains("To apply exactly this: standfast apply FILE --based-on 1"),
        "{plan}"
    );
    node.fails(
        &["apply", &two, "--based-on", "0"],
        75,
        "version 1 is in force",
    );
    node.ok(&["apply", &two, "--based-on", "1", "--reason", "longer"]);
    node.fails(
        &["apply", &one, "--based-on", "1"],
        75,
        "standfast config diff 1",
    );

    let history = node.ok(&["config", "history"]);
    assert!(history.contains("root@alpha"), "{history}");
    assert!(history.contains("first of all"), "one line: {history}");
    assert!(history.contains("in force  longer"), "{history}");
    let diff = node.ok(&["config", "diff", "1"]);
    assert!(diff.contains("100000] -> [/bin/sleep, 200000]"), "{diff}");
    assert!(
        node.ok(&["config", "diff", "1", "1"])
            .contains("are the same")
    );
    assert_eq!(
        node.ok(&["config", "show", "--version", "1"]),
        fs::read_to_string(&one).expect("file")
    );
    node.fails(
        &["config", "show", "--version", "9"],
        105,
        "there are: 1, 2",
    );

    let plan = node.ok(&["config", "rollback", "1", "--dry-run"]);
    assert!(plan.contains("config rollback 1 --based-on 2"), "{plan}");
    node.ok(&["config", "rollback", "1", "--reason", "too long"]);
    let history = node.ok(&["config", "history", "--json"]);
    assert!(history.contains("back to version 1: too long"), "{history}");
    assert!(history.contains("\"version\": 3"), "{history}");
    assert!(
        node.ok(&["config", "diff", "1", "3"])
            .contains("are the same")
    );
    assert!(
        node.ok(&["history"])
            .contains("configuration version 3 applied by root@alpha: back to version 1")
    );
}

#[test]
fn drafts_wait_are_looked_at_and_applied_once() {
    let mut node = Node::new("drafts");
    node.start();
    let one = node.write("one.toml", SITE);
    let wrong = node.write("wrong.toml", &SITE.replace("kind", "kin"));
    node.ok(&["apply", &node.write("empty.toml", "")]);
    assert!(node.ok(&["config", "draft", "list"]).contains("no drafts"));
    node.fails(
        &["config", "draft", "save", "x", &wrong],
        78,
        "nothing was changed",
    );
    node.fails(
        &["config", "draft", "save", "../x", &one],
        78,
        "no name of a draft",
    );
    node.ok(&[
        "config",
        "draft",
        "save",
        "web",
        &one,
        "--reason",
        "for monday",
    ]);
    let list = node.ok(&["config", "draft", "list"]);
    assert!(
        list.contains("for monday") && list.contains("root@alpha"),
        "{list}"
    );
    assert_eq!(
        node.ok(&["config", "draft", "show", "web"]),
        fs::read_to_string(&one).expect("file")
    );
    assert!(
        node.ok(&["config", "draft", "plan", "web"])
            .contains("1. start web on alpha")
    );
    assert!(
        !node.ok(&["status"]).contains("web"),
        "a draft changes nothing"
    );

    // Somebody else is quicker: the draft says so, and is applied only when its author insists.
    node.ok(&["apply", &node.write("other.toml", "# other\n")]);
    node.fails(
        &["config", "draft", "apply", "web"],
        75,
        "version 2 is in force",
    );
    let plan = node.ok(&["config", "draft", "plan", "web"]);
    assert!(plan.contains("needs --based-on 2"), "{plan}");
    node.ok(&["config", "draft", "apply", "web", "--based-on", "2"]);
    node.wait_for("running group", Node::runs);
    assert!(node.ok(&["config", "draft", "list"]).contains("no drafts"));
    node.fails(&["config", "draft", "apply", "web"], 105, "there are none");
    let history = node.ok(&["history"]);
    assert!(
        history.contains("applied by root@alpha, from the draft web"),
        "{history}"
    );
    node.ok(&["config", "draft", "save", "web", &one]);
    node.ok(&["config", "draft", "drop", "web"]);
    node.fails(&["config", "draft", "drop", "web"], 105, "no draft web");
}

#[test]
fn an_edit_is_applied_or_kept_and_mistakes_come_back() {
    let mut node = Node::new("edit");
    node.start();
    node.ok(&["apply", &node.write("one.toml", SITE)]);

    let said = node.edit("sed -i s/100000/200000/ $1");
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("Configuration 2 is in force"), "{said:?}");
    assert!(node.ok(&["config", "history"]).contains("by hand"));
    assert!(
        node.edit("stat -c %a $1 $(dirname $1) >$(dirname $0)/mode")
            .out
            .contains("Nothing was changed")
    );
    assert_eq!(
        fs::read_to_string(node.path("mode")).expect("mode"),
        "600\n700\n"
    );
    let said = node.edit("echo x >>$1; exit 1");
    assert_eq!((said.code, said.out.as_str()), (69, ""), "{said:?}");

    // Wrong first; then the editor opens again, with the mistakes in the file.
    let said = node.edit(
        "if grep -q 'did you mean' $1; then sed -i s/^member./members\\ / $1; else sed -i s/^members/member/ $1; fi",
    );
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("unknown key"), "{said:?}");
    assert!(
        said.out.contains("Nothing was changed"),
        "as it was before: {said:?}"
    );
    assert_eq!(node.kept_edits(), 0);
    let said = node.edit("sed -i s/^members/member/ $1");
    assert_eq!(said.code, 78, "given up: {said:?}");
    assert!(said.err.contains("your text is kept in"), "{said:?}");
    assert_eq!(node.kept_edits(), 1);

    // Somebody else applies while the editor is open.
    node.write("other.toml", "# other\n");
    let said = node.edit(
        "sed -i s/200000/300000/ $1; $STANDFAST --socket $SOCKET apply $(dirname $0)/other.toml",
    );
    assert_eq!(said.code, 75, "{said:?}");
    assert!(said.err.contains("somebody else"), "{said:?}");
    assert_eq!(node.kept_edits(), 2);
    assert!(!node.ok(&["config", "show"]).contains("300000"));
}

#[test]
fn a_secret_is_shown_nowhere() {
    let mut node = Node::new("secret");
    let file = node.path("token");
    fs::write(&file, "planted-secret-two\n").expect("secret");
    node.start();
    let one = node.write("one.toml", &TALKER.replace("FILE", &file));
    let two = TALKER.replace("FILE", &file).replace("-one", "-three");
    let two = node.write("two.toml", &two);
    let mut shown = String::new();
    for command in [
        &["plan", &one][..],
        &["plan", "--json", &one],
        &["apply", &one],
        &["plan", &two],
        &["config", "draft", "save", "d", &two],
        &["config", "draft", "show", "d"],
        &["config", "draft", "show", "--json", "d"],
        &["config", "draft", "plan", "d"],
        &["config", "draft", "list", "--json"],
        &["config", "draft", "apply", "d"],
        &["config", "diff", "1"],
        &["config", "diff", "1", "--json"],
        &["config", "rollback", "1", "--dry-run"],
    ] {
        shown += &format!("{:?}", node.ask(command));
    }
    // Its last words, which were given the secrets, are in the reports.
    node.wait_for("failure", |node| {
        node.ok(&["history"]).contains("(hidden) and (hidden)")
    });
    for command in [
        &["status"][..],
        &["status", "--json"],
        &["history", "-n", "500"],
        &["history", "-n", "500", "--json"],
        &["explain", "talker"],
        &["explain", "--json", "talker"],
        &["check"],
        &["config", "show"],
        &["config", "show", "--json"],
        &["config", "show", "--version", "1"],
        &["config", "history", "--json"],
    ] {
        shown += &format!("{:?}", node.ask(command));
    }
    shown += &fs::read_to_string(node.path("log")).expect("log");
    assert!(
        shown.contains("environment of [PASSWORD] differs"),
        "{shown}"
    );
    assert!(shown.contains("PASSWORD = \\\"(hidden)\\\""), "{shown}");
    assert!(!shown.contains("planted-secret"), "{shown}");
    kept_where_it_is_needed(&node);

    fs::remove_file(&file).expect("secret");
    node.ok(&["resource", "cleanup", "talker"]);
    node.wait_for("reason", |node| {
        node.ok(&["history"])
            .contains("cannot read the secret file")
    });
}

fn kept_where_it_is_needed(node: &Node) {
    // The state itself has only what stands in the file, never what stands in the secret's file.
    let raw = node.ok(&["config", "show", "--reveal"]);
    assert!(
        raw.contains("planted-secret-three") && !raw.contains("planted-secret-two"),
        "{raw}"
    );
    // The archive for others has it only where the service itself printed it.
    let (archive, unpacked) = (node.path("report.tar.gz"), node.path("unpacked"));
    node.ok(&["report", &archive]);
    fs::create_dir(&unpacked).expect("folder");
    let tar = Command::new("tar")
        .args(["-xzf", &archive, "-C", &unpacked])
        .status();
    assert!(tar.expect("tar").success());
    let found = Command::new("grep")
        .args(["-rl", "planted-secret", &unpacked])
        .output();
    let found = String::from_utf8(found.expect("grep").stdout).expect("text");
    assert!(found.lines().all(|file| file.contains("talker")), "{found}");
    let state = Command::new("grep")
        .args(["-rl", "planted-secret-two", &node.path("state")])
        .output();
    let found = String::from_utf8(state.expect("grep").stdout).expect("text");
    assert!(
        found.lines().all(|file| file.contains("/output/")),
        "{found}"
    );

    // A backup has to start things again, so it has everything; its file is its owner's alone.
    let backup = node.path("backup");
    node.ok(&["backup", &backup]);
    let kept = fs::read_to_string(&backup).expect("backup");
    assert!(kept.contains("planted-secret-three") && kept.contains("planted-secret-one"));
    assert!(!kept.contains("planted-secret-two"));
    let mode = fs::metadata(&backup).expect("backup").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_cluster_that_observes_starts_nothing_until_it_may_act() {
    let mut node = Node::new("observe");
    node.start();
    let acting = node.write("acting.toml", SITE);
    let text = fs::read_to_string(&acting).expect("file");
    let observing = node.path("observing.toml");
    let text = text.replace("[cluster]\n", "[cluster]\nmode = \"observe\"\n");
    fs::write(&observing, text).expect("file");
    let plan = node.ok(&["plan", &observing]);
    assert!(plan.contains("cluster: mode active -> observe"), "{plan}");
    assert!(
        plan.contains("none: nothing is started or stopped"),
        "{plan}"
    );
    node.ok(&["apply", &observing]);
    node.wait_for("observation", |node| {
        node.ok(&["history"]).contains("site would start on alpha")
    });
    let status = node.ok(&["status"]);
    assert!(
        status.starts_with("OBSERVING ONLY, nothing is started"),
        "{status}"
    );
    assert!(
        status.contains("acting, it would have site on alpha"),
        "{status}"
    );
    assert!(!node.runs());
    node.fails(
        &["switchover", "site", "--to", "alpha"],
        107,
        "only observes",
    );
    node.fails(&["node", "drain", "alpha", "--force"], 107, "only observes");
    let plan = node.ok(&["plan", &acting]);
    assert!(plan.contains("1. start web on alpha"), "{plan}");
    node.ok(&["apply", &acting]);
    node.wait_for("running group", Node::runs);
    // What runs stays when it only observes again, and when it acts again.
    node.ok(&["apply", &observing]);
    assert!(node.ok(&["status"]).starts_with("OBSERVING ONLY"));
    assert!(node.runs());
    let plan = node.ok(&["plan", &acting]);
    assert!(
        plan.contains("none: nothing is started or stopped"),
        "{plan}"
    );
    node.ok(&["apply", &acting]);
    assert!(node.runs());
}

#[test]
fn a_machines_own_file_gives_defaults_that_flags_override() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let file = path("node.toml");
    let help = |arguments: &[&str]| run(&[&["--node-file", file.as_str()][..], arguments].concat());
    let text = format!(
        "state = {:?}\nrun = {:?}\nrealtime = false\nmetrics = \"off\"\n",
        path("s"),
        path("r")
    );
    fs::write(&file, &text).expect("file");
    let init = ["init", "--name", "alpha", "--address", "127.0.0.1:1"];
    let said = help(&init);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(folder.path().join("s/identity.json").exists(), "{said:?}");
    let said = help(&[&init[..], &["--state", &path("other")]].concat());
    assert_eq!(said.code, 0, "{said:?}");
    let said = help(&["status"]);
    assert!(said.err.contains(&path("r/standfast.sock")), "{said:?}");

    fs::write(
        &file,
        text + "lag = 1\nlog = \"a=b=c\"\n[access]\nread = \"some\"\n",
    )
    .expect("file");
    let said = help(&["agent"]);
    assert_eq!(said.code, 78, "{said:?}");
    assert!(
        said.err.contains("node.toml:5:1: lag: unknown key"),
        "{said:?}"
    );
    assert!(
        said.err
            .contains("unknown read \"some\"; allowed: group, any"),
        "{said:?}"
    );
    assert_eq!(
        help(&["status"]).code,
        102,
        "who only asks is not kept from it"
    );
    let said = run(&["--node-file", "/nonexistent/file", "agent"]);
    assert_eq!(said.code, 66, "{said:?}");
    fs::write(&file, "log = \"a=b=c\"\n").expect("file");
    assert!(help(&["agent"]).err.contains("log: "), "{said:?}");
}

#[test]
fn a_member_of_the_group_works_and_is_named_and_others_only_look() {
    let mut node = Node::new("access");
    let file = node.path("node.toml");
    fs::write(&file, "[access]\ngroup = \"daemon\"\nread = \"any\"\n").expect("file");
    node.start_with(&["--node-file", &file]);
    let one = node.write("one.toml", SITE);
    for path in [
        node.folder.path().to_owned(),
        node.folder.path().join("one.toml"),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("mode");
    }
    let socket = node.path("run/standfast.sock");
    let program = node.path("standfast");
    fs::copy(PROGRAM, &program).expect("copy");
    let as_nobody = |group: &str, command: &[&str]| {
        let output = Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--groups", group])
            .args([&program, "--socket", &socket])
            .args(command)
            .output()
            .expect("runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).expect("text"))
    };
    let (code, text) = as_nobody("2", &["status"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = as_nobody("2", &["apply", &one]);
    assert_eq!(code, Some(77), "{text}");
    assert!(text.contains("nobody may look"), "{text}");
    let (code, text) = as_nobody("1", &["apply", &one]);
    assert_eq!(code, Some(0), "{text}");
    assert!(node.ok(&["history"]).contains("applied by nobody@alpha"));
    let (code, text) = as_nobody("2", &["config", "show", "--reveal"]);
    assert_eq!(code, Some(77), "{text}");
    assert_eq!(as_nobody("2", &["config", "show"]).0, Some(0));
}

/// The guide's page about changes, typed line by line.
#[test]
fn the_guides_page_about_changes_is_true() {
    let mut node = Node::new("guide");
    node.start();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/guide/changing.md")).expect("page");
    let blocks = |language: &str| -> Vec<String> {
        let open = format!("```{language}\n");
        let blocks = page.split(open.as_str()).skip(1);
        let blocks = blocks.filter_map(|rest| rest.split("```").next());
        blocks.map(str::to_owned).collect()
    };
    let file = blocks("toml")[0].replace("10.0.0.1:7400", &node.address);
    fs::write(node.path("cluster.toml"), file).expect("file");
    let script = format!(
        "#!/bin/sh\nexec {PROGRAM} --socket {} \"$@\"\n",
        node.path("run/standfast.sock")
    );
    fs::write(node.path("standfast"), script).expect("script");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(node.path("standfast"), mode).expect("mode");
    let path = format!("{}:/usr/bin:/bin", node.folder.path().display());
    let mut typed = 0;
    for line in blocks("console").iter().flat_map(|block| block.lines()) {
        let command = line.strip_prefix("alpha# ").expect("a prompt");
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(node.folder.path())
            .env("PATH", &path)
            .output()
            .expect("shell");
        assert!(output.status.success(), "{line}: {output:?}");
        typed += 1;
    }
    assert!(typed >= 15, "only {typed} commands on that page");
    node.wait_for("running group", Node::runs);
    assert!(node.ok(&["config", "history"]).contains("acting again"));
}
