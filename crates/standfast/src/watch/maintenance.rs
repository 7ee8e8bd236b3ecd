//! Switching maintenance on and off in the text of the configuration, which is what its author reads
//! again: one line changes, and the result is what was meant or nothing happens.

use standfast_model::{config::ClusterConfig, id::GroupId};

/// The text with the maintenance of a group, or of the cluster, switched; and the configuration that it is.
///
/// # Errors
/// The text is written in a way in which one line does not say it.
pub(super) fn switched(
    text: &str,
    group: Option<&GroupId>,
    on: bool,
) -> Result<(String, ClusterConfig), String> {
    let header = group.map_or_else(
        || String::from("[cluster]"),
        |group| format!("[groups.{group}]"),
    );
    let by_hand = || {
        format!(
            "set `maintenance = {on}` under {header} by hand: the configuration is not written with one line for it"
        )
    };
    let Some(mut meant) = parsed(text) else {
        return Err(by_hand());
    };
    match group {
        Some(group) => {
            let known = meant.groups.get_mut(group);
            known.ok_or("there is no such group any more")?.maintenance = on;
        }
        None => meant.maintenance = on,
    }
    let text = edited(text, &header, on);
    match parsed(&text) {
        Some(config) if config == meant => Ok((text, config)),
        Some(_) | None => Err(by_hand()),
    }
}

fn parsed(text: &str) -> Option<ClusterConfig> {
    let parsed = crate::cli::parse_judged(text, "the configuration");
    parsed.ok().map(|(config, _)| config)
}

fn edited(text: &str, header: &str, on: bool) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut inside = false;
    let mut at = None;
    for line in text.lines() {
        let bare = line.trim();
        if bare.starts_with('[') {
            inside = bare == header;
        }
        let key = bare.split('=').next().unwrap_or("").trim();
        if inside && key == "maintenance" {
            continue;
        }
        lines.push(line.to_owned());
        if inside && bare == header {
            at = Some(lines.len());
        }
    }
    if on && let Some(at) = at {
        lines.insert(at, String::from("maintenance = true"));
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# ours
[cluster]
name = \"demo\" # here
[nodes.alpha]
addresses = [\"10.80.1.1:7400\"]
[groups.site]
members = [\"web\"]
[resources.web]
kind = \"process\"
command = [\"/usr/bin/web\"]
";

    #[test]
    fn one_line_comes_and_goes() {
        let before = parsed(TEXT).expect("configuration");
        let group = GroupId::from("site");
        for group in [None, Some(&group)] {
            let (text, config) = switched(TEXT, group, true).expect("switched");
            assert_eq!(text.lines().count(), TEXT.lines().count() + 1);
            assert!(text.contains("name = \"demo\" # here"));
            assert_ne!(config, before);
            let (text, config) = switched(&text, group, false).expect("switched");
            assert_eq!((text.as_str(), config), (TEXT, before.clone()));
        }
    }

    #[test]
    fn what_one_line_does_not_say_is_left_alone() {
        let text = TEXT.replace(
            "[groups.site]\nmembers = [\"web\"]",
            "[groups]\nsite = { members = [\"web\"] }",
        );
        let group = GroupId::from("site");
        let why = switched(&text, Some(&group), true).expect_err("refused");
        assert!(why.contains("by hand"), "{why}");
    }
}
