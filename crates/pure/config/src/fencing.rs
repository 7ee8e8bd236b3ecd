//! `[fence.NAME]` and the levels of each node: what can cut a machine's power, and in which order it is tried.
//!
//! Not for whether parameters fit an agent: only a machine where it is installed knows that.

use crate::{
    mistake::{Mistake, Report},
    parameters,
    section::{Found, Section, check_name, strings_of, wrong_type},
};
use standfast_model::{
    config::NodeConfig,
    fence::{FenceDevice, RESERVED, is_parameter},
    id::{DeviceId, NodeId},
    time::Micros,
};
use std::collections::{BTreeMap, BTreeSet};
use toml::de::DeValue;

/// Most devices of a cluster: two for each node, and some to spare.
const MAX_DEVICES: usize = 64;
/// Most levels of a node.
const MAX_LEVELS: usize = 9;

type Nodes = BTreeMap<NodeId, NodeConfig>;
type Devices = BTreeMap<DeviceId, FenceDevice>;
/// What a node's table says of its levels, before the devices are known.
pub(crate) type Written = Vec<(NodeId, Vec<Vec<Found<String>>>)>;

pub(crate) fn read(
    section: Option<Section<'_>>,
    report: &mut Report<'_>,
    nodes: &Nodes,
) -> Devices {
    let mut devices = BTreeMap::new();
    let Some(section) = section else {
        return devices;
    };
    for (name, value) in section.entries() {
        check_name(report, &name.at, &name.path, &name.value);
        if let Some(table) = Section::of(value, name.path, report) {
            let device = read_device(table, report, nodes);
            devices.insert(DeviceId::from(name.value), device);
        }
    }
    if devices.len() > MAX_DEVICES {
        let mistake = Mistake::new("fence", format!("{} devices", devices.len()));
        let allowed = format!("at most {MAX_DEVICES}");
        report.mistake(section.at.clone(), mistake.allowed(allowed));
    }
    devices
}

fn read_device(mut table: Section<'_>, report: &mut Report<'_>, nodes: &Nodes) -> FenceDevice {
    let mut device = FenceDevice {
        agent: String::new(),
        parameters: BTreeMap::new(),
        secret_parameters: BTreeMap::new(),
        nodes: BTreeMap::new(),
        timeout: Micros::from_millis(60_000),
        retries: 1,
        delay: Micros::ZERO,
        monitor: Micros::from_millis(60_000),
    };
    if let Some(agent) = table.required_string(report, "agent") {
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !agent.value.starts_with('/') && !agent.value.chars().all(letters) {
            let problem = format!("\"{}\" is no agent", agent.value);
            let allowed = "a name such as \"fence_ipmilan\", or an absolute path";
            report.mistake(
                agent.at,
                Mistake::new(&agent.path, problem).allowed(allowed),
            );
        }
        device.agent = agent.value;
    }
    if let Some(parameters) = table.section(report, "parameters") {
        (device.parameters, device.secret_parameters) =
            parameters::read(&parameters, report, &wrong_name);
    }
    read_nodes(&mut table, report, nodes, &mut device);
    if let Some(found) = table.millis(report, "timeout_ms", 1000..=600_000) {
        device.timeout = found.value;
    }
    if let Some(found) = table.integer(report, "retries", 0..=10) {
        device.retries = u32::try_from(found.value).unwrap_or(device.retries);
    }
    if let Some(found) = table.millis(report, "delay_ms", 0..=300_000) {
        device.delay = found.value;
    }
    if let Some(found) = table.millis(report, "monitor_interval_ms", 5000..=86_400_000) {
        device.monitor = found.value;
    }
    table.finish(report);
    device
}

fn wrong_name(name: &Found<String>) -> Option<Mistake> {
    if !is_parameter(&name.value) {
        let mistake = Mistake::new(&name.path, "is no name of a parameter");
        return Some(mistake.allowed("1 to 64 letters, digits, - and _"));
    }
    let (_, instead) = RESERVED
        .iter()
        .find(|(reserved, _)| *reserved == name.value)?;
    Some(Mistake::new(
        &name.path,
        format!("cannot be given: {instead}"),
    ))
}

/// Either a list of nodes, or a table with what the device calls each.
fn read_nodes(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    nodes: &Nodes,
    device: &mut FenceDevice,
) {
    if !table.has("nodes") {
        table.missing(report, "nodes");
    }
    let Some((value, path)) = table.take("nodes") else {
        return;
    };
    match value.get_ref() {
        DeValue::Array(_) => {
            for name in strings_of(value, &path, report).unwrap_or_default() {
                add_node(name, None, report, nodes, device);
            }
        }
        DeValue::Table(_) => {
            let section = Section::of(value, path.clone(), report);
            for (name, value) in section.iter().flat_map(Section::entries) {
                let plug = parameters::read_value(
                    value,
                    &name,
                    report,
                    "a text in quotes, or a whole number",
                );
                if plug.is_some() {
                    add_node(name, plug, report, nodes, device);
                }
            }
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {
            let wanted = "a list of nodes, or a table with what the device calls each";
            wrong_type(report, value, &path, wanted);
            return;
        }
    }
    let of_table = matches!(value.get_ref(), DeValue::Table(table) if table.is_empty());
    let of_list = matches!(value.get_ref(), DeValue::Array(list) if list.is_empty());
    if of_table || of_list {
        report.mistake(value.span(), Mistake::new(&path, "is empty"));
    }
}

fn add_node(
    name: Found<String>,
    plug: Option<String>,
    report: &mut Report<'_>,
    nodes: &Nodes,
    device: &mut FenceDevice,
) {
    let id = NodeId::from(name.value.as_str());
    if !nodes.contains_key(&id) {
        let known: Vec<&str> = nodes.keys().map(NodeId::as_str).collect();
        let mistake = Mistake::new(&name.path, format!("no node \"{id}\""));
        report.mistake(name.at, mistake.names(&name.value, &known));
        return;
    }
    // Two nodes on one outlet would lose their power together.
    let shared = plug.as_ref().and_then(|plug| {
        device
            .nodes
            .iter()
            .find(|(_, other)| other.as_ref() == Some(plug))
    });
    if let Some((other, _)) = shared {
        let problem = format!("is what {other} is called already");
        let mistake = Mistake::new(&name.path, problem);
        report.mistake(name.at, mistake.allowed("one name for one node"));
        return;
    }
    if device.nodes.insert(id.clone(), plug).is_some() {
        let mistake = Mistake::new(&name.path, format!("{id} is named twice"));
        report.mistake(name.at, mistake);
    }
}

/// `fence_levels` of a node: lists of names, judged later.
pub(crate) fn read_levels(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
) -> Vec<Vec<Found<String>>> {
    const WANTED: &str =
        "a list of levels, each a list of devices, such as [[\"ipmi\"], [\"pdu-1\", \"pdu-2\"]]";
    let mut levels = Vec::new();
    let Some((value, path)) = table.take("fence_levels") else {
        return levels;
    };
    let DeValue::Array(list) = value.get_ref() else {
        wrong_type(report, value, &path, WANTED);
        return levels;
    };
    if list.is_empty() || list.len() > MAX_LEVELS {
        let mistake = Mistake::new(&path, format!("has {} levels", list.len()));
        report.mistake(value.span(), mistake.allowed(format!("1 to {MAX_LEVELS}")));
    }
    for (index, level) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let DeValue::Array(devices) = level.get_ref() else {
            wrong_type(report, level, &path, WANTED);
            continue;
        };
        if devices.is_empty() {
            report.mistake(level.span(), Mistake::new(&path, "is empty"));
        }
        levels.extend(strings_of(level, &path, report));
    }
    levels
}

/// The levels of each node that has any, of devices that exist and can fence it.
pub(crate) fn settle_levels(
    written: Written,
    report: &mut Report<'_>,
    devices: &Devices,
) -> BTreeMap<NodeId, Vec<Vec<DeviceId>>> {
    let mut all = BTreeMap::new();
    for (node, levels) in written {
        let mut named = BTreeSet::new();
        let mut settled = Vec::new();
        for level in levels {
            let mut known = Vec::new();
            for name in level {
                let id = DeviceId::from(name.value.as_str());
                let twice = !named.insert(id.clone());
                check_device(name, (&id, twice), &node, report, devices);
                known.push(id);
            }
            settled.push(known);
        }
        if !settled.is_empty() {
            all.insert(node, settled);
        }
    }
    all
}

fn check_device(
    name: Found<String>,
    (id, twice): (&DeviceId, bool),
    node: &NodeId,
    report: &mut Report<'_>,
    devices: &Devices,
) {
    if twice {
        let mistake = Mistake::new(&name.path, format!("{id} is named twice"));
        report.mistake(name.at, mistake);
        return;
    }
    let problem = match devices.get(id) {
        None => format!("no device \"{id}\""),
        Some(device) if !device.nodes.contains_key(node) => {
            format!("{id} cannot fence {node}: its `nodes` does not name it")
        }
        Some(_) => return,
    };
    let able = devices
        .iter()
        .filter(|(_, device)| device.nodes.contains_key(node));
    let able: Vec<&str> = able.map(|(id, _)| id.as_str()).collect();
    let mistake = Mistake::new(&name.path, problem).names(&name.value, &able);
    report.mistake(name.at, mistake);
}

/// What works and is probably not what is wanted.
pub(crate) fn warn(
    report: &mut Report<'_>,
    at: std::ops::Range<usize>,
    fencing: &standfast_model::fence::Fencing,
    nodes: &Nodes,
) {
    if fencing.devices.is_empty() {
        return;
    }
    if fencing.off {
        let text =
            "devices are configured, but cluster.fencing is \"off\": no machine's power is cut";
        report.warning(at, "fence", text);
        return;
    }
    let bare = nodes
        .iter()
        .filter(|(node, settings)| !settings.witness && fencing.levels_of(node).is_empty());
    let bare: Vec<&str> = bare.map(|(node, _)| node.as_str()).collect();
    if !bare.is_empty() {
        let text = format!("no device can fence {}", bare.join(", "));
        report.warning(at, "fence", text);
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    const NODES: &str = "[cluster]\nname = \"demo\"\n[nodes.alpha]\naddresses = [\"10.0.0.1:7400\"]\n\
                         [nodes.beta]\naddresses = [\"10.0.0.2:7400\"]\n[nodes.gamma]\naddresses = [\"10.0.0.3:7400\"]\nwitness = true\n";

    fn warnings(more: &str) -> Vec<String> {
        let (_, warnings) = parse(&format!("{NODES}{more}"), "x").unwrap();
        warnings.into_iter().map(|warning| warning.text).collect()
    }

    #[test]
    fn nodes_that_nothing_can_fence_are_named_but_no_witness() {
        let device = "[fence.a]\nagent = \"fence_x\"\nnodes = [\"alpha\"]\n";
        assert_eq!(warnings(device), ["no device can fence beta"]);
        assert!(warnings("").is_empty());
    }

    #[test]
    fn values_of_every_simple_type_are_parameters() {
        let more = "[fence.a]\nagent = \"fence_x\"\nnodes = { alpha = 1, beta = \"b\" }\n\
                    [fence.a.parameters]\nip = \"10.0.0.9\"\nlanplus = true\nport_count = 8\n\
                    password = { secret_file = \"/etc/p\" }\n";
        let (config, _) = parse(&format!("{NODES}{more}"), "x").unwrap();
        let device = config.fencing.devices.values().next().unwrap();
        let given: Vec<String> = device
            .parameters
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        assert_eq!(given, ["ip=10.0.0.9", "lanplus=true", "port_count=8"]);
        assert_eq!(device.secret_parameters.get("password").unwrap(), "/etc/p");
        assert_eq!(
            device.nodes.values().flatten().collect::<Vec<_>>(),
            ["1", "b"]
        );
    }
}
