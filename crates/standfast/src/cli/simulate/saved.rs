//! What a decision was made from, kept in a file and decided again: `simulate --save` and `replay`.
//!
//! Values of environments and of agents' parameters are left out: nothing is decided by them, and any of them may be a secret.

use super::{
    super::{ReplayArgs, apply, import::write_new, print},
    failures, read, time,
};
use crate::{
    failure::Failure,
    render::{self, utc},
};
use serde::{Deserialize, Serialize};
use standfast_cluster::replay as decide;
use standfast_model::{
    config::{ClusterConfig, ResourceKind},
    request::View,
    simulation::Imagined,
};
use std::{collections::BTreeMap, path::Path};

const SCHEMA: &str = "standfast/inputs/1";

const HIDDEN: &str = "(hidden)";

/// `standfast/inputs/1`.
#[derive(Serialize, Deserialize)]
pub(super) struct Saved {
    schema: String,
    /// Milliseconds since 1970.
    saved_ms: u64,
    /// The program that saved it.
    program_version: String,
    /// Configuration, facts and state, as that node knew them.
    view: View,
}

pub(in crate::cli) fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let saved = Saved::parse(&read(&args.file)?, &args.file)?;
    let mut imagined = Vec::new();
    if let Some(at) = &args.at {
        imagined.push(time(at)?);
    }
    if let Some(file) = &args.apply {
        let mut config = Box::new(apply::read_whole(file, args.json)?);
        hide(&mut config);
        imagined.push(Imagined::Apply { config });
    }
    imagined.extend(failures(&args.fail_resource, &args.fail));
    saved.decide(imagined, args.json)
}

impl Saved {
    pub(super) fn of(mut view: View) -> Self {
        hide(&mut view.state.config);
        view.state.config_text.clear();
        view.state.config_history.clear();
        view.state.drafts.clear();
        Self {
            schema: SCHEMA.to_owned(),
            saved_ms: crate::doctor::wall_ms(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            view,
        }
    }

    fn parse(text: &str, file: &Path) -> Result<Self, Failure> {
        let file = file.display();
        let wrong = |why: String| Failure::data(format!("{file}: {why}"));
        let value: serde_json::Value = serde_json::from_str(text)
            .map_err(|error| wrong(format!("not what `simulate --save` writes: {error}")))?;
        let schema = value.get("schema").and_then(serde_json::Value::as_str);
        let by = value
            .get("program_version")
            .and_then(serde_json::Value::as_str);
        match schema {
            Some(SCHEMA) => {
                serde_json::from_value(value).map_err(|error| wrong(format!("damaged: {error}")))
            }
            Some(other) if other.starts_with("standfast/inputs/") => Err(wrong(format!(
                "it is {other}, and this program knows {SCHEMA} only: replay it with the version that saved it ({})",
                by.unwrap_or("not named")
            ))),
            Some(_) | None => Err(wrong(String::from("not what `simulate --save` writes"))),
        }
    }

    pub(super) fn write(&self, file: &Path) -> Result<(), Failure> {
        write_new(file, &render::json(self))
    }

    /// Decides it again and prints what follows.
    pub(super) fn decide(&self, mut imagined: Vec<Imagined>, json: bool) -> Result<(), Failure> {
        if imagined.is_empty() {
            let wall_ms = self.saved_ms;
            imagined.push(Imagined::Time { wall_ms });
        }
        let simulation = decide(&self.view, &imagined)?;
        if json {
            return print(&render::simulation_json(&simulation));
        }
        let (when, node) = (utc(self.saved_ms), &self.view.node);
        print(&format!(
            "Saved on {node} at {when} by standfast {}.\n{}",
            self.program_version,
            render::simulation(&simulation)
        ))
    }
}

/// Leaves out what may be secret.
fn hide(config: &mut ClusterConfig) {
    let hide_all = |values: &mut BTreeMap<String, String>| {
        for value in values.values_mut() {
            HIDDEN.clone_into(value);
        }
    };
    for resource in config.every_resource_mut() {
        if let ResourceKind::Process(process) = &mut resource.kind {
            hide_all(&mut process.environment);
            if let Some(agent) = &mut process.agent {
                hide_all(&mut agent.parameters);
            }
        }
    }
    for device in config.fencing.devices.values_mut() {
        hide_all(&mut device.parameters);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_model::{
        config::{FailurePolicy, ProcessConfig, ResourceConfig},
        copies::Copied,
    };

    fn saved() -> Saved {
        let mut view = View {
            node: String::from("alpha"),
            quorum: true,
            ..View::default()
        };
        let environment = BTreeMap::from([("TOKEN".to_owned(), "very-secret".to_owned())]);
        let resource = ResourceConfig {
            kind: ResourceKind::Process(ProcessConfig {
                environment,
                ..ProcessConfig::default()
            }),
            failure: FailurePolicy::default(),
            needs_fencing: false,
        };
        let copied = Copied {
            resources: BTreeMap::from([("nginx".into(), resource.clone())]),
            ..Copied::default()
        };
        view.state.config.resources.insert("web".into(), resource);
        let copies = &mut view.state.config.copies;
        copies.groups.insert("everywhere".into(), copied);
        view.state.config_text = String::from("very-secret");
        Saved::of(view)
    }

    #[test]
    fn nothing_secret_is_kept_and_what_is_kept_is_read_again() {
        let text = render::json(&saved());
        assert!(!text.contains("very-secret"), "{text}");
        let again = Saved::parse(&text, Path::new("in.json"))
            .map_err(|f| f.text)
            .expect("saved");
        assert_eq!(again.view, saved().view);
    }

    #[test]
    fn another_schema_is_refused_with_what_to_do() {
        let refused = |text: &str| {
            let refused = Saved::parse(text, Path::new("in.json"))
                .err()
                .expect("refused");
            (refused.code, refused.text)
        };
        let text = r#"{"schema":"standfast/inputs/7","program_version":"3.1.0"}"#;
        assert_eq!(
            refused(text),
            (
                65,
                "in.json: it is standfast/inputs/7, and this program knows standfast/inputs/1 only: replay it with the version \
                 that saved it (3.1.0)"
                    .to_owned()
            )
        );
        assert_eq!(refused("{}").0, 65);
        assert_eq!(refused("<cib/>").0, 65);
    }
}
