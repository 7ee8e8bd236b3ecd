//! `apply` and `plan`: from a text to a configuration in force, or to every mistake in it. Rollbacks, drafts
//! and the editor come through here as well.

use super::{
    ApplyArgs, PlanArgs, agents,
    ask::{Agent, look_at_state, unexpected},
    config_args::HowArgs,
    exit, print,
};
use crate::render::{self, PreviewReport};
use crate::{connection, failure::Failure};
use serde::Serialize;
use standfast_config::Mistake;
use standfast_model::{
    config::{ClusterConfig, ResourceKind},
    id::GroupId,
    plan::ActionKind,
    request::{PlanPreview, Request, Response, TextOf, View},
};
use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::Path,
};

#[derive(Serialize)]
struct Applied {
    schema: &'static str,
    /// Version in force now.
    version: u64,
    /// Whether anything was changed.
    changed: bool,
    differences: Vec<String>,
}

#[derive(Serialize)]
struct Mistakes<'m> {
    schema: &'static str,
    mistakes: Vec<MistakeLine<'m>>,
}

#[derive(Serialize)]
struct MistakeLine<'m> {
    file: &'m str,
    line: usize,
    column: usize,
    key: &'m str,
    problem: &'m str,
    allowed: &'m str,
    nearest: Option<&'m str>,
}

/// A text that is to be put in force.
pub(super) struct Proposal {
    /// As it was read.
    pub(super) config: ClusterConfig,
    pub(super) text: String,
    /// The draft that it is.
    pub(super) draft: Option<String>,
    pub(super) how: HowArgs,
}

pub(super) fn plan(socket: &Path, args: &PlanArgs) -> Result<(), Failure> {
    let config = read_whole(&args.file, args.json)?;
    let (mut agent, _) = look_at_state(socket)?;
    show(preview(&mut agent, &config)?, args.json, "apply FILE")
}

pub(super) fn apply(socket: &Path, args: &ApplyArgs) -> Result<(), Failure> {
    let (mut config, text) = read(&args.file, args.how.json)?;
    read_addresses(&mut config, args.how.json)?;
    let (mut agent, _) = look_at_state(socket)?;
    let proposal = Proposal {
        config,
        text,
        draft: None,
        how: args.how.clone(),
    };
    propose(&mut agent, proposal, "apply FILE")
}

/// Shows what a proposal does, and does it. `command` is how it can be done later.
pub(super) fn propose(
    agent: &mut Agent,
    mut proposal: Proposal,
    command: &str,
) -> Result<(), Failure> {
    proposal.config.keep_pair(&agent.view()?.state.config);
    let preview = preview(agent, &proposal.config)?;
    check_base(proposal.how.based_on, preview.based_on)?;
    if proposal.how.dry_run {
        return show(preview, proposal.how.json, command);
    }
    carry_out(agent, proposal, preview)
}

/// Whether something of a group is stopped, or its addresses change.
fn touches(view: &View, after: &ClusterConfig, preview: &PlanPreview, group: &GroupId) -> bool {
    let before = &view.state.config;
    let mut actions = preview.actions.iter();
    actions.any(|action| {
        action.kind == ActionKind::Stop && before.group_of(&action.resource) == Some(group)
    }) || before.groups.get(group).is_some_and(|settings| {
        let mut members = settings.members.iter();
        members.any(|member| {
            let kind =
                |config: &ClusterConfig| config.resources.get(member).map(|r| r.kind.clone());
            matches!(kind(before), Some(ResourceKind::Vip(_))) && kind(before) != kind(after)
        })
    })
}

/// What `plan` saw has to be what is in force.
fn check_base(based_on: Option<u64>, in_force: u64) -> Result<(), Failure> {
    match based_on.filter(|version| *version != in_force) {
        None => Ok(()),
        Some(version) => {
            let text = format!(
                "the configuration has changed since: this is based on version {version}, version {in_force} is \
                 in force; nothing was changed; `standfast config diff {version}` says what is different, and \
                 `plan` what applying would do now"
            );
            Err(Failure::new(exit::TRY_AGAIN, text))
        }
    }
}

/// Does what was previewed, and nothing else.
pub(super) fn carry_out(
    agent: &mut Agent,
    proposal: Proposal,
    preview: PlanPreview,
) -> Result<(), Failure> {
    let json = proposal.how.json;
    let view = agent.view()?;
    connection::refuse(&view, proposal.how.force, |group| {
        touches(&view, &proposal.config, &preview, group)
    })?;
    let report = PreviewReport::of(preview);
    let based_on = report.preview.based_on;
    let mut same = || -> Result<bool, Failure> {
        let (text, _) = agent.text(TextOf::Version(based_on), true)?;
        Ok(text == proposal.text)
    };
    let changed = !report.unchanged || proposal.draft.is_some() || based_on == 0 || !same()?;
    if changed {
        agent.change(&Request::Apply {
            config: Box::new(proposal.config),
            text: proposal.text,
            based_on: Some(based_on),
            author: String::new(),
            reason: proposal.how.reason,
            draft: proposal.draft,
        })?;
    }
    let version = based_on + u64::from(changed);
    if json {
        return print(&render::json(&Applied {
            schema: "standfast/apply/1",
            version,
            changed,
            differences: report.preview.differences,
        }));
    }
    let mut text = render::preview(&report);
    if changed {
        text.push_str(&format!("\nConfiguration {version} is in force.\n"));
    }
    print(&text)
}

/// `command` is how to put it in force.
pub(super) fn show(preview: PlanPreview, json: bool, command: &str) -> Result<(), Failure> {
    let report = PreviewReport::of(preview);
    if json {
        return print(&render::json(&report));
    }
    let mut text = render::preview(&report);
    if !report.unchanged {
        text.push_str(&render::how_to_apply(&report, command));
    }
    print(&text)
}

pub(super) fn preview(agent: &mut Agent, config: &ClusterConfig) -> Result<PlanPreview, Failure> {
    let request = Request::Plan {
        config: Box::new(config.clone()),
    };
    match agent.ask(&request)? {
        Response::Plan(preview) => Ok(*preview),
        other => Err(unexpected(&other).into()),
    }
}

/// Reads and checks a file; warnings go to the error output.
pub(super) fn read(file: &Path, json: bool) -> Result<(ClusterConfig, String), Failure> {
    let name = if file == Path::new("-") {
        String::from("(standard input)")
    } else {
        file.display().to_string()
    };
    let text = read_text(file).map_err(|error| {
        let code = match error.kind() {
            io::ErrorKind::InvalidData => exit::DATA,
            _ => exit::NO_INPUT,
        };
        Failure::new(code, format!("cannot read {name}: {error}"))
    })?;
    let config = check(&text, &name, json)?;
    Ok((config, text))
}

/// The configuration of a file, with the file of addresses that it may name.
pub(super) fn read_whole(file: &Path, json: bool) -> Result<ClusterConfig, Failure> {
    let (mut config, _) = read(file, json)?;
    read_addresses(&mut config, json)?;
    Ok(config)
}

/// The file of addresses that a pair's configuration names, as it is on this machine.
fn read_addresses(config: &mut ClusterConfig, json: bool) -> Result<(), Failure> {
    let Some(file) = config.addresses_file().map(str::to_owned) else {
        return Ok(());
    };
    let text = read_text(Path::new(&file)).map_err(|error| {
        let text = format!("cannot read {file}, which addresses_file in [pair] names: {error}");
        Failure::new(exit::NO_INPUT, text)
    })?;
    standfast_config::set_addresses(config, &text, &file).map_err(|found| refuse(&found, json))
}

/// Checks a text; warnings go to the error output.
pub(super) fn check(text: &str, name: &str, json: bool) -> Result<ClusterConfig, Failure> {
    let (config, warnings) = agents::parse(text, name).map_err(|found| refuse(&found, json))?;
    for warning in warnings {
        writeln!(io::stderr(), "{warning}").ok();
    }
    Ok(config)
}

fn read_text(file: &Path) -> io::Result<String> {
    // One byte more than allowed, so that what is too long is seen to be.
    let most = u64::try_from(standfast_config::MAX_TEXT).unwrap_or(u64::MAX) + 1;
    let mut text = String::new();
    if file == Path::new("-") {
        io::stdin().take(most).read_to_string(&mut text)?;
    } else {
        fs::File::open(file)?.take(most).read_to_string(&mut text)?;
    }
    Ok(text)
}

/// What is said of a text with mistakes.
pub(super) fn refuse(mistakes: &[Mistake], json: bool) -> Failure {
    if json {
        let lines = mistakes.iter().map(|m| MistakeLine {
            file: &m.file,
            line: m.line,
            column: m.column,
            key: &m.key,
            problem: &m.problem,
            allowed: &m.allowed,
            nearest: m.nearest.as_deref(),
        });
        let document = Mistakes {
            schema: "standfast/mistakes/1",
            mistakes: lines.collect(),
        };
        if let Err(failure) = print(&render::json(&document)) {
            return failure;
        }
    } else {
        for mistake in mistakes {
            writeln!(io::stderr(), "{mistake}").ok();
        }
    }
    let number = mistakes.len();
    let noun = if number == 1 { "mistake" } else { "mistakes" };
    Failure::new(
        exit::CONFIG,
        format!("{number} {noun}; nothing was changed"),
    )
}
