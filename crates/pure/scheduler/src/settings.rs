//! Options and meta-attributes with their types and defaults.
//!
//! Not for judging whether a value is wise. What cannot be understood has its default.

use std::borrow::Cow;
use std::rc::Rc;

use crate::input::{Attributes, Cluster, Kind, Resource};
use crate::role::Role;
use crate::score::{self, INFINITY, interval_ms, is_true};

/// What happens to resources without quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoQuorum {
    Stop,
    Freeze,
    Ignore,
    Demote,
    Suicide,
}

/// How utilization counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    Default,
    Utilization,
    Minimal,
    Balanced,
}

/// Cluster options.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "options are yes or no, each by itself"
)]
pub(crate) struct Options {
    pub(crate) fencing: bool,
    pub(crate) startup_fencing: bool,
    pub(crate) probes: bool,
    pub(crate) stop_all: bool,
    pub(crate) symmetric: bool,
    pub(crate) stop_orphans: bool,
    pub(crate) maintenance: bool,
    pub(crate) shutdown_lock: bool,
    /// Zero for as long as it takes.
    pub(crate) shutdown_lock_limit_s: i64,
    pub(crate) concurrent_fencing: bool,
    pub(crate) watchdog: bool,
    pub(crate) unfencing: bool,
    pub(crate) no_quorum: NoQuorum,
    pub(crate) strategy: Strategy,
    pub(crate) health: Health,
}

/// How the health of nodes counts.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    pub(crate) strategy: String,
    pub(crate) base: i32,
    pub(crate) red: i32,
    pub(crate) yellow: i32,
    pub(crate) green: i32,
}

impl Options {
    pub(crate) fn read(cluster: &Cluster) -> Self {
        let get = |name: &str| cluster.options.get(name).map(String::as_str);
        let flag = |name: &str, default: bool| get(name).map_or(default, |v| is_true(Some(v)));
        let fencing = flag("stonith-enabled", true);
        Self {
            fencing,
            startup_fencing: fencing && flag("startup-fencing", true),
            probes: flag("enable-startup-probes", true),
            stop_all: flag("stop-all-resources", false),
            symmetric: flag("symmetric-cluster", true),
            stop_orphans: flag("stop-orphan-resources", true),
            maintenance: flag("maintenance-mode", false),
            shutdown_lock: flag("shutdown-lock", false),
            shutdown_lock_limit_s: seconds(get("shutdown-lock-limit")),
            concurrent_fencing: flag("concurrent-fencing", true),
            watchdog: flag("have-watchdog", false),
            unfencing: cluster.unfencing,
            no_quorum: no_quorum(get("no-quorum-policy"), fencing, cluster),
            strategy: strategy(get("placement-strategy")),
            health: Health::read(&cluster.options),
        }
    }
}

fn no_quorum(value: Option<&str>, fencing: bool, cluster: &Cluster) -> NoQuorum {
    let may_panic = fencing && (cluster.quorum_panic || cluster.have_quorum);
    match value.unwrap_or("stop").to_ascii_lowercase().as_str() {
        "ignore" => NoQuorum::Ignore,
        "freeze" => NoQuorum::Freeze,
        "demote" => NoQuorum::Demote,
        "suicide" if may_panic => NoQuorum::Suicide,
        _ => NoQuorum::Stop,
    }
}

fn strategy(value: Option<&str>) -> Strategy {
    match value.unwrap_or("default").to_ascii_lowercase().as_str() {
        "utilization" => Strategy::Utilization,
        "minimal" => Strategy::Minimal,
        "balanced" => Strategy::Balanced,
        _ => Strategy::Default,
    }
}

impl Health {
    fn read(options: &Attributes) -> Self {
        let get = |name: &str| options.get(name).map(String::as_str);
        let strategy = get("node-health-strategy")
            .unwrap_or("none")
            .to_ascii_lowercase();
        let own = |name: &str, default: i32| get(name).map_or(default, score::parse);
        let (red, yellow, green) = match strategy.as_str() {
            "migrate-on-red" => (-INFINITY, 0, 0),
            "only-green" => (-INFINITY, -INFINITY, 0),
            "progressive" | "custom" => (
                own("node-health-red", -INFINITY),
                own("node-health-yellow", 0),
                own("node-health-green", 0),
            ),
            _ => (0, 0, 0),
        };
        let base = if strategy == "progressive" {
            own("node-health-base", 0)
        } else {
            0
        };
        Self {
            strategy,
            base,
            red,
            yellow,
            green,
        }
    }

    /// The score of one health attribute.
    pub(crate) fn score(&self, value: &str) -> i32 {
        match value.to_ascii_lowercase().as_str() {
            "red" => self.red,
            "yellow" => self.yellow,
            "green" => self.green,
            _ => score::parse(value),
        }
    }
}

/// What a start needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requires {
    Nothing,
    Quorum,
    Fencing,
}

/// What happens to a resource that is active on several nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MultipleActive {
    StopStart,
    StopOnly,
    Block,
    StopUnexpected,
}

/// A resource's settings, shared by all its instances.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "settings are yes or no, each by itself"
)]
pub(crate) struct Spec<'a> {
    /// Owned only for what nothing but the history knows of, which has no children.
    pub(crate) config: Cow<'a, Resource>,
    pub(crate) kind: Kind,
    pub(crate) managed: bool,
    pub(crate) maintenance: bool,
    pub(crate) priority: i32,
    pub(crate) critical: bool,
    pub(crate) allow_migrate: bool,
    pub(crate) unique: bool,
    pub(crate) promotable: bool,
    pub(crate) stickiness: i32,
    pub(crate) migration_threshold: i32,
    pub(crate) requires: Requires,
    pub(crate) needs_unfencing: bool,
    pub(crate) failure_timeout_s: i64,
    pub(crate) target_role: Option<Role>,
    pub(crate) multiple_active: MultipleActive,
    pub(crate) restart_type: bool,
    pub(crate) interleave: bool,
    pub(crate) ordered: bool,
    pub(crate) colocated: bool,
    pub(crate) clone_max: usize,
    pub(crate) clone_node_max: i32,
    pub(crate) promoted_max: i32,
    pub(crate) promoted_node_max: i32,
    pub(crate) clone_min: Option<i32>,
    pub(crate) fence_device: bool,
    pub(crate) remote: bool,
    pub(crate) children: Vec<Rc<Self>>,
}

/// Where in the tree a resource stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Within {
    pub(crate) clone: bool,
    pub(crate) promotable: bool,
    pub(crate) unique: bool,
}

impl<'a> Spec<'a> {
    pub(crate) fn read(
        config: Cow<'a, Resource>,
        within: Within,
        options: &Options,
        nodes: usize,
    ) -> Self {
        let get = |name: &str| config.meta.get(name).map(String::as_str);
        let flag = |name: &str, default: bool| get(name).map_or(default, |v| is_true(Some(v)));
        let number = |names: &[&str], default: i32| {
            let found = names.iter().find_map(|name| get(name));
            found.map_or(default, non_negative)
        };
        let is_clone = config.kind == Kind::Clone;
        let in_clone = within.clone || is_clone;
        let promotable = in_clone
            && (flag("promotable", false) || config.legacy_promotable || within.promotable);
        let unique = !in_clone || is_unique(&config, within, get("globally-unique"));
        let below = Within {
            clone: in_clone,
            promotable,
            unique: in_clone && unique,
        };
        let [class, provider, agent] = &config.agent;
        let fence_device = class == "stonith";
        let remote = class == "ocf" && provider == "pacemaker" && agent == "remote";
        let (requires, needs_unfencing) =
            requires(get("requires"), fence_device || remote, options);
        let clone_node_max = number(&["clone-node-max"], 1);
        let children = Self::children(&config, below, options, nodes);
        let (managed, maintenance) = managed(get("is-managed"), get("maintenance"), options);
        Self {
            kind: config.kind,
            managed,
            maintenance,
            priority: get("priority").map_or(0, score::parse),
            critical: flag("critical", true),
            allow_migrate: flag("allow-migrate", remote),
            unique,
            promotable,
            stickiness: match get("resource-stickiness") {
                // Copies stay where they are unless there is a reason.
                None => i32::from(in_clone),
                value => explicit(value).map_or(0, score::parse),
            },
            migration_threshold: threshold(explicit(get("migration-threshold"))),
            requires,
            needs_unfencing,
            failure_timeout_s: seconds(get("failure-timeout")),
            target_role: target_role(get("target-role"), below.promotable),
            multiple_active: multiple_active(get("multiple-active")),
            restart_type: get("restart-type").is_some_and(|v| v.eq_ignore_ascii_case("restart")),
            interleave: flag("interleave", false),
            ordered: score::truth(get("ordered")).unwrap_or(config.kind == Kind::Group),
            colocated: score::truth(get("collocated")).unwrap_or(true),
            clone_max: usize::try_from(number(
                &["clone-max"],
                i32::try_from(nodes.max(1)).unwrap_or(i32::MAX),
            ))
            .unwrap_or(0),
            clone_node_max: if unique {
                clone_node_max
            } else {
                clone_node_max.min(1)
            },
            promoted_max: number(&["promoted-max", "master-max"], 1),
            promoted_node_max: number(&["promoted-node-max", "master-node-max"], 1),
            clone_min: get("clone-min").map(non_negative),
            fence_device,
            remote,
            children,
            config,
        }
    }

    fn children(
        config: &Cow<'a, Resource>,
        below: Within,
        options: &Options,
        nodes: usize,
    ) -> Vec<Rc<Self>> {
        let children: &'a [Resource] = match config {
            Cow::Borrowed(config) => &config.children,
            Cow::Owned(_) => &[],
        };
        let children = children.iter().map(Cow::Borrowed);
        children
            .map(|child| Rc::new(Self::read(child, below, options, nodes)))
            .collect()
    }
}

fn is_unique(config: &Resource, within: Within, value: Option<&str>) -> bool {
    let wanted = if config.kind == Kind::Clone || value.is_some() {
        is_true(value)
    } else {
        within.unique
    };
    let child = match config.children.first() {
        Some(child) if child.kind == Kind::Group => child.children.first().or(Some(child)),
        other => other,
    };
    let agent = child.map_or(&config.agent, |child| &child.agent);
    let only_anonymous = matches!(agent[0].as_str(), "lsb" | "systemd" | "upstart" | "service");
    wanted && !only_anonymous
}

fn explicit(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.eq_ignore_ascii_case("default"))
}

fn non_negative(text: &str) -> i32 {
    i32::try_from(score::leading_integer(text).unwrap_or(0).max(0)).unwrap_or(i32::MAX)
}

fn seconds(text: Option<&str>) -> i64 {
    i64::try_from(interval_ms(text) / 1000).unwrap_or(i64::MAX)
}

fn threshold(value: Option<&str>) -> i32 {
    match value.map(score::parse) {
        None => INFINITY,
        Some(negative) if negative < 0 => 1,
        Some(value) => value,
    }
}

fn managed(value: Option<&str>, maintenance: Option<&str>, options: &Options) -> (bool, bool) {
    let maintenance = is_true(maintenance) || options.maintenance;
    let managed = explicit(value).is_none_or(|value| is_true(Some(value)));
    (managed && !maintenance, maintenance)
}

fn target_role(value: Option<&str>, promotable: bool) -> Option<Role> {
    let role = Role::parse(explicit(value)?)?;
    match role {
        Role::Stopped => Some(role),
        Role::Unpromoted if promotable => Some(role),
        Role::Unknown | Role::Started | Role::Unpromoted | Role::Promoted => None,
    }
}

fn multiple_active(value: Option<&str>) -> MultipleActive {
    match value.unwrap_or("").to_ascii_lowercase().as_str() {
        "stop_only" => MultipleActive::StopOnly,
        "block" => MultipleActive::Block,
        "stop_unexpected" => MultipleActive::StopUnexpected,
        _ => MultipleActive::StopStart,
    }
}

fn requires(value: Option<&str>, quorum_only: bool, options: &Options) -> (Requires, bool) {
    match value.unwrap_or("").to_ascii_lowercase().as_str() {
        "nothing" => (Requires::Nothing, false),
        "quorum" => (Requires::Quorum, false),
        "fencing" => (Requires::Fencing, false),
        "unfencing" if quorum_only || !options.fencing => (Requires::Quorum, false),
        "unfencing" => (Requires::Fencing, true),
        _ if quorum_only => (Requires::Quorum, false),
        _ if options.fencing => (Requires::Fencing, options.unfencing),
        _ if options.no_quorum == NoQuorum::Ignore => (Requires::Nothing, false),
        _ if options.unfencing => (Requires::Quorum, false),
        _ => (Requires::Quorum, false),
    }
}
