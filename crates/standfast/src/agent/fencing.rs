//! Fence devices as this node sees them: each is asked at its interval whether it answers, and what is wrong with it is
//! told as a notice, which `status` shows on every node. And orders to cut a machine's power, each on a thread of its own.
//!
//! Not for judging a device's answer (crate `fence`).

use super::{input::Input, queue::Queue, unfencing::Unfencing};
use crate::render::DeviceSeen;
use standfast_fence::{FenceError, Power};
use standfast_model::{
    event::Event,
    fence::FenceDevice,
    fence_act::{FenceOrder, FenceResult},
    id::{DeviceId, NodeId},
    time::Micros,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Locked with the rest of the agent's memory, hence small.
const STACK_BYTES: usize = 512 * 1024;
/// Without devices it sleeps until it hears of some.
const IDLE: Duration = Duration::from_secs(3600);
/// Before a device is asked for the first time, and between two questions after a failure.
const SOON: Duration = Duration::from_secs(1);

/// Devices that this node could use.
type Devices = Vec<(DeviceId, FenceDevice)>;
/// What they said when they were asked last, for the metrics.
pub(crate) type Seen = Arc<Mutex<BTreeMap<String, DeviceSeen>>>;

/// The edge's handle. Dropped, its threads end once no agent of a device is under way.
#[derive(Debug)]
pub(crate) struct Fencing {
    devices: Sender<Devices>,
    unfencing: Unfencing,
    inputs: Queue,
    /// What devices said.
    pub(crate) seen: Seen,
}

impl Fencing {
    /// Starts the threads, on that node.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(inputs: &Queue, node: &str) -> std::io::Result<Self> {
        let (devices, changed) = channel();
        let watch = Watch {
            watched: BTreeMap::new(),
            inputs: inputs.clone(),
            seen: Seen::default(),
        };
        let seen = Arc::clone(&watch.seen);
        thread::Builder::new()
            .name("fencing".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || watch.run(&changed))?;
        Ok(Self {
            devices,
            unfencing: Unfencing::start(inputs.clone(), NodeId::from(node))?,
            inputs: inputs.clone(),
            seen,
        })
    }

    /// These are watched from now on, and no others.
    pub(crate) fn watch(&self, devices: Devices) {
        // The thread lives as long as this value does.
        drop(self.devices.send(devices));
    }

    /// These are asked to let this node in, and no others.
    pub(crate) fn unfence(&self, devices: Devices) {
        self.unfencing.ask(devices);
    }

    /// Carries an order out, and tells the core what came of it. Repeated, it does no harm.
    pub(crate) fn carry_out(&self, order: FenceOrder) {
        let inputs = self.inputs.clone();
        let (id, turn) = (order.id, order.turn);
        if !order.look {
            tracing::warn!(node = %order.node, id, turn, "fencing");
        }
        let started = thread::Builder::new()
            .name("fence-order".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let tell = |result| inputs.send(Input::Event(Event::Fenced(result)));
                let began = Instant::now();
                let mut result = cut(&order, began);
                match result.problem.as_str() {
                    "" => tracing::warn!(node = %order.node, "is off"),
                    problem if order.look => {
                        tracing::info!(node = %order.node, "is not off already: {problem}");
                    }
                    problem => {
                        tracing::error!(node = %order.node, "is not known to be off: {problem}");
                    }
                }
                if order.told_when_off {
                    tell(result.clone());
                }
                if order.power_on && result.problem.is_empty() {
                    result.note = give_back(&order);
                    result.took = micros(began);
                }
                if !order.told_when_off {
                    tell(result);
                }
            });
        if let Err(error) = started {
            let result = FenceResult {
                id,
                turn,
                problem: format!("the system gives no thread: {error}"),
                note: String::new(),
                took: Micros::ZERO,
            };
            self.inputs.send(Input::Event(Event::Fenced(result)));
        }
    }
}

/// All devices of the level have to say that the machine is off.
fn cut(order: &FenceOrder, began: Instant) -> FenceResult {
    let mut problem = String::new();
    if order.devices.is_empty() {
        problem = "none of the devices is configured any more".to_owned();
    }
    let ask = if order.look { look } else { switch_off };
    for (id, device) in &order.devices {
        if let Err(text) = ask(device, &order.node) {
            problem = format!("{id}: {}", text.replace('\n', "; "));
            break;
        }
    }
    FenceResult {
        id: order.id,
        turn: order.turn,
        problem,
        note: String::new(),
        took: micros(began),
    }
}

fn switch_off(device: &FenceDevice, node: &NodeId) -> Result<(), String> {
    repeatedly(device, |device| standfast_fence::power_off(device, node))
        .map_err(|error| error.to_string())
}

/// Nothing is switched, and one answer is enough.
fn look(device: &FenceDevice, node: &NodeId) -> Result<(), String> {
    match standfast_fence::status(device, node) {
        Ok(Power::Off) => Ok(()),
        Ok(Power::On) => Err("the machine has power".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// All devices of the level give the machine its power back. What is to be said of it; empty when they did.
fn give_back(order: &FenceOrder) -> String {
    for (id, device) in &order.devices {
        let answer = repeatedly(device, |device| {
            standfast_fence::power_on(device, &order.node)
        });
        if let Err(error) = answer {
            let error = error.to_string().replace('\n', "; ");
            tracing::error!(node = %order.node, "could not be switched on again: {id}: {error}");
            return format!("it could not be switched on again: {id}: {error}");
        }
    }
    tracing::info!(node = %order.node, "has its power back");
    String::new()
}

fn micros(began: Instant) -> Micros {
    Micros(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX))
}

fn repeatedly(
    device: &FenceDevice,
    act: impl Fn(&FenceDevice) -> Result<(), FenceError>,
) -> Result<(), FenceError> {
    let mut attempts = 0;
    loop {
        let answer = act(device);
        let lasting = matches!(
            answer,
            Ok(()) | Err(FenceError::Settings(_) | FenceError::Agent(_))
        );
        if lasting || attempts >= device.retries {
            return answer;
        }
        attempts += 1;
        thread::sleep(SOON);
    }
}

/// One device.
struct Watched {
    device: FenceDevice,
    due: Instant,
    /// Failures in a row.
    failures: u32,
    /// What the last notice said.
    told: String,
}

struct Watch {
    watched: BTreeMap<DeviceId, Watched>,
    inputs: Queue,
    seen: Seen,
}

impl Watch {
    fn run(mut self, changed: &Receiver<Devices>) {
        loop {
            let due = self.watched.values().map(|watched| watched.due).min();
            let wait = due.map_or(IDLE, |due| due.saturating_duration_since(Instant::now()));
            match changed.recv_timeout(wait) {
                Ok(devices) => self.take(devices),
                Err(RecvTimeoutError::Timeout) => self.ask_due(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// What has not changed goes on as it was.
    fn take(&mut self, devices: Devices) {
        let mut before = std::mem::take(&mut self.watched);
        for (id, device) in devices {
            let kept = before.remove(&id).filter(|old| old.device == device);
            let watched = kept.unwrap_or_else(|| Watched {
                device,
                due: Instant::now() + SOON,
                failures: 0,
                told: String::new(),
            });
            self.watched.insert(id, watched);
        }
        let known = |name: &String| self.watched.keys().any(|id| id.as_str() == name);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|name, _| known(name));
        drop(seen);
        for (id, gone) in before {
            let known = self.watched.get_mut(&id);
            match known {
                // Asked again in a moment: until then, what was said of it still holds.
                Some(changed) => changed.told = gone.told,
                None if gone.told.is_empty() => {}
                None => self.notice(&id, String::new()),
            }
        }
    }

    fn ask_due(&mut self) {
        let now = Instant::now();
        let due = self
            .watched
            .iter()
            .filter(|(_, watched)| watched.due <= now);
        let due: Vec<DeviceId> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            let Some(watched) = self.watched.get_mut(&id) else {
                continue;
            };
            let answer = standfast_fence::monitor(&watched.device);
            note(&self.seen, &id, answer.is_ok());
            let said = watched.judge(&id, answer);
            if said != watched.told {
                watched.told.clone_from(&said);
                if !said.is_empty() {
                    tracing::warn!("{said}");
                }
                self.notice(&id, said);
            }
        }
    }

    fn notice(&self, id: &DeviceId, text: String) {
        let topic = format!("fence:{id}");
        self.inputs
            .send(Input::Event(Event::Notice { topic, text }));
    }
}

fn note(seen: &Seen, id: &DeviceId, up: bool) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = seen.entry(id.to_string()).or_default();
    seen.up = up;
    if up {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        seen.last_good = now.ok().map(|since| since.as_secs());
    }
}

impl Watched {
    /// What is to be said of an answer: nothing as long as it may be a hiccup. Sets the next question.
    fn judge(&mut self, id: &DeviceId, answer: Result<(), FenceError>) -> String {
        let interval = Duration::from_micros(self.device.monitor.0);
        let Err(error) = answer else {
            self.failures = 0;
            self.due = Instant::now() + interval;
            return String::new();
        };
        self.failures = self.failures.saturating_add(1);
        // Settings do not mend themselves, and devices often answer a second time.
        let lasting = matches!(error, FenceError::Settings(_) | FenceError::Agent(_));
        let certain = lasting || self.failures > self.device.retries;
        self.due = Instant::now() + if certain { interval } else { SOON };
        if !certain {
            return self.told.clone();
        }
        let error = error.to_string().replace('\n', "; ");
        match lasting {
            true => format!("fence device {id} cannot be used from here: {error}"),
            false => format!("fence device {id} does not answer: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path, process::Command};

    /// Devices of one level, each with a folder of its own below `folder`, in which the machine's power is the file `alpha`.
    fn level(folder: &Path, devices: &[(&str, &str, u32)]) -> FenceOrder {
        let agent = folder.join("fence_test");
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../edge/fence/tests/support/fence_test"
        );
        let mut install = Command::new("install");
        install.args(["-m", "755", source]).arg(&agent);
        assert!(install.status().expect("install").success());
        let text = |path: &Path| path.display().to_string();
        let devices = devices.iter().map(|(name, fault, retries)| {
            let store = folder.join(name);
            fs::create_dir(&store).expect("a folder");
            fs::write(store.join("alpha"), "on\n").expect("a file");
            let device = FenceDevice {
                agent: text(&agent),
                parameters: BTreeMap::from([
                    ("store".to_owned(), text(&store)),
                    ("fault".to_owned(), (*fault).to_owned()),
                ]),
                secret_parameters: BTreeMap::new(),
                nodes: BTreeMap::from([(NodeId::from("alpha"), Some("alpha".to_owned()))]),
                timeout: Micros::from_millis(30_000),
                retries: *retries,
                delay: Micros::ZERO,
                monitor: Micros::ZERO,
            };
            (DeviceId::from(*name), device)
        });
        FenceOrder {
            id: 1,
            turn: 1,
            node: NodeId::from("alpha"),
            lost: false,
            devices: devices.collect(),
            power_on: true,
            look: false,
            told_when_off: false,
        }
    }

    fn power(folder: &Path, device: &str) -> String {
        let power = fs::read_to_string(folder.join(device).join("alpha"));
        power.expect("a file").trim().to_owned()
    }

    /// A machine with two power supplies.
    #[test]
    fn every_device_of_a_level_has_to_say_off_and_gives_the_power_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let order = level(folder.path(), &[("left", "none", 0), ("right", "none", 0)]);
        assert_eq!(cut(&order, Instant::now()).problem, "");
        let both = || ["left", "right"].map(|device| power(folder.path(), device));
        assert_eq!(both(), ["off", "off"]);
        assert_eq!(give_back(&order), "");
        assert_eq!(both(), ["on", "on"]);
    }

    #[test]
    fn one_device_of_a_level_that_fails_fails_the_level_and_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let order = level(
            folder.path(),
            &[("left", "none", 0), ("right", "off-fails", 1)],
        );
        let problem = cut(&order, Instant::now()).problem;
        assert!(problem.starts_with("right: "), "{problem}");
        assert_eq!(power(folder.path(), "left"), "off");
        assert_eq!(power(folder.path(), "right"), "on");
        let asked = fs::read_to_string(folder.path().join("right/asked")).expect("a file");
        assert_eq!(asked.matches("off").count(), 2, "one retry: {asked}");
    }

    #[test]
    fn a_device_that_fails_once_is_asked_again_where_retries_say_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let order = level(
            folder.path(),
            &[
                ("left", "off-fails-once", 1),
                ("right", "off-fails-once", 0),
            ],
        );
        let problem = cut(&order, Instant::now()).problem;
        assert!(problem.starts_with("right: "), "{problem}");
        assert_eq!(power(folder.path(), "left"), "off");
    }
}
