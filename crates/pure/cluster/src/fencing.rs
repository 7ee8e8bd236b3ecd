//! Fence devices: which of them this node could use.
//!
//! Not for carrying out anything: an edge does that.

use crate::core::Core;
use standfast_model::{fence::FenceDevice, id::DeviceId};

impl Core {
    /// Devices with which this node could fence another one. None while fencing is switched off, or the cluster only
    /// observes.
    pub(crate) fn fence_devices(&self) -> Vec<(DeviceId, FenceDevice)> {
        let config = &self.state.config;
        if config.fencing.off || config.observes() {
            return Vec::new();
        }
        let devices = config.fencing.devices.iter();
        devices
            .filter(|(_, device)| device.nodes.keys().any(|node| *node != self.node))
            .map(|(id, device)| (id.clone(), device.clone()))
            .collect()
    }
}
