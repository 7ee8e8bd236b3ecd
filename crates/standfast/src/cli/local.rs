//! Commands that work on this machine itself: agent, keeper, token.

use super::{
    AgentArgs, KeeperArgs,
    args::MetricsAddress,
    ask::{Agent, unexpected},
    print,
};
use crate::{
    agent::{
        self, Options, certificates,
        inquiry::{self, LogWriter},
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
    ffi::OsString,
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Members of this group may use the socket, unless this machine's file names another one.
const GROUP: &str = "standfast";

/// Name of the socket in the run folder.
const SOCKET: &str = "standfast.sock";

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
        watchdog: (args.watchdog != Path::new("off")).then(|| agent::WatchdogOptions {
            device: args.watchdog.clone(),
            timeout: Duration::from_millis(args.watchdog_timeout_ms),
        }),
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
pub(super) fn keeper(args: &KeeperArgs) -> ExitCode {
    standfast_guard::keeper::run(&args.folder)
}

/// What agents call as `crm_master` and `crm_attribute`. Read before all other flags: those are Pacemaker's.
pub(super) fn attribute(arguments: &[OsString]) -> Option<ExitCode> {
    let (called, rest) = arguments.split_first()?;
    let name = Path::new(called).file_name()?.to_str()?;
    if !standfast_ocf::COMMANDS.contains(&name) {
        return None;
    }
    let rest: Vec<String> = rest
        .iter()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    Some(match standfast_ocf::attribute(name, &rest) {
        Ok(said) => {
            if !said.is_empty() {
                writeln!(io::stdout(), "{said}").ok();
            }
            ExitCode::SUCCESS
        }
        Err((code, why)) => {
            writeln!(io::stderr(), "{why}").ok();
            ExitCode::from(code)
        }
    })
}

/// What a keeper runs in the place of a command when an agent does the work.
pub(super) fn ocf_runner(order: &str) -> ExitCode {
    let Ok(order) = serde_json::from_str(order) else {
        // Only a keeper starts this, with what this very program has written.
        return ExitCode::from(super::exit::USAGE);
    };
    let group = standfast_guard::cgroup::own();
    ExitCode::from(standfast_ocf::run(order, group.as_deref()))
}

/// What a runner runs in the place of a script when the resource is a unit of systemd.
pub(super) fn unit(order: &str, action: &str) -> ExitCode {
    let Ok(order) = serde_json::from_str(order) else {
        return ExitCode::from(super::exit::USAGE);
    };
    ExitCode::from(standfast_unit::run(&order, action))
}

pub(super) fn token(socket: &Path) -> Result<(), Failure> {
    match Agent::connect(socket)?.ask(&Request::Token)? {
        Response::Token { token } => print(&format!("{token}\n")),
        other => Err(unexpected(&other).into()),
    }
}
