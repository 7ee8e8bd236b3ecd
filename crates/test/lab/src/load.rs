//! Busy processes on all cores, shared by all trials that want them at the same time. Not for anything that systems do.

use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{LabError, Result};

/// The busy processes of this run, if any trial wants them just now.
#[derive(Debug, Clone, Default)]
pub struct Load(Arc<Mutex<Busy>>);

#[derive(Debug, Default)]
struct Busy {
    users: usize,
    spinners: Vec<Child>,
}

/// One trial's wish for busy cores; the last one that ends, ends them.
#[derive(Debug)]
pub struct Wish(Load);

impl Load {
    /// Keeps all cores busy, with twice as many processes of ordinary priority. `program` is the laboratory's own.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn wish(&self, program: &Path) -> Result<Wish> {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let mut busy = self.busy();
        busy.users += 1;
        // From here on an early return ends what was started.
        let wish = Wish(self.clone());
        while busy.spinners.len() < 2 * cores {
            let started = Command::new(program).arg("spin").spawn();
            match started {
                Ok(spinner) => busy.spinners.push(spinner),
                Err(error) => {
                    drop(busy);
                    return Err(LabError::system("start a busy process", error));
                }
            }
        }
        drop(busy);
        Ok(wish)
    }

    fn busy(&self) -> MutexGuard<'_, Busy> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        let mut busy = self.0.busy();
        busy.users = busy.users.saturating_sub(1);
        if busy.users > 0 {
            return;
        }
        for mut spinner in busy.spinners.drain(..) {
            drop(spinner.kill());
            drop(spinner.wait());
        }
    }
}
