//! `report`: one archive with what somebody needs who was not there: status, doctor, journal, state,
//! configuration and logs of all nodes that can be reached. Without secrets, bounded in size.

use super::{
    ReportArgs,
    ask::{Agent, look},
    doctor::diagnose,
    exit, logs, nodes, print,
};
use crate::{
    cli::DoctorArgs,
    doctor::wall_ms,
    failure::Failure,
    render::{self, Status, Style, utc},
};
use flate2::{Compression, write::GzEncoder};
use standfast_model::{
    id::NodeId,
    query::{AGENT, Line},
    request::{TextOf, View},
};
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};
use tar::{Builder, Header};

/// Lines of each source of each node.
const LINES: usize = 5_000;
/// Bytes of one file in the archive; what is beyond is cut.
const LARGEST: usize = 8 * 1024 * 1024;
/// How a join token begins. It is never logged; if a service printed it, it goes no further.
const TOKEN: &str = "sfjoin1-";

/// Files by name, and what could not be had.
#[derive(Default)]
struct Contents {
    files: BTreeMap<String, String>,
    missing: Vec<String>,
}

impl Contents {
    fn add(&mut self, name: &str, text: String) {
        self.files.insert(name.to_owned(), text);
    }

    fn try_add(&mut self, name: &str, text: Result<String, Failure>) {
        match text {
            Ok(text) => self.add(name, text),
            Err(failure) => self.missing.push(format!("{name}: {}", failure.text)),
        }
    }
}

pub(super) fn report(socket: &Path, args: &ReportArgs) -> Result<(), Failure> {
    let mut contents = Contents::default();
    let seen = look(socket);
    let cluster = match &seen {
        Ok((_, view)) => view.state.config.name.clone(),
        Err(_) => String::from("unknown"),
    };
    match seen {
        Ok((mut agent, view)) => from_agent(socket, &mut agent, &view, &mut contents),
        Err(failure) => contents.missing.push(failure.text),
    }
    let diagnosis = diagnose(
        socket,
        &DoctorArgs {
            local: false,
            state: args.state.clone(),
            cgroup: args.cgroup.clone(),
            json: false,
        },
    );
    contents.add(
        "doctor.txt",
        render::diagnosis(&diagnosis, Style::default()),
    );
    contents.add("doctor.json", render::json(&diagnosis));
    system(&mut contents);
    let time = utc(wall_ms()).replace([':', '-'], "").replace(' ', "T");
    let name = format!("standfast-report-{cluster}-{time}");
    contents.add("README.txt", readme(&name, &contents));
    let file = args.file.clone();
    let file = file.unwrap_or_else(|| PathBuf::from(format!("{name}.tar.gz")));
    write(&file, &name, &contents)?;
    if file == Path::new("-") {
        return Ok(());
    }
    let mut text = format!("{} has {} files\n", file.display(), contents.files.len());
    for missing in &contents.missing {
        text.push_str(&format!("  not in it: {missing}\n"));
    }
    print(&text)
}

fn from_agent(socket: &Path, agent: &mut Agent, view: &View, contents: &mut Contents) {
    let status = Status::of(view);
    contents.add("status.txt", render::status(&status, Style::default()));
    contents.add("status.json", render::json(&status));
    contents.add("history.txt", render::history(view, usize::MAX));
    contents.add("history.json", render::history_json(view, usize::MAX));
    contents.add("state.json", render::json(view));
    let text = agent.text(TextOf::Present, false);
    contents.try_add("cluster.toml", text.map(|(text, _)| text));
    let answers = nodes::ask_all(socket, nodes::all(view), |socket, node| {
        logs::read(socket, &node, None, BTreeMap::new(), LINES)
    });
    for (node, page) in answers {
        match page {
            Ok(page) => node_logs(&node, page.lines, contents),
            Err(failure) => contents
                .missing
                .push(format!("logs of {node}: {}", failure.text)),
        }
    }
}

fn node_logs(node: &NodeId, lines: Vec<Line>, contents: &mut Contents) {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for line in lines {
        let name = if line.source == AGENT {
            format!("nodes/{node}/agent.log")
        } else {
            format!("nodes/{node}/output/{}.log", line.source)
        };
        let file = files.entry(name).or_default();
        file.push_str(&line.text);
        file.push('\n');
    }
    contents.files.extend(files);
}

/// This machine, and what its agent logged before its present run.
fn system(contents: &mut Contents) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let text = format!(
        "standfast {}\nkernel {}\n{}\n",
        env!("CARGO_PKG_VERSION"),
        read("/proc/version").trim(),
        read("/etc/os-release")
    );
    contents.add("system.txt", text);
    let journal = Command::new("journalctl")
        .args([
            "--unit",
            "standfast",
            "--lines",
            "5000",
            "--no-pager",
            "--quiet",
            "--utc",
        ])
        .output();
    if let Ok(output) = journal
        && !output.stdout.is_empty()
    {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        contents.add("journalctl.log", text);
    }
}

fn readme(name: &str, contents: &Contents) -> String {
    let mut text = format!(
        "{name}\n\nMade by `standfast report`. Values of environments and secrets are not in it; read cluster.toml,\n\
         state.json and the output of services before you give it away all the same.\n"
    );
    for missing in &contents.missing {
        text.push_str(&format!("\nNot in it: {missing}\n"));
    }
    text
}

fn write(file: &Path, name: &str, contents: &Contents) -> Result<(), Failure> {
    let cannot = |error: io::Error| {
        let code = match error.kind() {
            io::ErrorKind::AlreadyExists => exit::EXISTS,
            _ => exit::IO,
        };
        Failure::new(code, format!("cannot write {}: {error}", file.display()))
    };
    let output: Box<dyn Write> = if file == Path::new("-") {
        Box::new(io::stdout().lock())
    } else {
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        Box::new(options.open(file).map_err(cannot)?)
    };
    archive(output, name, contents).map_err(cannot)
}

fn archive(output: Box<dyn Write>, name: &str, contents: &Contents) -> io::Result<()> {
    let mut archive = Builder::new(GzEncoder::new(output, Compression::default()));
    for (file, text) in &contents.files {
        let text = without_tokens(text);
        let bytes = text.as_bytes();
        let bytes = bytes.get(..LARGEST).unwrap_or(bytes);
        let mut header = Header::new_gnu();
        header.set_size(u64::try_from(bytes.len()).unwrap_or(0));
        header.set_mode(0o600);
        header.set_mtime(wall_ms() / 1000);
        header.set_cksum();
        archive.append_data(&mut header, format!("{name}/{file}"), bytes)?;
    }
    archive.into_inner()?.finish()?.flush()
}

fn without_tokens(text: &str) -> String {
    let mut parts = text.split(TOKEN);
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean.push_str("(a join token)");
        let secret = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        clean.push_str(part.trim_start_matches(secret));
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_no_further() {
        let text = "join with sfjoin1-ChA6g9_x-y now\nsfjoin1-abc";
        assert_eq!(
            without_tokens(text),
            "join with (a join token) now\n(a join token)"
        );
    }
}
