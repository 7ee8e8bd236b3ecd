//! Devices that keep out whom they have fenced (a switch port, a reservation on a disk): each is asked to let this node in, when the agent
//! starts and when the device changes, again and again until it has. Devices that only switch power need nothing.
//!
//! Not for what waits for it: the core starts nothing meanwhile that needs fencing.

use super::{input::Input, queue::Queue};
use standfast_model::{
    event::Event,
    fence::FenceDevice,
    id::{DeviceId, NodeId},
};
use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

/// Locked with the rest of the agent's memory, hence small.
const STACK_BYTES: usize = 512 * 1024;
/// Between two questions to a device that does not let this node in.
const AGAIN: Duration = Duration::from_secs(10);
/// When all have, it sleeps until there are others.
const IDLE: Duration = Duration::from_secs(3600);

type Devices = Vec<(DeviceId, FenceDevice)>;

/// The handle. Dropped, its thread ends once no agent of a device is under way.
#[derive(Debug)]
pub(crate) struct Unfencing {
    devices: Sender<Devices>,
}

impl Unfencing {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(inputs: Queue, node: NodeId) -> std::io::Result<Self> {
        let (devices, changed) = channel();
        let gate = Gate {
            node,
            inputs,
            shut: Vec::new(),
            open: Vec::new(),
            told: BTreeMap::new(),
        };
        thread::Builder::new()
            .name("unfencing".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || gate.run(&changed))?;
        Ok(Self { devices })
    }

    /// These are to let this node in, and no others.
    pub(crate) fn ask(&self, devices: Devices) {
        // The thread lives as long as this value does.
        drop(self.devices.send(devices));
    }
}

struct Gate {
    node: NodeId,
    inputs: Queue,
    /// Devices that have not let this node in.
    shut: Devices,
    open: Vec<DeviceId>,
    /// What the last notice said of each.
    told: BTreeMap<DeviceId, String>,
}

impl Gate {
    fn run(mut self, changed: &Receiver<Devices>) {
        loop {
            let wait = if self.shut.is_empty() { IDLE } else { AGAIN };
            match changed.recv_timeout(wait) {
                Ok(devices) => {
                    self.shut = devices;
                    self.open.clear();
                    self.forget_gone();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.ask();
        }
    }

    fn forget_gone(&mut self) {
        let is_known = |id: &DeviceId| self.shut.iter().any(|(known, _)| known == id);
        let gone = self.told.keys().filter(|id| !is_known(id)).cloned();
        for id in gone.collect::<Vec<_>>() {
            self.notice(&id, String::new());
        }
    }

    fn ask(&mut self) {
        for (id, device) in std::mem::take(&mut self.shut) {
            match standfast_fence::unfence(&device, &self.node) {
                Ok(acted) => {
                    if acted {
                        tracing::info!("fence device {id} lets this node in");
                    }
                    self.notice(&id, String::new());
                    self.open.push(id);
                }
                Err(error) => {
                    let error = error.to_string().replace('\n', "; ");
                    let text = format!("fence device {id} does not let this node in: {error}");
                    self.notice(&id, text);
                    self.shut.push((id, device));
                }
            }
        }
        let open = self.open.clone();
        self.inputs.send(Input::Event(Event::Unfenced(open)));
    }

    fn notice(&mut self, id: &DeviceId, text: String) {
        let before = self.told.insert(id.clone(), text.clone());
        if before.unwrap_or_default() == text {
            return;
        }
        if !text.is_empty() {
            tracing::warn!("{text}");
        }
        let topic = format!("unfence:{id}");
        self.inputs
            .send(Input::Event(Event::Notice { topic, text }));
    }
}
