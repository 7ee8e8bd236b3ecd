//! What a change of a resource's configuration means for what runs by the one before. Not for carrying it out.

use crate::config::{ProcessConfig, ResourceKind};
use std::collections::BTreeSet;

/// Begins the variable of each of an agent's parameters.
const PARAMETER: &str = "OCF_RESKEY_";

/// What has to be done to what runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// Its agent can take these parameters over while it runs.
    Reload(BTreeSet<String>),
    /// It has to be started anew.
    Restart,
}

impl ResourceKind {
    /// What has to be done to what runs by this, so that it runs by the other.
    #[must_use]
    pub fn change_to(&self, new: &Self) -> Change {
        if self == new {
            return Change::Nothing;
        }
        let (Self::Process(old), Self::Process(new)) = (self, new) else {
            return Change::Restart;
        };
        if old.without(&BTreeSet::new()) == new.without(&BTreeSet::new()) {
            return Change::Nothing;
        }
        let Some(agent) = &new.agent else {
            return Change::Restart;
        };
        if old.without(&agent.reloadable) != new.without(&agent.reloadable) {
            return Change::Restart;
        }
        let names = agent.reloadable.iter();
        let changed = names.filter(|name| old.given(name) != new.given(name));
        Change::Reload(changed.cloned().collect())
    }

    /// Whether what runs by this would have to be started anew to run by the other.
    #[must_use]
    pub fn needs_restart(&self, other: &Self) -> bool {
        self.change_to(other) == Change::Restart
    }
}

impl ProcessConfig {
    /// What matters to what runs, leaving out these parameters of its agent.
    fn without(&self, parameters: &BTreeSet<String>) -> Self {
        let mut plain = self.clone();
        let Some(agent) = &mut plain.agent else {
            return plain;
        };
        agent.copies = None;
        agent.reloadable.clear();
        agent
            .parameters
            .retain(|name, _| !parameters.contains(name));
        plain.secret_environment.retain(|variable, _| {
            let name = variable.strip_prefix(PARAMETER);
            !name.is_some_and(|name| parameters.contains(name))
        });
        plain
    }

    /// A parameter's value, or the file that has it.
    fn given(&self, name: &str) -> (Option<&String>, Option<&String>) {
        let agent = self.agent.as_ref();
        let value = agent.and_then(|agent| agent.parameters.get(name));
        let variable = format!("{PARAMETER}{name}");
        (value, self.secret_environment.get(&variable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AgentConfig, VipConfig};

    fn dummy(parameters: &[(&str, &str)], reloadable: &[&str]) -> ProcessConfig {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let agent = AgentConfig {
            name: "ocf:pacemaker:Dummy".to_owned(),
            parameters: parameters.iter().map(owned).collect(),
            reloadable: names(reloadable),
            ..AgentConfig::default()
        };
        ProcessConfig {
            agent: Some(Box::new(agent)),
            ..ProcessConfig::default()
        }
    }

    fn names(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    fn change(old: ProcessConfig, new: ProcessConfig) -> Change {
        ResourceKind::Process(old).change_to(&ResourceKind::Process(new))
    }

    #[test]
    fn only_what_the_agent_can_take_over_restarts_nothing() {
        let old = || dummy(&[("fake", "a"), ("state", "/a")], &["fake", "passwd"]);
        let new = |parameters: &[(&str, &str)]| dummy(parameters, &["fake", "passwd"]);
        let reload = |all| Change::Reload(names(all));
        let state = ("state", "/a");
        assert_eq!(
            change(old(), new(&[("fake", "b"), state])),
            reload(&["fake"])
        );
        assert_eq!(change(old(), new(&[state])), reload(&["fake"]));
        let more = [("fake", "a"), state, ("passwd", "x")];
        assert_eq!(change(old(), new(&more)), reload(&["passwd"]));
        let both = [("fake", "b"), ("state", "/b")];
        assert_eq!(change(old(), new(&both)), Change::Restart);
        assert_eq!(change(old(), new(&[("fake", "a")])), Change::Restart);
        let unable = dummy(&[("fake", "b"), state], &[]);
        assert_eq!(change(old(), unable), Change::Restart);
        let mut slower = new(&[("fake", "b"), state]);
        slower.start_timeout = crate::time::Micros(1);
        assert_eq!(change(old(), slower), Change::Restart);
    }

    /// The same file may be applied where the agent is not installed, or says something else.
    #[test]
    fn what_the_agent_says_of_itself_changes_nothing() {
        let of = |reloadable| dummy(&[("fake", "a")], reloadable);
        assert_eq!(change(of(&["fake"]), of(&[])), Change::Nothing);
        assert_eq!(change(of(&[]), of(&["fake"])), Change::Nothing);
        let mut more = of(&["fake"]);
        if let Some(agent) = &mut more.agent {
            agent.copies = Some(3);
        }
        assert_eq!(change(of(&["fake"]), more), Change::Nothing);
    }

    #[test]
    fn a_value_in_another_file_is_another_value() {
        let secret = |variable: &str, file: &str| ProcessConfig {
            secret_environment: [(variable.to_owned(), file.to_owned())].into(),
            ..dummy(&[], &["passwd"])
        };
        let of = |file| secret("OCF_RESKEY_passwd", file);
        assert_eq!(
            change(of("/a"), of("/b")),
            Change::Reload(names(&["passwd"]))
        );
        let other = |file| secret("OCF_RESKEY_other", file);
        assert_eq!(change(other("/a"), other("/b")), Change::Restart);
    }

    #[test]
    fn what_has_no_agent_is_started_anew() {
        let process = |command: &str| ProcessConfig {
            command: vec![command.to_owned()],
            ..ProcessConfig::default()
        };
        assert_eq!(change(process("a"), process("a")), Change::Nothing);
        assert_eq!(change(process("a"), process("b")), Change::Restart);
        let address = ResourceKind::Vip(VipConfig::default());
        assert!(address.needs_restart(&ResourceKind::Process(process("a"))));
    }
}
