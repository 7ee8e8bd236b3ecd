//! Seeds that failed once, by what they found. Each is run again for ever, with the faults that it had then.

use crate::run::Case;

/// Each seed with what it found.
const FOUND: [(u64, &str); 24] = [
    (
        28,
        "told after its end that something runs, the simulator believed it",
    ),
    (
        215,
        "an entry applied and compacted in one step was missed by the simulator",
    ),
    (
        347,
        "both clocks of a machine jumped within one lease: who waits there waits by nothing",
    ),
    (
        483,
        "a machine that asked twice to join got two numbers and lived by the first",
    ),
    (
        512,
        "a lone voter leads before its vote is on the disk, and tells nobody",
    ),
    (
        842,
        "an extension was decided and not yet carried out when the guard closed: the simulator took it for a lapse",
    ),
    (
        2042,
        "a learner was promoted, which no disk knew as committed when all lost their power: nobody had a majority",
    ),
    (
        3501,
        "a disk was put back as it was when it had been lost: its node took a number for the second time, and then nobody's",
    ),
    (
        3782,
        "a leader that gave something up looked at nothing any more once its promise was on the disk: it stayed down for ever",
    ),
    (
        4436,
        "a configuration from before a join was checked while that was on its way into the log, and threw the newcomer out of the nodes: its disk was lost, and nobody let it in (3251 is the same, and takes fifteen times as long)",
    ),
    (
        6253,
        "a stop had failed, and grants that still named it moved the lease but not the guard",
    ),
    (
        7444,
        "what was removed from the configuration while its agent restarted was known to nobody until its lease ended",
    ),
    (1_000_007, "the same as 2042, after three lost disks"),
    (
        1_000_257,
        "that a machine was fenced was on its way into the log when it had booted again: it was granted what the run before it still held, and then that was released",
    ),
    (
        1_000_140,
        "a device was wired to the executor, which cut its own power, came back, and found its order again",
    ),
    (
        1_000_508,
        "a device took longer than a boot: what it cut was the next run, which was lost and fenced in turn, and so on",
    ),
    (
        1_001_178,
        "a device said off and had cut another machine: the one that it named led before that was known, and could not contradict",
    ),
    (
        1_000_710,
        "one clock had counted more when a lease was granted, then the other one jumped: the guard ended before its holder knew",
    ),
    (
        1_000_022,
        "what was in no group for a while is released by the promise of the plan without it: the simulator asked for more",
    ),
    (
        1_001_960,
        "what had been promised on a disk that was lost since was unknown to the simulator",
    ),
    (
        1_002_156,
        "an agent stood still, and what had waited for it made it believe that it was in step: it began an order that was over",
    ),
    (
        2_000_034,
        "after an election that took longer than the leases, what waits for its turn was given what it had before",
    ),
    (
        2_000_052,
        "a leader slept, and counted on what nodes had said before",
    ),
    (
        3_000_032,
        "after an outage of everything, what waits for its turn started together with what it waits for",
    ),
];

#[test]
fn seeds_that_failed_once_pass() {
    for (seed, found) in FOUND {
        let outcome = Case::of_seed(seed).run();
        assert_eq!(outcome.violation, None, "seed {seed}: {found}");
    }
}

/// The same for runs in which operators act.
const FOUND_WITH_ACTS: [(u64, &str); 1] = [(
    68,
    "two voters shrank to one, which was killed before its disk knew that: it waited for the removed one",
)];

#[test]
fn seeds_with_acts_that_failed_once_pass() {
    for (seed, found) in FOUND_WITH_ACTS {
        let outcome = Case::with_acts(seed).run();
        assert_eq!(outcome.violation, None, "seed {seed}: {found}");
    }
}

/// The same for runs with orders.
const FOUND_WITH_ORDERS: [(u64, &str); 2] = [
    (
        32,
        "a failure came while it was on its way into the log that the ones before it are old enough: it was forgotten with them",
    ),
    (
        40,
        "an operator had failures forgotten, and as many came again: they were as old as the first ones",
    ),
];

#[test]
fn seeds_with_orders_that_failed_once_pass() {
    for (seed, found) in FOUND_WITH_ORDERS {
        let outcome = Case::with_orders(seed).run();
        assert_eq!(outcome.violation, None, "seed {seed}: {found}");
    }
}
