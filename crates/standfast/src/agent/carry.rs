//! Carrying out effects: one exhaustive match. Each arm hands over to one edge and decides nothing.

use super::{
    addresses::{Addresses, Order, Terms},
    certificates, convert,
    fencing::Fencing,
    input::Input,
    inquiry::Inquiry,
    kept_file::KeptFile,
    queue::Queue,
    rotation::Step,
    shown::Shown,
};
use prost::Message as _;
use standfast_api::ReplyHandle;
use standfast_model::{
    config::ResourceKind,
    effect::{Class, Effect, Level, Start},
    id::{NodeId, ResourceId},
    message::Message,
    pair::PingOrder,
    request::{RefusalKind, Response},
};
use standfast_ping::Pinger;
use standfast_process::ProcessDriver;
use standfast_storage::{Identity, StorageThread};
use standfast_transport::{
    MAX_DATAGRAM_BYTES, MAX_STREAM_BYTES, NodeName, Outgoing, Peer, Transport,
    join::JoinRequest,
    pki::{forget_authority, trusted},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::{Path, PathBuf},
    sync::mpsc::Sender,
};

/// Somebody who waits for an answer.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// A client on the local socket.
    Client(ReplyHandle, Shown),
    /// A machine that wants to join.
    Joiner(JoinRequest),
    /// A client who asked for another key of this node: the cluster is to know it first.
    Rotation(ReplyHandle, String),
    /// A client who asked for another authority, and the fingerprint of the one that was made.
    Authority(ReplyHandle, String),
    /// A client who asked for a token: it is in the journal first.
    Token(ReplyHandle),
    /// A program that watches.
    Watcher(standfast_web::Asked),
}

/// All edges of this agent.
#[derive(Debug)]
pub(crate) struct Edges {
    pub(crate) identity: Identity,
    pub(crate) transport: Transport,
    pub(crate) storage: StorageThread,
    pub(crate) processes: ProcessDriver,
    pub(crate) addresses: Addresses,
    pub(crate) fencing: Fencing,
    pub(crate) pinger: Pinger,
    pub(crate) kept_file: KeptFile,
    /// For questions that the core has no part in.
    pub(crate) inquiry: Inquiry,
    pub(crate) waiting: BTreeMap<u64, Waiting>,
    /// Messages that are to leave together.
    pub(crate) unsent: Vec<Outgoing>,
    /// Writes that the storage thread had no room for yet.
    pub(crate) backlog: VecDeque<standfast_model::effect::Batch>,
    /// The last write handed to the storage thread, which repeats failed ones by itself.
    pub(crate) submitted: u64,
    /// Renews, and follows what the cluster has agreed on about authorities.
    pub(crate) certificates: Sender<certificates::Work>,
    /// Keys and certificates.
    pub(crate) pki: PathBuf,
    /// Back to the agent's own loop.
    pub(crate) inputs: Queue,
    /// Which driver each resource belongs to.
    pub(crate) kinds: BTreeMap<ResourceId, Kind>,
    /// Why this program cannot be a member of this cluster.
    pub(crate) unfit: Option<String>,
}

/// Drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Process,
    /// One whose agent puts an address on an interface.
    Addressed,
    Vip,
}

impl Edges {
    /// Carries out effects in order. True: the agent may end.
    pub(crate) fn carry_out(&mut self, effects: Vec<Effect>) -> bool {
        let mut ends = false;
        for effect in effects {
            match effect {
                Effect::Send { to, class, message } => self.send(&to, class, &message),
                Effect::Persist(batch) => self.persist(*batch),
                Effect::Start(start) => self.start(*start),
                Effect::Stop { resource, grace } => match self.kinds.get(&resource) {
                    Some(Kind::Vip) => self.addresses.order(Order::Stop(resource)),
                    Some(Kind::Process | Kind::Addressed) | None => {
                        self.processes.stop(&resource, grace);
                    }
                },
                Effect::Extend { resource, deadline } => match self.kinds.get(&resource) {
                    Some(Kind::Vip) => self.addresses.extend(&resource, deadline),
                    Some(Kind::Addressed) => {
                        self.processes.extend(&resource, deadline);
                        self.addresses.extend(&resource, deadline);
                    }
                    Some(Kind::Process) | None => self.processes.extend(&resource, deadline),
                },
                Effect::Probe { resource, kind } => match *kind {
                    ResourceKind::Process(config) => {
                        let kind = match config.silenced_address() {
                            Some(address) => {
                                self.addresses.guard(&resource, address);
                                Kind::Addressed
                            }
                            None => Kind::Process,
                        };
                        self.kinds.insert(resource.clone(), kind);
                        self.processes.probe(&resource, &config);
                    }
                    ResourceKind::Vip(config) => {
                        self.kinds.insert(resource.clone(), Kind::Vip);
                        self.addresses.order(Order::Probe(resource, config));
                    }
                },
                Effect::Repair { resource } => self.addresses.order(Order::Repair(resource)),
                Effect::Reconfigure { resource, kind } => self.reconfigure(resource, *kind),
                Effect::Keys(keys) => self.set_keys(&keys),
                Effect::Authorities(orders) => {
                    drop(self.certificates.send(certificates::Work::Follow(orders)));
                }
                Effect::Peers(peers) => self.set_peers(&peers),
                Effect::WatchNetworks(resources) => self.addresses.order(Order::Prepare(resources)),
                Effect::GuardAddresses(all) => self.addresses.order(Order::Guard(all)),
                Effect::KeepFile(file) => self.kept_file.keep(file),
                Effect::WatchFences(devices) => self.fencing.watch(devices),
                Effect::Unfence(devices) => self.fencing.unfence(devices),
                Effect::Fence(order) => self.fencing.carry_out(*order),
                Effect::Ping(order) => self.ping(*order),
                Effect::Reply(reply) => self.reply(reply.id, reply.response),
                Effect::RestartReady { .. } => {
                    ends = self.end("this is its planned restart, and its leases run on", false);
                }
                Effect::Unfit { text } => {
                    self.unfit = Some(text);
                    ends = true;
                }
                Effect::Left { text, idle } => ends = self.end(&text, idle),
                Effect::Log { level, text } => log(level, &text),
            }
        }
        self.submit();
        ends
    }

    fn reconfigure(&self, resource: ResourceId, kind: ResourceKind) {
        match kind {
            ResourceKind::Process(config) => self.processes.reconfigure(&resource, &config),
            ResourceKind::Vip(config) => {
                self.addresses.order(Order::Reconfigure(resource, config));
            }
        }
    }

    fn ping(&self, order: PingOrder) {
        if let Err(error) = self.pinger.ask(order) {
            tracing::warn!(%error, "no thread for a round of pings");
        }
    }

    fn start(&mut self, start: Start) {
        let resource = start.resource;
        match start.kind {
            ResourceKind::Process(config) => {
                let address = config.silenced_address();
                let kind = address.map_or(Kind::Process, |_| Kind::Addressed);
                self.kinds.insert(resource.clone(), kind);
                // What it announces has to get out.
                if let Some(address) = address
                    && !self.addresses.open(&resource, address, start.deadline)
                {
                    return;
                }
                self.processes
                    .start(&resource, &config, start.since, start.deadline);
            }
            ResourceKind::Vip(config) => {
                self.kinds.insert(resource.clone(), Kind::Vip);
                let terms = Terms {
                    since: start.since,
                    deadline: start.deadline,
                    fresh: start.fresh,
                };
                self.addresses.order(Order::Start(resource, config, terms));
            }
        }
    }

    /// The agent ends. `idle`: nothing is left that addresses would have to be guarded for.
    fn end(&self, why: &str, idle: bool) -> bool {
        tracing::info!("agent ends: {why}");
        if idle {
            self.addresses.uninstall();
        }
        true
    }

    pub(crate) fn send(&mut self, to: &NodeId, class: Class, message: &Message) {
        let Ok(name) = NodeName::new(to.as_str()) else {
            return;
        };
        let bytes = message.encode_to_vec();
        let datagram = class == Class::Datagram && bytes.len() <= MAX_DATAGRAM_BYTES;
        if bytes.len() > MAX_STREAM_BYTES {
            tracing::warn!(%to, length = bytes.len(), "a message is too long to be sent");
            return;
        }
        self.unsent.push(Outgoing {
            peer: name,
            bytes: bytes.into(),
            stream: !datagram,
        });
    }

    /// Sends what effects have asked for since the last time.
    pub(crate) fn send_all(&mut self) {
        if self.unsent.is_empty() {
            return;
        }
        let messages = std::mem::take(&mut self.unsent);
        if let Err(error) = self.transport.send_together(messages) {
            tracing::debug!(%error, "not sent");
        }
    }

    fn set_keys(&self, keys: &BTreeMap<NodeId, BTreeSet<String>>) {
        let keys = keys
            .iter()
            .filter_map(|(node, keys)| Some((NodeName::new(node.as_str()).ok()?, keys.clone())))
            .collect();
        self.transport.set_keys(keys);
    }

    fn set_peers(&self, peers: &[(NodeId, Vec<String>)]) {
        let peers = peers
            .iter()
            .filter_map(|(node, addresses)| {
                Some(Peer {
                    name: NodeName::new(node.as_str()).ok()?,
                    addresses: addresses
                        .iter()
                        .filter_map(|address| address.parse().ok())
                        .collect(),
                })
            })
            .collect();
        self.transport.set_peers(peers);
    }

    fn persist(&mut self, batch: standfast_model::effect::Batch) {
        if batch.sequence > self.submitted {
            self.submitted = batch.sequence;
            self.backlog.push_back(batch);
        }
    }

    /// Hands waiting writes to the storage thread, as many as it takes.
    fn submit(&mut self) {
        while let Some(batch) = self.backlog.pop_front() {
            let kept = batch.clone();
            let (sequence, reset) = (batch.sequence, batch.reset);
            let batch = convert::batch(batch);
            let result = match reset {
                Some(member) => {
                    self.identity.member = member.0;
                    self.storage
                        .submit_restart(sequence, self.identity.clone(), batch)
                }
                None => self.storage.submit(sequence, batch),
            };
            if result.is_err() {
                self.backlog.push_front(kept);
                return;
            }
        }
    }

    fn reply(&mut self, id: u64, response: Response) {
        match self.waiting.remove(&id) {
            Some(Waiting::Client(handle, shown)) => handle.send(shown.answer(response)),
            Some(Waiting::Joiner(request)) => admit(request, response, &self.pki),
            Some(Waiting::Rotation(handle, author)) => match response {
                Response::Done { .. } => {
                    self.inputs
                        .send(Input::Rotation(Step::Known(handle, author)));
                }
                other => handle.send(other),
            },
            Some(Waiting::Authority(handle, fingerprint)) => {
                // After a timeout it may be the cluster's all the same.
                let unwanted = matches!(&response, Response::Refused(refusal) if refusal.kind != RefusalKind::Timeout);
                if unwanted && let Err(error) = forget_authority(&self.pki, &fingerprint) {
                    tracing::warn!(%error, "the key of an authority that is not wanted is left");
                }
                handle.send(response);
            }
            Some(Waiting::Token(handle)) => match response {
                Response::Done { .. } => self.inputs.send(Input::Token(handle)),
                other => handle.send(other),
            },
            Some(Waiting::Watcher(asked)) => {
                if let Response::View(view) = response {
                    asked.answer(*view);
                }
            }
            None => {}
        }
    }
}

fn admit(request: JoinRequest, response: Response, pki: &Path) {
    match response {
        Response::Joined {
            member,
            cluster_id,
            peers,
            ..
        } => {
            let bootstrap = super::setup::Bootstrap {
                cluster_id,
                member,
                peers,
                authorities: trusted(pki).unwrap_or_default(),
            };
            match serde_json::to_vec(&bootstrap) {
                Ok(json) => request.accept(json.into(), true),
                Err(error) => request.refuse(&error.to_string()),
            }
        }
        Response::Refused(refusal) => request.refuse(&refusal.text),
        Response::View(_)
        | Response::Plan(_)
        | Response::Simulation(_)
        | Response::Text { .. }
        | Response::Done { .. }
        | Response::Answer(_)
        | Response::Token { .. } => {
            request.refuse("the member answered something else; try again");
        }
    }
}

fn log(level: Level, text: &str) {
    match level {
        Level::Debug => tracing::debug!("{text}"),
        Level::Info => tracing::info!("{text}"),
        Level::Warn => tracing::warn!("{text}"),
        Level::Error => tracing::error!("{text}"),
    }
}
