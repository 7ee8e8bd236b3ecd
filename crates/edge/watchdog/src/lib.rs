//! The hardware watchdog: a timer outside the processor that resets the machine unless somebody feeds it.
//!
//! - [`Feeder`]: a thread that has the device open and feeds it as long as it was last allowed to.
//! - [`Device`]: the device itself, by the ioctls of the kernel's `watchdog-api` document.
//!
//! Not here: until when it may be fed, and whether it may be stopped (the core). Whoever dies, hangs or is stopped feeds
//! nothing, and the machine is reset. A closed descriptor goes on counting, so that a restarted agent has the rest of the
//! time to open it again; only [`Feeder::stop`] stops it.

mod device;
mod feeder;

pub use device::{Device, Found, WatchdogError};
pub use feeder::{Feeder, Settings};
