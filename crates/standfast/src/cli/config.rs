//! `config`: what is in force and was in force, and drafts of what may be.
//!
//! Not for the editor (`edit`), and not for putting a text in force (`apply`).

use super::{
    apply::{Proposal, check, preview, propose, read, refuse, show as show_preview},
    ask::{Agent, look_at_state},
    config_args::{
        ConfigCommand, ConfigDiffArgs, ConfigHistoryArgs, ConfigRollbackArgs, ConfigShowArgs,
        DraftApplyArgs, DraftCommand, DraftDropArgs, DraftPlanArgs, DraftSaveArgs, DraftShowArgs,
    },
    edit, exit, print,
};
use crate::failure::Failure;
use crate::render;
use serde::Serialize;
use standfast_config::{completed, differences};
use standfast_model::{
    config::ClusterConfig,
    id::NodeId,
    request::{Request, TextOf, View},
};
use std::path::Path;

#[derive(Serialize)]
struct Text<'t> {
    schema: &'static str,
    /// The version, or the one that the draft was made from.
    version: u64,
    draft: Option<&'t str>,
    text: &'t str,
}

#[derive(Serialize)]
struct Diff {
    schema: &'static str,
    from: u64,
    to: u64,
    differences: Vec<String>,
}

#[derive(Serialize)]
struct DraftDone<'d> {
    schema: &'static str,
    draft: &'d str,
    saved: bool,
    index: u64,
}

pub(super) fn dispatch(socket: &Path, command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Show(args) => show(socket, args),
        ConfigCommand::Edit(args) => edit::edit(socket, args),
        ConfigCommand::History(args) => history(socket, args),
        ConfigCommand::Diff(args) => diff(socket, args),
        ConfigCommand::Rollback(args) => rollback(socket, args),
        ConfigCommand::Draft { command } => match command {
            DraftCommand::Save(args) => save(socket, args),
            DraftCommand::List(args) => {
                let (_, view) = look_at_state(socket)?;
                print(&if args.json {
                    render::drafts_json(&view)
                } else {
                    render::drafts(&view)
                })
            }
            DraftCommand::Show(args) => show_draft(socket, args),
            DraftCommand::Plan(args) => plan_draft(socket, args),
            DraftCommand::Apply(args) => apply_draft(socket, args),
            DraftCommand::Drop(args) => drop_draft(socket, args),
        },
    }
}

fn show(socket: &Path, args: &ConfigShowArgs) -> Result<(), Failure> {
    let (mut agent, _) = look_at_state(socket)?;
    let of = args.version.map_or(TextOf::Present, TextOf::Version);
    let (text, version) = agent.text(of, args.reveal)?;
    say(&text, version, None, args.json)
}

fn show_draft(socket: &Path, args: &DraftShowArgs) -> Result<(), Failure> {
    let (mut agent, _) = look_at_state(socket)?;
    let (text, version) = agent.text(TextOf::Draft(args.name.clone()), args.reveal)?;
    say(&text, version, Some(&args.name), args.json)
}

fn say(text: &str, version: u64, draft: Option<&str>, json: bool) -> Result<(), Failure> {
    if json {
        return print(&render::json(&Text {
            schema: "standfast/config/1",
            version,
            draft,
            text,
        }));
    }
    print(text)
}

fn history(socket: &Path, args: &ConfigHistoryArgs) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    print(&if args.json {
        render::config_history_json(&view, args.number)
    } else {
        render::config_history(&view, args.number)
    })
}

fn diff(socket: &Path, args: &ConfigDiffArgs) -> Result<(), Failure> {
    let (mut agent, view) = look_at_state(socket)?;
    let to = args.to.unwrap_or(view.state.config_version);
    let mut version = |number: u64| -> Result<(ClusterConfig, String), Failure> {
        // Whoever may not see values is not told whether they differ, either.
        let text = match agent.text(TextOf::Version(number), true) {
            Err(failure) if failure.code == exit::NO_PERMISSION => {
                agent = Agent::connect(socket)?;
                agent.text(TextOf::Version(number), false)
            }
            other => other,
        };
        let text = text?.0;
        // Warnings were given when it was applied.
        match standfast_config::parse(&text, &format!("version {number}")) {
            Ok((config, _)) => Ok((config, text)),
            Err(mistakes) => Err(refuse(&mistakes, args.json)),
        }
    };
    let (old, old_text) = version(args.from)?;
    let (new, new_text) = version(to)?;
    let differences = differences(&old, &new);
    if args.json {
        return print(&render::json(&Diff {
            schema: "standfast/config-diff/1",
            from: args.from,
            to,
            differences,
        }));
    }
    let text = match (differences.as_slice(), old_text == new_text) {
        ([], true) => format!("Versions {} and {to} are the same.\n", args.from),
        ([], false) => format!(
            "Versions {} and {to} mean the same; only comments or the layout differ.\n",
            args.from
        ),
        (lines, _) => lines.iter().map(|line| format!("{line}\n")).collect(),
    };
    print(&text)
}

fn rollback(socket: &Path, args: &ConfigRollbackArgs) -> Result<(), Failure> {
    let (mut agent, view) = look_at_state(socket)?;
    let (text, version) = agent.text(TextOf::Version(args.version), true)?;
    let text = completed(&text, &members(&view));
    let config = check(&text, &format!("version {version}"), args.how.json)?;
    let mut how = args.how.clone();
    how.reason = if how.reason.is_empty() {
        format!("back to version {version}")
    } else {
        format!("back to version {version}: {}", how.reason)
    };
    let command = format!("config rollback {}", args.version);
    let proposal = Proposal {
        config,
        text,
        draft: None,
        how,
    };
    propose(&mut agent, proposal, &command)
}

/// Who has joined stays a node, whatever an older text knew.
fn members(view: &View) -> ClusterConfig {
    let state = &view.state;
    let is_member = |node: &NodeId| state.members.values().any(|member| member.node == *node);
    let nodes = state.config.nodes.iter();
    ClusterConfig {
        nodes: nodes
            .filter(|(node, _)| is_member(node))
            .map(|(node, settings)| (node.clone(), settings.clone()))
            .collect(),
        ..ClusterConfig::default()
    }
}

fn save(socket: &Path, args: &DraftSaveArgs) -> Result<(), Failure> {
    let (_, text) = read(&args.file, args.json)?;
    let (mut agent, view) = look_at_state(socket)?;
    let index = agent.change(&Request::Draft {
        name: args.name.clone(),
        text: Some(text),
        author: String::new(),
        reason: args.reason.clone(),
    })?;
    let name = &args.name;
    let version = view.state.config_version;
    let text = format!(
        "draft {name} is saved; it starts from version {version}; `standfast config draft apply {name}` puts it \
         in force\n"
    );
    done(name, true, index, args.json, &text)
}

fn drop_draft(socket: &Path, args: &DraftDropArgs) -> Result<(), Failure> {
    let (mut agent, _) = look_at_state(socket)?;
    let index = agent.change(&Request::Draft {
        name: args.name.clone(),
        text: None,
        author: String::new(),
        reason: String::new(),
    })?;
    let text = format!("draft {} is thrown away\n", args.name);
    done(&args.name, false, index, args.json, &text)
}

fn done(draft: &str, saved: bool, index: u64, json: bool, text: &str) -> Result<(), Failure> {
    if json {
        return print(&render::json(&DraftDone {
            schema: "standfast/draft/1",
            draft,
            saved,
            index,
        }));
    }
    print(text)
}

/// A draft, and the version that it was made from.
fn draft_of(
    agent: &mut Agent,
    name: &str,
    json: bool,
) -> Result<(ClusterConfig, String, u64), Failure> {
    let (text, based_on) = agent.text(TextOf::Draft(name.to_owned()), true)?;
    let config = check(&text, &format!("draft {name}"), json)?;
    Ok((config, text, based_on))
}

fn plan_draft(socket: &Path, args: &DraftPlanArgs) -> Result<(), Failure> {
    let (mut agent, _) = look_at_state(socket)?;
    let (config, _, based_on) = draft_of(&mut agent, &args.name, args.json)?;
    let mut preview = preview(&mut agent, &config)?;
    if preview.based_on != based_on {
        let now = preview.based_on;
        preview.warnings.push(format!(
            "the draft was made from version {based_on}, but version {now} is in force: applying it needs \
             --based-on {now}"
        ));
    }
    let command = format!("config draft apply {}", args.name);
    show_preview(preview, args.json, &command)
}

fn apply_draft(socket: &Path, args: &DraftApplyArgs) -> Result<(), Failure> {
    let (mut agent, _) = look_at_state(socket)?;
    let (config, text, based_on) = draft_of(&mut agent, &args.name, args.how.json)?;
    let mut how = args.how.clone();
    // What it was made from has to be in force still, unless its author looked again and says so.
    how.based_on = how.based_on.or(Some(based_on));
    let command = format!("config draft apply {}", args.name);
    let proposal = Proposal {
        config,
        text,
        draft: Some(args.name.clone()),
        how,
    };
    propose(&mut agent, proposal, &command)
}
