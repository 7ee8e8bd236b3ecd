//! Blocks of names and values: their order, their rules, their references.
//!
//! Not for what the names mean.

use std::collections::BTreeMap;

use standfast_scheduler::input::Attributes;
use standfast_scheduler::score;

use crate::rule::About;
use crate::{Reader, Xml, children};

impl<'a> Reader<'a> {
    /// Values of the blocks of a kind below an element; the first one counts, by score, the later
    /// block first among equals.
    pub(crate) fn values(
        &self,
        parents: &[Xml<'a>],
        kind: &'a str,
        about: About<'_>,
    ) -> Attributes {
        let mut values = Attributes::new();
        self.add_values(&mut values, parents, kind, about);
        values
    }

    pub(crate) fn add_values(
        &self,
        values: &mut Attributes,
        parents: &[Xml<'a>],
        kind: &'a str,
        about: About<'_>,
    ) {
        for block in self.blocks(parents, kind) {
            if self.applies(block, about) {
                self.add_block(values, block);
            }
        }
    }

    fn blocks(&self, parents: &[Xml<'a>], kind: &'a str) -> Vec<Xml<'a>> {
        let all = parents.iter().flat_map(|parent| children(*parent, kind));
        let mut blocks: Vec<Xml<'a>> = all.map(|block| self.resolve(block)).collect();
        blocks.reverse();
        blocks.sort_by_key(|block| {
            std::cmp::Reverse(block.attribute("score").map_or(0, score::parse))
        });
        blocks
    }

    fn add_block(&self, values: &mut Attributes, block: Xml<'a>) {
        for (name, value) in self.pairs(block) {
            if value.eq_ignore_ascii_case("#default") {
                values.remove(name);
            } else {
                values
                    .entry(name.to_owned())
                    .or_insert_with(|| value.to_owned());
            }
        }
    }

    fn pairs(&self, block: Xml<'a>) -> Vec<(&'a str, &'a str)> {
        // Very old configurations wrap the pairs once more.
        let wrapped = children(block, "attributes").flat_map(|inner| children(inner, "nvpair"));
        let pairs = children(block, "nvpair").chain(wrapped);
        let pairs = pairs.filter_map(|pair| {
            let target = self.resolve(pair);
            let name = pair.attribute("name").or(target.attribute("name"))?;
            Some((name, target.attribute("value")?))
        });
        pairs.collect()
    }

    /// Cluster options: the usual block first, then the others.
    pub(crate) fn options(&self, config: Xml<'a>) -> Attributes {
        let mut blocks = self.blocks(&[config], "cluster_property_set");
        let usual = |block: &Xml<'a>| block.attribute("id") == Some("cib-bootstrap-options");
        blocks.sort_by_key(|block| !usual(block));
        let mut values = Attributes::new();
        for block in blocks {
            if self.applies(block, About::default()) {
                self.add_block(&mut values, block);
            }
        }
        let old: Vec<(String, String)> = values
            .iter()
            .filter(|(name, _)| name.contains('_'))
            .map(|(name, value)| (name.replace('_', "-"), value.clone()))
            .collect();
        for (name, value) in old {
            values.entry(name).or_insert(value);
        }
        values
    }

    /// Amounts by name.
    pub(crate) fn amounts(&self, parents: &[Xml<'a>], about: About<'_>) -> BTreeMap<String, i32> {
        let values = self.values(parents, "utilization", about);
        let amounts = values.into_iter().map(|(name, value)| {
            let amount = score::leading_integer(&value).unwrap_or(0);
            (name, i32::try_from(amount).unwrap_or(i32::MAX))
        });
        amounts.collect()
    }
}
