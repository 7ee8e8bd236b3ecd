//! `[pair]`: two nodes with one arbiter.
//!
//! Whether a cluster is a pair, and with which arbiter, is settled when it is made. Here the section is only read.

use crate::{
    mistake::{Mistake, Report},
    ping,
    section::{Found, Section},
    timing::ms,
};
use standfast_model::{
    config::ClusterConfig,
    id::NodeId,
    pair::{Arbiter, BootPolicy, PairConfig, Survivor},
    time::Micros,
};
use std::ops::Range;

const DAY_MS: u32 = 86_400_000;

/// Keys that mean something with a fence device only.
const FENCE_KEYS: [&str; 3] = ["fence_delay_ms", "fence_random_delay_ms", "fence_retry_ms"];

pub(crate) fn read(
    mut section: Section<'_>,
    report: &mut Report<'_>,
    config: &ClusterConfig,
) -> Option<PairConfig> {
    let nodes = two_nodes(&section, report, config);
    let arbiter = read_arbiter(&mut section, report);
    let (keep_alive, misses, downtime) = read_timing(&mut section, report, config);
    let survivor = read_survivor(&mut section, report, config);
    let [fence_delay, fence_random_delay, fence_retry] = read_fence(&mut section, report, arbiter);
    let policies = [
        ("automatic", BootPolicy::Automatic),
        ("operator", BootPolicy::Operator),
    ];
    let boot = section
        .choice(report, "boot", &policies)
        .unwrap_or_default();
    let failback = read_failback(&mut section, report, &survivor);
    let addresses_file = section.string(report, "addresses_file").map(|found| {
        absolute(report, &found);
        found.value
    });
    let ping = ping::read(&mut section, report, arbiter, config);
    if arbiter == Some(Arbiter::Ping) {
        ping::judge(&section, report, config, (keep_alive, downtime));
    }
    if arbiter == Some(Arbiter::Fence) {
        let delays = (fence_delay, fence_random_delay);
        warn_fencing(report, section.at.clone(), config, (delays, &survivor));
    } else {
        warn_stops(report, section.at.clone(), config);
    }
    section.finish(report);
    Some(PairConfig {
        nodes: nodes?,
        arbiter: arbiter?,
        keep_alive,
        misses,
        downtime,
        drift_ppm: config.timing.drift_ppm,
        survivor,
        fence_delay,
        fence_random_delay,
        fence_retry,
        boot,
        failback,
        addresses_file,
        ping,
    })
}

fn two_nodes(
    section: &Section<'_>,
    report: &mut Report<'_>,
    config: &ClusterConfig,
) -> Option<[NodeId; 2]> {
    let problem = if config.nodes.values().any(|node| node.witness) {
        String::from(
            "one of the nodes is a witness: with it there are three voters, and no arbiter is needed",
        )
    } else if config.nodes.len() != 2 {
        format!("there are {} nodes", config.nodes.len())
    } else {
        let mut names = config.nodes.keys().cloned();
        return Some([names.next()?, names.next()?]);
    };
    let mistake =
        Mistake::new("pair", problem).allowed("exactly two nodes without a witness, or no [pair]");
    report.mistake(section.at.clone(), mistake);
    None
}

fn read_arbiter(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Arbiter> {
    if !section.has("arbiter") {
        section.missing(report, "arbiter");
    }
    let arbiters = [Arbiter::Fence, Arbiter::Ping, Arbiter::None];
    section.choice(
        report,
        "arbiter",
        &arbiters.map(|arbiter| (arbiter.name(), arbiter)),
    )
}

fn read_timing(
    section: &mut Section<'_>,
    report: &mut Report<'_>,
    config: &ClusterConfig,
) -> (Micros, u32, Micros) {
    let (mut keep_alive, mut misses, mut downtime) = PairConfig::timing(config.profile);
    let mut at: Option<(Range<usize>, &str)> = None;
    if let Some(found) = section.millis(report, "keep_alive_ms", 10..=60_000) {
        (keep_alive, at) = (found.value, Some((found.at, "keep_alive_ms")));
    }
    if let Some(found) = section.integer(report, "misses", 2..=20) {
        misses = u32::try_from(found.value).unwrap_or(misses);
        at = Some((found.at, "misses"));
    }
    if let Some(found) = section.millis(report, "downtime_ms", 50..=DAY_MS) {
        (downtime, at) = (found.value, Some((found.at, "downtime_ms")));
    }
    let least = Micros(keep_alive.0.saturating_mul(u64::from(misses) + 1));
    if let (true, Some((at, key))) = (downtime < least, at) {
        let problem = format!(
            "a node would be lost after {}, before {misses} keep-alives of {} can be missed and one more answered",
            ms(downtime),
            ms(keep_alive)
        );
        let allowed = format!(
            "downtime_ms of at least ({misses} + 1) x {} = {}",
            ms(keep_alive),
            ms(least)
        );
        report.mistake(
            at,
            Mistake::new(&format!("pair.{key}"), problem).allowed(allowed),
        );
    }
    (keep_alive, misses, downtime)
}

fn read_survivor(
    section: &mut Section<'_>,
    report: &mut Report<'_>,
    config: &ClusterConfig,
) -> Survivor {
    match section.string(report, "survivor") {
        Some(found) if found.value != "primary" => {
            let node = NodeId::from(found.value.as_str());
            if !config.nodes.contains_key(&node) {
                let mut names = vec!["primary"];
                names.extend(config.nodes.keys().map(NodeId::as_str));
                let problem = format!("unknown node \"{}\"", found.value);
                let mistake = Mistake::new(&found.path, problem).names(&found.value, &names);
                report.mistake(found.at, mistake);
            }
            Survivor::Node(node)
        }
        Some(_) | None => Survivor::Primary,
    }
}

fn read_fence(
    section: &mut Section<'_>,
    report: &mut Report<'_>,
    arbiter: Option<Arbiter>,
) -> [Micros; 3] {
    let mut values = [2000, 0, 10_000].map(Micros::from_millis);
    for ((key, value), least) in FENCE_KEYS.into_iter().zip(&mut values).zip([0, 0, 1000]) {
        let Some(found) = section.millis(report, key, least..=600_000) else {
            continue;
        };
        *value = found.value;
        if let Some(Arbiter::Ping | Arbiter::None) = arbiter {
            let mistake = Mistake::new(&found.path, "means nothing without a fence device");
            report.mistake(found.at, mistake.allowed("only with arbiter = \"fence\""));
        }
    }
    values
}

/// What works and is probably not what is wanted of a fence device as the arbiter.
fn warn_fencing(
    report: &mut Report<'_>,
    at: Range<usize>,
    config: &ClusterConfig,
    ((delay, random), survivor): ((Micros, Micros), &Survivor),
) {
    let fencing = &config.fencing;
    let bare = config
        .nodes
        .keys()
        .filter(|node| fencing.levels_of(node).is_empty());
    let bare: Vec<&str> = bare.map(NodeId::as_str).collect();
    let nobody = "until `standfast fence confirm`, nobody takes over from";
    if fencing.off || fencing.manual {
        let word = if fencing.off { "off" } else { "manual" };
        let text = format!(
            "the arbiter is a fence device, but cluster.fencing is \"{word}\": {nobody} a node that is lost"
        );
        report.warning(at.clone(), "pair.arbiter", text);
    } else if !bare.is_empty() {
        let text = format!(
            "the arbiter is a fence device, and none can fence {}: {nobody} it when it is lost",
            bare.join(", nor ")
        );
        report.warning(at.clone(), "pair.arbiter", text);
    }
    if fencing
        .devices
        .values()
        .any(|device| device.delay != Micros::ZERO)
    {
        let text =
            "delay_ms of a device is not waited for in a pair: fence_delay_ms says who waits";
        report.warning(at.clone(), "pair.fence_delay_ms", text);
    }
    if delay == Micros::ZERO && random == Micros::ZERO {
        let text = "both nodes fence at the same moment when they lose each other, and both may lose their power: give one of fence_delay_ms and fence_random_delay_ms";
        report.warning(at, "pair.fence_delay_ms", text);
    } else if delay == Micros::ZERO && *survivor != Survivor::Primary {
        let text = "survivor means nothing without it: chance decides who survives";
        report.warning(at, "pair.fence_delay_ms", text);
    }
}

/// Nobody fences a primary for a stop that is not confirmed, unless its secondary goes on by a fence device.
fn warn_stops(report: &mut Report<'_>, at: Range<usize>, config: &ClusterConfig) {
    let resources = config.resources.iter();
    let mut fenced = resources.filter(|(_, resource)| resource.failure.fence_on_stop_failure);
    if let Some((name, _)) = fenced.next() {
        let text = format!(
            "on_stop_failure = \"fence\" of {name} does nothing in a pair without a fence device as the arbiter: give both machines a watchdog"
        );
        report.warning(at, "pair.arbiter", text);
    }
}

fn read_failback(section: &mut Section<'_>, report: &mut Report<'_>, survivor: &Survivor) -> bool {
    let at = section.at.clone();
    let failback = section.boolean(report, "failback").unwrap_or(false);
    if failback && *survivor == Survivor::Primary {
        let mistake = Mistake::new(
            "pair.failback",
            "no node is named that the primary could go back to",
        );
        report.mistake(at, mistake.allowed("true only where survivor names a node"));
    }
    failback
}

fn absolute(report: &mut Report<'_>, found: &Found<String>) {
    if !found.value.starts_with('/') {
        let mistake = Mistake::new(&found.path, format!("\"{}\" is not absolute", found.value));
        report.mistake(
            found.at.clone(),
            mistake.allowed("a path that begins with /"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;
    use standfast_model::pair::PingConfig;

    const SMALLEST: &str = r#"
[cluster]
name = "two"
profile = "appliance"
[nodes.beta]
addresses = ["10.0.0.2:7400"]
[nodes.alpha]
addresses = ["10.0.0.1:7400"]
[pair]
"#;

    #[test]
    fn the_smallest_pair_has_the_classic_values() {
        let text = format!("{SMALLEST}arbiter = \"fence\"\n");
        let (config, _) = parse(&text, "pair.toml").expect("no mistakes");
        let pair = config.pair.expect("a pair");
        let expected = PairConfig {
            nodes: ["alpha", "beta"].map(NodeId::from),
            arbiter: Arbiter::Fence,
            keep_alive: Micros::from_millis(2000),
            misses: 5,
            downtime: Micros::from_millis(30_000),
            drift_ppm: 10_000,
            survivor: Survivor::Primary,
            fence_delay: Micros::from_millis(2000),
            fence_random_delay: Micros::ZERO,
            fence_retry: Micros::from_millis(10_000),
            boot: BootPolicy::Automatic,
            failback: false,
            addresses_file: None,
            ping: None,
        };
        assert_eq!(pair, expected);
    }

    #[test]
    fn a_stop_that_nobody_would_fence_for_is_warned_of() {
        let resource = "[resources.web]\nkind = \"process\"\ncommand = [\"/bin/true\"]\non_stop_failure = \"fence\"\n\
                        [groups.site]\nmembers = [\"web\"]\n";
        let warned = |arbiter: &str| {
            let text = format!("{SMALLEST}arbiter = \"{arbiter}\"\n{resource}");
            let (_, warnings) = parse(&text, "pair.toml").expect("no mistakes");
            let mut warnings = warnings.iter().map(ToString::to_string);
            warnings.any(|text| text.contains("on_stop_failure = \"fence\" of web does nothing"))
        };
        assert!(warned("none"));
        assert!(!warned("fence"));
    }

    #[test]
    fn ping_targets_have_the_classic_values() {
        let text = format!(
            "{SMALLEST}arbiter = \"ping\"\nsurvivor = \"beta\"\nfailback = true\n\
             [pair.ping]\ngateway = \"10.0.0.254\"\ntargets = [\"FD80::0001\"]\n"
        );
        let (config, _) = parse(&text, "pair.toml").expect("no mistakes");
        let pair = config.pair.expect("a pair");
        let expected = PingConfig {
            iterations: 12,
            interval: Micros::from_millis(15_000),
            gateway: String::from("10.0.0.254"),
            targets: vec![String::from("fd80::1")],
        };
        assert_eq!(pair.ping, Some(expected));
        assert!(pair.failback && pair.survivor == Survivor::Node("beta".into()));
    }
}
