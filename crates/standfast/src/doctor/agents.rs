//! Resource agents and scripts: whether this machine has those that it may have to run, and whether what agents are given
//! fits them.

use super::Findings;
use standfast_model::{
    config::ResourceKind,
    copies::{is_role, node_of},
    id::{NodeId, ResourceId},
    query::Severity,
    request::View,
};
use standfast_ocf::{ROOT, find_script, metadata, problems};
use std::path::Path;

pub(super) fn examine(view: Option<&View>, found: &mut Findings) {
    let Some(view) = view else { return };
    let config = &view.state.config;
    let node = config.nodes.get(&NodeId::from(view.node.as_str()));
    if node.is_some_and(|node| node.witness) {
        return;
    }
    let mut first = true;
    // A promoted role has the agent of its copy.
    let foreign = |id: &ResourceId| {
        let other = node_of(id.as_str()).is_some_and(|node| node != view.node);
        other || is_role(id.as_str())
    };
    for (resource, settings) in config.resources.iter().filter(|(id, _)| !foreign(id)) {
        let ResourceKind::Process(process) = &settings.kind else {
            continue;
        };
        if process.started_by().is_none() {
            continue;
        }
        if first {
            found.check("resource agents");
            first = false;
        }
        let mut add = |text: String, remedy: &str| {
            let text = format!("{resource} cannot run here: {text}");
            found.add(Severity::Critical, "resource agents", text, remedy);
        };
        if let Some(script) = process.script()
            && let Err(why) = find_script(script)
        {
            add(why, "install the script on every node that may run it");
        }
        if let Some(unit) = process.unit()
            && let Err(why) = standfast_unit::examine(unit)
        {
            add(
                why,
                "a node that cannot run the unit is left out with `prefer`",
            );
        }
        let Some(agent) = &process.agent else {
            continue;
        };
        match metadata(Path::new(ROOT), &agent.name) {
            Err(why) => add(why, "install the agent on every node that may run it"),
            Ok(metadata) => {
                for problem in problems(process, &metadata) {
                    add(
                        problem.to_string(),
                        "mend the configuration, or install the same version everywhere",
                    );
                }
            }
        }
    }
}
