//! Which group was taken over from which node by a failover, and whether that node is back: one plain
//! clause for each combination.

use standfast_model::{
    id::{GroupId, NodeId},
    outage::Cause,
    request::View,
};
use standfast_schedule::add;

/// A group that runs where a failover brought it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Takeover<'v> {
    pub(crate) group: &'v GroupId,
    pub(crate) from: &'v NodeId,
    pub(crate) to: &'v NodeId,
}

/// The last move of each group, where it was a failover and the group is still there.
pub(crate) fn takeovers(view: &View) -> impl Iterator<Item = Takeover<'_>> {
    view.state.service.iter().filter_map(|(group, service)| {
        let mut moves = service.last.iter().rev();
        let last = moves.find(|outage| outage.to.as_ref() != Some(&outage.from))?;
        let to = last.to.as_ref()?;
        let stays = last.cause == Cause::Failover && service.on.as_ref() == Some(to);
        stays.then_some(Takeover {
            group,
            from: &last.from,
            to,
        })
    })
}

/// What to say of a group that its node took over: nothing when it did not.
pub(crate) fn clause(view: &View, group: &str) -> Option<String> {
    let taken = takeovers(view).find(|taken| taken.group.as_str() == group)?;
    Some(format!("which took over from {}", taken.from))
}

/// Groups whose preferred node is back and does not have them: failing back is an operator's decision.
pub(crate) fn returned(view: &View) -> Option<String> {
    let config = &view.state.config;
    let back: Vec<Takeover<'_>> = takeovers(view)
        .filter(|taken| {
            let prefer = config.groups.get(taken.group).map(|group| &group.prefer);
            let score = |node: &NodeId| {
                let preferred = prefer.and_then(|prefer| prefer.get(node)).copied();
                let located = config.locations_on(taken.group, node);
                located.fold(preferred.unwrap_or(0), |sum, (_, location)| {
                    add(sum, location.score)
                })
            };
            let known = view.state.nodes.get(taken.from);
            let ready = known.is_some_and(|known| known.online && !known.drained);
            ready && score(taken.from) > score(taken.to)
        })
        .collect();
    match back.as_slice() {
        [] => None,
        [Takeover { group, from, to }] => Some(format!(
            "{group} stays on {to}, which took over from {from}; {from} is back, and `standfast switchover {group} --to {from}` \
             moves it there"
        )),
        several => Some(format!(
            "{} groups stay where they failed over to although their preferred nodes are back; `standfast switchover` moves them",
            several.len()
        )),
    }
}
