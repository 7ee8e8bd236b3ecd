//! What the tests start as processes of their own: the keeper, an agent to be killed, and services. Not shipped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use standfast_guard::clock::boot_now_ns;
use standfast_guard::{KeeperProgram, KeeperSpec, Keepers, NetworkGuard};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["keeper", run_dir] => return standfast_guard::keeper::run(Path::new(run_dir)),
        ["agent", spec_file, lease_ms, extend] => agent(spec_file, lease_ms, *extend == "extend"),
        ["attach", cgroup_dir, lease_ms] => attach(cgroup_dir, lease_ms),
        ["beat", file] => beat(file),
        ["answer", port_file] => answer(port_file),
        _ => Err(io::Error::other("unknown arguments")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "{error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn milliseconds(text: &str) -> io::Result<u64> {
    text.parse::<u64>()
        .map(|number| number * 1_000_000)
        .map_err(io::Error::other)
}

/// Starts what the file says under a lease, says the first deadline on its output, and goes on for ever.
fn agent(spec_file: &str, lease_ms: &str, extend: bool) -> io::Result<()> {
    let spec: KeeperSpec = serde_json::from_slice(&fs::read(spec_file)?)?;
    let lease_ns = milliseconds(lease_ms)?;
    let program = KeeperProgram::default();
    let keepers = Keepers::new(program, |_event| {}).map_err(io::Error::other)?;
    let mut deadline = boot_now_ns() + lease_ns;
    let handle = keepers.spawn(&spec, deadline).map_err(io::Error::other)?;
    writeln!(io::stdout(), "{deadline}")?;
    loop {
        std::thread::sleep(Duration::from_millis(10));
        if extend {
            deadline = boot_now_ns() + lease_ns;
            handle.extend(deadline).map_err(io::Error::other)?;
        }
    }
}

/// Attaches a network guard, arms it, says the deadline and exits.
fn attach(cgroup_dir: &str, lease_ms: &str) -> io::Result<()> {
    let guard = NetworkGuard::attach(Path::new(cgroup_dir)).map_err(io::Error::other)?;
    let deadline = boot_now_ns() + milliseconds(lease_ms)?;
    guard.lease().arm(deadline).map_err(io::Error::other)?;
    writeln!(io::stdout(), "{deadline}")
}

/// Writes the time into the file's first eight bytes as often as it can without hogging a core.
fn beat(file: &str) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(file)?;
    loop {
        file.write_all_at(&boot_now_ns().to_ne_bytes(), 0)?;
        std::thread::sleep(Duration::from_micros(20));
    }
}

/// Answers whatever comes over TCP with the time of the answer, one connection at a time.
fn answer(port_file: &str) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    File::create(port_file)?.write_all(listener.local_addr()?.port().to_string().as_bytes())?;
    loop {
        let (mut connection, _) = listener.accept()?;
        let mut buffer = [0; 64];
        while let Ok(1..) = connection.read(&mut buffer) {
            connection.write_all(&boot_now_ns().to_ne_bytes())?;
        }
    }
}
