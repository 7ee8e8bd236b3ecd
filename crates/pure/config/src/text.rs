//! A configuration as text that is shown to people: without what may be secret, and with the nodes that
//! have joined since it was written.
//!
//! Not for reading it (`parse`).

use standfast_model::{config::ClusterConfig, fence::is_secret};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// What stands in the place of a value that is not shown.
pub const HIDDEN: &str = "(hidden)";

/// The text with every value of an `environment` hidden: any of them may be a secret, and only their
/// author knows which. Comments are shown as they are.
#[must_use]
pub fn redacted(text: &str) -> String {
    let Ok(document) = DeTable::parse(text) else {
        return String::from(
            "# not shown: this is not TOML, so what is secret in it is not known\n",
        );
    };
    let mut shown = text.to_owned();
    let mut places = secret_places(document.get_ref());
    places.sort_by_key(|place| std::cmp::Reverse(place.start));
    for place in places {
        if shown.get(place.clone()).is_some() {
            shown.replace_range(place, &format!("\"{HIDDEN}\""));
        }
    }
    shown
}

fn secret_places(root: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut places = parameter_places(root, "fence");
    places.extend(parameter_places(root, "resources"));
    let Some(DeValue::Table(resources)) = root.get("resources").map(toml::Spanned::get_ref) else {
        return places;
    };
    for resource in resources.values() {
        let DeValue::Table(resource) = resource.get_ref() else {
            continue;
        };
        let environment = resource.get("environment").map(toml::Spanned::get_ref);
        let Some(DeValue::Table(environment)) = environment else {
            continue;
        };
        for value in environment.values() {
            // A file's name is no secret.
            if !matches!(value.get_ref(), DeValue::Table(_)) {
                places.push(value.span());
            }
        }
    }
    places
}

/// Secrets of fence devices and resource agents: a text that has one is refused, but may be shown before it is read.
fn parameter_places(root: &DeTable<'_>, tables: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let Some(DeValue::Table(tables)) = root.get(tables).map(toml::Spanned::get_ref) else {
        return places;
    };
    for table in tables.values() {
        let DeValue::Table(table) = table.get_ref() else {
            continue;
        };
        let parameters = table.get("parameters").map(toml::Spanned::get_ref);
        let Some(DeValue::Table(parameters)) = parameters else {
            continue;
        };
        let secret = parameters.iter().filter(|(name, value)| {
            is_secret(name.get_ref()) && !matches!(value.get_ref(), DeValue::Table(_))
        });
        places.extend(secret.map(|(_, value)| value.span()));
    }
    places
}

/// The text with the nodes that it lacks. Machines join after a file was written, and a cluster that was
/// just made has no file at all.
#[must_use]
pub fn completed(text: &str, config: &ClusterConfig) -> String {
    let mut whole = text.to_owned();
    if whole.trim().is_empty() {
        whole = format!("[cluster]\nname = {:?}\n", config.name);
    }
    let document = DeTable::parse(&whole);
    let known = document.as_ref().ok().and_then(|document| {
        match document.get_ref().get("nodes").map(toml::Spanned::get_ref) {
            Some(DeValue::Table(nodes)) => {
                Some(nodes.keys().map(|key| key.get_ref().to_string()).collect())
            }
            _ => None,
        }
    });
    let known: Vec<String> = known.unwrap_or_default();
    drop(document);
    for (node, settings) in &config.nodes {
        if known.iter().any(|name| name == node.as_str()) {
            continue;
        }
        if !whole.ends_with('\n') {
            whole.push('\n');
        }
        whole.push_str(&format!(
            "\n[nodes.{node}]\naddresses = {:?}\n",
            settings.addresses
        ));
        if settings.witness {
            whole.push_str("witness = true\n");
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    const TEXT: &str = r#"# ours
[cluster]
name = "demo"
[nodes.alpha]
addresses = ["10.0.0.1:7400"]
[resources.web]
kind = "process"
command = ["/bin/web"]
environment = { A = "hunter2", B = { secret_file = "/etc/b" }, C = '''x
y''' }
[resources.db]
kind = "process"
command = ["/bin/db"]
environment.PASSWORD = "hunter3"
"#;

    #[test]
    fn values_of_the_environment_are_hidden_wherever_they_stand() {
        let shown = redacted(TEXT);
        assert!(!shown.contains("hunter"), "{shown}");
        assert_eq!(shown.matches("\"(hidden)\"").count(), 3, "{shown}");
        assert!(shown.contains("secret_file = \"/etc/b\""), "{shown}");
        assert!(shown.starts_with("# ours\n[cluster]"), "{shown}");
    }

    #[test]
    fn a_hidden_value_cannot_be_applied_by_mistake() {
        let mistakes = parse(&redacted(TEXT), "x").expect_err("hidden values");
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        assert!(mistakes[0].to_string().contains("is hidden"));
    }

    #[test]
    fn what_is_no_toml_is_not_shown_at_all() {
        assert!(!redacted("PASSWORD = \"hunter2").contains("hunter"));
    }

    #[test]
    fn nodes_that_joined_since_are_added() {
        let (mut config, _) = parse(TEXT, "x").expect("no mistakes");
        assert_eq!(completed(TEXT, &config), TEXT);
        let node = standfast_model::config::NodeConfig {
            addresses: vec![String::from("10.0.0.2:7400")],
            witness: true,
            ..Default::default()
        };
        config.nodes.insert("beta".into(), node);
        let whole = completed(TEXT, &config);
        assert_eq!(parse(&whole, "x").expect("no mistakes").0, config);
        let from_nothing = completed("", &config);
        let (read, _) = parse(&from_nothing, "x").expect("no mistakes");
        assert_eq!((read.name, read.nodes), (config.name, config.nodes));
    }
}
