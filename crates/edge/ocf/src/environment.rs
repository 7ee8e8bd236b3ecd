//! What an agent is given: everything that OCF 1.1 and the agents of `resource-agents` read, as Pacemaker gives it.
//! Not for what only the action knows (`runner`).

use standfast_model::config::AgentConfig;
use std::{collections::BTreeMap, path::Path};

/// Begins the variable of each parameter.
pub const PREFIX: &str = "OCF_RESKEY_";
/// Agents ask whether their manager knows what it says about notifications and node names; this one does.
const FEATURE_SET: &str = "3.16.2";

/// The environment of all actions of one resource. The values of secret parameters are not part of it.
#[must_use]
pub fn environment(
    root: &Path,
    node: &str,
    resource: &str,
    agent: &AgentConfig,
) -> BTreeMap<String, String> {
    let (provider, kind) = standfast_model::agent::parts(&agent.name).unwrap_or_default();
    let root = root.display().to_string();
    let fixed = [
        ("OCF_ROOT", root.as_str()),
        ("OCF_RA_VERSION_MAJOR", "1"),
        ("OCF_RA_VERSION_MINOR", "1"),
        ("OCF_RESOURCE_INSTANCE", resource),
        ("OCF_RESOURCE_TYPE", kind),
        ("OCF_RESOURCE_PROVIDER", provider),
        ("OCF_EXIT_REASON_PREFIX", "ocf-exit-reason:"),
        ("OCF_RESKEY_crm_feature_set", FEATURE_SET),
        ("OCF_RESKEY_CRM_meta_on_node", node),
        ("OCF_RESKEY_CRM_meta_on_node_uuid", node),
        ("HA_RSCTMP", "/run/resource-agents"),
        // What they have to say goes to the error output, and nowhere else.
        ("HA_LOGD", "no"),
        ("HA_LOGFACILITY", "none"),
        ("HA_debug", "0"),
    ];
    let fixed = fixed
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let parameters = agent.parameters.iter();
    let parameters = parameters.map(|(name, value)| (format!("{PREFIX}{name}"), value.clone()));
    parameters.chain(fixed).collect()
}
