//! The demonstration on a terminal: three agents, the product's own live view, and its keys to cut the power of a node, freeze
//! its agent or cut it off. The view is the program `standfast` itself; what it is told to break comes through a socket.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::Signal;

use crate::enclosure::Enclosure;
use crate::error::{LabError, Result};
use crate::fault::Injector;
use crate::lab::Lab;
use crate::load::Load;
use crate::network::Cut;
use crate::processes::signal;
use crate::standfast_system::Standfast;
use crate::system::{Role, System};

/// Between two looks whether the viewer has gone, or asks for something.
const PAUSE: Duration = Duration::from_millis(100);
/// Whoever connects says what he wants at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether somebody sits there.
pub(crate) fn is_wanted() -> bool {
    let term = std::env::var_os("TERM");
    std::io::stdout().is_terminal()
        && std::io::stdin().is_terminal()
        && term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Shows the cluster until the viewer leaves.
pub(crate) fn run(profile: &str, enclosure: &Enclosure) -> Result<u8> {
    let mut system = Standfast::deploy(Lab::create(enclosure, 1, 3)?, profile)?;
    let sockets = Sockets::new(&system, &enclosure.folder);
    let orders = enclosure.folder.join("orders.sock");
    let listener = UnixListener::bind(&orders)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|error| LabError::file("listen on", &orders, error))?;
    sockets.renew(&system);
    let mut viewer = start_viewer(&system, &sockets, &orders)?;
    let load = Load::default();
    let mut injector = Injector::new(&load);
    let ended = loop {
        let ended = viewer
            .try_wait()
            .map_err(|error| LabError::system("wait for the viewer", error))?;
        if let Some(status) = ended {
            break status;
        }
        match listener.accept() {
            Ok((stream, _)) => serve(&stream, &mut system, &mut injector),
            Err(_) => std::thread::sleep(PAUSE),
        }
        sockets.renew(&system);
    };
    Ok(ended
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(70))
}

fn start_viewer(system: &Standfast, sockets: &Sockets, orders: &Path) -> Result<Child> {
    let mut command = Command::new(system.program());
    command.args(["status", "--watch", "--faults"]).arg(orders);
    for (index, link) in sockets.links.iter().enumerate() {
        command.arg(if index == 0 { "--socket" } else { "--also" });
        command.arg(link);
    }
    command
        .spawn()
        .map_err(|error| LabError::system("start the live view", error))
}

/// Where the viewer finds the agents' sockets: links that follow the hosts through their lives.
struct Sockets {
    links: Vec<PathBuf>,
}

impl Sockets {
    fn new(system: &Standfast, folder: &Path) -> Self {
        let nodes = system.lab().nodes.iter();
        Self {
            links: nodes
                .map(|node| folder.join(format!("{}.sock", node.name())))
                .collect(),
        }
    }

    /// A link that cannot be renewed is one to a host without power.
    fn renew(&self, system: &Standfast) {
        for (index, link) in self.links.iter().enumerate() {
            let target = system.socket_from_outside(index);
            if target.is_some() && std::fs::read_link(link).ok() == target {
                continue;
            }
            drop(std::fs::remove_file(link));
            if let Some(target) = target {
                drop(symlink(target, link));
            }
        }
    }
}

/// One order: a word and a node. Answered with one line.
fn serve(stream: &UnixStream, system: &mut Standfast, injector: &mut Injector) {
    drop(stream.set_nonblocking(false));
    drop(stream.set_read_timeout(Some(PATIENCE)));
    let mut line = String::new();
    if BufReader::new(stream).read_line(&mut line).is_err() {
        return;
    }
    let answer = match carry_out(line.trim(), system, injector) {
        Ok(done) => done,
        Err(error) => format!("not done: {error}"),
    };
    let mut stream = stream;
    drop(writeln!(stream, "{answer}"));
}

fn carry_out(order: &str, system: &mut Standfast, injector: &mut Injector) -> Result<String> {
    let unknown = || LabError::Unexpected(format!("nobody knows what \"{order}\" is"));
    let (word, node) = order.split_once(' ').ok_or_else(unknown)?;
    let index = system.lab().position(node).ok_or_else(unknown)?;
    match word {
        "kill" => system
            .lab_mut()
            .power_off(&[index])
            .map(|()| format!("{node} has no power; H brings everything back")),
        "freeze" => {
            for agent in system.processes(index, Role::Agent) {
                signal(agent.pid, Signal::STOP);
            }
            Ok(format!("the agent of {node} stands still; H wakes it up"))
        }
        "cut" if system.lab().network.is_none() => Err(LabError::Unexpected(
            "on loopback nobody can be cut off; run it as root".to_owned(),
        )),
        "cut" => system
            .lab()
            .cut(index, Cut::Both)
            .map(|()| format!("{node} is cut off from the others; H connects it again")),
        "heal" => injector
            .heal(system)
            .map(|_| "everything is as before".to_owned()),
        _ => Err(unknown()),
    }
}
