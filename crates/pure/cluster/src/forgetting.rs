//! When failures no longer count: once the last one is older than its resource's window.
//!
//! Not for what failures lead to: that is placement.

use crate::core::Core;
use standfast_model::{command::Change, planted::Planted, time::Now};

impl Core {
    /// Failures that are old enough no longer count.
    pub(crate) fn forget_failures(&mut self, now: Now) {
        let forgets = self.forgets(Planted::FailuresForgotten);
        let mut old = Vec::new();
        // Nodes of an earlier version forget whatever has been counted when it is applied.
        let exact = self.state.level() >= 4;
        let Some(lead) = &mut self.lead else { return };
        let counted = self.state.failures.iter().flat_map(|(resource, records)| {
            records
                .iter()
                .filter(|(_, record)| record.count > 0)
                .map(move |(node, record)| (resource, node, record))
        });
        for (resource, node, record) in counted {
            let window = self
                .state
                .config
                .resources
                .get(resource)
                .map(|resource| resource.failure.window);
            let key = (resource.clone(), node.clone());
            let counted = (record.incarnation, record.seen);
            if forgets && !lead.failures_since.contains_key(&key) {
                old.push((key.clone(), counted));
            }
            let seen = lead
                .failures_since
                .entry(key.clone())
                .or_insert((counted, now));
            if seen.0 != counted {
                *seen = (counted, now);
            } else if window.is_none_or(|window| now.waited_since(seen.1) > window) {
                seen.1 = now;
                old.push((key, counted));
            }
        }
        for ((resource, node), counted) in old {
            self.propose(
                now,
                None,
                Change::ForgetFailures {
                    resource,
                    node,
                    by: None,
                    counted: exact.then_some(counted),
                },
            );
        }
    }
}
