//! One host of the laboratory: a machine made of namespaces, that can lose its power and boot again with its disk kept. Not for what runs on it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use rustix::process::{Pid, Signal};

use crate::command;
use crate::enclosure::Mode;
use crate::error::{LabError, Result};
use crate::host_init::{Daemon, HostSpec, Request};
use crate::network::{Network, Nic};

/// Files of /etc that programs on a host need; everything else is left out.
const ETC: [&str; 9] = [
    "passwd",
    "group",
    "hosts",
    "nsswitch.conf",
    "protocols",
    "services",
    "ld.so.cache",
    "localtime",
    "ethertypes",
];

/// Tells processes of a host on loopback, where there is no namespace to tell them by.
const MARK: &str = "STANDFAST_LAB_HOST";

/// A process of a host as the laboratory sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostProcess {
    /// Its id in the laboratory's process-id namespace.
    pub pid: u32,
    /// Command line.
    pub argv: Vec<String>,
}

/// A machine with its interfaces; powered off until [`Host::boot`].
#[derive(Debug)]
pub struct Host {
    /// Position in the lab, from 1; the last part of its addresses.
    pub index: u8,
    /// Its interfaces, the client network's first.
    pub nics: Vec<Nic>,
    spec: HostSpec,
    mode: Mode,
    program: PathBuf,
    cgroup: Option<PathBuf>,
    power: Option<Power>,
}

#[derive(Debug)]
struct Power {
    child: Child,
    stdin: ChildStdin,
    init: u32,
    namespace: u64,
}

impl Host {
    /// Describes a host; nothing is made yet. `program` is the laboratory's own binary.
    #[must_use]
    pub fn new(
        index: u8,
        spec: HostSpec,
        nics: Vec<Nic>,
        program: &Path,
        cgroup: Option<PathBuf>,
    ) -> Self {
        let mode = if spec.namespaced {
            Mode::Root
        } else {
            Mode::Loopback
        };
        Self {
            index,
            nics,
            mode,
            program: program.to_path_buf(),
            cgroup,
            spec,
            power: None,
        }
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The folder that holds the host's disk, on the laboratory's side.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.spec.folder
    }

    /// Whether it has power.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.power.is_some()
    }

    /// Boots the host: namespaces, mounts, links. Must be called from a thread that outlives it: the host dies with its parent.
    ///
    /// # Errors
    /// When the kernel refuses something.
    pub fn boot(&mut self, network: Option<&Network>) -> Result<()> {
        if self.is_on() {
            return Ok(());
        }
        self.make_disk()?;
        if let Some(cgroup) = &self.cgroup {
            std::fs::create_dir_all(cgroup)
                .map_err(|error| LabError::file("create", cgroup, error))?;
        }
        let mut child = self.start_init()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(LabError::Unexpected("process 1 without pipes".to_owned()));
        };
        let mut ready = String::new();
        BufReader::new(stdout)
            .read_line(&mut ready)
            .map_err(|error| LabError::system("wait for a host to boot", error))?;
        if ready.trim() != "ready" {
            let console = std::fs::read_to_string(self.spec.folder.join("log/console.log"))
                .unwrap_or_default();
            return Err(LabError::Unexpected(format!(
                "host {} did not boot: {}",
                self.spec.name,
                console.trim()
            )));
        }
        let init = self.init_of(child.id())?;
        let namespace = pid_namespace(init)
            .ok_or_else(|| LabError::Unexpected(format!("host {} is gone", self.spec.name)))?;
        for nic in &self.nics {
            if let Some(network) = network {
                network.plug(nic, init)?;
            }
        }
        self.power = Some(Power {
            child,
            stdin,
            init,
            namespace,
        });
        Ok(())
    }

    fn make_disk(&self) -> Result<()> {
        let folder = &self.spec.folder;
        // /run does not survive a boot.
        drop(std::fs::remove_dir_all(folder.join("run")));
        for inner in [
            "etc/standfast",
            "etc/keepalived",
            "run/standfast",
            "run/lock",
            "var/lib/standfast",
            "log",
        ] {
            let path = folder.join(inner);
            std::fs::create_dir_all(&path)
                .map_err(|error| LabError::file("create", &path, error))?;
        }
        for name in ETC {
            let source = Path::new("/etc").join(name);
            if source.exists() {
                let target = folder.join("etc").join(name);
                std::fs::copy(&source, &target)
                    .map_err(|error| LabError::file("copy to", &target, error))?;
            }
        }
        Ok(())
    }

    fn start_init(&self) -> Result<Child> {
        let spec = serde_json::to_string(&self.spec)
            .map_err(|error| LabError::Unexpected(error.to_string()))?;
        let mut argv: Vec<&str> = vec!["setpriv", "--pdeathsig", "KILL"];
        if self.spec.namespaced {
            argv.extend(["unshare", "--net", "--mount", "--uts", "--ipc", "--pid"]);
            if self.spec.cgroup {
                argv.push("--cgroup");
            }
            argv.extend(["--fork", "--kill-child", "--mount-proc"]);
        }
        // The host's own control group has to be entered before its namespace is made, so that it is the root there.
        let script = match &self.cgroup {
            Some(cgroup) => format!(
                "echo $$ > '{}/cgroup.procs' && exec \"$@\"",
                cgroup.display()
            ),
            None => "exec \"$@\"".to_owned(),
        };
        let console = self.spec.folder.join("log/console.log");
        let errors =
            File::create(&console).map_err(|error| LabError::file("create", &console, error))?;
        Command::new("sh")
            .args(["-c", &script, "sh"])
            .args(argv)
            .arg(&self.program)
            .args(["host-init", &spec])
            .env(MARK, self.mark())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(|error| LabError::system("start a host", error))
    }

    fn mark(&self) -> String {
        self.spec.folder.display().to_string()
    }

    fn init_of(&self, child: u32) -> Result<u32> {
        if !self.spec.namespaced {
            return Ok(child);
        }
        let file = PathBuf::from(format!("/proc/{child}/task/{child}/children"));
        let children =
            std::fs::read_to_string(&file).map_err(|error| LabError::file("read", &file, error))?;
        children
            .split_whitespace()
            .next()
            .and_then(|pid| pid.parse().ok())
            .ok_or_else(|| {
                LabError::Unexpected(format!("host {} has no process 1", self.spec.name))
            })
    }

    /// Takes the power away: links first, then all processes at once. Returns when all are dead.
    ///
    /// # Errors
    /// When a link cannot be set down.
    pub fn power_off(&mut self, network: Option<&Network>) -> Result<()> {
        let Some(mut power) = self.power.take() else {
            return Ok(());
        };
        if let Some(network) = network {
            for nic in &self.nics {
                network.set_port(&nic.port, false)?;
            }
        }
        signal(power.init, Signal::KILL);
        if !self.spec.namespaced {
            for _ in 0..3 {
                self.marked()
                    .iter()
                    .for_each(|process| signal(process.pid, Signal::KILL));
            }
        }
        drop(power.child.wait());
        drop(power.stdin);
        Ok(())
    }

    /// Starts a daemon under the host's process 1, or lets a stopped one run again.
    ///
    /// # Errors
    /// When the host is off or its process 1 is gone.
    pub fn start(&mut self, daemon: &Daemon) -> Result<()> {
        self.ask(&Request::Start(daemon.clone()))
    }

    /// Ends a daemon with SIGTERM, for good.
    ///
    /// # Errors
    /// When the host is off or its process 1 is gone.
    pub fn stop(&mut self, daemon: &str) -> Result<()> {
        self.ask(&Request::Stop(daemon.to_owned()))
    }

    fn ask(&mut self, request: &Request) -> Result<()> {
        let mut line = serde_json::to_string(request)
            .map_err(|error| LabError::Unexpected(error.to_string()))?;
        line.push('\n');
        let off = || LabError::Unexpected("the host is off".to_owned());
        let power = self.power.as_mut().ok_or_else(off)?;
        power
            .stdin
            .write_all(line.as_bytes())
            .map_err(|error| LabError::system("ask a host's process 1", error))
    }

    /// Runs a program on the host and returns what came of it.
    ///
    /// # Errors
    /// When the host is off or the program cannot be started.
    pub fn run(&self, argv: &[&str], input: &str) -> Result<Output> {
        let Some(power) = &self.power else {
            return Err(LabError::Unexpected(format!(
                "host {} is off",
                self.spec.name
            )));
        };
        if self.mode == Mode::Loopback {
            return command::output(argv, input);
        }
        let pid = power.init.to_string();
        let mut full = vec!["nsenter", "-t", &pid, "-m", "-u", "-i", "-n", "-p"];
        if self.spec.cgroup {
            full.push("-C");
        }
        full.push("--");
        full.extend(argv);
        command::output(&full, input)
    }

    /// Every process of the host except its process 1.
    #[must_use]
    pub fn processes(&self) -> Vec<HostProcess> {
        let Some(power) = &self.power else {
            return Vec::new();
        };
        if !self.spec.namespaced {
            return self
                .marked()
                .into_iter()
                .filter(|process| process.pid != power.init)
                .collect();
        }
        // Keepers put resources into process-id namespaces of their own, below the host's: those are the host's too.
        all_processes()
            .filter(|pid| *pid != power.init && is_below(*pid, power.namespace))
            .filter_map(describe)
            .collect()
    }

    fn marked(&self) -> Vec<HostProcess> {
        let mark = format!("{MARK}={}", self.mark());
        all_processes()
            .filter(|pid| {
                std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|data| {
                    data.split(|byte| *byte == 0)
                        .any(|entry| entry == mark.as_bytes())
                })
            })
            .filter_map(describe)
            .collect()
    }

    /// The host's network namespace, for threads that act as the host's programs.
    ///
    /// # Errors
    /// When the host is off.
    pub fn network_namespace(&self) -> Result<Option<File>> {
        let Some(power) = &self.power else {
            return Err(LabError::Unexpected(format!(
                "host {} is off",
                self.spec.name
            )));
        };
        if !self.spec.namespaced {
            return Ok(None);
        }
        let path = PathBuf::from(format!("/proc/{}/ns/net", power.init));
        File::open(&path)
            .map(Some)
            .map_err(|error| LabError::file("open", &path, error))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.power_off(None));
        if let Some(cgroup) = &self.cgroup {
            crate::enclosure::remove_cgroups(cgroup);
        }
    }
}

/// Sends `signal` to process `pid`; a process that is gone already is no error.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        rustix::process::kill_process(pid, signal).ok();
    }
}

fn all_processes() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn pid_namespace(pid: u32) -> Option<u64> {
    std::fs::metadata(format!("/proc/{pid}/ns/pid"))
        .ok()
        .map(|data| data.ino())
}

/// Whether `pid` or one of its ancestors is in process-id namespace `namespace`.
fn is_below(pid: u32, namespace: u64) -> bool {
    let mut current = pid;
    for _ in 0..64 {
        if pid_namespace(current) == Some(namespace) {
            return true;
        }
        match parent(current) {
            Some(next) if next > 1 => current = next,
            _ => return false,
        }
    }
    false
}

fn parent(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))?
        .trim()
        .parse()
        .ok()
}

fn describe(pid: u32) -> Option<HostProcess> {
    let data = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let argv: Vec<String> = data
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    (!argv.is_empty()).then_some(HostProcess { pid, argv })
}
