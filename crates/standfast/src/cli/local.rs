//! Commands that work on this machine itself: agent, keeper, init, token, join.

use super::{
    AgentArgs, InitArgs, JoinArgs, KeeperArgs,
    args::MetricsAddress,
    ask::{Agent, unexpected},
    exit, print,
};
use crate::{
    agent::{
        self, Options, certificates,
        inquiry::{self, LogWriter},
        setup,
    },
    failure::Failure,
};
use standfast_api::Access;
use standfast_config::NodeSettings;
use standfast_model::{
    FEATURE_LEVEL,
    request::{Request, Response},
};
use std::{
    fs,
    io::{self, IsTerminal as _, Read as _},
    path::Path,
    time::Duration,
};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Members of this group may use the socket, unless this machine's file names another one.
const GROUP: &str = "standfast";

/// Name of the socket in the run folder.
const SOCKET: &str = "standfast.sock";

/// Longest token file that is read, in bytes.
const MAX_TOKEN: u64 = 64 * 1024;

pub(super) fn agent(
    socket: Option<&Path>,
    args: &AgentArgs,
    node: &NodeSettings,
) -> Result<(), Failure> {
    // STANDFAST_LOG as the usual filter expression; else what this machine's file says.
    let filter = EnvFilter::try_from_env("STANDFAST_LOG");
    let usual = node.log.as_deref().unwrap_or("info");
    let (inquiry, desk) = inquiry::open();
    let shown = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let kept = fmt::layer()
        .with_writer(LogWriter(inquiry.clone()))
        .with_ansi(false);
    tracing_subscriber::registry()
        .with(filter.unwrap_or_else(|_| EnvFilter::new(usual)))
        .with(shown)
        .with(kept)
        .init();
    let options = Options {
        state: args.state.folder.clone(),
        run: args.run.clone(),
        socket: socket.map_or_else(|| args.run.join(SOCKET), Path::to_path_buf),
        cgroup: args.cgroup.clone(),
        realtime: !args.no_realtime,
        metrics: match args.metrics {
            MetricsAddress::At(address) => Some(address),
            MetricsAddress::Off => None,
        },
        without_guards: args.without_guards,
        certificate_life: args
            .certificate_life
            .map_or(certificates::LIFE, Duration::from_secs),
        level: args.feature_level.unwrap_or(FEATURE_LEVEL),
        access: Access {
            group: Some(
                node.access
                    .group
                    .clone()
                    .unwrap_or_else(|| GROUP.to_owned()),
            ),
            anybody_reads: node.access.anybody_reads,
        },
    };
    agent::run(&options, (inquiry, desk))
}

/// The keeper has told its agent what happened; only a failure to become one is an exit code.
pub(super) fn keeper(args: &KeeperArgs) -> std::process::ExitCode {
    standfast_guard::keeper::run(&args.folder)
}

pub(super) fn init(args: &InitArgs) -> Result<(), Failure> {
    let node = &args.node;
    let id = setup::init(
        &args.state.folder,
        &args.cluster,
        &node.name,
        &node.addresses,
    )?;
    print(&format!(
        "cluster {id} with its first node {}; start its agent, then `standfast token` lets others join\n",
        node.name
    ))
}

pub(super) fn token(socket: &Path) -> Result<(), Failure> {
    match Agent::connect(socket)?.ask(&Request::Token)? {
        Response::Token { token } => print(&format!("{token}\n")),
        other => Err(unexpected(&other).into()),
    }
}

pub(super) fn join(args: &JoinArgs) -> Result<(), Failure> {
    let token = read_token(&args.token_file).map_err(|error| {
        let file = args.token_file.display();
        Failure::new(
            exit::NO_INPUT,
            format!("cannot read the token from {file}: {error}"),
        )
    })?;
    let node = &args.node;
    let id = setup::join(&args.state.folder, &node.name, &node.addresses, &token)?;
    print(&format!(
        "{} is a member of cluster {id}; start its agent\n",
        node.name
    ))
}

fn read_token(file: &Path) -> io::Result<String> {
    let mut token = String::new();
    if file == Path::new("-") {
        io::stdin().take(MAX_TOKEN).read_to_string(&mut token)?;
    } else {
        fs::File::open(file)?
            .take(MAX_TOKEN)
            .read_to_string(&mut token)?;
    }
    Ok(token)
}
