//! What an agent is given: everything that OCF 1.1 and the agents of `resource-agents` read, as Pacemaker gives it.
//! Not for what only the action knows (`runner`).

use standfast_model::{config::AgentConfig, copies::written};
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
    // As Pacemaker does it for clones whose instances nothing tells apart: a copy has the name that was written.
    let resource = written(resource);
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
    let most = agent.copies.map(|most| most.to_string());
    let copies = most.iter().flat_map(|most| {
        [
            // Nothing tells them apart, so each is the first on its node.
            ("clone", "0"),
            ("clone_max", most.as_str()),
            ("clone_node_max", "1"),
            ("globally_unique", "false"),
        ]
    });
    let copies = copies.map(|(name, value)| (format!("{PREFIX}CRM_meta_{name}"), value.to_owned()));
    let role = agent.role.iter().flat_map(|_| {
        [
            ("promotable", "true"),
            ("promoted_max", "1"),
            ("promoted_node_max", "1"),
            ("master_max", "1"),
            ("master_node_max", "1"),
            ("notify", "false"),
        ]
    });
    let role = role.map(|(name, value)| (format!("{PREFIX}CRM_meta_{name}"), value.to_owned()));
    parameters.chain(fixed).chain(copies).chain(role).collect()
}

/// Whether a variable is a parameter that somebody has configured.
#[must_use]
pub fn is_parameter(variable: &str) -> bool {
    variable
        .strip_prefix(PREFIX)
        .is_some_and(|name| !name.starts_with("CRM_meta_") && name != "crm_feature_set")
}

/// What scripts are given beside what is configured: Debian's `init-functions` would have systemd run the service.
/// It could not (`enclose`), and with this it does not try.
#[must_use]
pub fn environment_of_script() -> [(String, String); 1] {
    [("SYSTEMCTL_SKIP_REDIRECT".to_owned(), "1".to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_copy_is_told_of_copies() {
        let mut agent = AgentConfig {
            name: "ocf:heartbeat:nginx".to_owned(),
            ..AgentConfig::default()
        };
        let root = Path::new("/usr/lib/ocf");
        let alone = environment(root, "alpha", "nginx", &agent);
        let about = |name: &str| name.starts_with("OCF_RESKEY_CRM_meta_clone");
        assert!(!alone.keys().any(|name| about(name)));
        agent.copies = Some(3);
        let copy = environment(root, "alpha", "nginx:alpha", &agent);
        for (name, value) in [
            ("OCF_RESOURCE_INSTANCE", "nginx"),
            ("OCF_RESKEY_CRM_meta_clone", "0"),
            ("OCF_RESKEY_CRM_meta_clone_max", "3"),
            ("OCF_RESKEY_CRM_meta_clone_node_max", "1"),
            ("OCF_RESKEY_CRM_meta_globally_unique", "false"),
        ] {
            assert_eq!(copy.get(name).map(String::as_str), Some(value), "{name}");
        }
    }
}
