//! The cluster's configuration file: one TOML text in, a complete [`ClusterConfig`] out, or every
//! mistake in it with its place, what is allowed there, and the nearest valid name.
//!
//! | table | what it says |
//! |---|---|
//! | `[cluster]` | `name`, `profile`, `mode`, `maintenance`, `fencing`, `fence_action`, `fence_lost_after_ms` |
//! | `[timing]` | values that differ from the profile's |
//! | `[nodes.NAME]` | `addresses` of its links, `witness`, `fence_levels`, `attributes` |
//! | `[fence.NAME]` | `agent` with its `parameters`, the `nodes` that it can fence |
//! | `[groups.NAME]` | `members` in start order, `prefer`, `priority`, `stickiness`, `maintenance`, `copies` |
//! | `[location.NAME]` | `where` nodes have certain attributes, a `group` has so much more `score` |
//! | `[colocation.NAME]` | which `group` is to be `with` which other, and by what `score` |
//! | `[order.NAME]` | which group starts `first`, and which one `then`; `kind`, `symmetrical` |
//! | `[pair]` | two nodes without a third voter: the `arbiter`, keep-alives, who survives |
//! | `[resources.NAME]` | `kind` (`process`, `vip` or `ocf`) with its settings, failure policy, `maintenance` |
//!
//! A resource that no group names gets a group of its own name. `maintenance = true` on a resource
//! puts its whole group into maintenance: members of a group start and stop together.
//!
//! Not for reading files, and not for checking what only a machine can know (whether an interface or
//! a program exists): text in, values out.
#![deny(
    clippy::wildcard_enum_match_arm,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]
#![warn(missing_docs)]

mod address;
mod addresses_file;
mod check;
mod constraints;
mod copies;
mod differences;
mod fencing;
mod location;
mod mistake;
mod monitors;
mod node;
mod nodes;
mod ocf;
mod pair;
mod parameters;
mod ping;
mod place;
mod process;
mod references;
mod resources;
mod script;
mod section;
mod systemd;
mod text;
mod timing;

pub use addresses_file::{MAX_ADDRESSES, MAX_ADDRESSES_TEXT, parse_addresses, set_addresses};
pub use differences::differences;
pub use mistake::{Mistake, Warning};
pub use node::{AccessSettings, NodeSettings, WatchdogSettings, parse_node};
pub use ping::ping_targets;
pub use place::{mistake_at, warning_at};
pub use text::{HIDDEN, completed, redacted};

use mistake::Report;
use section::Section;
use standfast_model::config::{ClusterConfig, Mode, Profile, Timing};
use toml::{Spanned, de::DeTable};

/// Largest configuration file, in bytes.
pub const MAX_TEXT: usize = 1 << 20;

/// Largest number of nodes.
pub const MAX_NODES: usize = 16;

/// Reads a configuration file. `file_name` is for the messages.
///
/// # Errors
/// Every mistake in the text, in its order. Mistakes in TOML itself are reported alone, because
/// what else is wrong cannot be known before they are mended.
pub fn parse(text: &str, file_name: &str) -> Result<(ClusterConfig, Vec<Warning>), Vec<Mistake>> {
    let mut report = Report::new(text, file_name);
    let Some(document) = document(text, MAX_TEXT, &mut report) else {
        return Err(report.into_mistakes());
    };
    let root = Section::new(document.get_ref(), String::new(), 0..0);
    let config = read(root, &mut report);
    report.finish(config)
}

/// The text as TOML, if it is no longer than `most` bytes and has no mistake in TOML itself.
pub(crate) fn document<'t>(
    text: &'t str,
    most: usize,
    report: &mut Report<'_>,
) -> Option<Spanned<DeTable<'t>>> {
    if text.len() > most {
        let mistake = Mistake::new("", format!("the file has {} bytes", text.len()));
        report.mistake(0..0, mistake.allowed(format!("at most {most} bytes")));
        return None;
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().unwrap_or(0..0);
        report.mistake(at, Mistake::new("", error.message().replace('\n', " ")));
    }
    errors.is_empty().then_some(document)
}

fn read(mut root: Section<'_>, report: &mut Report<'_>) -> ClusterConfig {
    let mut config = ClusterConfig::default();
    if let Some(section) = root.required_section(report, "cluster") {
        read_cluster(section, report, &mut config);
    }
    config.timing = Timing::of(config.profile);
    if let Some(section) = root.section(report, "timing") {
        config.timing = timing::read(section, report, config.timing);
    }
    let mut levels = Vec::new();
    if let Some(section) = root.required_section(report, "nodes") {
        let pair = root.has("pair");
        config.nodes = nodes::read(section, report, &mut levels, pair);
    }
    read_fencing(&mut root, report, &mut config, levels);
    let mut found = references::Found::default();
    if let Some(section) = root.section(report, "resources") {
        config.resources = resources::read(section, report, &mut found);
    }
    if let Some(section) = root.section(report, "pair") {
        let at = section.at.clone();
        config.pair = pair::read(section, report, &config);
        addresses_file::reserve(&mut config, &mut found, at, report);
    }
    let groups = root.section(report, "groups");
    config.groups = references::read_groups(groups, report, &config.nodes, &mut found);
    let copies = std::mem::take(&mut found.copies);
    let roles = copies::roles(&copies);
    let named = config.groups.keys().cloned().chain(roles).collect();
    config.constraints = constraints::read(&mut root, report, &named, &config.nodes);
    copies::check_intervals(&config, &copies, &found.resources, report);
    copies::spread(&mut config, copies, report);
    root.finish(report);
    check::addresses_are_unique(&config, &found, report);
    config
}

fn read_cluster(mut section: Section<'_>, report: &mut Report<'_>, config: &mut ClusterConfig) {
    if let Some(name) = section.required_string(report, "name") {
        section::check_name(report, &name.at, &name.path, &name.value);
        config.name = name.value;
    }
    let profiles = [
        ("lan", Profile::Lan),
        ("fast", Profile::Fast),
        ("wan", Profile::Wan),
        ("appliance", Profile::Appliance),
    ];
    config.profile = section
        .choice(report, "profile", &profiles)
        .unwrap_or_default();
    let modes = [("active", Mode::Active), ("observe", Mode::Observe)];
    config.mode = section.choice(report, "mode", &modes).unwrap_or_default();
    config.maintenance = section.boolean(report, "maintenance").unwrap_or(false);
    let words = [
        ("on", (false, false)),
        ("manual", (false, true)),
        ("off", (true, false)),
    ];
    (config.fencing.off, config.fencing.manual) = section
        .choice(report, "fencing", &words)
        .unwrap_or((false, false));
    let actions = [("reboot", false), ("off", true)];
    config.fencing.stay_off = section
        .choice(report, "fence_action", &actions)
        .unwrap_or_default();
    let lost_after = section.millis(report, "fence_lost_after_ms", 0..=86_400_000);
    config.fencing.lost_after = lost_after.map(|found| found.value);
    section.finish(report);
}

fn read_fencing(
    root: &mut Section<'_>,
    report: &mut Report<'_>,
    config: &mut ClusterConfig,
    levels: fencing::Written,
) {
    let section = root.section(report, "fence");
    let at = section.as_ref().map_or(0..0, |section| section.at.clone());
    config.fencing.devices = fencing::read(section, report, &config.nodes);
    config.fencing.levels = fencing::settle_levels(levels, report, &config.fencing.devices);
    fencing::warn(report, at, &config.fencing, &config.nodes);
}
