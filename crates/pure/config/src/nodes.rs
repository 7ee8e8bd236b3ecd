//! `[nodes.NAME]`: the machines, and the links they are reached by.

use crate::{
    MAX_NODES, address,
    fencing::{self, Written},
    location,
    mistake::{Mistake, Report},
    section::{Found, Section, check_name},
};
use standfast_model::{config::NodeConfig, id::NodeId};
use std::collections::BTreeMap;

/// Most links of one node.
const MAX_LINKS: usize = 8;

pub(crate) fn read(
    section: Section<'_>,
    report: &mut Report<'_>,
    levels: &mut Written,
    pair: bool,
) -> BTreeMap<NodeId, NodeConfig> {
    let mut nodes = BTreeMap::new();
    let mut owners = BTreeMap::new();
    for (name, value) in section.entries() {
        check_name(report, &name.at, &name.path, &name.value);
        let mut node = NodeConfig::default();
        let id = NodeId::from(name.value);
        if let Some(mut table) = Section::of(value, name.path, report) {
            let given = fencing::read_levels(&mut table, report);
            levels.push((id.clone(), given));
            read_node(table, report, &mut node, &mut owners);
        }
        nodes.insert(id, node);
    }
    // Of a pair one votes, and its arbiter is what it has in place of a majority.
    if !pair || nodes.len() != 2 {
        check_all(&section, &nodes, report);
    }
    nodes
}

fn read_node(
    mut table: Section<'_>,
    report: &mut Report<'_>,
    node: &mut NodeConfig,
    owners: &mut BTreeMap<String, String>,
) {
    let addresses = table.required_strings(report, "addresses");
    if addresses.len() > MAX_LINKS {
        let problem = format!("{} addresses", addresses.len());
        let mistake = Mistake::new(&format!("{}.addresses", table.path), problem);
        report.mistake(
            table.at.clone(),
            mistake.allowed(format!("1 to {MAX_LINKS}")),
        );
    }
    for written in addresses {
        if let Some(link) = read_link(written, report, owners) {
            node.addresses.push(link);
        }
    }
    node.attributes = location::read_attributes(&mut table, report);
    node.witness = table.boolean(report, "witness").unwrap_or(false);
    table.finish(report);
}

fn read_link(
    written: Found<String>,
    report: &mut Report<'_>,
    owners: &mut BTreeMap<String, String>,
) -> Option<String> {
    let link = match address::link(&written.value) {
        Ok(link) => link,
        Err(problem) => {
            let mistake = Mistake::new(&written.path, problem);
            let allowed = "IP:port, such as 10.80.1.1:7400 or [fd80::1]:7400";
            report.mistake(written.at, mistake.allowed(allowed));
            return None;
        }
    };
    if let Some(owner) = owners.insert(link.clone(), written.path.clone()) {
        let problem = format!("{link} is taken already by {owner}");
        report.mistake(written.at, Mistake::new(&written.path, problem));
    }
    Some(link)
}

fn check_all(section: &Section<'_>, nodes: &BTreeMap<NodeId, NodeConfig>, report: &mut Report<'_>) {
    let at = section.at.clone();
    if nodes.is_empty() || nodes.len() > MAX_NODES {
        let mistake = Mistake::new("nodes", format!("{} nodes", nodes.len()));
        report.mistake(at, mistake.allowed(format!("1 to {MAX_NODES}")));
    } else if nodes.values().all(|n| n.witness) {
        let mistake = Mistake::new("nodes", "every node is a witness: nothing could run");
        report.mistake(
            at,
            mistake.allowed("at least one node without witness = true"),
        );
    } else if nodes.len() == 1 {
        let text =
            "a single node: nothing takes over when it is lost; add two more, one may be a witness";
        report.warning(at, "nodes", text);
    } else if nodes.len() == 2 {
        let text = "two nodes have no majority when one is lost, and stop: add a witness";
        report.warning(at, "nodes", text);
    }
}
