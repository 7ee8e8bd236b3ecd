//! Nodes with their addresses and attributes.
//!
//! Not for their fence levels: see `fencing`.

use std::net::{IpAddr, SocketAddr};

use crate::{
    MAX_NODES, corosync,
    draft::{Draft, Node, renamed},
    names::Names,
    rule,
    source::{Mistake, Source, children},
};
use standfast_model::fence::is_secret;

/// The port that agents listen on.
const PORT: u16 = 7400;
/// Most attributes of a node.
const MAX_ATTRIBUTES: usize = 32;

pub(crate) fn read(
    source: &Source<'_>,
    corosync: Option<&str>,
    draft: &mut Draft,
) -> Result<(), Mistake> {
    let members = corosync.map(corosync::members).unwrap_or_default();
    let section = source.section("nodes").into_iter();
    let nodes: Vec<_> = section.flat_map(|nodes| children(nodes, "node")).collect();
    let mut names = Names::default();
    for element in nodes {
        let id = element.attribute("id").unwrap_or_default().to_owned();
        let uname = element.attribute("uname").unwrap_or(&id).to_owned();
        let kind = element.attribute("type").unwrap_or("member");
        if !matches!(kind, "member" | "normal") {
            let what = format!("{uname} (node of type {kind})");
            draft.not_expressed(&what, "every node here runs an agent of its own");
            continue;
        }
        if draft.nodes.len() == MAX_NODES {
            let problem = format!("{uname} is node {} of the cluster", MAX_NODES + 1);
            let at = format!("\"{uname}\"");
            return Err(source.refuse(&at, &problem, "1 to 16 nodes"));
        }
        let name = names.fresh(&uname);
        let mut node = Node {
            comments: renamed(&uname, &name).into_iter().collect(),
            name,
            ..Node::default()
        };
        if node.name != uname {
            let text = format!("{} here: names are a-z, 0-9 and -", node.name);
            draft.changed(&format!("{uname} (node)"), &text);
        }
        give_attributes(source, &uname, &mut node, draft);
        let member = members.iter().find(|member| member.is(&id, &uname));
        let (addresses, others) = member.map(corosync::Member::addresses).unwrap_or_default();
        for other in others {
            let text = "an address is wanted, not the name of a host; add it to addresses";
            draft.not_expressed(&format!("{uname} {other} (ring of corosync)"), text);
        }
        give_addresses(&mut node, &addresses, draft);
        (node.id, node.uname) = (id, uname);
        draft.nodes.push(node);
    }
    if !draft.without_address.is_empty() {
        let what = format!("addresses of {}", draft.without_address.join(", "));
        let text = "a CIB has none: write them in (192.0.2.x are examples), or give --corosync corosync.conf";
        draft.leave_to_do(&what, text);
    }
    if draft.nodes.len() == 2 {
        draft.leave_to_do(
            "two nodes",
            "two alone survive no loss: add a witness (`standfast witness`)",
        );
    }
    Ok(())
}

fn give_addresses(node: &mut Node, addresses: &[IpAddr], draft: &mut Draft) {
    let links = addresses
        .iter()
        .map(|address| SocketAddr::new(*address, PORT));
    node.addresses = links.map(|link| link.to_string()).collect();
    if node.addresses.is_empty() {
        let number = draft.nodes.len() + 1;
        node.addresses.push(format!("192.0.2.{number}:{PORT}"));
        node.comments
            .push("CHANGE THIS: an address of this machine".to_owned());
        draft.without_address.push(node.name.clone());
    }
}

/// What a node has, and what of it has no like here.
fn give_attributes(source: &Source<'_>, uname: &str, node: &mut Node, draft: &mut Draft) {
    let mut known = source.cluster.nodes.iter();
    let Some(known) = known.find(|known| known.name == uname) else {
        return;
    };
    let note = |name: &str| format!("{uname} {name} (attribute of a node)");
    for name in known.capacity.keys() {
        draft.not_expressed(&note(name), "there is no utilization here");
    }
    for (name, value) in &known.attributes {
        let reason = match name.as_str() {
            "standby" => "not part of a configuration: `standfast node drain` when it runs",
            "maintenance" => {
                "maintenance is for the cluster, groups and resources; or `standfast node drain`"
            }
            _ if is_secret(name) => "looks like a secret, which an attribute cannot be",
            _ if !is_name(name) => "names are 1 to 63 letters, digits and - _ . here",
            _ if !rule::is_value(value) => "values are one line of 1 to 255 bytes here",
            _ if node.attributes.len() == MAX_ATTRIBUTES => "a node has at most 32 here",
            _ => {
                node.attributes.insert(name.clone(), value.clone());
                continue;
            }
        };
        draft.not_expressed(&note(name), reason);
    }
}

fn is_name(name: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() <= 63 && !name.is_empty() && name.chars().all(letters)
}
