//! One host of the laboratory: a machine made of namespaces, that can lose its power and boot again with its disk kept. Not for what runs on it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};

use crate::command;
use crate::enclosure::Mode;
use crate::error::{LabError, Result};
use crate::host_init::{Daemon, HostSpec, Request};
use crate::network::{Network, Nic};
use crate::processes::{self, HostProcess};

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
}

/// Folders that every host of a lab sees.
#[derive(Debug)]
pub(crate) struct OutsideView {
    /// The switch ports of the lab, in sysfs.
    pub(crate) ports: PathBuf,
    /// The host's control group.
    pub(crate) cgroup: PathBuf,
}

impl Power {
    /// Asks the kernel without taking the exit status away from whoever waits for it later.
    fn lives(&self) -> bool {
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        pid(self.child.id()).is_some_and(|pid| matches!(waitid(WaitId::Pid(pid), peek), Ok(None)))
    }

    /// Waits for a host that is dead or dying. Whoever waited for its process 1 may have died with it: then it is our child.
    fn bury(mut self) {
        drop(self.child.wait());
        if let Some(pid) = pid(self.init) {
            waitpid(Some(pid), WaitOptions::NOHANG).ok();
        }
    }
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
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

    /// The host's own root folder, as the laboratory reaches it; none while it has no power.
    #[must_use]
    pub fn root(&self) -> Option<PathBuf> {
        let power = self.power.as_ref()?;
        Some(if self.spec.namespaced {
            PathBuf::from(format!("/proc/{}/root", power.init))
        } else {
            self.spec.folder.clone()
        })
    }

    /// Its process 1, as the laboratory sees it; none while it has no power.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.power.as_ref().map(|power| power.init)
    }

    /// Whether it has power: a fence agent may have taken it behind the laboratory's back.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.power.as_ref().is_some_and(Power::lives)
    }

    /// The switch ports that it is plugged into, one folder in sysfs a line, for programs of the lab.
    pub(crate) fn ports(&self) -> String {
        let lab = self.spec.folder.parent().unwrap_or(&self.spec.folder);
        let folder = lab.join("sys/class/net");
        let port = |nic: &Nic| format!("{}\n", folder.join(&nic.port).display());
        self.nics.iter().map(port).collect()
    }

    /// How the other hosts of the lab reach this one's power; none without control groups.
    pub(crate) fn outside_view(&self) -> Option<OutsideView> {
        let lab = self.spec.folder.parent()?;
        Some(OutsideView {
            ports: lab.join("sys/class/net"),
            cgroup: lab.join("cgroup").join(self.cgroup.as_ref()?.file_name()?),
        })
    }

    /// Boots the host: namespaces, mounts, links. Must be called from a thread that outlives it: the host dies with its parent.
    ///
    /// # Errors
    /// When the kernel refuses something.
    pub fn boot(&mut self, network: Option<&Network>) -> Result<()> {
        if self.is_on() {
            return Ok(());
        }
        if let Some(dead) = self.power.take() {
            dead.bury();
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
        for nic in &self.nics {
            if let Some(network) = network {
                network.plug(nic, init)?;
            }
        }
        self.power = Some(Power { child, stdin, init });
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
        link_alternatives(&folder.join("etc/alternatives"))
    }

    fn start_init(&self) -> Result<Child> {
        let spec = serde_json::to_string(&self.spec)
            .map_err(|error| LabError::Unexpected(error.to_string()))?;
        // Without namespaces process 1 has to outlive the laboratory for a moment: it sees its input end and takes the host down.
        let mut argv: Vec<&str> = Vec::new();
        if self.spec.namespaced {
            argv.extend([
                "setpriv",
                "--pdeathsig",
                "KILL",
                "unshare",
                "--net",
                "--mount",
                "--uts",
                "--ipc",
                "--pid",
            ]);
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
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(|error| LabError::system("start a host", error))
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
        let Some(power) = self.power.take() else {
            return Ok(());
        };
        if !power.lives() {
            power.bury();
            return Ok(());
        }
        if let Some(network) = network {
            for nic in &self.nics {
                network.set_port(&nic.port, false)?;
            }
        }
        if self.spec.namespaced {
            processes::signal(power.init, Signal::KILL);
        } else {
            // Process 1 last: it keeps orphans findable.
            processes::kill_descendants(power.init);
            processes::signal(power.init, Signal::KILL);
        }
        power.bury();
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
        let full = self.inside(argv)?;
        let full: Vec<&str> = full.iter().map(String::as_str).collect();
        command::output(&full, input)
    }

    /// Starts a program on the host and does not wait for it; its output can be read.
    ///
    /// # Errors
    /// When the host is off or the program cannot be started.
    pub fn spawn(&self, argv: &[&str]) -> Result<Child> {
        let full = self.inside(argv)?;
        let (program, arguments) = full
            .split_first()
            .ok_or_else(|| LabError::Unexpected("an empty command".to_owned()))?;
        Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| LabError::system("start a command on a host", error))
    }

    /// The command line that runs another one on the host.
    fn inside(&self, argv: &[&str]) -> Result<Vec<String>> {
        let Some(power) = &self.power else {
            return Err(LabError::Unexpected(format!(
                "host {} is off",
                self.spec.name
            )));
        };
        let mut full: Vec<String> = Vec::new();
        if self.mode != Mode::Loopback {
            let pid = power.init.to_string();
            let enter = ["nsenter", "-t", &pid, "-m", "-u", "-i", "-n", "-p"];
            full.extend(enter.map(str::to_owned));
            if self.spec.cgroup {
                full.push("-C".to_owned());
            }
            full.push("--".to_owned());
        }
        full.extend(argv.iter().map(|word| (*word).to_owned()));
        Ok(full)
    }

    /// Every process of the host except its process 1.
    #[must_use]
    pub fn processes(&self) -> Vec<HostProcess> {
        let Some(power) = &self.power else {
            return Vec::new();
        };
        // Keepers put resources into process-id namespaces of their own, below the host's. What is run on the host from outside
        // (nsenter) is no descendant of process 1, and passes.
        processes::descendants(power.init)
            .into_iter()
            .filter_map(processes::describe)
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

/// Which of several programs of a name is meant (`which`, `awk`): shell scripts of Debian find them by this folder.
fn link_alternatives(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| LabError::file("create", folder, error))?;
    for entry in std::fs::read_dir("/etc/alternatives").into_iter().flatten() {
        let link = entry.map(|entry| (std::fs::read_link(entry.path()), entry.file_name()));
        if let Ok((Ok(target), name)) = link {
            match std::os::unix::fs::symlink(target, folder.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(LabError::file("link in", folder, error));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.power_off(None));
        if let Some(cgroup) = &self.cgroup {
            crate::enclosure::remove_cgroups(cgroup);
        }
    }
}
