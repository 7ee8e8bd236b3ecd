//! Members that this node's state does not know yet: who joined while it was away, or after the snapshot
//! that it has just received. One of them may lead, and then only it can send what is missing.
//!
//! Members tell each other who the members are when they begin to hear each other, and when that
//! changes. A member number is never used twice: one that is not older than the state's next number is
//! new to it, and never that of a removed member. As soon as the state has caught up, it alone counts.

use crate::core::Core;
use standfast_model::{
    effect::Class,
    id::{MemberId, NodeId},
    message::{Body, Members},
    state::{Member, Newcomer},
};
use std::collections::{BTreeMap, BTreeSet};

/// Longest list of members that is read, in bytes.
const LONGEST: usize = 256 * 1024;

impl Core {
    /// Tells a member who the members are.
    pub(crate) fn tell_members(&mut self, to: &NodeId) {
        let newcomer = |(member, info): (&MemberId, &Member)| {
            let known = Newcomer {
                member: *member,
                addresses: info.addresses.clone(),
                keys: self.state.keys.get(&info.node).cloned().unwrap_or_default(),
            };
            (info.node.clone(), known)
        };
        let members: BTreeMap<NodeId, Newcomer> = self.state.members.iter().map(newcomer).collect();
        if let (false, Ok(json)) = (members.is_empty(), serde_json::to_vec(&members)) {
            self.send(to, Class::Stream, Body::Members(Members { json }));
        }
    }

    /// Another member's word, of which only what is new here counts.
    pub(crate) fn on_members(&mut self, from: &NodeId, json: &[u8]) {
        if json.len() > LONGEST || self.member_of(from).is_none() {
            return;
        }
        let Ok(members) = serde_json::from_slice::<BTreeMap<NodeId, Newcomer>>(json) else {
            return;
        };
        for (node, newcomer) in members {
            let new = newcomer.member >= MemberId(self.state.next_member)
                && (self.state.keys.is_empty() || !newcomer.keys.is_empty())
                && node != self.node;
            if new && self.newcomers.get(&node) != Some(&newcomer) {
                self.newcomers.insert(node, newcomer);
                self.republish = true;
            }
        }
    }

    /// Adds those who are still new to the state's members; gives the keys that may be shown.
    pub(crate) fn add_newcomers(
        &mut self,
        peers: &mut Vec<(NodeId, Vec<String>)>,
    ) -> BTreeMap<NodeId, BTreeSet<String>> {
        let next = MemberId(self.state.next_member);
        self.newcomers.retain(|_, known| known.member >= next);
        let mut keys = self.state.keys.clone();
        for (node, newcomer) in &self.newcomers {
            peers.retain(|(known, _)| known != node);
            peers.push((node.clone(), newcomer.addresses.clone()));
            if !keys.is_empty() {
                keys.insert(node.clone(), newcomer.keys.clone());
            }
        }
        keys
    }
}
