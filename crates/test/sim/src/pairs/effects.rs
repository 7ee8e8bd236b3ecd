//! What a core wants, carried out: messages, writes, starts and stops, answers to operators.

use super::{
    cases::Case,
    faults::{MS, SECOND},
    machine::Unit,
    world::{Happening, World},
};
use standfast_model::{
    effect::{Class, Effect, Level},
    event::{Event, InstanceChange},
    id::ResourceId,
    message::Message,
    request::Response,
};

/// A stream sends again what was lost after this time, and after twice that if it is lost again.
const SENT_AGAIN: u64 = 200 * MS;

impl World {
    pub(crate) fn step(&mut self, number: usize, event: Event) {
        let now = self.machines[number].now(self.time);
        if self.most_lines > 0
            && let Event::Message { message, .. } = &event
            && let Some(text) = crate::world::describe_message(message)
        {
            self.note(number, || format!("<- {text}"));
        }
        let Some(core) = &mut self.machines[number].core else {
            return;
        };
        let effects = core.step(now, event);
        self.after(number, effects);
    }

    pub(super) fn after(&mut self, number: usize, effects: Vec<Effect>) {
        // An agent that may end does so once the rest is carried out: nothing is written for one that has ended.
        let ends = |effect: &Effect| matches!(effect, Effect::RestartReady { .. });
        let ends = effects.iter().any(ends);
        for effect in effects {
            self.carry_out(number, effect);
        }
        if ends {
            let back = self.rng.spread(50 * MS, 2 * SECOND);
            self.kill(number, back);
        }
        let machine = &self.machines[number];
        self.wakes[number] = machine.core.as_ref().map_or(u64::MAX, |core| {
            let wait = core.next_wakeup(machine.now(self.time)).0;
            self.time.saturating_add(wait.max(1))
        });
    }

    fn carry_out(&mut self, number: usize, effect: Effect) {
        match effect {
            Effect::Send { class, message, .. } => self.send(number, class, message),
            Effect::Persist(batch) => {
                let disk = &mut self.machines[number].disk;
                disk.issue(&batch, 0);
                disk.queue.push_back(batch);
                if disk.in_flight == 0 {
                    self.begin_write(number);
                }
            }
            Effect::Start(start) => {
                let unit = Unit {
                    since: start.since,
                    deadline: start.deadline,
                };
                self.starts(number, start.resource, unit);
            }
            Effect::Stop { resource, .. } => {
                let delay = self.rng.range(MS, 30 * MS);
                self.driver_says(number, delay, resource, InstanceChange::Stopped);
            }
            Effect::Extend { resource, deadline } => {
                if let Some(unit) = self.machines[number].units.get_mut(&resource) {
                    unit.deadline = deadline;
                }
            }
            Effect::Probe { resource, .. } => {
                let unit = self.machines[number].units.get(&resource);
                let change = unit.map_or(InstanceChange::Stopped, |unit| InstanceChange::Adopted {
                    since: unit.since,
                    deadline: unit.deadline,
                });
                self.driver_says(number, 2 * MS, resource, change);
            }
            Effect::Fence(order) => self.fence(number, order),
            Effect::Ping(order) => self.ping(number, &order),
            Effect::Reply(reply) => self.answered(reply.id, &reply.response),
            Effect::Log { level, text } => {
                if level != Level::Debug {
                    self.note(number, || text);
                }
            }
            Effect::Unfit { text } => self.violate(18, text),
            Effect::RestartReady { .. }
            | Effect::Left { .. }
            | Effect::Repair { .. }
            | Effect::Reconfigure { .. }
            | Effect::Keys(_)
            | Effect::Authorities(_)
            | Effect::KeepFile(_)
            | Effect::GuardAddresses(_)
            | Effect::Peers(_)
            | Effect::WatchNetworks(_)
            | Effect::WatchFences(_)
            | Effect::Unfence(_) => {}
        }
    }

    fn answered(&mut self, id: u64, response: &Response) {
        if let (true, Response::Done { index }) = (self.changes.remove(&id), response) {
            self.hit(Case::Confirmed);
            self.confirmed.note(*index, format!("c{id}"));
        }
    }

    fn starts(&mut self, number: usize, resource: ResourceId, unit: Unit) {
        let other = &self.machines[1 - number];
        let late = unit.deadline <= self.machines[number].boot.read(self.time);
        if other.on && other.units.contains_key(&resource) && !late {
            let text = format!(
                "{resource} starts on n{} and runs on the other one",
                number + 1
            );
            self.violate(1, text);
        }
        if late {
            return self.driver_says(number, MS, resource, InstanceChange::LeaseEnded);
        }
        if self.last_ran.is_some_and(|last| last != number) {
            self.hit(Case::Moved);
        }
        self.last_ran = Some(number);
        if !self.may_act(number) {
            let text = format!("{resource} starts on n{}, which is no primary", number + 1);
            self.violate(21, text);
        }
        self.machines[number].units.insert(resource.clone(), unit);
        let delay = self.rng.range(5 * MS, 100 * MS);
        self.driver_says(number, delay, resource, InstanceChange::Started);
    }

    fn send(&mut self, from: usize, class: Class, message: Box<Message>) {
        let to = 1 - from;
        let datagram = class == Class::Datagram;
        let lost = datagram && self.rng.below(1000) < self.loss;
        if lost || self.cuts > 0 || self.mutes[from] > 0 || !self.machines[to].on {
            return;
        }
        let mut delay = self.rng.range(80, 900);
        if !datagram {
            let mut again = SENT_AGAIN;
            while again < 4 * SENT_AGAIN && self.rng.below(1000) < self.loss {
                delay += again;
                again *= 2;
            }
            let first = self.streams[to].max(self.stalled) + 1;
            let at = (self.time + delay).max(first);
            self.streams[to] = at;
            delay = at - self.time;
        }
        let boots = self.machines[to].boots;
        self.later(delay, Happening::Arrive(to, boots, message));
    }

    /// Both are told of their link.
    pub(super) fn link(&mut self, up: bool) {
        for number in 0..2 {
            let peer = self.machines[1 - number].name.clone();
            self.step(number, Event::Link { peer, link: 0, up });
        }
    }
}
