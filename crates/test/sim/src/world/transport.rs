//! Messages on their way, and what the truth learns from them.

use super::{Happening, World};
use crate::{
    coverage::Case,
    invariants,
    network::STREAM_TIMEOUT,
    node::{Agent, Machine, Removal},
    timeline::Timeline,
    truth::{Asked, Lease},
};
use standfast_model::{
    effect::{Class, Effect},
    event::Event,
    id::{Incarnation, NodeId, ResourceId},
    message::{Body, LeaseGrant, Message},
    time::Now,
};

impl World {
    /// Looks through the effects of a step before any of them is carried out: what a core has
    /// decided counts, whether it comes to act or not.
    pub(super) fn record_sends(&mut self, number: usize, now: Now, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Send { to, message, .. } => self.record_send(number, now, to, message),
                Effect::Persist(batch) => self.issue(number, batch),
                Effect::Extend { resource, deadline } => self.decide(number, resource, *deadline),
                Effect::Start(start) => self.decide(number, &start.resource, start.deadline),
                Effect::Fence(order) => self.judge_order(number, order),
                Effect::Keys(keys) => {
                    self.truth.nodes[number].lets_in = Some(self.key_bits(keys));
                }
                _ => {}
            }
        }
    }

    fn decide(&mut self, number: usize, resource: &ResourceId, deadline: u64) {
        if let Some(resource) = self.resource_number(resource) {
            self.truth.nodes[number].decided.insert(resource, deadline);
        }
    }

    fn record_send(&mut self, number: usize, now: Now, to: &NodeId, message: &Message) {
        let incarnation = Incarnation(message.incarnation);
        match &message.body {
            Some(Body::LeaseRequest(request)) => {
                self.truth.nodes[number].ask(Asked {
                    incarnation,
                    sequence: request.sequence,
                    at: now,
                });
                invariants::lease_end::on_request(self, number, now, request);
            }
            Some(Body::Round(round)) => {
                let extra = self.scenario.guards.extra_wait().0;
                let of = &mut self.truth.nodes[number];
                of.on_round(round.term, round.round, now);
                of.vouch(round.lease_us.saturating_sub(extra), now.boot);
            }
            Some(Body::LeaseGrant(grant)) => {
                if let Some(to) = self.number_of(to) {
                    self.record_grant(to, grant);
                }
            }
            _ => {}
        }
    }

    /// A lease is given: from here on it exists, whether the grant arrives or not.
    fn record_grant(&mut self, to: usize, grant: &LeaseGrant) {
        let boot = self.nodes[to].boot.read(self.time);
        let Some(asked) = self.truth.nodes[to].find(grant.sequence) else {
            return;
        };
        for instance in &grant.instances {
            let Some(resource) =
                self.resource_number(&ResourceId::from(instance.resource.as_str()))
            else {
                continue;
            };
            let lease = Lease {
                resource,
                incarnation: asked.incarnation,
                since: instance.since.into(),
                plan: grant.plan.into(),
                ends: asked.at.boot.saturating_add(grant.length_us),
                adopted: false,
            };
            self.coverage.hit(Case::GrantSent);
            self.truth.nodes[to].give(lease, boot);
        }
    }

    /// Carries out `Effect::Send`.
    pub(super) fn send(&mut self, from: usize, to: &NodeId, class: Class, message: Box<Message>) {
        let Some(to) = self.number_of(to) else { return };
        self.messages += 1;
        match class {
            Class::Datagram => self.send_datagram(from, to, message),
            Class::Stream => {
                let time = self.time;
                let stream = self.network.stream(from, to);
                stream.queue.push_back((time, message));
                if !stream.pumping {
                    stream.pumping = true;
                    let delay = self.network.stream_delay(&mut self.draw_network);
                    self.later(delay, Happening::Stream { from, to });
                }
            }
        }
    }

    fn send_datagram(&mut self, from: usize, to: usize, message: Box<Message>) {
        for link in 0..self.network.links {
            if !self.network.is_up(from, to, link) {
                continue;
            }
            let number = u32::try_from(link).unwrap_or(0);
            let copies = 1 + u32::from(self.network.is_duplicated(&mut self.draw_network));
            if copies == 2 {
                self.coverage.hit(Case::MessageTwice);
            }
            for _ in 0..copies {
                let Some(delay) = self.network.travel(&mut self.draw_network) else {
                    self.coverage.hit(Case::MessageLost);
                    continue;
                };
                let message = message.clone();
                self.later(
                    delay,
                    Happening::Datagram {
                        from,
                        to,
                        link: number,
                        message,
                    },
                );
            }
        }
    }

    /// A datagram has arrived, unless the receiver is not there or does not know the sender.
    pub(super) fn datagram(&mut self, from: usize, to: usize, link: u32, message: Box<Message>) {
        let number = usize::try_from(link).unwrap_or(0);
        if self.nodes[to].machine == Machine::On && self.network.is_up(from, to, number) {
            self.arrive(from, to, link, message);
        }
    }

    fn arrive(&mut self, from: usize, to: usize, link: u32, message: Box<Message>) {
        let receiver = &self.nodes[to];
        if receiver.agent == Agent::Down {
            return;
        }
        if !self.lets_in(to, from) || (self.scenario.tells_of_links && !self.lets_in(from, to)) {
            if self.nodes[from].removal == Removal::Done {
                self.coverage.hit(Case::RemovedRefused);
            }
            return;
        }
        if self.scenario.tells_of_links
            && self.nodes[to].heard[from] != self.nodes[from].incarnation.0
        {
            self.nodes[to].heard[from] = self.nodes[from].incarnation.0;
            let peer = self.nodes[from].name.clone();
            self.deliver(
                to,
                Event::Link {
                    peer,
                    link,
                    up: true,
                },
            );
        }
        self.hash.add(message.member ^ message.incarnation);
        self.record_arrival(to, &message);
        let from = self.nodes[from].name.clone();
        self.deliver(
            to,
            Event::Message {
                from,
                link,
                message,
            },
        );
    }

    /// Whether a machine has another one for a member, and its key for that member's.
    fn lets_in(&self, who: usize, other: usize) -> bool {
        let node = &self.nodes[who];
        let shown = self.nodes[other].key % 64;
        let known = |keys: &Vec<u64>| keys[other] >> shown & 1 == 1;
        node.accepts >> (other % 128) & 1 == 1 && node.keys.as_ref().is_none_or(known)
    }

    fn record_arrival(&mut self, to: usize, message: &Message) {
        match &message.body {
            Some(Body::RoundAck(ack)) => self.truth.nodes[to].on_ack(message.member, ack),
            Some(Body::LeaseGrant(grant)) => {
                let Some(core) = &self.nodes[to].core else {
                    return;
                };
                if grant.term < core.inspect().term {
                    self.coverage.hit(Case::StaleGrant);
                }
                let run = self.nodes[to].incarnation;
                let asked = self.truth.nodes[to].find(grant.sequence);
                if asked.is_some_and(|asked| asked.incarnation != run) {
                    self.coverage.hit(Case::GrantForEarlierRun);
                }
            }
            _ => {}
        }
    }

    /// The head of a stream is due.
    pub(super) fn pump(&mut self, from: usize, to: usize) {
        let up = self.network.stream_is_up(from, to);
        let asleep = self.nodes[to].machine == Machine::Suspended;
        let there =
            matches!(self.nodes[to].machine, Machine::On) && self.nodes[to].agent != Agent::Down;
        let time = self.time;
        let stream = self.network.stream(from, to);
        let Some((sent, _)) = stream.queue.front() else {
            stream.pumping = false;
            return;
        };
        if !up || asleep {
            if time.saturating_sub(*sent) > STREAM_TIMEOUT {
                stream.queue.clear();
                stream.pumping = false;
                self.coverage.hit(Case::StreamBroken);
            } else {
                self.later(20_000, Happening::Stream { from, to });
            }
            return;
        }
        if !there {
            stream.queue.clear();
            stream.pumping = false;
            return;
        }
        let message = stream.queue.pop_front();
        let next = stream.queue.front().map(|(sent, _)| *sent);
        stream.pumping = next.is_some();
        if let Some(sent) = next {
            let due = sent + self.network.stream_delay(&mut self.draw_network);
            self.push(due, Happening::Stream { from, to });
        }
        if let Some((_, message)) = message {
            self.arrive(from, to, 0, message);
        }
    }
}

/// What a message says, for people; `None` for what comes all the time.
pub(crate) fn describe_message(message: &Message) -> Option<String> {
    match message.body.as_ref()? {
        Body::Round(_) | Body::RoundAck(_) | Body::LeaseRequest(_) => None,
        Body::LeaseGrant(grant) if grant.instances.is_empty() => None,
        Body::LeaseGrant(grant) => {
            let names: Vec<&str> = grant
                .instances
                .iter()
                .map(|each| each.resource.as_str())
                .collect();
            Some(format!(
                "grant of term {} for request {}: {} for {} us (plan {}.{})",
                grant.term,
                grant.sequence,
                names.join(" "),
                grant.length_us,
                grant.plan.term,
                grant.plan.generation
            ))
        }
        Body::Consensus(inner) => (!inner.entries.is_empty()
            || inner.snapshot.is_some()
            || inner.log_term > 0)
            .then(|| {
                format!(
                    "consensus kind {} term {} index {} entries {} commit {}{}",
                    inner.kind,
                    inner.term,
                    inner.index,
                    inner.entries.len(),
                    inner.commit,
                    if inner.reject { " reject" } else { "" }
                )
            }),
        Body::Report(report) => Some(format!("report {}", String::from_utf8_lossy(&report.json))),
        Body::PairConsensus(outer) => {
            let inner = Message {
                body: Some(Body::Consensus(outer.inner.clone())),
                ..message.clone()
            };
            let text = describe_message(&inner)?;
            Some(format!("in generation {}: {text}", outer.generation))
        }
        Body::PairWord(word) => Some(format!(
            "word {} answers {}: {}",
            word.number,
            word.heard,
            String::from_utf8_lossy(&word.json)
        )),
        Body::Forward(_)
        | Body::Answer(_)
        | Body::MemoryQuery(_)
        | Body::MemoryAnswer(_)
        | Body::Members(_)
        | Body::Query(_)
        | Body::QueryAnswer(_)
        | Body::AuthorityKey(_)
        | Body::Rejoin(_) => Some(format!("{:?}", message.body)),
    }
}

/// An event, for people.
pub(super) fn describe_event(timeline: &mut Timeline, time: u64, who: &NodeId, event: &Event) {
    let text = match event {
        Event::Timer | Event::Persisted { .. } => return,
        Event::Message { from, message, .. } => match describe_message(message) {
            Some(text) => format!("<- {from}: {text}"),
            None => return,
        },
        other => format!("<- {other:?}"),
    };
    timeline.write(time, who.as_str(), &text);
}
