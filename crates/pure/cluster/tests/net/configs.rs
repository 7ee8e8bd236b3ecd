//! Configurations that scenarios begin with, and how they are applied.

use super::Net;
use standfast_model::{
    config::{
        ClusterConfig, FailurePolicy, GroupConfig, ProcessConfig, ResourceConfig, ResourceKind,
    },
    id::{GroupId, NodeId, ResourceId},
    plan::INFINITY,
    request::{Request, Response},
};
use std::collections::BTreeMap;

impl Net {
    /// Applies the configuration that `through` knows, as `change` leaves it.
    pub(crate) fn configure(
        &mut self,
        through: &str,
        change: impl FnOnce(&mut ClusterConfig),
    ) -> Response {
        let mut config = self.core(through).inspect().state.config.clone();
        change(&mut config);
        let request = Request::Apply {
            config: Box::new(config),
            text: String::new(),
            based_on: None,
            author: "test".to_owned(),
            reason: String::new(),
            draft: None,
        };
        self.ask(through, request)
    }

    /// The same through the leader, where nothing may be wrong with it.
    pub(crate) fn must_configure(&mut self, change: impl FnOnce(&mut ClusterConfig)) {
        let leader = self.leader().unwrap();
        let response = self.configure(&leader, change);
        assert!(matches!(response, Response::Done { .. }), "{response:?}");
    }
}

/// A process.
pub(crate) fn process(name: &str) -> ResourceConfig {
    let process = ProcessConfig {
        command: vec![name.to_owned()],
        ..ProcessConfig::default()
    };
    ResourceConfig {
        kind: ResourceKind::Process(process),
        failure: FailurePolicy::default(),
        needs_fencing: false,
    }
}

/// Group `site` of the process `web`, which prefers `node` and stays where it is.
pub(crate) fn web_on(config: &mut ClusterConfig, node: &str) {
    let web = ResourceId::from("web");
    config.resources.insert(web.clone(), process("web"));
    let group = GroupConfig {
        members: vec![web],
        prefer: BTreeMap::from([(NodeId::from(node), 100)]),
        stickiness: INFINITY,
        ..GroupConfig::default()
    };
    config.groups.insert(GroupId::from("site"), group);
}
