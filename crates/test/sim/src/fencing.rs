//! Fencing in a run: devices that work, fail, are slow, lie or act on the wrong machine, and operators who use them.
//! Seeds from a million on have devices, and so have the runs of planted bugs that are about fencing. There the cluster fences
//! lost nodes by itself, and some resources need it. Everything from a stream of random numbers of its own.

use crate::{
    constraints::SEEDS_WITH_CONSTRAINTS,
    rng::{Rng, Stream},
    scenario::Scenario,
};
use standfast_model::{
    fence::FenceDevice,
    id::{DeviceId, Incarnation},
    planted::Planted,
    time::Micros,
};
use std::collections::{BTreeMap, BTreeSet};

const SECOND: u64 = 1_000_000;

/// What a device does when it is told to cut the power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    /// It cuts it, and says so.
    Works,
    /// It says that it could not.
    Fails,
    /// It cuts it after a long time.
    Slow,
    /// It says that it did, and did not.
    Lies,
    /// It cuts the next machine's, and says that it did.
    WrongMachine,
}

/// The devices of a run, and when operators fence which machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Devices {
    pub(crate) behave: BTreeMap<DeviceId, Device>,
    /// Time and machine.
    pub(crate) asks: Vec<(u64, usize)>,
}

/// How far an act of fencing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// The number of the order under way; none when the act is over.
    pub(crate) number: Option<u32>,
    /// True time.
    pub(crate) since: u64,
}

/// What really happened.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    /// Who carried each order out, by act and turn.
    pub(crate) executors: BTreeMap<(u64, u32), BTreeSet<usize>>,
    /// The act with which the cluster by itself fenced each run of each machine.
    pub(crate) by_cluster: BTreeMap<(usize, Incarnation), u64>,
    /// Of each act the turn that is under way, or that it is over, and since when: as the newest state of all says.
    pub(crate) turns: BTreeMap<u64, Turn>,
    /// The index of that state.
    pub(crate) newest: u64,
    /// Whom the present run of each agent has met, one bit each.
    pub(crate) met: BTreeMap<usize, u128>,
    /// Machines of which a device said "off" that had power then, with the time.
    pub(crate) lied: BTreeMap<usize, u64>,
}

/// Whether a planted bug is about fencing: its runs all have devices.
pub(crate) const fn is_about(planted: Planted) -> bool {
    matches!(
        planted,
        Planted::FailedFenceReleases
            | Planted::FenceNeverVoid
            | Planted::EverybodyFences
            | Planted::FencedThoughBack
            | Planted::FencedAgain
            | Planted::ExpiredIsEnough
            | Planted::FenceAssumed
            | Planted::OldOrderAgain
            | Planted::FencedUnmet
    )
}

/// Seeds from here on have devices in every run, up to those with constraints; those below have none.
pub(crate) const SEEDS_WITH_DEVICES: u64 = 1_000_000;

/// Gives a run of three nodes or more devices, if its seed is one of those, or `always`.
pub(crate) fn add(scenario: &mut Scenario, always: bool) {
    let seeds = SEEDS_WITH_DEVICES..SEEDS_WITH_CONSTRAINTS;
    if scenario.founders < 3 || !(always || seeds.contains(&scenario.seed)) {
        return;
    }
    let mut rng = Rng::new(scenario.seed, Stream::Fencing);
    let mut devices = Devices::default();
    for number in 1..=rng.range(1, 2) {
        let behaviour = rng.weighted(&[
            (Device::Works, 4),
            (Device::Fails, 4),
            (Device::Slow, 1),
            (Device::Lies, 2),
            (Device::WrongMachine, 1),
        ]);
        let id = DeviceId::from(format!("d{number}"));
        let nodes = (0..scenario.nodes).map(|node| (Scenario::node_name(node), None));
        let device = FenceDevice {
            agent: "fence_sim".to_owned(),
            parameters: BTreeMap::new(),
            secret_parameters: BTreeMap::new(),
            nodes: nodes.collect(),
            timeout: Micros(10 * SECOND),
            retries: 0,
            // Something may come back meanwhile.
            delay: if rng.chance(500_000) {
                Micros(rng.below(3 * SECOND))
            } else {
                Micros::ZERO
            },
            monitor: Micros(60 * SECOND),
        };
        devices
            .behave
            .insert(id.clone(), behaviour.unwrap_or(Device::Works));
        scenario.config.fencing.devices.insert(id, device);
    }
    let fencing = &mut scenario.config.fencing;
    fencing.manual = rng.chance(200_000);
    fencing.lost_after = Some(Micros(rng.spread(SECOND / 10, 20 * SECOND)));
    for resource in scenario.config.resources.values_mut() {
        resource.needs_fencing = rng.chance(300_000);
    }
    // Everything about them is over before the run is to settle.
    let span = scenario.quiet_from.saturating_sub(150 * SECOND);
    for _ in 0..rng.range(2, 6) {
        let at = 10 * SECOND + rng.below(span);
        devices.asks.push((at, rng.index(scenario.founders)));
        // Several at once.
        if rng.chance(300_000) {
            let node = devices.asks.last().map_or(0, |(_, node)| *node);
            devices.asks.push((at + rng.below(SECOND), node));
        }
    }
    scenario.devices = devices;
}
