//! The cluster's configuration as the core sees it: complete, validated, with every default filled in.
//!
//! Not for parsing: crate `config` turns an operator's file into this and explains mistakes.

use crate::{
    attribute::Attributes,
    constraint::Constraints,
    copies::{Copies, CopyOf},
    fence::Fencing,
    id::{GroupId, NodeId, ResourceId},
    pair::PairConfig,
    time::Micros,
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterConfig {
    /// Name of the cluster, for people.
    pub name: String,
    /// Profile that the timing came from.
    pub profile: Profile,
    /// The time budget.
    pub timing: Timing,
    /// The whole cluster is in maintenance.
    pub maintenance: bool,
    /// Whether it acts on what it decides.
    #[serde(default)]
    pub mode: Mode,
    /// Machines and the addresses they are reached at. Several addresses are several links.
    pub nodes: BTreeMap<NodeId, NodeConfig>,
    /// What is to be kept running.
    pub resources: BTreeMap<ResourceId, ResourceConfig>,
    /// Groups; a resource that no group names has one of its own name.
    pub groups: BTreeMap<GroupId, GroupConfig>,
    /// Which nodes suit a group by their attributes, which groups are to be together or apart, and which start after others.
    #[serde(default, skip_serializing_if = "Constraints::is_empty")]
    pub constraints: Constraints,
    /// Groups that run on several nodes at once, as they are written: `groups`, `resources` and `constraints` have one copy
    /// for each node.
    #[serde(default, skip_serializing_if = "Copies::is_empty")]
    pub copies: Copies,
    /// What cuts a machine's power.
    #[serde(default, skip_serializing_if = "Fencing::is_empty")]
    pub fencing: Fencing,
    /// Two nodes with one arbiter and without a third voter, when that is what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<PairConfig>,
    /// The file of addresses that a pair names, as it was read when this was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair_addresses: Option<String>,
}

/// Whether a cluster acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It does what it decides.
    #[default]
    Active,
    /// It says in the journal what it would do, and does nothing.
    Observe,
}

/// One machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfig {
    /// `address:port` of each link.
    pub addresses: Vec<String>,
    /// A voter that runs no resources.
    #[serde(default)]
    pub witness: bool,
    /// What an administrator says of it, for locations.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
}

/// A named set of timing values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Machines on one quiet local network whose kernels offer a guard for addresses.
    Fast,
    /// Machines on one local network. The default.
    #[default]
    Lan,
    /// Machines on routed links.
    Wan,
    /// The classic appliance pair: keep-alive every 2 s, 30 s downtime threshold.
    Appliance,
}

/// The time budget: every wait of the core comes from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Between two lease requests of a node, and between two leadership rounds.
    pub heartbeat: Micros,
    /// Length of a node's lease, from the sending of its request.
    pub lease: Micros,
    /// Length of the leadership lease, from the sending of a round: how long voters promise not to vote.
    pub leadership: Micros,
    /// Shortest election timeout.
    pub election_min: Micros,
    /// Longest election timeout.
    pub election_max: Micros,
    /// A holder begins to stop this long before its lease ends.
    pub stop_budget: Micros,
    /// Largest relative difference between the clocks of two machines, in parts per million.
    pub drift_ppm: u64,
    /// Length of the grant that covers a planned restart of an agent.
    pub restart_grant: Micros,
}

impl Timing {
    /// The values of a profile (design, section 4; why leadership is shorter than a lease: ARCHITECTURE, "leadership lease").
    #[must_use]
    pub const fn of(profile: Profile) -> Self {
        const fn set(
            heartbeat: u64,
            lease: u64,
            leadership: u64,
            election: (u64, u64),
            stop: u64,
        ) -> Timing {
            Timing {
                heartbeat: Micros::from_millis(heartbeat),
                lease: Micros::from_millis(lease),
                leadership: Micros::from_millis(leadership),
                election_min: Micros::from_millis(election.0),
                election_max: Micros::from_millis(election.1),
                stop_budget: Micros::from_millis(stop),
                drift_ppm: 10_000,
                restart_grant: Micros::from_millis(if lease > 8000 { 2 * lease } else { 10_000 }),
            }
        }
        match profile {
            Profile::Fast => set(30, 280, 90, (95, 145), 20),
            Profile::Lan => set(100, 800, 300, (320, 520), 60),
            Profile::Wan => set(300, 4000, 1500, (1700, 2300), 300),
            Profile::Appliance => set(2000, 30_000, 8000, (9000, 12_000), 1000),
        }
    }

    /// Length of the leases that a leader gives before its agent ends on purpose: half of what its own go on for
    /// meanwhile. An election on slow disks may take longer than an ordinary lease has left.
    #[must_use]
    pub fn bridge(&self) -> Micros {
        self.lease.max(Micros(self.restart_grant.0 / 2))
    }

    /// A lease's length as everybody else has to wait for it.
    #[must_use]
    pub const fn lease_wait(&self) -> Micros {
        self.lease.stretched(self.drift_ppm)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::of(Profile::Lan)
    }
}

/// Resources that live together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupConfig {
    /// Members in start order.
    pub members: Vec<ResourceId>,
    /// Score of each preferred node; higher is better.
    pub prefer: BTreeMap<NodeId, i64>,
    /// Higher is placed first, and stays when there is room for one only.
    pub priority: i64,
    /// Score for staying where it is. The default never fails back by itself.
    pub stickiness: i64,
    /// In maintenance: nothing is started, stopped or restarted.
    pub maintenance: bool,
    /// It is the copy of a group for one node, and runs nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyOf>,
    /// It is the promoted role of the copies of this group, and is only where one of them runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_of: Option<GroupId>,
}

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceConfig {
    /// What it is.
    pub kind: ResourceKind,
    /// What happens when it fails.
    pub failure: FailurePolicy,
    /// Where its node is lost, the end of the lease is not enough: it is started elsewhere only when the node has been
    /// fenced, or is back and says that it does not run it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_fencing: bool,
}

/// Kinds of resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceKind {
    /// A command that runs as long as the resource is active.
    Process(ProcessConfig),
    /// Addresses that clients use.
    Vip(VipConfig),
}

/// A supervised command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessConfig {
    /// Program and arguments; no shell.
    pub command: Vec<String>,
    /// User to run as, by name or number; the agent's own when empty.
    pub user: Option<String>,
    /// Environment, besides a small clean one.
    pub environment: BTreeMap<String, String>,
    /// More of it: variables whose values are read on the node at each start, from these files. The values
    /// are never replicated.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_environment: BTreeMap<String, String>,
    /// Working directory.
    pub directory: Option<String>,
    /// Asked after a start until it succeeds; the resource is active only then.
    pub readiness: Option<CheckConfig>,
    /// Asked all the time while active.
    pub health: Option<CheckConfig>,
    /// How long a start may take until it is ready.
    pub start_timeout: Micros,
    /// How long a graceful stop may take before the kill.
    pub stop_timeout: Micros,
    /// Signal of the graceful stop, by number.
    pub stop_signal: i32,
    /// Runs in a process-id namespace of its own, so that nothing of it survives the keeper.
    pub private_pids: bool,
    /// An OCF resource agent starts, stops and checks it: there is no command then, and the checks ask the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Box<AgentConfig>>,
    /// Something else does so; as with an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starter: Option<Box<Starter>>,
}

/// What starts, stops and checks a resource that has neither a command nor an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Starter {
    /// A script with the actions `start`, `stop` and `status`, by its absolute path.
    Script(String),
    /// A unit of systemd, by its name.
    Unit(String),
}

impl ProcessConfig {
    /// What it is called in a configuration file.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match (&self.agent, self.starter.as_deref()) {
            (Some(_), _) => "ocf",
            (None, Some(Starter::Script(_))) => "script",
            (None, Some(Starter::Unit(_))) => "systemd",
            (None, None) => "process",
        }
    }

    /// The script that starts it, if one does.
    #[must_use]
    pub fn script(&self) -> Option<&str> {
        match self.starter.as_deref()? {
            Starter::Script(path) => Some(path),
            Starter::Unit(_) => None,
        }
    }

    /// The unit that it is, if it is one.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        match self.starter.as_deref()? {
            Starter::Unit(name) => Some(name),
            Starter::Script(_) => None,
        }
    }

    /// The agent, the script or the unit that starts it, where it has no command.
    #[must_use]
    pub fn started_by(&self) -> Option<&str> {
        let agent = self.agent.as_ref().map(|agent| agent.name.as_str());
        agent.or(self.script()).or(self.unit())
    }
}

/// An OCF resource agent with what it is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentConfig {
    /// `ocf:PROVIDER:TYPE`.
    pub name: String,
    /// Its parameters, by name. Those in `secret_environment` come on top, under `OCF_RESKEY_NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// What it does outlives its processes: it runs on the machine itself, and only its own word ends it. Its resource needs
    /// fencing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outlives: bool,
    /// The address that it puts on an interface, where the address guard silences that at the end of a lease. Then its resource
    /// needs no fencing on nodes that have this guard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Recurring `monitor`s that look more closely than the first one, which is the resource's health check.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub monitors: Vec<DeepMonitor>,
    /// Its group has copies, and so many run at once. Told at a start; another number restarts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u32>,
    /// One of these copies has the promoted role: what this resource is of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Between two checks of the copy that is promoted, if not as of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_interval: Option<Micros>,
    /// Parameters that it takes over while it runs, by its action `reload-agent`: what it said of itself where this was
    /// applied, and no setting.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub reloadable: BTreeSet<String>,
}

/// What a resource is of a group of copies one of which is promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A copy, which runs unpromoted.
    Unpromoted,
    /// The promoted role itself: to start it is to promote the copy of its node, to stop it is to demote that.
    Promoted,
}

/// A recurring `monitor` of an agent with a depth (`OCF_CHECK_LEVEL`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeepMonitor {
    /// How closely it looks: what a number means is the agent's to say.
    pub depth: u32,
    /// Time between two of them.
    pub interval: Micros,
    /// One that takes longer has failed.
    pub timeout: Micros,
    /// So many failures in a row are a failure of the resource.
    pub failures: u32,
}

/// A check of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckConfig {
    /// What is asked.
    pub probe: CheckKind,
    /// Time between two checks.
    pub interval: Micros,
    /// A check that takes longer has failed.
    pub timeout: Micros,
    /// So many failures in a row are a failure of the resource.
    pub failures: u32,
}

/// Kinds of check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// A command that exits with 0.
    Exec(Vec<String>),
    /// A TCP connection that is accepted, `host:port`.
    Tcp(String),
    /// An HTTP URL (`http://host:port/path`) that answers 200 to 399.
    Http(String),
    /// The resource's agent, asked for `monitor` once its start is over; of a script, `status`.
    Agent,
}

/// Addresses that follow the lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipConfig {
    /// `address/prefix`, IPv4 or IPv6, in normal form.
    pub addresses: Vec<String>,
    /// Interface; found by route when none is given.
    pub interface: Option<String>,
    /// A gateway on the client network; losing it moves the resource.
    pub gateway: Option<String>,
}

/// What happens after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailurePolicy {
    /// So many failures on a node within the window move the group away (Pacemaker's migration-threshold).
    pub threshold: u32,
    /// Failures older than this are forgotten (Pacemaker's failure-timeout).
    pub window: Micros,
    /// Wait before the second local restart; doubles with each further one. The first is at once.
    pub restart_delay: Micros,
    /// A stop that cannot be confirmed has the node fenced. Otherwise it blocks until somebody ends it by hand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fence_on_stop_failure: bool,
}

impl Default for FailurePolicy {
    fn default() -> Self {
        Self {
            threshold: 3,
            window: Micros::from_millis(60_000),
            restart_delay: Micros::from_millis(250),
            fence_on_stop_failure: false,
        }
    }
}

impl ResourceKind {
    /// Whether what it does goes on when its processes are killed.
    #[must_use]
    pub fn outlives(&self) -> bool {
        match self {
            Self::Process(process) => process.outlives(),
            Self::Vip(_) => false,
        }
    }

    /// Addresses that clients use and that move with it, as far as the configuration says: a `vip`'s, or that of an agent
    /// like `IPaddr2`.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let plain = |prefixed: &String| prefixed.split('/').next()?.parse().ok();
        match self {
            Self::Vip(vip) => vip.addresses.iter().filter_map(plain).collect(),
            Self::Process(process) => {
                let agent = process.agent.as_deref();
                let agent = agent.filter(|agent| agent.name.ends_with(":IPaddr2"));
                agent
                    .and_then(|agent| plain(agent.parameters.get("ip")?))
                    .into_iter()
                    .collect()
            }
        }
    }

    /// Whether only fencing ends what it does, on any machine: nothing that the kernel offers would.
    #[must_use]
    pub fn only_power_ends(&self) -> bool {
        match self {
            Self::Process(process) => process.outlives() && process.silenced_address().is_none(),
            Self::Vip(_) => false,
        }
    }
}

impl ProcessConfig {
    /// Whether it is a copy that may be promoted.
    #[must_use]
    pub fn is_promotable(&self) -> bool {
        let agent = self.agent.as_ref();
        agent.is_some_and(|agent| agent.role == Some(Role::Unpromoted))
    }

    /// Whether what it does goes on when its processes are killed.
    #[must_use]
    pub fn outlives(&self) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.outlives)
    }

    /// The address that its agent puts on an interface and the address guard silences.
    #[must_use]
    pub fn silenced_address(&self) -> Option<IpAddr> {
        self.agent.as_ref()?.address
    }
}

impl ClusterConfig {
    /// Whether nothing is to be done, only said.
    #[must_use]
    pub const fn observes(&self) -> bool {
        matches!(self.mode, Mode::Observe)
    }

    /// The feature level of what is in it. An older program would leave out what it does not know: act
    /// where it is to observe, start a command without its password or no agent at all, fence nobody.
    #[must_use]
    pub fn level(&self) -> u32 {
        let has_secrets = |resource: &ResourceConfig| match &resource.kind {
            ResourceKind::Process(process) => !process.secret_environment.is_empty(),
            ResourceKind::Vip(_) => false,
        };
        let fences = |resource: &ResourceConfig| {
            resource.failure.fence_on_stop_failure || resource.needs_fencing
        };
        let has_agent = |resource: &ResourceConfig| match &resource.kind {
            ResourceKind::Process(process) => process.started_by().is_some(),
            ResourceKind::Vip(_) => false,
        };
        let pings = |pair: &PairConfig| pair.ping.is_some();
        let newest = self.fencing.stay_off
            || self.pair_addresses.is_some()
            || self.pair.as_ref().is_some_and(pings)
            || !self.constraints.is_empty()
            || self.nodes.values().any(|node| !node.attributes.is_empty())
            || !self.copies.is_empty();
        if newest || self.resources.values().any(has_agent) {
            4
        } else if !self.fencing.is_empty() || self.resources.values().any(fences) {
            3
        } else if self.observes() || self.resources.values().any(has_secrets) {
            2
        } else {
            1
        }
    }

    /// The configuration as it is acted on: observing is maintenance of everything.
    #[must_use]
    pub fn as_acted_on(&self) -> Cow<'_, Self> {
        if !self.observes() {
            return Cow::Borrowed(self);
        }
        let mut acted = self.clone();
        acted.maintenance = true;
        Cow::Owned(acted)
    }

    /// The group that a resource belongs to.
    #[must_use]
    pub fn group_of(&self, resource: &ResourceId) -> Option<&GroupId> {
        self.groups
            .iter()
            .find(|(_, group)| group.members.contains(resource))
            .map(|(id, _)| id)
    }
}
