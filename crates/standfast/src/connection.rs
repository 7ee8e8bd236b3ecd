//! The operator's own connection: whether it comes through an address that a command would move.
//!
//! sshd says in SSH_CONNECTION which address the client connected to. Not for any other way in.

use crate::{cli::exit, failure::Failure};
use standfast_model::{
    id::{GroupId, ResourceId},
    request::View,
};
use std::{fs, net::IpAddr};

/// Ancestors that are looked at.
const ANCESTORS: usize = 16;

/// An address that the operator works through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Through {
    /// The address.
    pub(crate) address: IpAddr,
    /// The resource that it belongs to.
    pub(crate) resource: ResourceId,
    /// The group that the resource is in.
    pub(crate) group: GroupId,
}

/// The managed address that this session came in through, if one of the groups that move has it.
pub(crate) fn through(view: &View, moves: impl Fn(&GroupId) -> bool) -> Option<Through> {
    find(view, &ssh_connection()?, moves)
}

/// Refuses what would move that address, unless it is forced.
///
/// # Errors
/// What would happen, and what to do instead (107).
pub(crate) fn refuse(
    view: &View,
    force: bool,
    moves: impl Fn(&GroupId) -> bool,
) -> Result<(), Failure> {
    let Some(found) = through(view, moves).filter(|_| !force) else {
        return Ok(());
    };
    let Through {
        address,
        resource,
        group,
    } = found;
    Err(Failure::new(
        exit::UNSAFE,
        format!(
            "you work through {address}, an address of {resource} in {group}, and this would move it: \
             your connection would break in the middle. Connect to the node's own address, or give --force"
        ),
    ))
}

/// Of this process, or of the first of its ancestors that has one: sudo takes it away from its child.
fn ssh_connection() -> Option<String> {
    if let Ok(connection) = std::env::var("SSH_CONNECTION") {
        return Some(connection);
    }
    let mut process = String::from("self");
    for _ in 0..ANCESTORS {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        parent.trim().clone_into(&mut process);
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        let found = variables.find_map(|variable| variable.strip_prefix(b"SSH_CONNECTION="));
        if let Some(found) = found {
            return Some(String::from_utf8_lossy(found).into_owned());
        }
    }
    None
}

/// `client-address client-port server-address server-port` (sshd(8), ENVIRONMENT of ssh(1)).
fn find(view: &View, connection: &str, moves: impl Fn(&GroupId) -> bool) -> Option<Through> {
    let server = connection.split_whitespace().nth(2)?;
    // A link-local address carries its interface.
    let address: IpAddr = server.split('%').next()?.parse().ok()?;
    let config = &view.state.config;
    let mut resources = config.resources.iter();
    let (resource, _) = resources.find(|(_, own)| own.kind.addresses().contains(&address))?;
    let group = config.group_of(resource)?;
    moves(group).then(|| Through {
        address,
        resource: resource.clone(),
        group: group.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_model::config::{
        AgentConfig, GroupConfig, ProcessConfig, ResourceConfig, ResourceKind, VipConfig,
    };

    fn view() -> View {
        let mut view = View::default();
        let vip = VipConfig {
            addresses: vec![String::from("10.80.1.100/24"), String::from("fd00::100/64")],
            ..VipConfig::default()
        };
        let resource = ResourceConfig {
            kind: ResourceKind::Vip(vip),
            failure: standfast_model::config::FailurePolicy::default(),
            needs_fencing: false,
        };
        let config = &mut view.state.config;
        config.resources.insert("site-ip".into(), resource);
        let group = GroupConfig {
            members: vec!["site-ip".into()],
            ..GroupConfig::default()
        };
        config.groups.insert("site".into(), group);
        view
    }

    #[test]
    fn the_address_of_an_agent_counts_too() {
        let mut view = view();
        let agent = AgentConfig {
            name: "ocf:heartbeat:IPaddr2".to_owned(),
            parameters: [("ip".to_owned(), "10.80.1.101".to_owned())].into(),
            ..AgentConfig::default()
        };
        let process = ProcessConfig {
            agent: Some(Box::new(agent)),
            ..ProcessConfig::default()
        };
        let resource = view
            .state
            .config
            .resources
            .get_mut(&"site-ip".into())
            .unwrap();
        resource.kind = ResourceKind::Process(process);
        let found = find(&view, "192.0.2.7 50000 10.80.1.101 22", |_| true);
        assert_eq!(found.unwrap().resource, "site-ip".into());
        assert_eq!(
            find(&view, "192.0.2.7 50000 10.80.1.100 22", |_| true),
            None
        );
    }

    #[test]
    fn only_a_managed_address_of_what_moves_counts() {
        let view = view();
        let on = |connection: &str, group: &str| {
            find(&view, connection, |moved| moved.as_str() == group).is_some()
        };
        assert!(on("192.0.2.7 50000 10.80.1.100 22", "site"));
        assert!(on("2001:db8::7 50000 fd00:0:0::0100 22", "site"));
        assert!(!on("192.0.2.7 50000 10.80.1.100 22", "other"));
        assert!(!on("192.0.2.7 50000 10.80.1.1 22", "site"));
        assert!(!on("10.80.1.100 50000 10.80.1.1 22", "site"));
        assert!(!on("", "site"));
    }
}
