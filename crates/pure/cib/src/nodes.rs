//! Nodes: the configured ones, and those that only a connection resource makes.
//!
//! Not for their state: see `status`.

use standfast_scheduler::input::{Attributes, Node, NodeKind, Resource};
use standfast_scheduler::score;

use crate::rule::About;
use crate::{Reader, Xml, children};

impl<'a> Reader<'a> {
    pub(crate) fn nodes(&self, section: Xml<'a>) -> Vec<Node> {
        let nodes = children(section, "node").filter_map(|node| {
            let name = node.attribute("uname")?;
            let attributes = self.values(&[node], "instance_attributes", About::default());
            Some(Node {
                id: node.attribute("id")?.to_owned(),
                name: name.to_owned(),
                kind: match node.attribute("type") {
                    Some("ping") => NodeKind::Ping,
                    Some("remote") => NodeKind::Remote,
                    _ => NodeKind::Member,
                },
                score: node.attribute("score").map_or(0, score::parse),
                capacity: self.amounts(&[node], About::default()),
                attributes,
            })
        });
        nodes.collect()
    }

    /// Adds the nodes behind connection resources.
    pub(crate) fn add_remotes(nodes: &mut Vec<Node>, resources: &[Resource]) {
        for resource in resources {
            let [class, provider, kind] = &resource.agent;
            if class == "ocf" && provider == "pacemaker" && kind == "remote" {
                match nodes
                    .iter_mut()
                    .find(|node| node.name.eq_ignore_ascii_case(&resource.id))
                {
                    Some(node) => node.kind = NodeKind::Remote,
                    None => nodes.push(Node {
                        id: resource.id.clone(),
                        name: resource.id.clone(),
                        kind: NodeKind::Remote,
                        attributes: Attributes::new(),
                        ..Node::default()
                    }),
                }
            }
            Self::add_remotes(nodes, &resource.children);
        }
    }
}
