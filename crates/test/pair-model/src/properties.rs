//! What always has to hold, whatever happens.

use crate::{
    actions,
    bounds::Bounds,
    heal,
    world::{Action, World},
};
use standfast_model::pair::Arbiter;
use standfast_pair::{Pair, Role};
use stateright::{Model, Property};

/// A pair within bounds, as the checker takes it.
#[derive(Clone, Copy, Debug)]
pub struct PairModel {
    /// How far it goes.
    pub bounds: Bounds,
}

impl PairModel {
    /// Nothing can be promised about it: both reach ping targets and not each other, or a device lies.
    const fn may_have_two(&self) -> bool {
        self.bounds.split || self.bounds.lies
    }
}

impl Model for PairModel {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.bounds)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions::possible(world, &self.bounds, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        actions::carry_out(&mut next, &self.bounds, action);
        (next != *world).then_some(next)
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.machines.iter().all(|machine| {
            let last = machine
                .disk
                .record
                .history
                .as_ref()
                .and_then(|history| history.last());
            let asks = machine
                .agent
                .as_ref()
                .map(Pair::role)
                .and_then(|role| match role {
                    Role::Waiting { ask } => ask,
                    _ => None,
                });
            let meetings = machine.agent.as_ref().map_or(0, Pair::meetings);
            meetings <= self.bounds.meetings
                && last.is_none_or(|last| last.number <= self.bounds.generations)
                && asks.is_none_or(|ask| ask <= self.bounds.asks)
        })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = all_properties();
        all.retain(|property| self.bounds.only.is_none_or(|only| only == property.name));
        all
    }
}

fn all_properties() -> Vec<Property<PairModel>> {
    vec![
        Property::always("never two primaries", |model: &PairModel, world: &World| {
            model.may_have_two() || !two_primaries(world)
        }),
        Property::always(
            "whoever leads has everything confirmed",
            |model: &PairModel, world: &World| model.may_have_two() || leaders_have_all(world),
        ),
        Property::always("nothing confirmed vanishes", |_, world| {
            nothing_vanished(world)
        }),
        Property::always("no rule of a step is broken", |_, world: &World| {
            world.broken.is_none()
        }),
        Property::always("an unknown copy never leads", |_, world| {
            unknown_never_leads(world)
        }),
        Property::always(
            "comes back once faults stop",
            |model: &PairModel, world: &World| {
                !model.bounds.heals || heal::heals(world, &model.bounds)
            },
        ),
        Property::sometimes(
            "somebody goes on alone",
            |model: &PairModel, world: &World| {
                world
                    .machines
                    .iter()
                    .any(|machine| is_alone(machine.agent.as_ref()))
                    || !model.bounds.begins_in_sync
                    || model.bounds.left.power + model.bounds.left.fences == 0
            },
        ),
        Property::sometimes(
            "a write is confirmed",
            |model: &PairModel, world: &World| {
                !world.safe.is_empty() || model.bounds.left.writes == 0
            },
        ),
        Property::sometimes(
            "two primaries, where nothing can be promised",
            |model: &PairModel, world: &World| {
                two_primaries(world)
                    || !(model.bounds.split && model.bounds.arbiter == Arbiter::Ping)
            },
        ),
    ]
}

fn two_primaries(world: &World) -> bool {
    let acts = |side: usize| {
        let machine = &world.machines[side];
        machine.running || machine.agent.as_ref().is_some_and(Pair::acts)
    };
    acts(0) && acts(1)
}

fn leaders_have_all(world: &World) -> bool {
    world.machines.iter().all(|machine| {
        let acts = machine.agent.as_ref().is_some_and(Pair::acts);
        !acts
            || world
                .safe
                .iter()
                .all(|write| machine.disk.copy.contains(write))
    })
}

fn nothing_vanished(world: &World) -> bool {
    let on_a_disk = |write: &u8| {
        world
            .machines
            .iter()
            .any(|machine| machine.disk.copy.contains(write))
    };
    world.safe.iter().chain(&world.kept).all(on_a_disk)
}

fn unknown_never_leads(world: &World) -> bool {
    world.machines.iter().all(|machine| {
        let acts = machine.agent.as_ref().is_some_and(Pair::acts);
        !acts || machine.disk.record.history.is_some()
    })
}

fn is_alone(agent: Option<&Pair>) -> bool {
    use standfast_pair::Confirms;
    let role = agent.map(Pair::role);
    matches!(
        role,
        Some(Role::Primary {
            confirms: Confirms::Alone,
            ..
        })
    )
}
