//! Command line of the laboratory. Not for the product's users: they meet it through `standfast demo`.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use standfast_lab::demo::{self, DemoOptions};
use standfast_lab::enclosure::{Entered, Mode, enter};
use standfast_lab::error::{LabError, Result};
use standfast_lab::{host_init, service};

mod run;
mod upgrades;

/// Laboratory and benchmark of Standfast.
#[derive(Debug, Parser)]
#[command(name = "standfast-lab", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run faults and check what comes of them.
    Lab(run::LabOptions),
    /// Compare systems: every fault, several trials, idle and loaded, with memory and processor time.
    BenchFailover(run::BenchOptions),
    /// Fence nodes with simulated management boards that speak real IPMI, and check what comes of it.
    Fencing {
        /// How to keep hosts apart; the strongest way that works when left out.
        #[arg(long)]
        mode: Option<Mode>,
    },
    /// Do the exercises of two nodes with a floating address and a web server, with Debian's own resource agents.
    Exercises {
        /// How to keep hosts apart; the strongest way that works when left out.
        #[arg(long)]
        mode: Option<Mode>,
    },
    /// Upgrade a cluster of three nodes under way, and check what comes of it.
    Upgrade(upgrades::Options),
    /// The demonstration: a handful of faults in a script, with a table.
    Demo {
        /// One JSON object a fault instead of a table.
        #[arg(long)]
        json: bool,
        /// The script also on a terminal, where it is a live view with keys otherwise.
        #[arg(long)]
        script: bool,
        /// How to keep the nodes apart; the strongest way that works when left out.
        #[arg(long)]
        mode: Option<Mode>,
        /// The agents' timing profile: `lan` or `fast`.
        #[arg(long)]
        profile: Option<String>,
    },
    /// The demonstration service.
    Serve {
        /// Name to answer with; the environment's STANDFAST_NODE when left out.
        #[arg(long)]
        node: Option<String>,
        /// Address to serve HTTP and UDP on.
        #[arg(long)]
        bind: SocketAddr,
    },
    /// Ask a demonstration service once: exit status 0 when it answers.
    Ask {
        /// Its address.
        address: SocketAddr,
    },
    /// Process 1 of a host.
    #[command(hide = true)]
    HostInit {
        /// The host, as JSON.
        spec: String,
    },
    /// Keep one core busy until killed.
    #[command(hide = true)]
    Spin,
}

fn main() -> ExitCode {
    match dispatch(Arguments::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            drop(writeln!(std::io::stderr(), "standfast-lab: {error}"));
            ExitCode::from(70)
        }
    }
}

fn dispatch(command: Command) -> Result<u8> {
    match command {
        Command::Lab(options) if options.list => run::list(),
        Command::BenchFailover(options) => {
            inside(options.mode, |enclosure| run::bench(&options, enclosure))
        }
        Command::Lab(options) => inside(options.mode, |enclosure| run::lab(&options, enclosure)),
        Command::Upgrade(options) => {
            inside(options.mode, |enclosure| upgrades::run(&options, enclosure))
        }
        Command::Exercises { mode } => inside(mode, run::exercises),
        Command::Fencing { mode } => inside(mode, run::fencing),
        Command::Demo {
            json,
            script,
            mode,
            profile,
        } => demo::run(
            &DemoOptions {
                json,
                script,
                mode,
                profile,
            },
            &mut std::io::stdout(),
        ),
        Command::Serve { node, bind } => {
            let node = node.or_else(|| std::env::var("STANDFAST_NODE").ok());
            let node = node.ok_or_else(|| {
                LabError::Unexpected("no --node and no STANDFAST_NODE".to_owned())
            })?;
            service::serve(&node, bind).map(|()| 0)
        }
        Command::Ask { address } => Ok(u8::from(!ask(address))),
        Command::HostInit { spec } => {
            let spec = serde_json::from_str(&spec)
                .map_err(|error| LabError::Unexpected(error.to_string()))?;
            host_init::run(&spec).map(|()| 0)
        }
        Command::Spin => spin(),
    }
}

fn inside(
    mode: Option<Mode>,
    body: impl FnOnce(&standfast_lab::enclosure::Enclosure) -> Result<u8>,
) -> Result<u8> {
    match enter(mode)? {
        Entered::Finished(code) => Ok(code),
        Entered::Inside(enclosure) => body(&enclosure),
    }
}

fn ask(address: SocketAddr) -> bool {
    use std::io::Read;
    let timeout = Duration::from_millis(900);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, timeout) else {
        return false;
    };
    let mut answer = String::new();
    stream.set_read_timeout(Some(timeout)).is_ok()
        && stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.0 200 ")
}

fn spin() -> ! {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).ok();
    loop {
        std::hint::spin_loop();
    }
}
