//! What the tests start as processes of their own: the keeper, and services. Not shipped.

use std::{
    fs,
    io::{self, Read, Write},
    net::TcpListener,
    os::unix::fs::FileExt,
    path::Path,
    process::ExitCode,
    thread,
    time::Duration,
};

fn main() -> ExitCode {
    let all: Vec<String> = std::env::args().collect();
    let called = all.first().map(Path::new).and_then(Path::file_name);
    let called = called
        .map(|name| name.display().to_string())
        .unwrap_or_default();
    let arguments: Vec<String> = all.into_iter().skip(1).collect();
    if standfast_ocf::COMMANDS.contains(&called.as_str()) {
        return match standfast_ocf::attribute(&called, &arguments) {
            Ok(_) => ExitCode::SUCCESS,
            Err((code, _)) => ExitCode::from(code),
        };
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["keeper", run_dir] => return standfast_guard::keeper::run(Path::new(run_dir)),
        ["ocf-runner", order] => return run_agent(order),
        ["beat", file] => beat(file),
        ["describe", file] => describe(file),
        ["describe-and-stay", file] => describe(file).map(|()| thread::sleep(Duration::MAX)),
        ["serve", folder] => serve(Path::new(folder)),
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

fn run_agent(order: &str) -> ExitCode {
    let group = standfast_guard::cgroup::own();
    match serde_json::from_str(order) {
        Ok(order) => ExitCode::from(standfast_ocf::run(order, group.as_deref())),
        Err(_) => ExitCode::FAILURE,
    }
}

/// Writes the time into the file's first eight bytes as often as it can without hogging a core.
fn beat(file: &str) -> io::Result<()> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(file)?;
    loop {
        let now = standfast_guard::clock::boot_now_ns();
        file.write_all_at(&now.to_ne_bytes(), 0)?;
        thread::sleep(Duration::from_micros(100));
    }
}

/// Writes who it is, where, and in which environment.
fn describe(file: &str) -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let identity = status.lines().filter(|line| {
        ["Uid:", "Gid:", "Groups:"]
            .iter()
            .any(|key| line.starts_with(key))
    });
    let mut lines: Vec<String> = identity
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    lines.push(format!("in {}", std::env::current_dir()?.display()));
    lines.extend(std::env::vars().map(|(name, value)| format!("{name}={value}")));
    lines.push("end".to_owned());
    fs::write(file, lines.join("\n"))
}

/// An HTTP service. Its port is in the folder's file `port`; it answers 200, with a file `sick` 503,
/// with a file `mute` nothing.
fn serve(folder: &Path) -> io::Result<()> {
    let port: u16 = fs::read_to_string(folder.join("port"))?
        .trim()
        .parse()
        .map_err(io::Error::other)?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut unanswered = Vec::new();
    loop {
        let (mut connection, _) = listener.accept()?;
        if folder.join("mute").exists() {
            unanswered.push(connection);
            continue;
        }
        let answer = if folder.join("sick").exists() {
            "503 Service Unavailable"
        } else {
            "200 OK"
        };
        // A connection without a request is a TCP check.
        if matches!(connection.read(&mut [0; 1024]), Ok(1..)) {
            let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
            connection.write_all(answer.as_bytes()).ok();
        }
    }
}
