//! What Pacemaker's own `crm_mon` says of a cluster, read from its XML. Not for asking it.

use roxmltree::{Document, Node};

use crate::pacemaker_files::GROUP;

/// What `crm_mon --output-as=xml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// The designated controller.
    pub(crate) controller: Option<String>,
    /// Whether this side may act.
    pub(crate) quorum: bool,
    /// Nodes that take part: online, known and not on their way in.
    pub(crate) online: usize,
    /// Each resource of the group with the nodes that it is active on.
    pub(crate) active: Vec<(String, Vec<String>)>,
    /// Operations that failed and are remembered.
    pub(crate) failures: usize,
}

impl View {
    pub(crate) fn read(text: &str) -> Option<Self> {
        let document = Document::parse(text).ok()?;
        let all = |name: &'static str| {
            document
                .descendants()
                .filter(move |node| node.has_tag_name(name))
        };
        let says = |node: &Node<'_, '_>, name: &str| node.attribute(name) == Some("true");
        let controller = all("current_dc").next()?;
        let names = |node: &Node<'_, '_>| {
            let inner = node.children().filter(|child| child.has_tag_name("node"));
            inner
                .filter_map(|child| child.attribute("name"))
                .map(str::to_owned)
                .collect()
        };
        let resources = all("group")
            .filter(|group| group.attribute("id") == Some(GROUP))
            .flat_map(|group| group.children())
            .filter(|node| node.has_tag_name("resource"));
        Some(Self {
            controller: controller.attribute("name").map(str::to_owned),
            quorum: says(&controller, "with_quorum"),
            online: all("node")
                .filter(|node| {
                    says(node, "online") && !says(node, "pending") && !says(node, "unclean")
                })
                .count(),
            active: resources
                .map(|node| {
                    (
                        node.attribute("id").unwrap_or_default().to_owned(),
                        names(&node),
                    )
                })
                .collect(),
            failures: all("failure").count(),
        })
    }

    /// Nothing when `nodes` nodes are there and all of the group is on `on` alone; else what is missing.
    pub(crate) fn unsettled(&self, nodes: usize, on: &str) -> Option<String> {
        if self.controller.is_none() {
            return Some("a designated controller".to_owned());
        }
        if !self.quorum {
            return Some("a quorum".to_owned());
        }
        if self.online != nodes {
            return Some(format!("{nodes} nodes, instead of {}", self.online));
        }
        if self.failures > 0 {
            return Some("no failures in its memory".to_owned());
        }
        let elsewhere = |(_, nodes): &&(String, Vec<String>)| nodes.as_slice() != [on];
        if self.active.is_empty() {
            return Some("resources".to_owned());
        }
        let (id, nodes) = self.active.iter().find(elsewhere)?;
        Some(format!("{id} on {on} alone, instead of {nodes:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRM_MON: &str = r#"<pacemaker-result api-version="2.25" request="crm_mon">
 <summary><current_dc present="true" version="2.1.5" name="beta" id="2" with_quorum="true"/></summary>
 <nodes>
  <node name="alpha" id="1" online="true" standby="false" pending="false" unclean="false"/>
  <node name="beta" id="2" online="true" standby="false" pending="true" unclean="false"/>
 </nodes>
 <resources>
  <group id="site" number_resources="2">
   <resource id="site-ip" role="Started" active="true"><node name="alpha" id="1" cached="true"/></resource>
   <resource id="web" role="Stopped" active="false"/>
  </group>
 </resources>
 <failures><failure op_key="web_monitor_10000" node="alpha"/></failures>
</pacemaker-result>"#;

    #[test]
    fn what_crm_mon_says_is_read() {
        let view = View::read(CRM_MON).expect("it is understood");
        let on = |nodes: &[&str]| nodes.iter().map(|node| (*node).to_owned()).collect();
        let expected = View {
            controller: Some("beta".to_owned()),
            quorum: true,
            online: 1,
            active: vec![
                ("site-ip".to_owned(), on(&["alpha"])),
                ("web".to_owned(), on(&[])),
            ],
            failures: 1,
        };
        assert_eq!(view, expected);
    }

    #[test]
    fn a_cluster_is_settled_when_all_of_the_group_is_on_one_node_and_nothing_is_remembered() {
        let mut view = View::read(CRM_MON).expect("it is understood");
        assert_eq!(
            view.unsettled(2, "alpha").as_deref(),
            Some("2 nodes, instead of 1")
        );
        view.online = 2;
        assert_eq!(
            view.unsettled(2, "alpha").as_deref(),
            Some("no failures in its memory")
        );
        view.failures = 0;
        assert_eq!(
            view.unsettled(2, "alpha").as_deref(),
            Some("web on alpha alone, instead of []")
        );
        view.active.truncate(1);
        assert_eq!(view.unsettled(2, "alpha"), None);
        assert!(view.unsettled(2, "beta").is_some());
    }
}
