//! Records of a disk that contradict themselves are refused, and never a panic.

use super::world::{founded, settings};
use crate::{Consensus, ConsensusError, Settings};
use standfast_model::{
    event::Restored,
    id::MemberId,
    message::{LogEntry, LogSnapshot},
};

fn entry(index: u64, term: u64) -> LogEntry {
    LogEntry {
        index,
        term,
        ..LogEntry::default()
    }
}

fn sound() -> Restored {
    let mut disk = founded(&[1, 2, 3]);
    disk.entries = vec![entry(2, 2), entry(3, 2), entry(4, 3)];
    disk.hard_state.term = 3;
    disk.hard_state.commit = 3;
    disk
}

#[test]
fn sound_records_are_taken() {
    let consensus = Consensus::new(&settings(1, 1), &sound()).unwrap();
    assert_eq!(consensus.last_index(), 4);
    assert_eq!(consensus.commit_index(), 3);
    assert_eq!(consensus.term(), 3);
}

#[test]
fn contradictions_are_refused() {
    let breakages: [fn(&mut Restored); 13] = [
        |disk| disk.hard_state.commit = 5,
        |disk| disk.hard_state.term = 2,
        |disk| disk.hard_state.term = u64::MAX,
        |disk| drop(disk.entries.remove(1)),
        |disk| drop(disk.entries.remove(0)),
        |disk| disk.entries[2].term = 1,
        |disk| disk.entries[1].kind = 7,
        |disk| disk.entries[1].kind = 1,
        |disk| disk.snapshot = None,
        |disk| disk.snapshot.as_mut().unwrap().voters.clear(),
        |disk| disk.snapshot.as_mut().unwrap().learners.push(1),
        |disk| disk.snapshot.as_mut().unwrap().voters.push(0),
        |disk| disk.snapshot = Some(LogSnapshot::default()),
    ];
    for (number, break_it) in breakages.into_iter().enumerate() {
        let mut disk = sound();
        break_it(&mut disk);
        let result = Consensus::new(&settings(1, 1), &disk);
        assert!(
            matches!(result, Err(ConsensusError::Records(_))),
            "breakage {number}: {result:?}"
        );
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let breakages: [fn(&mut Settings); 4] = [
        |settings| settings.member = MemberId(0),
        |settings| settings.heartbeat_ticks = 0,
        |settings| settings.election_min_ticks = settings.heartbeat_ticks,
        |settings| settings.election_max_ticks = settings.election_min_ticks,
    ];
    for break_it in breakages {
        let mut settings = settings(1, 1);
        break_it(&mut settings);
        let result = Consensus::new(&settings, &sound());
        assert!(
            matches!(result, Err(ConsensusError::Settings(_))),
            "{result:?}"
        );
    }
}
