//! Nodes with their addresses.
//!
//! Not for their fence levels: see `fencing`.

use std::net::{IpAddr, SocketAddr};

use crate::{
    MAX_NODES, corosync,
    draft::{Draft, Node, renamed},
    names::Names,
    source::{Mistake, Source, child, children},
};

/// The port that agents listen on.
const PORT: u16 = 7400;

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
        for block in element.children().filter(|child| child.is_element()) {
            note_block(&uname, block, draft);
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

fn note_block(uname: &str, block: crate::source::Xml<'_>, draft: &mut Draft) {
    let capacity = block.has_tag_name("utilization");
    for pair in children(block, "nvpair") {
        let name = pair.attribute("name").unwrap_or_default();
        let what = format!("{uname} {name} (attribute of a node)");
        match name {
            _ if capacity => draft.not_expressed(&what, "there is no utilization here"),
            "standby" => draft.not_expressed(
                &what,
                "not part of a configuration: `standfast node drain` when it runs",
            ),
            "maintenance" => draft.not_expressed(
                &what,
                "maintenance is for the cluster, groups and resources; or `standfast node drain`",
            ),
            _ => draft.not_expressed(&what, "there are no attributes of nodes here"),
        }
    }
    if child(block, "rule").is_some() {
        let id = block.attribute("id").unwrap_or("attributes");
        draft.not_expressed(id, "nothing of a node goes by rules here");
    }
}
