//! The command line: one definition of the flags, and the commands that ask the agent.
//!
//! Every command gives `Ok` or a `Failure` with its exit code; [`run`] is the only place that turns
//! one into the other. Nothing here decides: the agent answers, `render` says it.

mod agents;
mod apply;
mod archive;
mod args;
mod ask;
mod authority;
mod certificate;
mod config;
mod config_args;
mod copies;
mod defaults;
mod disaster;
mod doctor;
mod edit;
pub(crate) mod exit;
mod fence;
mod fence_drill;
mod import;
mod local;
mod logs;
mod look;
mod maintenance;
mod maintenance_args;
mod member_args;
mod membership;
mod nodes;
mod operate;
mod other_names;
mod pages;
mod pair;
mod pair_args;
mod report;
mod resource;
mod resource_args;
mod set_up;
mod simulate;
mod simulate_args;
mod upgrade;
mod wait;

pub use args::{
    AgentArgs, ApplyArgs, CheckArgs, Cli, Command, DemoArgs, DoctorArgs, DrainArgs, ExplainArgs,
    HistoryArgs, ImportCommand, ImportPacemakerArgs, InitArgs, JoinArgs, KeeperArgs, LogsArgs,
    NodeCommand, PagesArgs, PlanArgs, ReportArgs, ResumeArgs, StatusArgs, SwitchoverArgs,
    UpgradeArgs,
};

pub use fence::{FenceArgs, FenceCommand, FenceConfirmArgs, FenceHistoryArgs, FenceTestArgs};
pub use maintenance_args::{
    ClusterCommand, ClusterMaintenanceArgs, MaintenanceHow, NodeMaintenanceArgs, StandbyArgs,
    Switch,
};
pub use member_args::CertCommand;
pub use resource_args::ResourceCommand;
pub use simulate_args::{ReplayArgs, SimulateArgs};

pub(crate) use agents::parse as parse_judged;
pub(crate) use archive::Head;
pub(crate) use ask::unexpected;

use crate::failure::Failure;
use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
};

/// Runs the program with these arguments, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(code) = local::attribute(&arguments) {
        return code;
    }
    let cli = match defaults::parse(arguments.clone()) {
        Ok(cli) => cli,
        Err(error) => {
            let known = error.use_stderr().then(|| other_names::answer(&arguments));
            if let Some(text) = known.flatten() {
                return finish(Err(Failure::usage(text)));
            }
            // Help and version go to the standard output with 0, mistakes to the other one with 2.
            error.print().ok();
            return if error.use_stderr() {
                ExitCode::from(exit::USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match &cli.command {
        Command::Keeper(args) => return local::keeper(args),
        Command::OcfRunner { order } => return local::ocf_runner(order),
        Command::Unit { order, action } => return local::unit(order, action),
        _ => {}
    }
    finish(defaults::check(&cli).and_then(|()| dispatch(&cli)))
}

fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.text.is_empty() {
                writeln!(io::stderr(), "standfast: {}", failure.text).ok();
            }
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(cli: &Cli) -> Result<(), Failure> {
    let socket: &Path = &cli.socket();
    match &cli.command {
        Command::Agent(args) if args.command.is_some() => operate::restart(socket),
        Command::Agent(args) => local::agent(cli.socket.as_deref(), args, &cli.node.settings),
        Command::Init(args) => set_up::init(args),
        Command::Token => local::token(socket),
        Command::Join(args) => set_up::join(args, false),
        Command::Witness(args) => set_up::join(args, true),
        // They have their own exit codes, and have been dealt with.
        Command::Keeper(_) | Command::OcfRunner { .. } | Command::Unit { .. } => Ok(()),
        Command::Pages(args) => pages::write(&args.folder),
        Command::Demo(args) => crate::demo::run(args),
        Command::Apply(args) => apply::apply(socket, args),
        Command::Plan(args) => apply::plan(socket, args),
        Command::Config { command } => config::dispatch(socket, command),
        Command::Status(args) => look::status(socket, args),
        Command::History(args) => look::history(socket, args),
        Command::Simulate(args) => simulate::simulate(socket, args),
        Command::Replay(args) => simulate::replay(args),
        Command::Import { command } => match command {
            ImportCommand::Pacemaker(args) => import::pacemaker(args),
        },
        Command::Explain(args) => look::explain(socket, args),
        Command::Doctor(args) => doctor::doctor(socket, args),
        Command::Logs(args) => logs::logs(socket, args),
        Command::Report(args) => report::report(socket, args),
        Command::Check(args) => look::check(socket, args),
        Command::Switchover(args) => operate::switchover(socket, args),
        Command::Node { command } => match command {
            NodeCommand::Drain(args) => operate::drain(socket, args),
            NodeCommand::Standby(args) => operate::standby(socket, args),
            NodeCommand::Resume(args) => operate::resume(socket, args),
            NodeCommand::Maintenance(args) => maintenance::node(socket, args),
        },
        Command::Cluster { command } => match command {
            ClusterCommand::Maintenance(args) => maintenance::cluster(socket, args),
        },
        Command::Resource { command } => resource::dispatch(socket, command),
        Command::Fence(args) => fence::dispatch(socket, args),
        Command::Pair { command } => pair::dispatch(socket, command),
        Command::Cert { command } => match command {
            CertCommand::Show(args) => certificate::show(socket, args),
            CertCommand::Rotate(args) if args.ca => authority::rotate(socket, args),
            CertCommand::Rotate(args) => certificate::rotate(socket, args),
        },
        Command::Backup(args) => disaster::backup(socket, args),
        Command::Restore(args) => disaster::restore(args),
        Command::Recover(args) => disaster::recover(args),
        Command::Destroy(args) => disaster::destroy(args),
        Command::Remove(args) => membership::remove(socket, args),
        Command::Upgrade(args) => upgrade::upgrade(socket, args),
        Command::Restart => operate::restart(socket),
    }
}

/// Writes to the standard output. A reader that has gone ends the program quietly.
fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let written = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::new(0, ""),
        _ => Failure::new(exit::IO, format!("cannot write the output: {error}")),
    })
}

/// Colours on a terminal, unless NO_COLOR says otherwise (no-color.org: set and not empty).
fn style() -> crate::render::Style {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    crate::render::Style::new(!refused && io::stdout().is_terminal())
}
