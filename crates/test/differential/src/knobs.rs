//! Features, as chances of what a random cluster has.

macro_rules! knobs {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Chances in percent.
        #[derive(Debug, Clone, Copy, Default)]
        pub struct Knobs {
            $($(#[$doc])* pub $name: usize,)*
        }

        impl Knobs {
            fn set(&mut self, name: &str, chance: usize) {
                match name {
                    $(stringify!($name) => self.$name = chance,)*
                    _ => {}
                }
            }
        }
    };
}

knobs! {
    /// Groups among the resources.
    groups,
    /// Clones.
    clones,
    /// Clones with instances of their own name.
    unique,
    /// Promotable clones.
    promotable,
    /// Scores of places.
    location,
    /// Location by rule.
    rules,
    /// Where to look.
    discovery,
    /// Who with whom.
    colocation,
    /// What after what.
    order,
    /// Constraints by set.
    sets,
    /// Stickiness.
    stickiness,
    /// Priority.
    priority,
    /// Capacity.
    utilization,
    /// Failures and how they are taken.
    failures,
    /// Unmanaged resources.
    unmanaged,
    /// Target roles.
    target_role,
    /// Nodes that wait, rest or leave.
    node_states,
    /// Nodes that have to be fenced.
    unclean,
    /// No quorum.
    no_quorum,
    /// Health of nodes.
    health,
    /// Only where it is allowed.
    opt_in,
    /// Templates and defaults.
    templates,
    /// Live migration.
    migrate,
    /// Active on several nodes.
    multiple,
    /// Left over from a former configuration.
    orphans,
    /// What starts need.
    requires,
    /// Tickets.
    tickets,
    /// Many nodes and resources.
    big,
    /// One on top of the other: ordered and together.
    stacks,
    /// Values that do not fit.
    odd,
    /// Written as long ago.
    old,
}

/// The features by name, with the chances that differ from the usual.
pub const FEATURES: [(&str, &str); 34] = [
    ("simple", ""),
    ("location", "location=90"),
    ("rules", "location=80 rules=80"),
    ("discovery", "location=80 discovery=80 clones=20"),
    (
        "colocation",
        "location=40 colocation=90 groups=20 clones=15",
    ),
    (
        "order",
        "order=90 location=40 groups=20 clones=15 failures=15",
    ),
    ("sets", "sets=90 location=40"),
    ("groups", "groups=80 location=40 colocation=30 order=20"),
    (
        "clones",
        "clones=80 groups=20 location=30 colocation=40 order=40",
    ),
    ("unique", "clones=80 unique=80 location=30"),
    (
        "promotable",
        "clones=70 promotable=80 location=40 colocation=50 order=30 groups=15",
    ),
    (
        "stickiness",
        "stickiness=80 location=70 groups=25 clones=25 colocation=30",
    ),
    ("priority", "priority=80 colocation=50 location=30"),
    (
        "utilization",
        "utilization=90 priority=40 location=30 groups=25 colocation=30",
    ),
    ("failures", "failures=70 groups=20 clones=20"),
    (
        "unmanaged",
        "unmanaged=60 failures=20 groups=20 clones=20 colocation=30 order=30",
    ),
    (
        "target-role",
        "target_role=60 groups=20 clones=30 promotable=40 colocation=30 order=30",
    ),
    (
        "node-states",
        "node_states=60 groups=20 clones=25 colocation=25 order=25",
    ),
    (
        "fencing",
        "unclean=60 node_states=20 groups=20 clones=25 requires=30 failures=15 order=25",
    ),
    (
        "quorum",
        "no_quorum=100 unclean=20 groups=20 clones=25 promotable=30 requires=30",
    ),
    ("health", "health=100 location=40 groups=15 clones=20"),
    ("opt-in", "opt_in=100 location=95 groups=20 clones=30"),
    ("templates", "templates=80 stickiness=30"),
    (
        "migrate",
        "migrate=80 location=70 node_states=30 order=50 colocation=30 clones=15",
    ),
    ("multiple", "multiple=50 groups=25"),
    ("orphans", "orphans=80 clones=40 groups=15"),
    (
        "tickets",
        "tickets=70 groups=20 clones=30 promotable=50 location=30 colocation=20 unclean=20 no_quorum=5",
    ),
    (
        "stacks",
        "stacks=80 groups=35 clones=40 promotable=50 location=30 stickiness=30",
    ),
    (
        "big",
        "big=100 stacks=50 groups=35 clones=35 promotable=50 unique=10 location=40 colocation=15 order=15 sets=25 stickiness=30 node_states=20 unclean=15 failures=15",
    ),
    (
        "odd",
        "odd=100 groups=30 clones=35 unique=15 promotable=40 location=40 colocation=30 order=30 stickiness=20",
    ),
    (
        "odd-stacks",
        "odd=100 stacks=70 groups=35 clones=40 promotable=50 location=30 failures=10 unclean=10",
    ),
    (
        "old",
        "old=100 groups=30 clones=50 unique=15 promotable=50 location=40 colocation=25 order=25 stickiness=30 failures=20 node_states=10",
    ),
    (
        "old-stacks",
        "old=100 odd=60 stacks=70 groups=35 clones=40 promotable=50 location=30 failures=15 unclean=15 node_states=15 no_quorum=10",
    ),
    (
        "mixed",
        "groups=30 clones=35 unique=15 promotable=40 location=50 rules=20 discovery=10 colocation=50 order=50 sets=20 stickiness=40 priority=20 utilization=10 failures=20 unmanaged=10 target_role=12 node_states=20 unclean=10 no_quorum=5 health=5 opt_in=10 templates=20 migrate=15 multiple=4 orphans=10 requires=10 tickets=0",
    ),
];

/// The chances that make up a feature.
#[must_use]
pub fn knobs(feature: &str) -> Knobs {
    let mut knobs = Knobs {
        location: 20,
        colocation: 10,
        order: 10,
        ..Knobs::default()
    };
    let given = FEATURES.iter().find(|(name, _)| *name == feature);
    for pair in given.map_or("", |(_, given)| given).split_whitespace() {
        if let Some((name, chance)) = pair.split_once('=') {
            knobs.set(name, chance.parse().unwrap_or(0));
        }
    }
    knobs
}
