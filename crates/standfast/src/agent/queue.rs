//! The one queue of the agent's loop. Many threads put inputs in, the loop takes them out.
//!
//! Not a channel of the standard library, which wakes its receiver up while it holds the lock that the
//! receiver needs next: two wake-ups for each message, of a thread that wakes up all the time.

use super::input::Input;
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A handle on the queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    inputs: Mutex<VecDeque<Input>>,
    filled: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Input>> {
        // Nothing panics while it holds the lock; if something did, the queue would still be whole.
        self.0.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an input in. Never blocks for long.
    pub(crate) fn send(&self, input: Input) {
        let mut inputs = self.lock();
        let was_empty = inputs.is_empty();
        inputs.push_back(input);
        drop(inputs);
        // Only the loop takes inputs out, and it sleeps only on an empty queue.
        if was_empty {
            self.0.filled.notify_one();
        }
    }

    /// Takes the next input out, waiting for one at most so long. For the loop only.
    pub(crate) fn next(&self, patience: Duration) -> Option<Input> {
        let (mut inputs, _) = self
            .0
            .filled
            .wait_timeout_while(self.lock(), patience, |inputs| inputs.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        inputs.pop_front()
    }

    /// Whether the loop would have to wait.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_model::event::Event;
    use std::{thread, time::Instant};

    fn notice(number: u32) -> Input {
        Input::Event(Event::Notice {
            topic: number.to_string(),
            text: String::new(),
        })
    }

    #[test]
    fn inputs_of_several_threads_all_arrive_and_those_of_one_in_order() {
        let queue = Queue::default();
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let queue = queue.clone();
                thread::spawn(move || {
                    for number in 0..1000 {
                        queue.send(notice(sender * 1000 + number));
                    }
                })
            })
            .collect();
        let mut next = [0, 1000, 2000, 3000];
        for _ in 0..4000 {
            let Some(Input::Event(Event::Notice { topic, .. })) =
                queue.next(Duration::from_secs(10))
            else {
                panic!("an input was lost: {next:?}");
            };
            let number: u32 = topic.parse().unwrap();
            let expected = &mut next[usize::try_from(number / 1000).unwrap()];
            assert_eq!(number, *expected);
            *expected += 1;
        }
        assert!(queue.is_empty());
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
    }

    #[test]
    fn an_empty_queue_is_waited_for_no_longer_than_asked() {
        let began = Instant::now();
        assert!(Queue::default().next(Duration::from_millis(20)).is_none());
        assert!(began.elapsed() >= Duration::from_millis(20));
    }
}
