//! Reads a cluster information base into what the scheduler decides about.
//!
//! Rules, templates, references, defaults and sets are worked out here, for a given time. Not for
//! deciding anything, and not for writing.

#![deny(
    clippy::wildcard_enum_match_arm,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]
#![warn(missing_docs)]

mod constraints;
mod digest;
mod nodes;
mod operations;
mod pattern;
mod resources;
mod rule;
mod sets;
mod status;
mod time;
mod values;

use std::collections::BTreeMap;

use standfast_scheduler::input::{Attributes, Cluster};

/// An element.
pub(crate) type Xml<'a> = roxmltree::Node<'a, 'a>;

/// Why a text is no cluster information base.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::error_impl_error, reason = "read as standfast_cib::Error")]
pub enum Error {
    /// Not well-formed.
    Malformed(String),
    /// Well-formed, but not a `cib` with a configuration.
    NoCib,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "the XML is malformed: {why}"),
            Self::NoCib => write!(f, "there is no <cib> with a <configuration>"),
        }
    }
}

impl std::error::Error for Error {}

/// When the decision is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At this time, whatever the text says.
    At(i64),
    /// At the time that the text was recorded, else at this.
    RecordedOr(i64),
}

/// A document with what has to be looked up in it.
pub(crate) struct Reader<'a> {
    pub(crate) by_id: BTreeMap<&'a str, Xml<'a>>,
    pub(crate) configuration: Xml<'a>,
    pub(crate) status: Option<Xml<'a>>,
    pub(crate) now: i64,
    /// Members of tags and users of templates.
    pub(crate) many: BTreeMap<String, Vec<String>>,
    /// Attributes of nodes, with those of their state.
    pub(crate) node_attributes: Vec<(String, Attributes)>,
    /// Intervals of checks that histories speak of.
    pub(crate) intervals: Vec<u64>,
    /// Parameters of primitives.
    pub(crate) parameters: BTreeMap<String, digest::Known>,
}

/// Reads seconds since 1970 from a date as the configuration spells it.
#[must_use]
pub fn date(text: &str) -> Option<i64> {
    time::parse(text)
}

/// Reads a cluster information base.
///
/// # Errors
///
/// If the text is not one.
pub fn read(text: &str, when: When) -> Result<Cluster, Error> {
    let document = roxmltree::Document::parse(text);
    let document = document.map_err(|error| Error::Malformed(error.to_string()))?;
    let cib = document.root_element();
    let configuration = child(cib, "configuration").ok_or(Error::NoCib)?;
    let now = match when {
        When::At(now) => now,
        When::RecordedOr(clock) => {
            let recorded = cib.attribute("execution-date");
            let recorded = recorded.and_then(|text| text.parse().ok());
            recorded.filter(|time| *time > 0).unwrap_or(clock)
        }
    };
    let elements = configuration.descendants().filter(Xml::is_element);
    // Members of sets and tags have the id of what they mean.
    let means_another =
        |node: &Xml<'_>| matches!(node.tag_name().name(), "resource_ref" | "obj_ref");
    let by_id = elements
        .filter(|node| !means_another(node))
        .filter_map(|node| Some((node.attribute("id")?, node)))
        .collect();
    let mut reader = Reader {
        by_id,
        configuration,
        status: child(cib, "status"),
        now,
        many: BTreeMap::new(),
        node_attributes: Vec::new(),
        intervals: Vec::new(),
        parameters: BTreeMap::new(),
    };
    reader.collect_many();
    reader.collect_intervals();
    Ok(reader.cluster(cib))
}

impl<'a> Reader<'a> {
    fn cluster(&mut self, cib: Xml<'a>) -> Cluster {
        let section = |name| child(self.configuration, name);
        let mut options = Attributes::new();
        if let Some(config) = section("crm_config") {
            options = self.options(config);
        }
        let mut nodes = section("nodes")
            .map(|nodes| self.nodes(nodes))
            .unwrap_or_default();
        let resources = section("resources").map(|all| self.resources(all, &options));
        let resources = resources.unwrap_or_default();
        let mut parameters = Vec::new();
        digest::collect(&resources, &mut parameters);
        self.parameters = parameters.into_iter().collect();
        let states = self.states();
        Self::add_remotes(&mut nodes, &resources);
        let is_true = |name| standfast_scheduler::score::is_true(cib.attribute(name));
        let mut cluster = Cluster {
            options,
            now: self.now,
            have_quorum: is_true("have-quorum"),
            quorum_panic: is_true("no-quorum-panic"),
            dc: cib.attribute("dc-uuid").map(str::to_owned),
            feature_set: cib
                .attribute("crm_feature_set")
                .unwrap_or_default()
                .to_owned(),
            nodes,
            resources,
            states,
            ..Cluster::default()
        };
        self.node_attributes = cluster
            .nodes
            .iter()
            .map(|node| (node.name.clone(), cluster.attributes_of(node)))
            .collect();
        cluster.tickets = self.tickets();
        cluster.orphan_meta = self.orphan_meta(&cluster.options);
        cluster.unfencing = self.wants_unfencing();
        cluster.constraints = self.constraints();
        cluster
    }

    /// The element that a reference stands for, or the element itself.
    pub(crate) fn resolve(&self, node: Xml<'a>) -> Xml<'a> {
        let target = node.attribute("id-ref").and_then(|id| self.by_id.get(id));
        let same = target.filter(|target| target.tag_name().name() == node.tag_name().name());
        same.copied().unwrap_or(node)
    }

    fn collect_many(&mut self) {
        let mut many: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for node in self.configuration.descendants() {
            match node.tag_name().name() {
                "template" => {
                    let id = node.attribute("id").unwrap_or_default();
                    many.entry(id.to_owned()).or_default();
                }
                "tag" => {
                    let id = node.attribute("id").unwrap_or_default().to_owned();
                    let members = node.children().filter_map(|member| member.attribute("id"));
                    many.entry(id)
                        .or_default()
                        .extend(members.map(str::to_owned));
                }
                "primitive" => {
                    let user = node.attribute("id").unwrap_or_default().to_owned();
                    let template = node.attribute("template").unwrap_or_default().to_owned();
                    many.entry(template).or_default().push(user);
                }
                _ => {}
            }
        }
        many.remove("");
        self.many = many;
    }
}

/// The first child of that name.
pub(crate) fn child<'a>(node: Xml<'a>, name: &str) -> Option<Xml<'a>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// All children of that name.
pub(crate) fn children<'a>(node: Xml<'a>, name: &'a str) -> impl Iterator<Item = Xml<'a>> {
    node.children()
        .filter(move |child| child.has_tag_name(name))
}
