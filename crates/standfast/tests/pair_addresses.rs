//! The addresses of a pair, from a plain file: two real agents, each in a network and with a folder of its own. They move with the
//! primary, are changed live, and the file is equal on both.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod machines;

use machines::{Machine, PATIENCE, PROGRAM, Said};
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Instant,
};

/// Two networks with one cable between them. Dropped, they are gone.
struct Cable {
    names: [String; 2],
}

impl Cable {
    fn new() -> Self {
        let id = std::process::id();
        let names = ["a", "b"].map(|end| format!("standfast-{id}-{end}"));
        let cable = Self { names };
        let [a, b] = &cable.names;
        ip(&format!(
            "netns add {a}\nnetns add {b}\nlink add name left netns {a} type veth peer name right netns {b}\n"
        ));
        for (name, end, address) in [(a, "left", "10.91.0.1/24"), (b, "right", "10.91.0.2/24")] {
            ip(&format!(
                "-n {name} link set lo up\n-n {name} address add {address} dev {end}\n-n {name} link set {end} up\n"
            ));
        }
        cable
    }

    fn inside(&self, end: usize) -> String {
        let name = self.names.get(end).expect("an end");
        format!("--net=/run/netns/{name}")
    }

    /// The addresses that clients would find at this end.
    fn addresses(&self, end: usize) -> Vec<String> {
        let name = self.names.get(end).expect("an end");
        let output = Command::new("ip")
            .args(["-n", name, "-4", "-oneline", "address", "show"])
            .output();
        let text = String::from_utf8(output.expect("ip").stdout).expect("text");
        let words = text
            .lines()
            .filter_map(|line| line.split_whitespace().nth(3));
        let own = |address: &&str| address.starts_with("10.91.0.") && !is_own(address);
        let mut found: Vec<String> = words.filter(own).map(str::to_owned).collect();
        found.sort();
        found
    }
}

fn is_own(address: &str) -> bool {
    ["10.91.0.1/24", "10.91.0.2/24"].contains(&address)
}

impl Drop for Cable {
    fn drop(&mut self) {
        for name in &self.names {
            Command::new("ip")
                .args(["netns", "delete", name])
                .status()
                .ok();
        }
    }
}

/// One command a line: `ip -batch` knows no other network.
fn ip(lines: &str) {
    for line in lines.lines() {
        let status = Command::new("ip").args(line.split(' ')).status();
        assert!(status.expect("ip").success(), "ip {line}");
    }
}

/// The two machines: alpha sees the folder itself, beta has one of its own mounted over it.
struct Site {
    alpha: Machine,
    beta: Machine,
    cable: Cable,
    folders: [tempfile::TempDir; 2],
}

impl Site {
    fn new() -> Self {
        let cable = Cable::new();
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let mut machines = ["alpha", "beta"].map(|name| Machine::new("addresses", name));
        for (number, machine) in machines.iter_mut().enumerate() {
            machine.address = format!("10.91.0.{}:7400", number + 1);
            machine.before = vec!["nsenter".to_owned(), cable.inside(number)];
        }
        let [alpha, mut beta] = machines;
        let mount = "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"";
        let words = ["unshare", "--mount", "sh", "-c", mount, "sh"];
        beta.before.extend(words.map(str::to_owned));
        beta.before.extend([1, 0].map(|number: usize| {
            let folder = folders.get(number).expect("a folder");
            folder.path().display().to_string()
        }));
        Self {
            alpha,
            beta,
            cable,
            folders,
        }
    }

    fn file(&self, end: usize) -> PathBuf {
        let folder = self.folders.get(end).expect("a folder");
        folder.path().join("addresses")
    }

    /// As `set_up`, where its network is.
    fn set_up(&self, end: usize, command: &[&str], input: &str) -> String {
        let machine = if end == 0 { &self.alpha } else { &self.beta };
        let mut child = Command::new("nsenter")
            .args([&self.cable.inside(end), PROGRAM])
            .args(command)
            .args(["--name", &machine.name, "--address", &machine.address])
            .args(["--state", &machine.state()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs");
        let mut stdin = child.stdin.take().expect("input");
        stdin.write_all(input.as_bytes()).ok();
        drop(stdin);
        let output = child.wait_with_output().expect("ends");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let said = Said {
            code: output.status.code().expect("exit code"),
            out: text(output.stdout),
            err: text(output.stderr),
        };
        said.ok(&format!("{command:?}"))
    }

    fn start(&mut self) {
        let init = [
            "init",
            "--cluster",
            "demo",
            "--pair",
            "beta",
            "--arbiter",
            "none",
        ];
        self.set_up(0, &init, "");
        self.alpha.start();
        self.alpha.wait_for_status("The pair has one node so far");
        let token = self.alpha.ok(&["token"]);
        self.set_up(1, &["join", "--token-file", "-"], &token);
        self.beta.start();
        self.both_normal();
    }

    fn both_normal(&self) {
        for machine in [&self.alpha, &self.beta] {
            machine.wait_for_status("The pair runs normally");
        }
    }

    fn config(&self) -> String {
        let file = self.alpha.path("cluster.toml");
        let text = format!(
            "[cluster]\nname = \"demo\"\nprofile = \"wan\"\n[nodes.alpha]\naddresses = [\"{}\"]\n[nodes.beta]\n\
             addresses = [\"{}\"]\n[pair]\narbiter = \"none\"\naddresses_file = \"{}\"\n",
            self.alpha.address,
            self.beta.address,
            self.file(0).display()
        );
        fs::write(&file, text).expect("file");
        file
    }

    /// Waits until exactly one end has exactly these, and the other one none.
    fn are_at(&self, end: usize, wanted: &[&str]) {
        let start = Instant::now();
        loop {
            let found = [0, 1].map(|end| self.cable.addresses(end));
            let [here, there] = [found.get(end), found.get(1 - end)];
            if here.is_some_and(|here| here == wanted) && there.is_some_and(Vec::is_empty) {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "wanted {wanted:?} at {end}: {found:?}\n{}\n{}",
                self.alpha.log(),
                self.beta.log()
            );
            thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn is_equal(&self, end: usize, text: &str) {
        let file = self.file(end);
        let start = Instant::now();
        while read(&file) != text {
            assert!(
                start.elapsed() < PATIENCE,
                "{}: {}",
                file.display(),
                read(&file)
            );
            thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

#[test]
fn the_addresses_of_a_file_follow_the_primary_and_change_live() {
    let mut site = Site::new();
    site.start();
    let config = site.config();
    fs::write(site.file(0), "10.91.0.40/24\n10.91.0.50/33\n").expect("file");
    let said = site.alpha.ask(&["apply", &config]);
    let place = format!(
        "{}:2:1: \"33\" is not a prefix length",
        site.file(0).display()
    );
    assert_eq!(said.code, 78, "{said:?}");
    assert!(said.err.contains(&place), "{said:?}");
    fs::remove_file(site.file(0)).expect("file");
    let said = site.alpha.ask(&["apply", &config]);
    assert_eq!(said.code, 66, "{said:?}");
    assert!(said.err.contains("addresses_file in [pair]"), "{said:?}");

    let first = "# ours\n10.91.0.40/24\n10.91.0.50-10.91.0.52/24 # three\n";
    fs::write(site.file(0), first).expect("file");
    site.alpha.ok(&["apply", &config]);
    let four = [
        "10.91.0.40/24",
        "10.91.0.50/24",
        "10.91.0.51/24",
        "10.91.0.52/24",
    ];
    site.are_at(0, &four);
    site.is_equal(1, first);

    site.alpha.ok(&["pair", "swap"]);
    site.are_at(1, &four);
    site.both_normal();

    // Live: one goes, one comes, nothing is started anew.
    let second = "10.91.0.40/24\n10.91.0.50-10.91.0.51/24\n10.91.0.60/24\n";
    fs::write(site.file(0), second).expect("file");
    let plan = site.alpha.ok(&["plan", &config]);
    assert!(plan.contains("10.91.0.60"), "{plan}");
    let starts = |machine: &Machine| machine.log().matches("start under plan").count();
    let before = starts(&site.beta);
    let said = site.alpha.ok(&["apply", &config]);
    assert!(said.contains("10.91.0.60"), "{said}");
    site.are_at(
        1,
        &[
            "10.91.0.40/24",
            "10.91.0.50/24",
            "10.91.0.51/24",
            "10.91.0.60/24",
        ],
    );
    assert_eq!(starts(&site.beta), before, "{}", site.beta.log());
    site.is_equal(1, second);

    // An edit that nobody applied is said, and stays.
    fs::write(site.file(1), "10.91.0.70/24\n").expect("file");
    site.beta
        .wait_for_status("was edited here and is not in force");
    assert_eq!(read(&site.file(1)), "10.91.0.70/24\n");
    // Overtaken by the other node's, it is kept beside.
    fs::write(site.file(0), first).expect("file");
    site.alpha.ok(&["apply", &config]);
    site.is_equal(1, first);
    let before = site.file(1).with_file_name("addresses.before");
    assert_eq!(read(&before), "10.91.0.70/24\n");
    site.are_at(1, &four);
    ends(&site, &config);
    site.are_at(1, &four);
}

/// The end of the pair, asked for by commands that die, and given again: what runs on beta runs on.
fn ends(site: &Site, config: &str) {
    let (alpha, beta) = (&site.alpha, &site.beta);
    site.both_normal();
    let starts = || beta.log().matches("start under plan").count();
    let before = starts();
    let said = beta.ask(&["pair", "teardown"]);
    assert_eq!(said.code, 107, "nobody can be asked: {said:?}");
    assert!(
        said.out.contains("kept     beta as a cluster of one"),
        "{said:?}"
    );
    assert!(said.out.contains("removed  alpha"), "{said:?}");
    site.both_normal();
    // Whether it was done by then or not, it goes on.
    let said = beta.ask(&["pair", "teardown", "--yes", "--wait", "0"]);
    assert!([0, 124].contains(&said.code), "{said:?}");
    let said = alpha.ok(&["pair", "teardown", "--yes"]);
    assert!(said.contains("alpha is out of it"), "{said}");
    beta.ok(&["pair", "teardown", "--yes"]);
    let said = beta.ok(&["pair", "teardown", "--yes"]);
    assert!(said.contains("This is no pair"), "{said}");
    beta.wait_for_status("1 of 1 nodes online");
    let said = alpha.ok(&["pair", "show"]);
    assert!(said.contains("alpha is out of it"), "{said}");
    assert_eq!(starts(), before, "{}", beta.log());
    let said = beta.ask(&["apply", config]);
    assert!(said.err.contains("take that section out"), "{said:?}");
}
