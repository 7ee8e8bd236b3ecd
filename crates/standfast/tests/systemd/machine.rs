//! A machine with systemd as process 1, in namespaces of its own. Ends, with everything in it, when it is dropped.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// Longest time for anything to come about here.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Machine {
    folder: PathBuf,
    cgroup: PathBuf,
    boot: Child,
    /// Process 1, as the outside numbers it.
    init: String,
}

impl Machine {
    /// Boots one.
    pub(crate) fn boot() -> Self {
        static BOOTED: AtomicU32 = AtomicU32::new(0);
        let number = BOOTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("standfast-systemd-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        for below in ["scratch", "root", "shared"] {
            fs::create_dir_all(folder.join(below)).expect("a folder");
        }
        let mounts = text(&mut command(&["findmnt", "-nt", "cgroup2", "-o", "TARGET"]));
        let hierarchy = mounts.lines().next().expect("cgroup2 is mounted");
        let cgroup = Path::new(hierarchy).join(&name);
        fs::create_dir(&cgroup).expect("a control group");
        let log = File::create(folder.join("console")).expect("a log");
        // Joins its control group before it makes the namespace of control groups, of which that is the root.
        let script = format!(
            "echo $$ >{}/cgroup.procs && exec setpriv --pdeathsig KILL unshare --mount --pid --uts --ipc --net --cgroup \
             --fork --kill-child=KILL --propagation private {}/tests/systemd/boot {}",
            cgroup.display(),
            env!("CARGO_MANIFEST_DIR"),
            folder.display(),
        );
        let boot = command(&["bash", "-c", &script])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("bash");
        let mut machine = Self {
            folder,
            cgroup,
            boot,
            init: String::new(),
        };
        let parent = machine.boot.id();
        let children = format!("/proc/{parent}/task/{parent}/children");
        machine.init = until("process 1", || {
            let text = fs::read_to_string(&children).ok()?;
            let child = text.split_whitespace().next()?.to_owned();
            let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
            (name.trim() == "systemd").then_some(child)
        });
        until("booted", || {
            let state = machine.output("systemctl is-system-running");
            matches!(state.trim(), "running" | "degraded").then_some(())
        });
        machine
    }

    /// A folder that the machine has as /shared.
    pub(crate) fn shared(&self) -> PathBuf {
        self.folder.join("shared")
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = command(&["nsenter", "-t", &self.init, "-a", "--"]);
        let all = "export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C; cd /; ";
        command.args(["timeout", "60", "bash", "-c", &format!("{all}{script}")]);
        command
    }

    /// What a script prints, whether it succeeds or not.
    pub(crate) fn output(&self, script: &str) -> String {
        let output = self.shell(script).output().expect("nsenter");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a script prints; it has to succeed.
    pub(crate) fn run(&self, script: &str) -> String {
        let output = self.shell(script).output().expect("nsenter");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{script}: {} {said}\n{}",
            output.status,
            self.journal()
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Switches it off, as its button would, and waits until it is.
    pub(crate) fn power_off(&mut self) {
        self.output("systemctl poweroff");
        let started = Instant::now();
        while !matches!(self.boot.try_wait(), Ok(Some(_))) {
            assert!(started.elapsed() < SOON, "it does not go off");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A property of the unit.
    pub(crate) fn unit(&self, property: &str) -> String {
        let script = format!("systemctl show standfast.service --value -p {property}");
        self.output(&script).trim().to_owned()
    }

    /// For a failure: what the service and its manager logged.
    pub(crate) fn journal(&self) -> String {
        let console = fs::read_to_string(self.folder.join("console")).unwrap_or_default();
        let journal = self.output("journalctl --no-pager -o short-monotonic -u standfast -n 60; standfast history | tail -20");
        format!("--- console\n{console}\n--- journal\n{journal}")
    }

    /// Waits until a script prints something, and returns it.
    pub(crate) fn wait(&self, what: &str, script: &str) -> String {
        let started = Instant::now();
        loop {
            let output = self.output(script).trim().to_owned();
            if !output.is_empty() {
                return output;
            }
            let late = started.elapsed() > SOON;
            assert!(!late, "{what}: not in time\n{}", self.journal());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Process 1 is the child of what was started here; with it everything in the namespaces ends.
        drop(self.boot.kill());
        drop(self.boot.wait());
        let started = Instant::now();
        while started.elapsed() < SOON {
            let script = format!(
                "find {} -depth -type d -exec rmdir {{}} +",
                self.cgroup.display()
            );
            drop(
                command(&["bash", "-c", &script])
                    .stderr(Stdio::null())
                    .status(),
            );
            if !self.cgroup.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn command(argv: &[&str]) -> Command {
    let (program, arguments) = argv.split_first().expect("a program");
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// What a command prints; it has to succeed.
pub(crate) fn text(command: &mut Command) -> String {
    let output = command.output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < SOON, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}
