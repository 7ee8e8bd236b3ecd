//! `apply` and `plan`: from a file to a configuration in force, or to every mistake in it.

use super::{
    ApplyArgs, PlanArgs,
    ask::{Agent, look_at_state, unexpected},
    exit, print,
};
use crate::failure::Failure;
use crate::render::{self, PreviewReport};
use serde::Serialize;
use standfast_config::{Mistake, differences};
use standfast_model::{
    config::ClusterConfig,
    request::{PlanPreview, Request, Response, View},
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

pub(super) fn plan(socket: &Path, args: &PlanArgs) -> Result<(), Failure> {
    let (config, _) = read(&args.file, args.json)?;
    let (mut agent, view) = look_at_state(socket)?;
    let preview = preview(&mut agent, &view, &config)?;
    show(preview, args.json)
}

pub(super) fn apply(socket: &Path, args: &ApplyArgs) -> Result<(), Failure> {
    let (config, text) = read(&args.file, args.json)?;
    let (mut agent, view) = look_at_state(socket)?;
    let preview = preview(&mut agent, &view, &config)?;
    if args.dry_run {
        return show(preview, args.json);
    }
    let state = &view.state;
    let changed = config != state.config || text != state.config_text;
    if changed {
        agent.change(&Request::Apply {
            config: Box::new(config),
            text,
            based_on: Some(preview.based_on),
            author: String::new(),
        })?;
    }
    let version = preview.based_on + u64::from(changed);
    if args.json {
        return print(&render::json(&Applied {
            schema: "standfast/apply/1",
            version,
            changed,
            differences: preview.differences,
        }));
    }
    let mut text = render::preview(&PreviewReport::of(preview));
    text.push_str(&if changed {
        format!("\nConfiguration {version} is in force.\n")
    } else {
        String::new()
    });
    print(&text)
}

fn show(preview: PlanPreview, json: bool) -> Result<(), Failure> {
    let report = PreviewReport::of(preview);
    let text = if json {
        render::json(&report)
    } else {
        render::preview(&report)
    };
    print(&text)
}

fn preview(agent: &mut Agent, view: &View, config: &ClusterConfig) -> Result<PlanPreview, Failure> {
    let request = Request::Plan {
        config: Box::new(config.clone()),
    };
    let mut preview = match agent.ask(&request)? {
        Response::Plan(preview) => *preview,
        other => return Err(unexpected(&other).into()),
    };
    if preview.based_on != view.state.config_version {
        let text = "somebody else changes the configuration at this moment; try again";
        return Err(Failure::new(exit::TRY_AGAIN, text));
    }
    preview.differences = differences(&view.state.config, config);
    Ok(preview)
}

/// Reads and checks a file; warnings go to the error output.
fn read(file: &Path, json: bool) -> Result<(ClusterConfig, String), Failure> {
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
    match standfast_config::parse(&text, &name) {
        Ok((config, warnings)) => {
            for warning in warnings {
                writeln!(io::stderr(), "{warning}").ok();
            }
            Ok((config, text))
        }
        Err(mistakes) => Err(refuse(&mistakes, json)),
    }
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

fn refuse(mistakes: &[Mistake], json: bool) -> Failure {
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
