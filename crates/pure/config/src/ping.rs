//! `[pair.ping]`: the gateway and further targets that a pair asks, each rule with its sentence.

use crate::{
    address,
    mistake::{Mistake, Report},
    section::{Found, Section},
    timing::ms,
};
use standfast_model::{
    config::{ClusterConfig, ResourceKind},
    pair::{Arbiter, PING_WARNING, PingConfig},
    time::Micros,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

/// Most ping targets besides the gateway.
const MOST_TARGETS: usize = 3;

/// The classic values of an appliance pair.
const ITERATIONS: u32 = 12;
const INTERVAL: Micros = Micros::from_millis(15_000);

pub(crate) fn read(
    section: &mut Section<'_>,
    report: &mut Report<'_>,
    arbiter: Option<Arbiter>,
    config: &ClusterConfig,
) -> Option<PingConfig> {
    let wanted = arbiter == Some(Arbiter::Ping);
    if wanted && !section.has("ping") {
        section.missing(report, "ping");
    }
    let mut ping = section.section(report, "ping")?;
    if let Some(Arbiter::Fence | Arbiter::None) = arbiter {
        let mistake = Mistake::new(
            "pair.ping",
            "a pair has one arbiter, and here it is not ping targets",
        );
        report.mistake(
            ping.at.clone(),
            mistake.allowed("only with arbiter = \"ping\""),
        );
    }
    let mut taken = own_addresses(config);
    let gateway = ping.required_string(report, "gateway");
    let gateway = gateway.and_then(|found| target(found, report, &mut taken));
    let further = ping.strings(report, "targets").unwrap_or_default();
    if further.len() > MOST_TARGETS {
        let mistake = Mistake::new("pair.ping.targets", format!("{} targets", further.len()));
        report.mistake(
            ping.at.clone(),
            mistake.allowed(format!("at most {MOST_TARGETS}, besides the gateway")),
        );
    }
    let targets = further
        .into_iter()
        .filter_map(|found| target(found, report, &mut taken));
    let targets = targets.collect();
    let iterations = ping.integer(report, "iterations", 2..=20);
    let interval = ping.millis(report, "interval_ms", 100..=600_000);
    ping.finish(report);
    Some(PingConfig {
        iterations: iterations
            .and_then(|found| u32::try_from(found.value).ok())
            .unwrap_or(ITERATIONS),
        interval: interval.map_or(INTERVAL, |found| found.value),
        gateway: gateway?,
        targets,
    })
}

/// What moves with the pair or goes down with it says nothing about the network.
pub(crate) fn own_addresses(config: &ClusterConfig) -> BTreeMap<String, String> {
    let mut owners = BTreeMap::new();
    for (name, node) in &config.nodes {
        let links = node
            .addresses
            .iter()
            .filter_map(|link| link.parse::<SocketAddr>().ok());
        owners.extend(links.map(|link| (link.ip().to_string(), format!("nodes.{name}.addresses"))));
    }
    for (name, resource) in &config.resources {
        if let ResourceKind::Vip(vip) = &resource.kind {
            let plain = vip
                .addresses
                .iter()
                .filter_map(|address| address.split_once('/'));
            owners.extend(
                plain.map(|(ip, _)| (ip.to_owned(), format!("resources.{name}.addresses"))),
            );
        }
    }
    owners
}

fn target(
    found: Found<String>,
    report: &mut Report<'_>,
    taken: &mut BTreeMap<String, String>,
) -> Option<String> {
    match plain(&found.value, &found.path, taken) {
        Ok(ip) => Some(ip),
        Err((problem, allowed)) => {
            let mistake = Mistake::new(&found.path, problem).allowed(allowed);
            report.mistake(found.at, mistake);
            None
        }
    }
}

/// A target that nobody else has, in its usual form; or what is wrong with it, and what is allowed.
fn plain(
    value: &str,
    name: &str,
    taken: &mut BTreeMap<String, String>,
) -> Result<String, (String, &'static str)> {
    let ip = address::plain(value).map_err(|problem| {
        let allowed = "an IP address: names may not resolve when it matters";
        (problem, allowed)
    })?;
    match taken.insert(ip.clone(), name.to_owned()) {
        None => Ok(ip),
        Some(owner) => Err((
            format!("{ip} is taken already by {owner}"),
            "a machine of its own, outside of the pair",
        )),
    }
}

/// Ping targets that are named where a pair is made, with the usual times. `own` are the addresses of the node.
///
/// # Errors
/// The rule that is broken, as it is said of a file.
pub fn ping_targets(
    gateway: &str,
    further: &[String],
    own: &[IpAddr],
) -> Result<PingConfig, String> {
    let mut taken: BTreeMap<String, String> = own
        .iter()
        .map(|ip| (ip.to_string(), String::from("--address")))
        .collect();
    let mut one = |value: &str, name: &str| {
        plain(value, name, &mut taken)
            .map_err(|(problem, allowed)| format!("{name}: {problem}; allowed: {allowed}"))
    };
    let gateway = one(gateway, "--gateway")?;
    if further.len() > MOST_TARGETS {
        return Err(format!(
            "--ping-target: {} targets; allowed: at most {MOST_TARGETS}, besides the gateway",
            further.len()
        ));
    }
    let targets = further.iter().map(|value| one(value, "--ping-target"));
    Ok(PingConfig {
        iterations: ITERATIONS,
        interval: INTERVAL,
        gateway,
        targets: targets.collect::<Result<_, _>>()?,
    })
}

/// What is not as it has to be where a primary asks targets in the second half of its lease, and what they never promise.
pub(crate) fn judge(
    section: &Section<'_>,
    report: &mut Report<'_>,
    config: &ClusterConfig,
    (keep_alive, downtime): (Micros, Micros),
) {
    let stop = config.timing.stop_budget;
    let least = stop.plus(Micros(keep_alive.0.saturating_mul(4)));
    if downtime < least {
        let problem = format!(
            "{} leaves a primary that has lost its secondary no time to ask the ping targets before its lease ends",
            ms(downtime)
        );
        let allowed = format!(
            "downtime_ms of at least stop_budget_ms + 4 x keep_alive_ms = {}",
            ms(least)
        );
        let mistake = Mistake::new("pair.downtime_ms", problem).allowed(allowed);
        report.mistake(section.at.clone(), mistake);
    }
    report.warning(section.at.clone(), "pair.arbiter", PING_WARNING);
}
