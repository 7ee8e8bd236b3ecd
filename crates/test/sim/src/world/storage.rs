//! Durable writes: queued, written in order, confirmed after the fsync, refused by an ailing disk.

use super::{Happening, World};
use crate::{coverage::Case, disk::Ailment};
use standfast_model::{effect::Batch, event::Event, time::Micros};

impl World {
    /// Notes what an agent is about to write: its own idea of its disk from here on.
    pub(super) fn issue(&mut self, number: usize, batch: &Batch) {
        let node = &mut self.nodes[number];
        let issued = &node.disk.issued;
        if let Some(first) = batch.entries.first()
            && issued
                .entry(first.index)
                .is_some_and(|old| old.term != first.term)
        {
            self.coverage.hit(Case::EntryReplaced);
        }
        if batch
            .promise
            .is_some_and(|promise| promise > issued.promise)
        {
            self.coverage.hit(Case::PromiseRaised);
        }
        if batch
            .snapshot
            .as_ref()
            .is_some_and(|snapshot| issued.last_index() < snapshot.index)
        {
            self.coverage.hit(Case::SnapshotInstalled);
        }
        node.disk.issue(batch, self.truth.nodes[number].checked);
    }

    /// Carries out `Effect::Persist`.
    pub(super) fn persist(&mut self, number: usize, batch: Box<Batch>) {
        let node = &mut self.nodes[number];
        node.disk.queue.push_back(batch);
        if node.disk.in_flight == 0 {
            self.begin_write(number);
        }
    }

    fn begin_write(&mut self, number: usize) {
        let disk = &mut self.nodes[number].disk;
        disk.in_flight = disk.queue.len();
        if disk.in_flight == 0 {
            return;
        }
        disk.began = self.time;
        let takes = self.draw_disk.range(disk.fsync.0, disk.fsync.1) + disk.slowdown;
        let epoch = self.nodes[number].epoch;
        self.later(
            takes,
            Happening::Disk {
                node: number,
                epoch,
            },
        );
    }

    /// The fsync has come back.
    pub(super) fn disk_done(&mut self, number: usize, epoch: u64) {
        let node = &mut self.nodes[number];
        if node.epoch != epoch {
            return;
        }
        if !node.is_awake() {
            self.later(
                50_000,
                Happening::Disk {
                    node: number,
                    epoch,
                },
            );
            return;
        }
        let took = Micros(self.time - node.disk.began);
        for position in 0..node.disk.in_flight {
            let Some(batch) = self.nodes[number].disk.queue.pop_front() else {
                break;
            };
            let event = self.write_one(number, position, &batch, took);
            self.later(
                20,
                Happening::ToCore {
                    node: number,
                    epoch,
                    event: Box::new(event),
                },
            );
        }
        self.nodes[number].disk.in_flight = 0;
        self.begin_write(number);
    }

    fn write_one(&mut self, number: usize, position: usize, batch: &Batch, took: Micros) -> Event {
        let sequence = batch.sequence;
        let disk = &mut self.nodes[number].disk;
        let blocked = disk.failed.is_some_and(|failed| failed != sequence);
        let error = match disk.ailment {
            None if !blocked => {
                disk.failed = None;
                disk.write(batch);
                let promise = disk.durable.promise;
                let known = &mut self.truth.nodes[number].promised;
                *known = promise.max(*known);
                return Event::Persisted { sequence, took };
            }
            None | Some(Ailment::Fails) => "input/output error",
            Some(Ailment::Full) => "no space left on device",
        };
        disk.failed.get_or_insert(sequence);
        // The first of a row may have reached the disk all the same.
        if position == 0
            && !blocked
            && disk.ailment == Some(Ailment::Fails)
            && self.draw_disk.chance(300_000)
        {
            disk.write(batch);
        }
        self.coverage.hit(Case::WriteFailed);
        Event::PersistFailed {
            sequence,
            error: error.to_owned(),
        }
    }
}
