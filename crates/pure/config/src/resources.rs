//! `[resources.NAME]`: what every kind shares, and addresses. Processes and agents have modules of their own.

use crate::{
    address,
    copies::MOST_RESOURCES,
    mistake::{Mistake, Report},
    ocf, process,
    references::Found as Names,
    script,
    section::{Section, check_name},
    systemd,
};
use standfast_model::{
    config::{FailurePolicy, ResourceConfig, ResourceKind, VipConfig},
    id::ResourceId,
};
use std::collections::BTreeMap;

#[derive(Clone, Copy)]
enum Kind {
    Process,
    Ocf,
    Script,
    Systemd,
    Vip,
}

pub(crate) fn read(
    section: Section<'_>,
    report: &mut Report<'_>,
    names: &mut Names,
) -> BTreeMap<ResourceId, ResourceConfig> {
    let mut resources = BTreeMap::new();
    for (name, value) in section.entries() {
        check_name(report, &name.at, &name.path, &name.value);
        let id = ResourceId::from(name.value.as_str());
        names.resources.insert(id.clone(), name.at);
        let Some(table) = Section::of(value, name.path, report) else {
            continue;
        };
        if let Some(resource) = read_resource(table, report, names, &id) {
            resources.insert(id, resource);
        }
    }
    if names.resources.len() > MOST_RESOURCES {
        let mistake = Mistake::new("resources", format!("{} resources", names.resources.len()));
        report.mistake(
            section.at.clone(),
            mistake.allowed(format!("at most {MOST_RESOURCES}")),
        );
    }
    resources
}

fn read_resource(
    mut table: Section<'_>,
    report: &mut Report<'_>,
    names: &mut Names,
    id: &ResourceId,
) -> Option<ResourceConfig> {
    if table.boolean(report, "maintenance").unwrap_or(false) {
        names.maintained.insert(id.clone());
    }
    let failure = read_failure(&mut table, report);
    let words = [("lease", false), ("fencing", true)];
    let needs_fencing = table.choice(report, "requires", &words).unwrap_or(false);
    if !table.has("kind") && !table.misspelt(report, "kind") {
        table.missing(report, "kind");
    }
    let kinds = [
        ("process", Kind::Process),
        ("vip", Kind::Vip),
        ("ocf", Kind::Ocf),
        ("script", Kind::Script),
        ("systemd", Kind::Systemd),
    ];
    // Without a kind nobody knows which keys are right: only the kind is reported.
    let kind = match table.choice(report, "kind", &kinds)? {
        Kind::Process => ResourceKind::Process(process::read(&mut table, report)),
        Kind::Ocf => ResourceKind::Process(ocf::read(&mut table, report, needs_fencing, names)),
        Kind::Script => ResourceKind::Process(script::read(&mut table, report)),
        Kind::Systemd => ResourceKind::Process(systemd::read(&mut table, report)),
        Kind::Vip => ResourceKind::Vip(read_vip(&mut table, report, names)),
    };
    table.finish(report);
    Some(ResourceConfig {
        kind,
        failure,
        needs_fencing,
    })
}

fn read_failure(table: &mut Section<'_>, report: &mut Report<'_>) -> FailurePolicy {
    let mut policy = FailurePolicy::default();
    if let Some(found) = table.integer(report, "max_failures", 1..=1_000_000) {
        policy.threshold = u32::try_from(found.value).unwrap_or(policy.threshold);
    }
    if let Some(found) = table.millis(report, "failure_window_ms", 1000..=2_678_400_000) {
        policy.window = found.value;
    }
    if let Some(found) = table.millis(report, "restart_delay_ms", 0..=3_600_000) {
        policy.restart_delay = found.value;
    }
    let words = [("block", false), ("fence", true)];
    if let Some(fences) = table.choice(report, "on_stop_failure", &words) {
        policy.fence_on_stop_failure = fences;
    }
    policy
}

fn read_vip(table: &mut Section<'_>, report: &mut Report<'_>, names: &mut Names) -> VipConfig {
    let mut vip = VipConfig::default();
    for written in table.required_strings(report, "addresses") {
        let normal = match address::with_prefix(&written.value) {
            Ok(normal) => normal,
            Err(problem) => {
                let mistake = Mistake::new(&written.path, problem);
                let allowed = "address/prefix, such as 10.80.1.100/24 or fd80::100/64";
                report.mistake(written.at, mistake.allowed(allowed));
                continue;
            }
        };
        names
            .vip_addresses
            .push((normal.clone(), written.path, written.at));
        vip.addresses.push(normal);
    }
    if let Some(interface) = table.string(report, "interface") {
        let name = &interface.value;
        if name.len() > 15 || name.contains(|c: char| c == '/' || c.is_whitespace()) {
            let mistake = Mistake::new(&interface.path, format!("\"{name}\" is no interface"));
            let allowed = "a name of at most 15 characters, without blanks and /";
            report.mistake(interface.at, mistake.allowed(allowed));
        }
        vip.interface = Some(interface.value);
    }
    if let Some(gateway) = table.string(report, "gateway") {
        match address::plain(&gateway.value) {
            Ok(normal) => vip.gateway = Some(normal),
            Err(problem) => {
                let mistake = Mistake::new(&gateway.path, problem);
                report.mistake(gateway.at, mistake.allowed("an IP address without prefix"));
            }
        }
    }
    vip
}
