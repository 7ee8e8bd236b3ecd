//! Machines that join: whether they fit, their number, and what they are told.
//!
//! Who may join was settled by the token before. Not for members that come back by themselves
//! after a lost disk (`deciding`).

use crate::core::Core;
use standfast_consensus::Refusal as Unproposed;
use standfast_model::{
    command::Change,
    id::{MemberId, NodeId},
    request::{JoinOffer, Refusal, RefusalKind, Response},
    state::Member,
    time::Now,
};

impl Core {
    /// Puts a new member into the log. One that was accepted before and has not come yet gets the same
    /// answer again, because its first request may be answered after a second one and it may live by
    /// either; one whose old self is offline takes its place under a new number.
    pub(crate) fn join(
        &mut self,
        now: Now,
        id: u64,
        (node, addresses): (NodeId, Vec<String>),
        offer: JoinOffer,
    ) -> Result<(), Refusal> {
        let info = Member {
            node,
            voter: false,
            addresses,
        };
        self.check_joiner(&info, &offer)?;
        let node = info.node.clone();
        let existing = self
            .state
            .members
            .iter()
            .find(|(_, known)| known.node == node)
            .map(|(member, known)| {
                let came = known.voter
                    || self
                        .consensus
                        .matched(*member)
                        .is_some_and(|index| index > 0);
                (*member, !came && known.addresses == info.addresses)
            });
        if let Some((member, unchanged)) = existing {
            let known = self.state.nodes.get(&node);
            if known.is_some_and(|known| known.online) {
                return Err(Self::refusal(
                    RefusalKind::Exists,
                    format!(
                        "a node named {node} is a member and online: choose another --name, or remove that one first \
                         (`standfast remove {node}`)"
                    ),
                ));
            }
            let same_key = match self.state.keys.get(&node) {
                Some(keys) => keys.contains(&offer.key),
                None => offer.key.is_empty(),
            };
            if same_key && unchanged {
                let response = self.joined(member);
                self.answer(id, response);
                return Ok(());
            }
            let _later = self.remove_member(now, member);
            self.try_again(id);
            return Ok(());
        }
        let member = MemberId(self.state.next_member.max(1));
        let change = Change::AddMember {
            member,
            info,
            replaces: None,
            key: offer.key,
            witness: offer.witness,
        };
        let Some(command) = self.encode(now, Some(id), change) else {
            return Err(Self::refusal(
                RefusalKind::Invalid,
                "the request cannot be written into the log",
            ));
        };
        match self.propose_newcomer(member, command) {
            Ok(()) => self.expect_newcomer(id, member),
            Err(Unproposed::Busy) => self.try_again(id),
            Err(why @ (Unproposed::NotLeader | Unproposed::Unfit)) => {
                return Err(Self::refusal(
                    RefusalKind::NoQuorum,
                    format!("the cluster cannot take a member just now: {why}; try again"),
                ));
            }
        }
        Ok(())
    }

    fn propose_newcomer(&mut self, member: MemberId, command: Vec<u8>) -> Result<(), Unproposed> {
        if self.log_is_closed() {
            return Err(Unproposed::Busy);
        }
        self.consensus.propose_add_learner(member, command)
    }

    fn expect_newcomer(&mut self, id: u64, member: MemberId) {
        if let Some(lead) = &mut self.lead {
            lead.newcomer = Some(member);
        }
        self.expect_member(id, member);
    }

    fn check_joiner(&self, info: &Member, offer: &JoinOffer) -> Result<(), Refusal> {
        let raised = self.lead.as_ref().map_or(0, |lead| lead.raised);
        let level = self.state.level().max(raised);
        let refuse = |text: String| Err(Self::refusal(RefusalKind::Invalid, text));
        if offer.feature_level != 0 && offer.feature_level < level {
            return refuse(format!(
                "the program on {} speaks feature level {}, this cluster needs {level}: install the cluster's version there first",
                info.node, offer.feature_level
            ));
        }
        if let Some(pair) = &self.state.config.pair {
            let [first, second] = &pair.nodes;
            if !pair.nodes.contains(&info.node) {
                return refuse(format!(
                    "this is the pair of {first} and {second}: {} is neither; a pair takes no third node",
                    info.node
                ));
            }
            if offer.witness {
                return refuse(String::from(
                    "a pair takes no witness: two nodes and a witness are a cluster of three voters, made without --pair",
                ));
            }
        }
        for other in self.state.members.values() {
            let taken = info
                .addresses
                .iter()
                .find(|address| other.addresses.contains(address));
            if let Some(address) = taken
                && other.node != info.node
            {
                return refuse(format!(
                    "{address} is an address of {}: give one of {}'s own",
                    other.node, info.node
                ));
            }
        }
        Ok(())
    }

    /// What a new member is told.
    pub(crate) fn joined(&self, member: MemberId) -> Response {
        let peers: Vec<(NodeId, Vec<String>)> = self
            .state
            .members
            .values()
            .map(|info| (info.node.clone(), info.addresses.clone()))
            .collect();
        Response::Joined {
            member,
            cluster_id: self.state.cluster_id.clone(),
            peers: peers.into_iter().collect(),
            voters: self.consensus.voters(),
        }
    }
}
