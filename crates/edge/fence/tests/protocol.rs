//! Acts through an agent that speaks the protocol and does wrong what it is told to: what each answer is worth, what is
//! left behind, and that no secret shows anywhere.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail like the test itself"
)]

use standfast_fence::{FenceError, Power, check, monitor, power_off, power_on, status, unfence};
use standfast_model::{fence::FenceDevice, id::NodeId, time::Micros};
use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const SECRET: &str = "it's-a-\\secret";

/// A device with a machine of its own, which has power.
struct Bench {
    folder: TempDir,
    device: FenceDevice,
}

fn alpha() -> NodeId {
    NodeId::from("alpha")
}

impl Bench {
    fn new(fault: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Copied by another process: one that this process had open for writing could not be executed meanwhile.
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/fence_test");
        let agent = folder.path().join("fence_test");
        let mut install = Command::new("install");
        install.args(["-m", "755", source]).arg(&agent);
        assert!(install.status().unwrap().success());
        let store = folder.path().join("store");
        std::fs::create_dir(&store).unwrap();
        std::fs::write(store.join("3"), "on\n").unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let device = FenceDevice {
            agent: text(&agent),
            parameters: BTreeMap::from([
                ("store".to_owned(), text(&store)),
                ("fault".to_owned(), fault.to_owned()),
            ]),
            secret_parameters: BTreeMap::from([("password".to_owned(), text(&secret))]),
            nodes: BTreeMap::from([(alpha(), Some("3".to_owned()))]),
            timeout: Micros::from_millis(20_000),
            retries: 0,
            delay: Micros::ZERO,
            monitor: Micros::ZERO,
        };
        Self { folder, device }
    }

    fn with_timeout(mut self, millis: u64) -> Self {
        // The agent's description is asked for once; that is not what is to be timed.
        check(&self.device).unwrap();
        self.device.timeout = Micros::from_millis(millis);
        self
    }

    /// The agent describes itself differently, before it is asked for the first time.
    fn describe(&self, from: &str, to: &str) {
        let mut edit = Command::new("sed");
        edit.args(["-i", &format!("s|{from}|{to}|"), &self.device.agent]);
        assert!(edit.status().unwrap().success());
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join("store").join(file)).unwrap()
    }
}

#[test]
fn off_is_believed_after_the_device_was_asked_again() {
    let bench = Bench::new("none");
    assert_eq!(status(&bench.device, &alpha()), Ok(Power::On));
    assert_eq!(power_off(&bench.device, &alpha()), Ok(()));
    assert_eq!(status(&bench.device, &alpha()), Ok(Power::Off));
    // Repeated, it does no harm.
    assert_eq!(power_off(&bench.device, &alpha()), Ok(()));
    assert_eq!(power_on(&bench.device, &alpha()), Ok(()));
    assert_eq!(monitor(&bench.device), Ok(()));
    let asked = bench.read("asked");
    let asked: Vec<&str> = asked.lines().collect();
    let expected = [
        "status 3", "off 3", "status 3", "status 3", "off 3", "status 3", "on 3", "status 3",
        "monitor ",
    ];
    assert_eq!(asked, expected);
}

#[test]
fn a_device_that_says_done_and_is_not_is_not_believed() {
    let bench = Bench::new("lies").with_timeout(1500);
    let error = power_off(&bench.device, &alpha()).unwrap_err();
    assert!(
        matches!(error, FenceError::NotSo { is: "on", .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("the device says that the machine is on"),
        "{error}"
    );
}

#[test]
fn a_status_that_cannot_be_asked_confirms_nothing() {
    let bench = Bench::new("status-fails");
    let error = power_off(&bench.device, &alpha()).unwrap_err();
    assert!(
        matches!(
            error,
            FenceError::Failed {
                action: "status",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(bench.read("3"), "off\n");
}

#[test]
fn how_an_agent_ended_is_told() {
    let error = power_off(&Bench::new("off-fails").device, &alpha()).unwrap_err();
    assert!(
        error.to_string().contains("exit code 1: could not log in"),
        "{error}"
    );
}

#[test]
fn secrets_are_in_no_error_and_no_environment_and_no_argument() {
    for fault in ["off-fails", "off-shouts"] {
        let bench = Bench::new(fault);
        let error = power_off(&bench.device, &alpha()).unwrap_err();
        let shown = format!("{error} {error:?}");
        for part in [SECRET, "a-\\secret", "secret"] {
            assert!(!shown.contains(part), "{fault}: {shown}");
        }
        assert!(shown.contains("(hidden)"), "{fault}: {shown}");
        // The agent itself exits with 99 when it is given any argument.
        assert!(!bench.read("environment").contains("secret"));
    }
    let mut bench = Bench::new("none");
    bench
        .device
        .secret_parameters
        .insert("password".to_owned(), "/nonexistent".to_owned());
    let error = power_off(&bench.device, &alpha()).unwrap_err().to_string();
    assert!(
        error.contains("/nonexistent of the parameter password"),
        "{error}"
    );
}

#[test]
fn the_environment_is_clean() {
    let bench = Bench::new("none");
    assert_eq!(status(&bench.device, &alpha()), Ok(Power::On));
    let environment = bench.read("environment");
    let mut names: Vec<&str> = environment
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "LC_ALL", "PATH", "PYTHONWARNINGS"]);
}

#[test]
fn an_agent_that_hangs_is_killed_with_everybody_it_started() {
    let bench = Bench::new("off-hangs").with_timeout(700);
    let marker = (70_000 + std::process::id()).to_string();
    std::fs::write(bench.folder.path().join("store/marker"), &marker).unwrap();
    let began = Instant::now();
    let error = power_off(&bench.device, &alpha()).unwrap_err();
    assert!(
        matches!(error, FenceError::TimedOut { action: "off", .. }),
        "{error}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    // One of the two left the agent's session; the kernel kills it a moment later.
    let is_there = || {
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        processes
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .any(|line| {
                line.starts_with(b"sleep\0") && String::from_utf8_lossy(&line).contains(&marker)
            })
    };
    let until = Instant::now() + Duration::from_secs(5);
    while is_there() {
        assert!(
            Instant::now() < until,
            "a process of the agent is still there"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_an_agent_leaves_behind_does_not_outlive_it() {
    // It says "done" after a process that it left will have switched the machine off.
    let bench = Bench::new("slow");
    assert_eq!(power_off(&bench.device, &alpha()), Ok(()));
}

#[test]
fn settings_that_do_not_fit_are_not_tried() {
    let mut bench = Bench::new("none");
    bench
        .device
        .parameters
        .insert("stroe".to_owned(), "x".to_owned());
    let error = power_off(&bench.device, &alpha()).unwrap_err();
    assert!(matches!(error, FenceError::Settings(_)), "{error}");
    assert!(
        error.to_string().contains("did you mean \"store\"?"),
        "{error}"
    );
    assert!(!bench.folder.path().join("store/asked").exists());
}

#[test]
fn a_node_that_the_device_does_not_know_is_refused() {
    let bench = Bench::new("none");
    let error = power_off(&bench.device, &NodeId::from("beta")).unwrap_err();
    assert!(error.to_string().contains("cannot fence beta"), "{error}");
}

#[test]
fn an_agent_that_others_can_change_is_not_run() {
    let bench = Bench::new("none");
    let agent = Path::new(&bench.device.agent);
    std::fs::set_permissions(agent, std::fs::Permissions::from_mode(0o777)).unwrap();
    let error = check(&bench.device).unwrap_err().to_string();
    assert!(error.contains("can be changed by others"), "{error}");
    let mut absent = bench.device.clone();
    absent.agent = "fence_no_such_agent".to_owned();
    assert!(
        check(&absent)
            .unwrap_err()
            .to_string()
            .contains("is not installed here")
    );
}

#[test]
fn who_joins_is_switched_on_where_the_agent_says_that_it_has_to_be() {
    let bench = Bench::new("none");
    assert_eq!(power_off(&bench.device, &alpha()), Ok(()));
    assert_eq!(unfence(&bench.device, &alpha()), Ok(false));
    assert_eq!(
        bench.read("3"),
        "off\n",
        "a device that only switches power"
    );
    let bench = Bench::new("none");
    bench.describe(
        "<action name=\"on\"/>",
        "<action name=\"on\" on_target=\"1\" automatic=\"1\"/>",
    );
    assert_eq!(power_off(&bench.device, &alpha()), Ok(()));
    assert_eq!(unfence(&bench.device, &alpha()), Ok(true));
    assert_eq!(bench.read("3"), "on\n");
    let bench = Bench::new("on-fails");
    bench.describe(
        "<action name=\"on\"/>",
        "<action name=\"on\" required=\"1\"/>",
    );
    assert!(unfence(&bench.device, &alpha()).is_err());
}
