//! Emulated machines: what needs a kernel of its own. Debian's kernel runs under an emulator; its root is this machine's,
//! read only. Not for what namespaces can show: that is the laboratory's (`crates/test/lab`).
//!
//! Each check has machines of its own and is one function in `checks`.

mod board;
mod checks;
mod cpio;
mod error;
mod image;
mod machine;
mod monitor;
mod node;
mod wires;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::Parser;

use checks::{CHECKS, Check, Place};
use error::{Broken, Result, file};

/// Checks on emulated machines.
#[derive(Debug, Parser)]
#[command(name = "standfast-machines", version)]
struct Arguments {
    /// Only the check that `make test` runs.
    #[arg(long)]
    short: bool,
    /// Only this check; may be repeated.
    #[arg(long, value_name = "NAME")]
    check: Vec<String>,
    /// Name the checks.
    #[arg(long)]
    list: bool,
    /// The program; the one beside this one when left out.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Folder of the kernel and of the machines' files.
    #[arg(long, value_name = "FOLDER", default_value = "target/machines")]
    folder: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse(), &mut std::io::stdout()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "standfast-machines: {error}"));
            ExitCode::from(70)
        }
    }
}

fn run(arguments: &Arguments, out: &mut impl Write) -> Result<bool> {
    let say = file("standard output");
    if arguments.list {
        let names = CHECKS
            .iter()
            .map(|check| format!("{:<14} {}\n", check.name, check.what));
        return out
            .write_all(names.collect::<String>().as_bytes())
            .map(|()| true)
            .map_err(say);
    }
    let chosen = chosen(arguments)?;
    let folder = arguments.folder.join(std::process::id().to_string());
    fs::create_dir_all(&folder).map_err(file(&folder))?;
    let place = Place {
        image: image::make(&arguments.folder.join("kernel"), &folder)?,
        program: program(arguments.program.as_deref())?,
        folder: fs::canonicalize(&folder).map_err(file(&folder))?,
    };
    let how = match machine::accelerator() {
        "kvm" => "the processor's own virtualisation",
        _ => "plain emulation",
    };
    let mut failed = 0;
    let mut say = |text: String| {
        out.write_all(text.as_bytes())
            .map_err(file("standard output"))
    };
    say(format!(
        "Debian's kernel {}, by {how}\n",
        place.image.version
    ))?;
    for check in &chosen {
        let began = Instant::now();
        let result = (check.run)(&place);
        let took = began.elapsed().as_secs_f64();
        match result {
            Ok(text) => say(format!(
                "ok      {:<14} {took:>6.1} s  {text}\n",
                check.name
            ))?,
            Err(error) => {
                failed += 1;
                say(format!(
                    "FAILED  {:<14} {took:>6.1} s  {error}\n",
                    check.name
                ))?;
            }
        }
    }
    // What a failed check has left is evidence.
    if failed == 0 {
        fs::remove_dir_all(&folder).map_err(file(&folder))?;
    } else {
        say(format!(
            "what the machines left is in {}\n",
            folder.display()
        ))?;
    }
    say(format!(
        "{} passed, {failed} failed, 0 skipped\n",
        chosen.len() - failed
    ))?;
    Ok(failed == 0)
}

fn chosen(arguments: &Arguments) -> Result<Vec<&'static Check>> {
    let known = |name: &&String| CHECKS.iter().all(|check| check.name != name.as_str());
    if let Some(unknown) = arguments.check.iter().find(known) {
        let text = format!("no check is called {unknown}; see --list");
        return Err(Broken::NotReady(text));
    }
    let wanted = |check: &&Check| match (&arguments.check[..], arguments.short) {
        ([], true) => check.short,
        ([], false) => !check.short,
        (names, _) => names.iter().any(|name| name == check.name),
    };
    Ok(CHECKS.iter().filter(wanted).collect())
}

fn program(named: Option<&Path>) -> Result<PathBuf> {
    let beside = std::env::current_exe().map(|own| own.with_file_name("standfast"));
    let path = match named {
        Some(path) => path.to_owned(),
        None => beside.map_err(file("this program"))?,
    };
    fs::canonicalize(&path).map_err(file(&path))
}
