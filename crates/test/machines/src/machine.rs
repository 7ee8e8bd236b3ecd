//! One emulated machine: the emulator's process, its monitor, and the serial line on which commands are given to it.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    error::{Broken, Result, file, unexpected},
    image::Image,
    monitor::Monitor,
};

const EMULATOR: &str = "qemu-system-x86_64";
/// From power on to the first command, by plain emulation on a busy machine.
const BOOT: Duration = Duration::from_secs(300);
/// For a command, in the same case.
const COMMAND: Duration = Duration::from_secs(180);

/// The processor's own virtualisation where there is one: a `/dev/kvm` without it is slower than plain emulation.
pub(crate) fn accelerator() -> &'static str {
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has_it = about
        .split_whitespace()
        .any(|flag| matches!(flag, "vmx" | "svm"));
    let open = File::options().read(true).write(true).open("/dev/kvm");
    if has_it && open.is_ok() { "kvm" } else { "tcg" }
}

/// What a machine is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hardware {
    /// Its name.
    pub(crate) name: String,
    /// Further arguments of the emulator.
    pub(crate) devices: Vec<String>,
}

/// A running machine. Dropping it cuts its power.
#[derive(Debug)]
pub(crate) struct Machine {
    name: String,
    folder: PathBuf,
    emulator: Child,
    /// What the emulator tells.
    pub(crate) monitor: Monitor,
    line: UnixStream,
    unread: Vec<u8>,
}

/// What came of a command.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    /// Its exit status.
    pub(crate) status: i32,
    /// Both of its outputs.
    pub(crate) text: String,
}

impl Machine {
    /// Switches a machine on and waits until it takes commands. Its files are in a folder of its name below `folder`.
    pub(crate) fn boot(image: &Image, folder: &Path, hardware: &Hardware) -> Result<Self> {
        let folder = folder.join(&hardware.name);
        fs::create_dir_all(&folder).map_err(file(&folder))?;
        let (monitor, line) = (folder.join("monitor"), folder.join("line"));
        for socket in [&monitor, &line] {
            fs::remove_file(socket).ok();
        }
        let emulator = spawn(image, &folder, hardware)?;
        let mut emulator = Guarded(Some(emulator));
        let began = Instant::now();
        while !(monitor.exists() && line.exists()) {
            let dead = emulator.0.as_mut().map(Child::try_wait);
            if matches!(dead, Some(Ok(Some(_)))) || began.elapsed() > BOOT {
                let log = fs::read_to_string(folder.join("emulator.log")).unwrap_or_default();
                return unexpected(format!(
                    "{}: {EMULATOR} did not start: {log}",
                    hardware.name
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let monitor = Monitor::connect(&hardware.name, &monitor)?;
        let line = UnixStream::connect(&line).map_err(file(&line))?;
        let Some(emulator) = emulator.0.take() else {
            return unexpected("no emulator");
        };
        let mut machine = Self {
            name: hardware.name.clone(),
            folder,
            emulator,
            monitor,
            line,
            unread: Vec::new(),
        };
        machine.wait_ready()?;
        Ok(machine)
    }

    /// Number of the emulator's process: whoever ends that cuts the machine's power.
    pub(crate) fn emulator(&self) -> u32 {
        self.emulator.id()
    }

    /// Waits until somebody has cut its power.
    pub(crate) fn wait_off(&mut self, patience: Duration) -> Result<Instant> {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            let gone = self.emulator.try_wait().map_err(file(&self.name))?;
            if gone.is_some() {
                return Ok(Instant::now());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        unexpected(format!(
            "{} still has power after {} s",
            self.name,
            patience.as_secs()
        ))
    }

    /// Waits until it takes commands, after power on or a reset.
    pub(crate) fn wait_ready(&mut self) -> Result<()> {
        self.read_to("\n@@ready\n", BOOT).map(drop)
    }

    /// Runs a command line there.
    pub(crate) fn run(&mut self, command: &str) -> Result<Said> {
        self.run_for(command, COMMAND)
    }

    /// Runs a command line there that may take so long.
    pub(crate) fn run_for(&mut self, command: &str, patience: Duration) -> Result<Said> {
        self.order(command)?;
        let mut text = self.read_to("\n@@", patience)?;
        let status = self.read_to("\n", patience)?;
        text.retain(|letter| letter != '\r');
        let Ok(status) = status.trim().parse() else {
            return unexpected(format!("{}: it said {status:?} after {text}", self.name));
        };
        Ok(Said { status, text })
    }

    /// Hands a command line over whose end is not waited for.
    pub(crate) fn order(&mut self, command: &str) -> Result<()> {
        let sent = self.line.write_all(format!("{command}\n").as_bytes());
        sent.map_err(file(&self.name))
    }

    /// Runs a command line there that has to succeed.
    pub(crate) fn ok(&mut self, command: &str) -> Result<String> {
        let said = self.run(command)?;
        if said.status == 0 {
            return Ok(said.text);
        }
        unexpected(format!(
            "{}: `{command}` ended with {}: {}",
            self.name, said.status, said.text
        ))
    }

    /// Runs a command line again and again until it succeeds.
    pub(crate) fn until(&mut self, command: &str, patience: Duration) -> Result<String> {
        let began = Instant::now();
        loop {
            let said = self.run(command)?;
            if said.status == 0 {
                return Ok(said.text);
            }
            if began.elapsed() > patience {
                return unexpected(format!(
                    "{}: `{command}` did not succeed within {} s: {}",
                    self.name,
                    patience.as_secs(),
                    said.text
                ));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The last of what its kernel said.
    pub(crate) fn console(&self) -> String {
        let text = fs::read(self.folder.join("console")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).replace('\r', "");
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(15);
        lines.get(from..).unwrap_or_default().join("\n")
    }

    fn read_to(&mut self, mark: &str, patience: Duration) -> Result<String> {
        let end = Instant::now() + patience;
        loop {
            let found = self
                .unread
                .windows(mark.len())
                .position(|part| part == mark.as_bytes());
            if let Some(at) = found {
                let rest = self.unread.split_off(at + mark.len());
                self.unread.truncate(at);
                let text = std::mem::replace(&mut self.unread, rest);
                return Ok(String::from_utf8_lossy(&text).into_owned());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let unread = String::from_utf8_lossy(&self.unread).into_owned();
                return Err(Broken::TimedOut {
                    machine: self.name.clone(),
                    what: format!("{mark:?} (it said {unread:?}; console: {})", self.console()),
                    seconds: patience.as_secs(),
                });
            }
            self.line
                .set_read_timeout(Some(left))
                .map_err(file(&self.name))?;
            let mut some = [0; 4096];
            match self.line.read(&mut some) {
                Ok(0) => return unexpected(format!("{} has no power any more", self.name)),
                Ok(count) => self.unread.extend(some.iter().take(count)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(file(&self.name)(error)),
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Already gone is as good.
        self.emulator.kill().ok();
        self.emulator.wait().ok();
    }
}

/// An emulator that nobody has taken over yet.
struct Guarded(Option<Child>);

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn spawn(image: &Image, folder: &Path, hardware: &Hardware) -> Result<Child> {
    let log = folder.join("emulator.log");
    let log = File::create(&log).map_err(file(&log))?;
    let at = |name: &str| folder.join(name).display().to_string();
    let words = format!(
        "console=ttyS0 nokaslr mitigations=off panic=0 loglevel=4 machine.name={}",
        hardware.name
    );
    // It ends with this program, also when that is killed.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", EMULATOR])
        .args(["-machine", "q35", "-accel", accelerator()])
        .args(["-cpu", "max", "-m", "512", "-smp", "1"])
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-serial", &format!("file:{}", at("console"))])
        .args([
            "-chardev",
            &format!("socket,id=line,path={},server=on,wait=off", at("line")),
        ])
        .args(["-serial", "chardev:line"])
        .args([
            "-qmp",
            &format!("unix:{},server=on,wait=off", at("monitor")),
        ])
        .args([
            "-virtfs",
            "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
        ])
        .arg("-kernel")
        .arg(&image.kernel)
        .arg("-initrd")
        .arg(&image.root)
        .args(["-append", &words])
        .args(&hardware.devices)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(file("emulator.log"))?)
        .stderr(log);
    command.spawn().map_err(|error| {
        Broken::NotReady(format!("{EMULATOR}: {error}: run scripts/setup machines"))
    })
}
