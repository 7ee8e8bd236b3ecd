//! What this machine's own file (`/etc/standfast/node.toml`) says becomes the defaults of the flags, so that a
//! flag always wins and `--help` shows what counts here.
//!
//! Not for what the file may say: that is the configuration crate's work.

use super::{Cli, Command};
use crate::failure::Failure;
use clap::{CommandFactory as _, FromArgMatches as _, Parser as _};
use standfast_config::{NodeSettings, parse_node};
use std::{ffi::OsString, fs, io, path::Path};

/// Where the file is unless something else is said.
const FILE: &str = "/etc/standfast/node.toml";

/// What the file says, or why that is not known.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeFile {
    pub(crate) settings: NodeSettings,
    failure: Option<Failure>,
}

/// The command line, with what the file says where the flags say nothing.
///
/// # Errors
/// What clap has to print: help, or a mistake of the command line.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let named = Cli::try_parse_from(&arguments)
        .ok()
        .and_then(|cli| cli.node_file);
    let file = named.as_deref().unwrap_or(Path::new(FILE));
    let settings = match read(file, named.is_some()) {
        Ok(Some(settings)) => settings,
        Ok(None) => return Cli::try_parse_from(&arguments),
        Err(failure) => {
            let mut cli = Cli::try_parse_from(&arguments)?;
            cli.node.failure = Some(failure);
            return Ok(cli);
        }
    };
    let command = with_defaults(Cli::command(), &settings);
    let matches = command.try_get_matches_from(&arguments)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    cli.node.settings = settings;
    Ok(cli)
}

/// Commands that only ask an agent work with a wrong file, too: whoever mends it needs them.
pub(super) fn check(cli: &Cli) -> Result<(), Failure> {
    let works_here = matches!(
        cli.command,
        Command::Agent(_)
            | Command::Init(_)
            | Command::Join(_)
            | Command::Restore(_)
            | Command::Recover(_)
            | Command::Destroy(_)
    );
    match &cli.node.failure {
        Some(failure) if works_here => Err(failure.clone()),
        Some(_) | None => Ok(()),
    }
}

fn read(file: &Path, named: bool) -> Result<Option<NodeSettings>, Failure> {
    let name = file.display().to_string();
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !named => return Ok(None),
        Err(error) => {
            let text = format!("cannot read {name}: {error}");
            return Err(Failure::new(super::exit::NO_INPUT, text));
        }
    };
    let mistakes = match parse_node(&text, &name) {
        Ok(settings) => match settings.log.as_deref().map(filter) {
            None | Some(Ok(())) => return Ok(Some(settings)),
            Some(Err(why)) => {
                let text = format!("{name}: log: {why}; allowed: a filter, such as info or debug");
                return Err(Failure::new(super::exit::CONFIG, text));
            }
        },
        Err(mistakes) => mistakes,
    };
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    Err(Failure::new(
        super::exit::CONFIG,
        lines.join("\nstandfast: "),
    ))
}

fn filter(text: &str) -> Result<(), String> {
    let parsed = tracing_subscriber::EnvFilter::try_new(text);
    parsed.map(drop).map_err(|error| error.to_string())
}

/// Wherever a command has one of these flags.
fn with_defaults(mut root: clap::Command, settings: &NodeSettings) -> clap::Command {
    let no_realtime = settings.realtime.map(|wanted| (!wanted).to_string());
    let watchdog = settings.watchdog.as_ref();
    let device = watchdog.map(|watchdog| watchdog.device.clone());
    let timeout = watchdog.and_then(|watchdog| watchdog.timeout);
    let timeout = timeout.map(|timeout| timeout.as_millis().to_string());
    let values = [
        ("state", &settings.state),
        ("run", &settings.run),
        ("cgroup", &settings.cgroup),
        ("metrics", &settings.metrics),
        ("no-realtime", &no_realtime),
        ("watchdog", &device),
        ("watchdog-timeout-ms", &timeout),
    ];
    let commands = root
        .get_subcommands()
        .map(|command| command.get_name().to_owned());
    for name in commands.collect::<Vec<_>>() {
        root = root.mut_subcommand(name, |mut command| {
            for (flag, value) in values {
                let known = command
                    .get_arguments()
                    .find(|arg| arg.get_long() == Some(flag));
                let id = known.map(|arg| arg.get_id().clone());
                if let (Some(value), Some(id)) = (value, id) {
                    // Once in a process's life: clap wants what lives as long as it.
                    let value: &'static str = value.clone().leak();
                    command = command.mut_arg(id, |arg| arg.default_value(value));
                }
            }
            command
        });
    }
    root
}
