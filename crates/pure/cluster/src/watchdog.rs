//! Until when a hardware watchdog may be fed: while this agent is well, and while nothing exclusive may outlive its lease
//! here. Whatever cannot be stopped is then ended by the reset of its machine.
//!
//! Asked after every step, before what the step wants is carried out: nothing is started under a longer permission than
//! its lease. Not for feeding (the edge), and nobody's waiting becomes shorter by it: the others go on waiting for the
//! ends of leases.

use crate::core::Core;
use standfast_model::{
    planted::Planted,
    time::{Micros, Now},
};

/// A permission is given anew with every step, and a step comes at least every second. A loop that has stood still for
/// longer is not well.
const WELL: Micros = Micros::from_millis(3000);

/// What holds for the watchdog until it is asked about again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feeding {
    /// It may be fed until then: a reading of `CLOCK_BOOTTIME`, microseconds; zero for not at all.
    pub until_boot: u64,
    /// Nothing exclusive may be running here: an agent that ends now may stop the watchdog.
    pub idle: bool,
}

impl Core {
    /// Whether and until when this machine's watchdog may be fed, if it has one.
    #[must_use]
    pub fn feeding(&self, now: Now) -> Feeding {
        let instances = self.locals.iter();
        let leases = instances.filter(|(_, local)| local.phase.may_run());
        let left = leases.map(|(resource, local)| {
            if self.planted(Planted::FedOn) {
                Micros::MAX
            } else {
                self.holder.left(resource, local.since, now)
            }
        });
        // A state that is older than what this node has promised may not name all that it has started.
        let learned = self.holder.learned && self.state.plan.number >= self.promise_wanted;
        decide_feeding(now, learned, left)
    }
}

/// `left`: what is left of the lease of each instance that may be running here. `learned`: they are all known.
fn decide_feeding(now: Now, learned: bool, left: impl Iterator<Item = Micros>) -> Feeding {
    let shortest = left.min();
    let length = match shortest {
        _ if !learned => Micros::ZERO,
        None => WELL,
        Some(left) => left.min(WELL),
    };
    Feeding {
        until_boot: match length {
            Micros::ZERO => 0,
            length => now.boot.saturating_add(length.0),
        },
        idle: learned && shortest.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now {
        boot: 1_000_000_000,
        raw: 900_000_000,
    };

    fn decided(learned: bool, left_ms: &[u64]) -> (Option<u64>, bool) {
        let left = left_ms.iter().map(|ms| Micros::from_millis(*ms));
        let feeding = decide_feeding(NOW, learned, left);
        let length = feeding.until_boot.checked_sub(NOW.boot);
        (length.map(|length| length / 1000), feeding.idle)
    }

    #[test]
    fn a_machine_that_runs_nothing_is_fed_while_its_agent_is_well() {
        assert_eq!(decided(true, &[]), (Some(3000), true));
    }

    #[test]
    fn what_runs_is_not_outlived_by_the_permission() {
        assert_eq!(decided(true, &[800]), (Some(800), false));
        assert_eq!(decided(true, &[800, 250, 700]), (Some(250), false));
        assert_eq!(decided(true, &[20_000]), (Some(3000), false));
    }

    #[test]
    fn what_is_not_confirmed_to_have_ended_with_its_lease_is_not_fed_for() {
        assert_eq!(decided(true, &[0]), (None, false));
        assert_eq!(decided(true, &[800, 0]), (None, false));
    }

    #[test]
    fn an_agent_that_does_not_know_yet_what_runs_feeds_nothing_and_stops_nothing() {
        assert_eq!(decided(false, &[]), (None, false));
        assert_eq!(decided(false, &[800]), (None, false));
    }
}
