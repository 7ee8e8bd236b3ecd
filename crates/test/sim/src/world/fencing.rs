//! Devices at work: an order takes its time, and then the power of some machine is gone, or not.

use super::{Happening, World, clients::Purpose};
use crate::{
    coverage::Case,
    fault::{Fault, Kind, Target},
    fencing::{Device, Turn},
    node::Machine,
    scenario::Scenario,
};
use standfast_model::{
    event::Event,
    fence::FenceDevice,
    fence_act::{FenceOrder, FenceOutcome, FenceResult},
    id::{DeviceId, NodeId},
    request::Request,
    time::Micros,
};

const MS: u64 = 1_000;
const SECOND: u64 = 1_000_000;
/// An order may be on its way to whoever carries it out for so long after it is over.
const ON_ITS_WAY: u64 = 5 * SECOND;
/// An agent has met the others when it has run for so long (two minutes, less what its clocks may be wrong).
const MEETS: u64 = 118 * SECOND;

impl World {
    /// Operators who are going to fence.
    pub(super) fn plan_fences(&mut self) {
        let asks = self.scenario.devices.asks.clone();
        for (at, node) in asks {
            self.push(at, Happening::AskFence(node));
        }
    }

    pub(super) fn ask_fence(&mut self, target: usize) {
        let request = Request::Fence {
            node: Scenario::node_name(target),
            power_on: true,
            force: self.draw_fencing.chance(300_000),
            author: "operator".to_owned(),
        };
        let someone = self.draw_fencing.index(self.nodes.len());
        self.ask_someone(someone, Purpose::Ordinary, request);
    }

    /// Devices let a node in that has joined, after a moment.
    pub(super) fn unfence(&mut self, number: usize, devices: Vec<(DeviceId, FenceDevice)>) {
        let event = Event::Unfenced(devices.into_iter().map(|(id, _)| id).collect());
        let delay = self.draw_fencing.spread(100 * MS, 3 * SECOND);
        let epoch = self.nodes[number].epoch;
        let event = Box::new(event);
        self.later(
            delay,
            Happening::ToCore {
                node: number,
                epoch,
                event,
            },
        );
    }

    /// An agent begins to carry an order out.
    pub(super) fn fence(&mut self, number: usize, order: FenceOrder) {
        if self.fenced_wrongly(number, &order) {
            return;
        }
        let key = (order.id, order.turn);
        let executors = self.fenced.executors.entry(key).or_default();
        executors.insert(number);
        if executors.len() > 1 {
            let text = format!(
                "order {}.{} to fence {} is carried out by several nodes",
                key.0, key.1, order.node
            );
            self.broken(19, text);
            return;
        }
        let slow = order
            .devices
            .iter()
            .any(|(id, _)| self.behaviour(id) == Device::Slow);
        let delay = if slow {
            self.draw_fencing.spread(3 * SECOND, 9 * SECOND)
        } else {
            self.draw_fencing.spread(100 * MS, 3 * SECOND)
        };
        let epoch = self.nodes[number].epoch;
        let order = Box::new(order);
        self.later(
            delay,
            Happening::Fence {
                node: number,
                epoch,
                order,
            },
        );
    }

    /// Whether an order is one that the cluster must not give by itself.
    fn fenced_wrongly(&mut self, number: usize, order: &FenceOrder) -> bool {
        let (Some(target), Some(core)) = (self.number_of(&order.node), &self.nodes[number].core)
        else {
            return false;
        };
        let state = core.inspect().state;
        let back = state
            .nodes
            .get(&order.node)
            .is_some_and(|known| known.online);
        let act = state.fences.iter().find(|act| act.id == order.id);
        // What was called off did nothing to that run.
        let called_off = state.fences.iter();
        let called_off = called_off.filter(|act| act.outcome == FenceOutcome::CalledOff);
        let called_off: Vec<u64> = called_off.map(|act| act.id).collect();
        let run = act.filter(|act| act.by == "the cluster");
        let run = run.map(|act| act.incarnation);
        if order.lost && back {
            let text = format!(
                "{} is fenced because it was lost, and n{} knows that it is back",
                order.node,
                number + 1
            );
            self.broken(19, text);
            return true;
        }
        if order.lost {
            self.hit(Case::FenceLost);
        }
        let Some(run) = run else { return false };
        let known = self.fenced.by_cluster.get(&(target, run)).copied();
        let first = known.filter(|id| !called_off.contains(id));
        let first = first.unwrap_or(order.id);
        self.fenced.by_cluster.insert((target, run), first);
        if first != order.id {
            let text = format!(
                "{} is fenced by the cluster once more, and has not been back since act {first}",
                order.node
            );
            self.broken(19, text);
            return true;
        }
        false
    }

    /// What a core gives as an order may not have been over for long: whoever has just started, or stood still, does not
    /// carry out what it finds.
    pub(super) fn judge_order(&mut self, number: usize, order: &FenceOrder) {
        let turn = self.fenced.turns.get(&order.id).copied();
        let over = |turn: &Turn| turn.number.is_none_or(|now| now > order.turn);
        let Some(turn) = turn.filter(over) else {
            return;
        };
        let since = self.time - turn.since;
        if since > ON_ITS_WAY {
            let text = format!(
                "n{} begins order {}.{} to fence {}, which has been over for {} ms",
                number + 1,
                order.id,
                order.turn,
                order.node,
                since / MS
            );
            self.broken(19, text);
        }
    }

    pub(super) fn has_devices(&self) -> bool {
        !self.scenario.devices.behave.is_empty()
    }

    /// Whom a run of an agent has met.
    pub(super) fn meets(&mut self, number: usize, event: &Event) {
        let from = match event {
            Event::Link { peer, up: true, .. } => peer,
            Event::Message { from, .. } => from,
            _ => return,
        };
        if let Some(peer) = self.number_of(from) {
            *self.fenced.met.entry(number).or_default() |= 1 << (peer % 128);
        }
    }

    /// What the newest state of all says of acts.
    pub(crate) fn look_at_acts(&mut self, number: usize) {
        let Some(core) = &self.nodes[number].core else {
            return;
        };
        let seen = core.inspect();
        if seen.state.fences.is_empty() || seen.state.applied <= self.fenced.newest {
            return;
        }
        self.fenced.newest = seen.state.applied;
        let leads = seen.leads;
        let mut begun = Vec::new();
        for act in &seen.state.fences {
            let turn = Turn {
                number: act.is_under_way().then_some(act.turn),
                since: self.time,
            };
            match self.fenced.turns.get_mut(&act.id) {
                Some(known) if known.number == turn.number => {}
                Some(known) => *known = turn,
                None => {
                    self.fenced.turns.insert(act.id, turn);
                    if act.lost {
                        begun.push((act.id, act.node.clone()));
                    }
                }
            }
        }
        for (id, node) in begun {
            self.fenced_unmet(number, leads, id, &node);
        }
    }

    /// A machine that has just started fences nobody for being lost whom it has not met since: after a power failure of
    /// all, one may need minutes longer than the others.
    fn fenced_unmet(&mut self, number: usize, leads: Option<u64>, id: u64, lost: &NodeId) {
        let node = &self.nodes[number];
        let proposed_in = node.disk.known(id).map(|entry| entry.term);
        let jumped = node.jumped.is_some_and(|(at, _)| at >= node.started);
        let ran = self.time - node.started;
        if leads.is_none() || proposed_in != leads || jumped || ran > MEETS {
            return;
        }
        let target = self.number_of(lost).unwrap_or_default();
        let met = self.fenced.met.get(&number).copied().unwrap_or_default();
        if met >> (target % 128) & 1 == 0 {
            let text = format!(
                "{lost} is fenced as lost by n{}, whose agent started {} ms ago and has not met it since",
                number + 1,
                ran / MS
            );
            self.broken(19, text);
        }
    }

    fn behaviour(&self, id: &DeviceId) -> Device {
        let devices = &self.scenario.devices.behave;
        devices.get(id).copied().unwrap_or(Device::Fails)
    }

    /// The devices act, whether or not the agent that asked them still lives; and answer it if it does.
    pub(super) fn fence_now(&mut self, number: usize, epoch: u64, order: &FenceOrder) {
        let Some(target) = self.number_of(&order.node) else {
            return;
        };
        let mut problem = String::new();
        for (id, _) in &order.devices {
            let behaviour = self.behaviour(id);
            let victim = match behaviour {
                Device::Works | Device::Slow => Some(target),
                Device::WrongMachine => Some((target + 1) % self.scenario.founders),
                Device::Fails | Device::Lies => None,
            };
            self.hit(match behaviour {
                Device::Works => Case::DeviceWorks,
                Device::Fails => Case::DeviceFails,
                Device::Slow => Case::DeviceSlow,
                Device::Lies => Case::DeviceLies,
                Device::WrongMachine => Case::DeviceCutsAnother,
            });
            self.note("DEVICE", || {
                format!("{id} ({behaviour:?}) for n{}", target + 1)
            });
            let fails =
                behaviour == Device::Fails || victim.is_some_and(|victim| !self.cut_power(victim));
            if fails {
                problem = format!("{id} does not answer");
                break;
            }
        }
        if problem.is_empty() && self.nodes[target].machine != Machine::Off {
            self.hit(Case::FenceLied);
            self.fenced.lied.insert(target, self.time);
        }
        if self.nodes[number].epoch != epoch {
            return;
        }
        let result = FenceResult {
            id: order.id,
            turn: order.turn,
            problem,
            note: String::new(),
            took: Micros(SECOND),
        };
        self.deliver(number, Event::Fenced(result));
    }

    /// Whether a device has said of a machine that it is off, although it was not, since then.
    pub(crate) fn was_lied_about(&self, target: usize, since: u64) -> bool {
        let lied = self.fenced.lied.get(&target);
        lied.is_some_and(|at| *at >= since)
    }

    /// False: that would be more than what the design claims to survive; the device does not answer then.
    fn cut_power(&mut self, victim: usize) -> bool {
        let down = self.draw_fencing.spread(500 * MS, 10 * SECOND);
        let fault = Fault {
            at: self.time,
            duration: down,
            target: Target::Node(victim),
            kind: Kind::PowerLoss,
        };
        if !self.is_allowed(&fault, victim) {
            return false;
        }
        self.power_off(victim, Some(down));
        true
    }
}
