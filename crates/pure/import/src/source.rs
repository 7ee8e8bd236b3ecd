//! The source: the XML with what the reader of `standfast-cib` makes of it, or why it is none.
//!
//! Not for what anything in it means here.

use std::{collections::BTreeMap, fmt};

use roxmltree::Document;
use standfast_cib::When;
use standfast_scheduler::{
    input::{Cluster, Resource},
    score::interval_ms,
};

pub(crate) type Xml<'d> = roxmltree::Node<'d, 'd>;

/// What is taken instead of what was given.
const ALLOWED: &str = "the XML that `pcs cluster cib` or `cibadmin --query` prints: \
                       a <cib> with a <configuration> that has <nodes>";

/// Why a text is no source, with the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    file: String,
    line: u32,
    column: u32,
    problem: String,
    allowed: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, problem, allowed) = (&self.file, &self.problem, &self.allowed);
        let (line, column) = (self.line, self.column);
        write!(f, "{file}:{line}:{column}: {problem}; allowed: {allowed}")
    }
}

impl std::error::Error for Mistake {}

/// The text as XML.
pub(crate) fn open<'t>(text: &'t str, file: &str) -> Result<Document<'t>, Mistake> {
    Document::parse(text).map_err(|error| {
        let place = error.pos();
        Mistake {
            file: file.to_owned(),
            line: place.row,
            column: place.col,
            problem: format!("this is no XML: {error}"),
            allowed: ALLOWED.to_owned(),
        }
    })
}

/// A cluster information base.
pub(crate) struct Source<'d> {
    pub(crate) file: &'d str,
    text: &'d str,
    pub(crate) configuration: Xml<'d>,
    /// Templates, references, tags, sets and defaults worked out.
    pub(crate) cluster: Cluster,
    by_id: BTreeMap<&'d str, Xml<'d>>,
}

impl<'d> Source<'d> {
    pub(crate) fn new(
        document: &'d Document<'d>,
        text: &'d str,
        file: &'d str,
        now: i64,
    ) -> Result<Self, Mistake> {
        let root = document.root_element();
        let start = format!("<{}", root.tag_name().name());
        let wrong = |problem: String| mistake(text, &start, file, (&problem, ALLOWED));
        if !root.has_tag_name("cib") {
            return Err(wrong(format!("<{}> is no CIB", root.tag_name().name())));
        }
        let configuration = child(root, "configuration");
        let configuration =
            configuration.ok_or_else(|| wrong("the <cib> has no <configuration>".to_owned()))?;
        let nodes = child(configuration, "nodes");
        if nodes.is_none_or(|nodes| child(nodes, "node").is_none()) {
            return Err(wrong(
                "the configuration has no <nodes> with a <node>".to_owned(),
            ));
        }
        let cluster = standfast_cib::read(text, When::RecordedOr(now))
            .map_err(|error| wrong(error.to_string()))?;
        let elements = configuration.descendants().filter(Xml::is_element);
        let by_id = elements.filter_map(|node| Some((node.attribute("id")?, node)));
        Ok(Self {
            file,
            text,
            configuration,
            cluster,
            by_id: by_id.collect(),
        })
    }

    pub(crate) fn section(&self, name: &str) -> Option<Xml<'d>> {
        child(self.configuration, name)
    }

    /// The element of an id.
    pub(crate) fn element(&self, id: &str) -> Option<Xml<'d>> {
        self.by_id.get(id).copied()
    }

    /// What stands where the text has `at` first is too much.
    pub(crate) fn refuse(&self, at: &str, problem: &str, allowed: &str) -> Mistake {
        mistake(self.text, at, self.file, (problem, allowed))
    }

    /// The names and values of blocks of a kind at a resource, its template included.
    pub(crate) fn pairs(&self, id: &str, kind: &str) -> Vec<(&'d str, &'d str)> {
        let own = self.element(id);
        let template = own.and_then(|own| self.element(own.attribute("template")?));
        let elements = own.into_iter().chain(template);
        let blocks = elements.flat_map(|element| element.children());
        let blocks = blocks.filter(|block| block.has_tag_name(kind));
        let blocks = blocks.map(|block| self.referred(block));
        let pairs = blocks.flat_map(|block| block.children());
        let pairs = pairs.filter(|pair| pair.has_tag_name("nvpair"));
        let read = |pair: Xml<'d>| {
            let target = self.referred(pair);
            let name = pair.attribute("name").or(target.attribute("name"))?;
            Some((name, target.attribute("value").unwrap_or_default()))
        };
        pairs.filter_map(read).collect()
    }

    /// Milliseconds of an operation that does not say how long it may take, if the defaults do.
    pub(crate) fn usual_timeout_ms(&self) -> Option<u64> {
        let blocks = children(self.section("op_defaults")?, "meta_attributes");
        let mut pairs = blocks.flat_map(|block| block.children());
        let pair = pairs.find(|pair| pair.attribute("name") == Some("timeout"))?;
        Some(interval_ms(pair.attribute("value")))
    }

    /// What an element refers to, or itself.
    pub(crate) fn referred(&self, element: Xml<'d>) -> Xml<'d> {
        let target = element.attribute("id-ref").and_then(|id| self.element(id));
        target.unwrap_or(element)
    }
}

fn mistake(text: &str, at: &str, file: &str, (problem, allowed): (&str, &str)) -> Mistake {
    let before = text.find(at).and_then(|place| text.get(..place));
    let before = before.unwrap_or_default();
    let last = before.rsplit('\n').next().unwrap_or_default();
    let count = |number: usize| u32::try_from(number + 1).unwrap_or(u32::MAX);
    Mistake {
        file: file.to_owned(),
        line: count(before.matches('\n').count()),
        column: count(last.chars().count()),
        problem: problem.to_owned(),
        allowed: allowed.to_owned(),
    }
}

/// An agent as people write it: `ocf:heartbeat:IPaddr2`.
pub(crate) fn agent(resource: &Resource) -> String {
    let parts = resource.agent.iter().filter(|part| !part.is_empty());
    parts.map(String::as_str).collect::<Vec<_>>().join(":")
}

/// The first child of that name.
pub(crate) fn child<'d>(node: Xml<'d>, name: &str) -> Option<Xml<'d>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// All children of that name.
pub(crate) fn children<'d>(node: Xml<'d>, name: &str) -> impl Iterator<Item = Xml<'d>> {
    node.children()
        .filter(move |child| child.tag_name().name() == name)
}
