//! Operations of a resource, and what their failures mean.
//!
//! Not for what was done: see `status`.

use standfast_scheduler::input::{Attributes, Operation, Policy};
use standfast_scheduler::score::{interval_ms, truth};

use crate::rule::About;
use crate::{Reader, Xml, child, children};

/// Tasks that any resource may have done.
const USUAL: [&str; 7] = [
    "start",
    "stop",
    "promote",
    "demote",
    "monitor",
    "migrate_to",
    "migrate_from",
];

/// Milliseconds that an operation may take unless something else is said.
const USUAL_TIMEOUT_MS: u64 = 20_000;

impl<'a> Reader<'a> {
    /// The operations of a resource; the first element's win over those of later ones.
    pub(crate) fn operation_elements(&self, parents: &[Xml<'a>]) -> Vec<Xml<'a>> {
        let mut found: Vec<Xml<'a>> = Vec::new();
        let blocks = parents
            .iter()
            .flat_map(|parent| children(*parent, "operations"));
        for operation in blocks.flat_map(|block| children(self.resolve(block), "op")) {
            let operation = self.resolve(operation);
            let known = found.iter().any(|known| key(*known) == key(operation));
            found.extend((!known).then_some(operation));
        }
        found
    }

    pub(crate) fn operations(&self, elements: &[Xml<'a>], agent: &[String; 3]) -> Vec<Operation> {
        let read = |element: &Xml<'a>| {
            let (name, interval_ms) = key(*element);
            let meta = self.operation_meta(Some(*element), name, interval_ms, agent);
            let own = element
                .attribute("on-fail")
                .or(element.attribute("on_fail"));
            Operation {
                name: name.to_owned(),
                interval_ms,
                role: meta.get("role").cloned(),
                timeout_ms: self.timeout_ms(meta.get("timeout")),
                depth: meta
                    .get("OCF_CHECK_LEVEL")
                    .and_then(|level| level.trim().parse().ok())
                    .unwrap_or_default(),
                on_fail: own
                    .or(meta.get("on-fail").map(String::as_str))
                    .map(str::to_owned),
                enabled: meta
                    .get("enabled")
                    .is_none_or(|value| truth(Some(value)) != Some(false)),
            }
        };
        elements.iter().map(read).collect()
    }

    /// Milliseconds that an operation may take.
    pub(crate) fn timeout_ms(&self, own: Option<&String>) -> u64 {
        match own {
            Some(text) => interval_ms(Some(text)),
            None => {
                let defaults = child(self.configuration, "op_defaults");
                let values = defaults
                    .map(|defaults| self.values(&[defaults], "meta_attributes", About::default()));
                let usual = values.and_then(|values| values.get("timeout").cloned());
                usual.map_or(USUAL_TIMEOUT_MS, |text| interval_ms(Some(&text)))
            }
        }
    }

    pub(crate) fn policies(&self, elements: &[Xml<'a>], agent: &[String; 3]) -> Vec<Policy> {
        let mut wanted: Vec<(&str, u64)> = USUAL.iter().map(|task| (*task, 0)).collect();
        wanted.extend(self.intervals.iter().map(|interval| ("monitor", *interval)));
        wanted.extend(elements.iter().map(|element| key(*element)));
        let mut policies: Vec<Policy> = Vec::new();
        for (task, interval_ms) in wanted {
            let known = |policy: &Policy| policy.task == task && policy.interval_ms == interval_ms;
            if policies.iter().any(known) {
                continue;
            }
            let configured = elements
                .iter()
                .find(|element| key(**element) == (task, interval_ms));
            let meta = self.operation_meta(configured.copied(), task, interval_ms, agent);
            let policy = Policy {
                task: task.to_owned(),
                interval_ms,
                on_fail: meta.get("on-fail").or(meta.get("on_fail")).cloned(),
                role_after: meta.get("role_after_failure").cloned(),
            };
            if policy.on_fail.is_some() || policy.role_after.is_some() {
                policies.push(policy);
            }
        }
        policies
    }

    /// Attributes of an operation: its own, its meta-attributes, the defaults.
    fn operation_meta(
        &self,
        element: Option<Xml<'a>>,
        task: &str,
        interval_ms: u64,
        agent: &[String; 3],
    ) -> Attributes {
        let about = About {
            agent: Some(agent),
            operation: Some((task, interval_ms)),
            ..About::default()
        };
        let mut meta = Attributes::new();
        if let Some(element) = element {
            for attribute in element.attributes() {
                meta.insert(attribute.name().to_owned(), attribute.value().to_owned());
            }
            self.add_values(&mut meta, &[element], "meta_attributes", about);
            self.add_values(&mut meta, &[element], "instance_attributes", about);
        }
        if let Some(defaults) = child(self.configuration, "op_defaults") {
            self.add_values(&mut meta, &[defaults], "meta_attributes", about);
        }
        meta
    }

    /// Notes the intervals that histories speak of.
    pub(crate) fn collect_intervals(&mut self) {
        let Some(status) = self.status else {
            return;
        };
        let records = status
            .descendants()
            .filter(|node| node.has_tag_name("lrm_rsc_op"));
        let mut intervals: Vec<u64> = records.map(|record| interval_of(record)).collect();
        intervals.sort_unstable();
        intervals.dedup();
        intervals.retain(|interval| *interval > 0);
        self.intervals = intervals;
    }
}

/// Milliseconds of a recorded operation.
pub(crate) fn interval_of(record: Xml<'_>) -> u64 {
    record
        .attribute("interval")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

fn key<'a>(operation: Xml<'a>) -> (&'a str, u64) {
    let name = operation.attribute("name").unwrap_or_default();
    (name, interval_ms(operation.attribute("interval")))
}
