//! What a scenario may look at.

use super::Net;
use standfast_cluster::Core;
use standfast_model::id::{NodeId, ResourceId};

impl Net {
    /// The node that leads, if exactly one does.
    pub(crate) fn leader(&self) -> Option<String> {
        let mut leaders = self
            .cores
            .iter()
            .filter(|(_, core)| core.inspect().leads.is_some());
        let first = leaders.next()?.0.to_string();
        leaders.next().is_none().then_some(first)
    }

    pub(crate) fn core(&self, name: &str) -> &Core {
        &self.cores[&NodeId::from(name)]
    }

    pub(crate) fn runs_on(&self, resource: &str) -> Vec<String> {
        self.active
            .get(&ResourceId::from(resource))
            .map(|nodes| nodes.iter().map(ToString::to_string).collect())
            .unwrap_or_default()
    }
}
