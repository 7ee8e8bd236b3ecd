//! Ping targets as the arbiter of a pair: whom a round asks, what of it is shown, and what rests on leases because no power is
//! ever cut.
//!
//! Not for when a round is due, nor for what it allows (crate `pair`).

use crate::core::Core;
use standfast_model::{
    effect::Effect,
    pair::{Arbiter, PairConfig, PingConfig, PingOrder, PingRound, PingView},
    time::Now,
};
use standfast_pair::{
    clock::{Clocked, Input},
    ping::{Pings, Verdict},
};
use std::net::SocketAddr;

/// Topic of what is said of targets that do not answer.
const TOPIC: &str = "ping-targets";

impl Core {
    /// A round begins.
    pub(crate) fn ask_targets(&mut self, round: u64) {
        let (Some(paired), Some(config)) = (&self.paired, self.ping_config()) else {
            return;
        };
        let links = self.state.members.values();
        let links = links.filter(|info| info.node == paired.peer);
        let peer = links
            .flat_map(|info| &info.addresses)
            .filter_map(|link| link.parse::<SocketAddr>().ok())
            .map(|link| link.ip().to_string())
            .collect();
        let order = PingOrder {
            round,
            peer,
            targets: targets(config),
            timeout: Pings::timeout(config),
        };
        self.out.push(Effect::Ping(Box::new(order)));
    }

    /// What came of a round so far.
    pub(crate) fn on_pinged(&mut self, now: Now, round: PingRound) {
        let over = round.over;
        self.tell_pair(now, Input::Pinged(round));
        if over {
            self.warn_of_targets();
        }
    }

    fn ping_config(&self) -> Option<&PingConfig> {
        self.state.config.pair.as_ref()?.ping.as_ref()
    }

    /// Nobody takes over from a node that is lost while none of them answers: that is said before.
    fn warn_of_targets(&mut self) {
        let clocked = self.paired.as_ref().map(|paired| &paired.clocked);
        let verdict = clocked.and_then(Clocked::verdict);
        let deserted = verdict.filter(|verdict| matches!(verdict, Verdict::Deserted { .. }));
        let deserted = deserted.map(Verdict::text);
        let text = self.ping_view().and_then(|view| {
            if deserted.is_some() {
                return deserted;
            }
            let all = view.answering.is_empty();
            let silent = view.silent.join(", ");
            match (view.silent.len(), all) {
                (0, _) => None,
                (_, true) => Some(format!(
                    "no ping target answers ({silent}): if the other node is lost now, this one stops and does not take over"
                )),
                (1, false) => Some(format!("the ping target {silent} does not answer")),
                (_, false) => Some(format!("the ping targets {silent} do not answer")),
            }
        });
        let before = self.notices.remove(TOPIC);
        self.look |= before != text;
        if let Some(text) = text {
            self.notices.insert(TOPIC.to_owned(), text);
        }
    }

    /// What this node knows of its ping targets.
    pub(crate) fn ping_view(&self) -> Option<PingView> {
        let config = self.ping_config()?;
        let mut view = PingView::default();
        let clocked = self.paired.as_ref().map(|paired| &paired.clocked);
        let answered = clocked.and_then(Clocked::pings).and_then(Pings::answered);
        for (target, answers) in targets(config)
            .into_iter()
            .zip(answered.unwrap_or_default())
        {
            let list = if *answers {
                &mut view.answering
            } else {
                &mut view.silent
            };
            list.push(target);
        }
        let verdict = clocked.and_then(Clocked::verdict);
        view.verdict = verdict.map(|verdict| verdict.text()).unwrap_or_default();
        Some(view)
    }

    fn pinging(&self) -> bool {
        let ping = |pair: &PairConfig| pair.arbiter == Arbiter::Ping;
        self.state.config.pair.as_ref().is_some_and(ping)
    }

    /// Whether a secondary that takes over would not know of what is written there: a grant that it has to wait for.
    pub(crate) fn peer_lacks(&self, index: u64) -> bool {
        let Some(paired) = &self.paired else {
            return false;
        };
        let pair = paired.clocked.pair();
        self.pinging() && pair.acts_by_lease() && paired.confirmed < index
    }
}

/// The gateway, then the further targets.
fn targets(config: &PingConfig) -> Vec<String> {
    let first = std::iter::once(&config.gateway);
    first.chain(&config.targets).cloned().collect()
}

/// What a takeover rests on.
pub(crate) fn evidence(clocked: &Clocked) -> Option<String> {
    let verdict = clocked.pings()?.decide_failover();
    matches!(verdict, Verdict::Granted { .. }).then(|| verdict.text())
}
