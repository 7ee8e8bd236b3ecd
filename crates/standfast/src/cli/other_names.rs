//! Commands of other cluster managers' tools, for whoever types them from habit: what they are called here. Only what the
//! parser does not know gets here, and nothing is carried out.

use std::ffi::OsString;

/// A command as it is known elsewhere, and what does the same here. `{}` is the word that follows the command, or the
/// name of what belongs there. The first that fits counts.
const NAMES: &[(&str, &str, &str)] = &[
    (
        "cluster start",
        "",
        "`systemctl start standfast` on each machine",
    ),
    (
        "cluster stop",
        "NODE",
        "`standfast node drain {}`, then `systemctl stop standfast` on it",
    ),
    (
        "cluster kill",
        "",
        "`systemctl kill standfast` on the machine",
    ),
    (
        "cluster enable",
        "",
        "`systemctl enable standfast` on each machine",
    ),
    (
        "cluster disable",
        "",
        "`systemctl disable standfast` on each machine",
    ),
    (
        "cluster restart",
        "",
        "`standfast upgrade --again`, which restarts one agent after the other",
    ),
    (
        "cluster setup",
        "",
        "`standfast init` on the first machine, then `standfast token` there and `standfast join` on each other one",
    ),
    ("cluster init", "", "`standfast init`"),
    ("cluster join", "", "`standfast join`"),
    (
        "cluster auth",
        "",
        "`standfast token` on a member and `standfast join` on the new machine",
    ),
    ("cluster status", "", "`standfast status`"),
    ("cluster health", "", "`standfast doctor`"),
    ("cluster standby", "NODE", "`standfast node standby {}`"),
    ("cluster unstandby", "NODE", "`standfast node resume {}`"),
    (
        "cluster node add",
        "NODE",
        "`standfast token` on a member and `standfast join` on {}",
    ),
    (
        "cluster node remove",
        "NODE",
        "`standfast node drain {}`, then `standfast remove {}`",
    ),
    (
        "cluster node delete",
        "NODE",
        "`standfast node drain {}`, then `standfast remove {}`",
    ),
    ("cluster remove", "NODE", "`standfast remove {}`"),
    ("cluster destroy", "", "`standfast destroy`"),
    ("cluster cib-push", "FILE", "`standfast apply {}`"),
    (
        "cluster cib",
        "",
        "`standfast config show`, and `standfast status --json` for what is known",
    ),
    ("cluster config", "", "`standfast config show`"),
    ("cluster corosync", "", "`standfast config show`"),
    ("cluster edit", "", "`standfast config edit`"),
    ("cluster verify", "FILE", "`standfast plan {}`"),
    ("cluster report", "", "`standfast report`"),
    (
        "resource show",
        "",
        "`standfast status`; its settings are in `standfast config show`",
    ),
    ("resource status", "", "`standfast status`"),
    ("resource config", "", "`standfast config show`"),
    ("resource locate", "GROUP", "`standfast explain {}`"),
    ("resource relations", "GROUP", "`standfast explain {}`"),
    ("resource why", "GROUP", "`standfast explain {}`"),
    (
        "resource create",
        "NAME",
        "[resources.{}] in the configuration: `standfast config edit`",
    ),
    (
        "resource update",
        "NAME",
        "[resources.{}] in the configuration: `standfast config edit`",
    ),
    (
        "resource delete",
        "NAME",
        "taking [resources.{}] out of the configuration: `standfast config edit`",
    ),
    (
        "resource remove",
        "NAME",
        "taking [resources.{}] out of the configuration: `standfast config edit`",
    ),
    (
        "resource group",
        "",
        "[groups.NAME] in the configuration: `standfast config edit`",
    ),
    (
        "resource meta",
        "NAME",
        "[groups.{}] and [resources.{}] in the configuration: `standfast config edit`",
    ),
    (
        "resource op",
        "",
        "the checks of [resources.NAME] in the configuration: `standfast config edit`",
    ),
    (
        "resource list",
        "",
        "a look into /usr/lib/ocf/resource.d, which has the agents",
    ),
    (
        "resource describe",
        "",
        "the agent's own `meta-data`; what is wrong with its parameters says `standfast plan FILE`",
    ),
    (
        "resource failcount",
        "GROUP",
        "`standfast status`, which counts failures; `standfast resource cleanup {}` forgets them",
    ),
    (
        "resource reprobe",
        "GROUP",
        "`standfast resource refresh {}`",
    ),
    (
        "resource maintenance",
        "GROUP",
        "`standfast resource unmanage {}`, and `standfast resource manage {}`",
    ),
    ("resource start", "GROUP", "`standfast resource enable {}`"),
    ("resource stop", "GROUP", "`standfast resource disable {}`"),
    ("resource migrate", "GROUP", "`standfast resource move {}`"),
    ("resource relocate", "GROUP", "`standfast switchover {}`"),
    (
        "resource unmigrate",
        "GROUP",
        "`standfast resource clear {}`",
    ),
    ("resource unmove", "GROUP", "`standfast resource clear {}`"),
    (
        "resource promote",
        "",
        "`standfast pair promote`, or `standfast switchover GROUP`",
    ),
    (
        "resource demote",
        "",
        "`standfast pair demote`, or `standfast switchover GROUP`",
    ),
    ("resource debug-", "GROUP", "`standfast logs --group {}`"),
    ("resource trace", "GROUP", "`standfast logs --group {}`"),
    ("node unstandby", "NODE", "`standfast node resume {}`"),
    ("node online", "NODE", "`standfast node resume {}`"),
    (
        "node unmaintenance",
        "NODE",
        "`standfast node maintenance {} off`",
    ),
    ("node ready", "NODE", "`standfast node maintenance {} off`"),
    ("node fence", "NODE", "`standfast fence {}`"),
    ("node delete", "NODE", "`standfast remove {}`"),
    ("node remove", "NODE", "`standfast remove {}`"),
    ("node clearstate", "NODE", "`standfast fence confirm {}`"),
    ("node show", "", "`standfast status`"),
    ("node status", "", "`standfast status`"),
    ("node list", "", "`standfast status`"),
    (
        "node attribute",
        "",
        "`attributes` under [nodes.NAME] with `standfast config edit`",
    ),
    ("stonith fence", "NODE", "`standfast fence {}`"),
    ("stonith confirm", "NODE", "`standfast fence confirm {}`"),
    ("stonith history", "", "`standfast fence history`"),
    ("stonith status", "NODE", "`standfast fence test {}`"),
    (
        "stonith show",
        "NODE",
        "`standfast fence test {}`; its settings are in `standfast config show`",
    ),
    ("stonith config", "", "`standfast config show`"),
    (
        "stonith enable",
        "",
        "taking `off = true` out of [fencing] with `standfast config edit`",
    ),
    (
        "stonith disable",
        "",
        "`off = true` under [fencing] with `standfast config edit`",
    ),
    (
        "stonith",
        "",
        "[fence.NAME] in the configuration (`standfast config edit`), `standfast fence` and `standfast fence test NODE`",
    ),
    (
        "constraint location",
        "",
        "`prefer` under [groups.NAME], or by attributes of nodes [location.NAME], with `standfast config edit`; for a time `standfast resource move` and `standfast resource ban`",
    ),
    (
        "constraint colocation",
        "",
        "[colocation.NAME] with `standfast config edit`; or one group: `members` under [groups.NAME] run together",
    ),
    (
        "constraint order",
        "",
        "one group: `members` under [groups.NAME] start in their order (`standfast config edit`)",
    ),
    (
        "constraint",
        "",
        "`members` and `prefer` under [groups.NAME] (`standfast config show`); what operators ordered is in `standfast status`",
    ),
    (
        "property",
        "",
        "[cluster] and [fencing] in the configuration: `standfast config show`, `standfast config edit`",
    ),
    ("configure show", "", "`standfast config show`"),
    ("configure edit", "", "`standfast config edit`"),
    ("configure load", "FILE", "`standfast apply FILE`"),
    ("configure verify", "FILE", "`standfast plan {}`"),
    ("configure", "", "`standfast config edit`"),
    (
        "quorum",
        "",
        "`standfast status`; a voter without resources joins with `standfast witness`",
    ),
    (
        "qdevice",
        "",
        "a voter without resources, which joins with `standfast witness`",
    ),
    (
        "host auth",
        "",
        "`standfast token` on a member and `standfast join` on the new machine",
    ),
    ("host", "", "`standfast token` and `standfast join`"),
    (
        "alert",
        "",
        "the alert rules for Prometheus, and `standfast check` for Nagios",
    ),
    (
        "acl",
        "",
        "[access] in /etc/standfast/node.toml of each machine",
    ),
    ("cib", "", "`standfast config draft`"),
    ("corosync", "", "`standfast config show`"),
    ("standby", "NODE", "`standfast node standby {}`"),
    ("unstandby", "NODE", "`standfast node resume {}`"),
    (
        "maintenance",
        "",
        "`standfast cluster maintenance` with `on`",
    ),
    ("failover", "GROUP", "`standfast switchover {}`"),
    ("move", "GROUP", "`standfast resource move {}`"),
    ("migrate", "GROUP", "`standfast resource move {}`"),
    ("pause", "", "`standfast cluster maintenance` with `on`"),
    (
        "resume",
        "",
        "`standfast cluster maintenance` with `off`; after a drain `standfast node resume NODE`",
    ),
    ("list", "", "`standfast status`"),
    ("show-config", "", "`standfast config show`"),
    ("edit-config", "", "`standfast config edit`"),
    ("verify", "FILE", "`standfast plan {}`"),
    ("fence_node", "NODE", "`standfast fence {}`"),
    (
        "start",
        "",
        "`systemctl start standfast` on the machine; one group: `standfast resource enable GROUP`",
    ),
    (
        "stop",
        "",
        "`standfast node drain NODE`, then `systemctl stop standfast`; one group: `standfast resource disable GROUP`",
    ),
];

/// What to answer to a command line that is not understood; none where nothing is known of it.
pub(super) fn answer(arguments: &[OsString]) -> Option<String> {
    let words = words(arguments);
    let fits = |known: &str| {
        let known: Vec<&str> = known.split(' ').collect();
        let last = known.len().checked_sub(1)?;
        let same = known.iter().enumerate().all(|(at, name)| {
            let word = words.get(at).map(String::as_str).unwrap_or_default();
            let begins = at == last && name.ends_with('-') && word.starts_with(name);
            word == *name || begins
        });
        same.then_some(known.len())
    };
    let mut names = NAMES.iter();
    let (known, thing, here, long) =
        names.find_map(|(known, thing, here)| Some((known, thing, here, fits(known)?)))?;
    let given = words.get(long).map_or(*thing, String::as_str);
    let typed = words.get(..long).unwrap_or_default().join(" ");
    let typed = if typed.is_empty() {
        (*known).to_owned()
    } else {
        typed
    };
    Some(format!("`{typed}` is here {}", here.replace("{}", given)))
}

/// Without the program and without flags and their values, as far as those are known.
fn words(arguments: &[OsString]) -> Vec<String> {
    let mut words = Vec::new();
    let mut skip = true;
    for argument in arguments {
        let text = argument.to_string_lossy();
        if skip {
            skip = false;
        } else if text.starts_with('-') {
            skip = matches!(text.as_ref(), "--socket" | "--node-file");
        } else {
            words.push(text.into_owned());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory as _;

    fn said(line: &str) -> Option<String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        answer(&words)
    }

    #[test]
    fn habits_are_answered_with_the_name_here() {
        for (line, expected) in [
            (
                "standfast node unstandby alpha",
                "`node unstandby` is here `standfast node resume alpha`",
            ),
            (
                "standfast --socket /x node unstandby --all",
                "`node unstandby` is here `standfast node resume NODE`",
            ),
            (
                "standfast resource debug-start web",
                "`resource debug-start` is here `standfast logs --group web`",
            ),
            (
                "standfast cluster node remove beta",
                "`cluster node remove` is here `standfast node drain beta`, then `standfast remove beta`",
            ),
            (
                "standfast stonith level add 1 alpha",
                "`stonith` is here [fence.NAME] in the configuration (`standfast config edit`), `standfast fence` and `standfast fence test NODE`",
            ),
        ] {
            assert_eq!(said(line).as_deref(), Some(expected), "{line}");
        }
        assert_eq!(said("standfast dance"), None);
    }

    /// Every command that is named exists, and nothing is in the table that exists itself.
    #[test]
    fn what_is_named_is_there() {
        let root = Cli::command();
        let depth = |words: &[&str]| {
            let mut at = &root;
            let mut found = 0;
            for word in words {
                match at.find_subcommand(word) {
                    Some(next) => at = next,
                    None => break,
                }
                found += 1;
            }
            (found, at.has_subcommands())
        };
        for (known, _, here) in NAMES {
            for quoted in here
                .split('`')
                .filter(|part| part.starts_with("standfast "))
            {
                let words: Vec<&str> = quoted.split(' ').skip(1).collect();
                let names = words
                    .iter()
                    .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()));
                let (found, _) = depth(&words);
                assert!(found > 0 && found == names.count(), "{known}: {quoted}");
            }
            let words: Vec<&str> = known.split(' ').collect();
            assert!(depth(&words).0 < words.len(), "{known} exists");
        }
    }
}
