//! The agent: the core on its own thread, and the edges around it.
//!
//! One loop: an input becomes an event, `step` gives effects, `carry` carries them out. Whatever
//! takes time happens on the edges' threads and comes back as an event.

mod addresses;
mod author;
mod carry;
pub(crate) mod certificates;
pub(crate) mod checks;
mod clock;
mod convert;
mod copies;
mod fencing;
mod guarded;
mod input;
pub(crate) mod inquiry;
mod kept_file;
mod metrics;
mod offered;
mod queue;
mod realtime;
pub(crate) mod recovery;
mod rotation;
mod service;
pub(crate) mod setup;
mod shown;
mod unfencing;
mod watchdog;

use crate::failure::Failure;
use addresses::Addresses;
use author::with_author;
use carry::{Edges, Waiting};
use input::{Input, Sink};
use inquiry::{Inquiry, Work};
use kept_file::KeptFile;
use offered::{Offered, Trying};
use queue::Queue;
use service::Service;
use shown::Shown;
use standfast_cluster::{Core, Init};
use standfast_model::{
    command::Act,
    effect::Class,
    event::Event,
    guards::GuardSupport,
    id::{Incarnation, MemberId, NodeId},
    request::{JoinOffer, Refusal, RefusalKind, Request, Response},
    time::{Micros, Now},
};
use standfast_ping::Pinger;
use standfast_process::{ProcessDriver, ProcessSettings};
use standfast_storage::{Storage, StorageThread};
use standfast_transport::{
    Config, Transport,
    pki::{Authority, Credentials},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use watchdog::Watchdog;
pub(crate) use watchdog::WatchdogOptions;

/// A token lives this long.
const TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);
/// Writes that may wait for the disk.
const WRITES: usize = 4096;
/// Shortest sleep, microseconds: with real-time priority, a core that always wants to be woken at once
/// would take the processor for itself.
const SHORTEST_SLEEP: u64 = 100;
/// Inputs after which what is to be sent is sent, however many more are waiting.
const TOGETHER: u32 = 8;
/// Waking up later than this is a stall worth telling.
const STALL: Micros = Micros::from_millis(20);

/// Where an agent lives.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// State directory.
    pub(crate) state: PathBuf,
    /// Run directory, on tmpfs.
    pub(crate) run: PathBuf,
    /// Local socket.
    pub(crate) socket: PathBuf,
    /// Folder inside the cgroup2 hierarchy under which resources get their own.
    pub(crate) cgroup: PathBuf,
    /// Real-time priority and locked memory, when this machine allows it.
    pub(crate) realtime: bool,
    /// Where programs that watch are answered; nowhere if none.
    pub(crate) metrics: Option<SocketAddr>,
    /// Guards that are left out, for measuring what they are good for. Never on a real cluster.
    pub(crate) without_guards: bool,
    /// The hardware watchdog to feed.
    pub(crate) watchdog: Option<WatchdogOptions>,
    /// Life of this node's certificates from the next renewal on.
    pub(crate) certificate_life: Duration,
    /// Feature level to speak.
    pub(crate) level: u32,
    /// Who may ask, besides root.
    pub(crate) access: standfast_api::Access,
}

/// Runs an agent until it is told to end.
///
/// # Errors
/// Why it could not start.
pub(crate) fn run(
    options: &Options,
    (inquiry, desk): (Inquiry, inquiry::Desk),
) -> Result<(), Failure> {
    for folder in [&options.state, &options.run] {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::cannot(&format!("make {}", folder.display()), &error))?;
    }
    // An agent that was killed has until its lease ends. What takes time is done at once, and ahead of others.
    let trying = Trying::begin(options)?;
    if options.realtime
        && let Err(why) = realtime::raise_this_thread()
    {
        tracing::warn!("{why}");
    }
    let (storage, restored) = Storage::open(&options.state)
        .map_err(|error| Failure::cannot("open the state directory", &error))?;
    let Some(identity) = restored.identity.clone() else {
        return Err(Failure::new(
            78,
            format!(
                "{} holds no node yet; run `standfast init` or `standfast join` first",
                options.state.display()
            ),
        ));
    };
    if let standfast_storage::Condition::Corrupt { set_aside, reason } = &restored.condition {
        tracing::error!(
            "the state is damaged ({reason}); it was set aside as {}",
            set_aside.display()
        );
    }
    service::watch_signals()
        .map_err(|error| Failure::cannot("be told to end by a signal", &error))?;
    let queue = Queue::default();
    let Offered { guards, address } = trying.end(options)?;
    let core = Init {
        node: NodeId::from(identity.node.as_str()),
        member: MemberId(identity.member),
        incarnation: Incarnation(setup::random_u64()? | 1),
        boot: clock::boot_id(),
        restored: convert::restored(&restored),
        peers: convert::peers(&restored),
        seed: setup::random_u64()?,
        guards: guards.clone(),
        wall_offset: clock::wall_offset(),
        level: options.level,
        planted: None,
    };
    let links = own_links(&core, &restored, &identity.node)?;
    inquiry::start(desk, options, &identity.node, queue.clone())
        .map_err(|error| Failure::cannot("start a thread", &error))?;
    let edges = start_edges(
        options,
        (identity, storage),
        &links,
        (&queue, inquiry),
        (&guards, address),
    )?;
    let clients = queue.clone();
    let server =
        standfast_api::Server::bind_for(&options.socket, &options.access, move |incoming| {
            clients.send(Input::Client(incoming));
        })
        .map_err(|error| Failure::cannot("serve clients", &error))?;
    let metrics = metrics::serve(options, &queue, Arc::clone(&edges.fencing.seen));
    tracing::info!(node = %core.node, member = core.member.0, "agent started");
    let watchdog = Watchdog::start(options, &guards, &queue)
        .map_err(|error| Failure::cannot("start a thread", &error))?;
    let result = main_loop(core, (edges, watchdog), &queue, &links, options);
    drop((server, metrics));
    result
}

/// This node's own links: from the state, or for a joiner from what it said when it joined.
fn own_links(
    init: &Init,
    restored: &standfast_storage::Restored,
    node: &str,
) -> Result<Vec<SocketAddr>, Failure> {
    let state: Option<standfast_model::state::ClusterState> = init
        .restored
        .snapshot
        .as_ref()
        .and_then(|snapshot| serde_json::from_slice(&snapshot.data).ok());
    let from_state = state.and_then(|state| {
        let own = NodeId::from(node);
        let member = state
            .members
            .values()
            .find(|info| info.node == own)
            .map(|info| info.addresses.clone());
        state
            .config
            .nodes
            .get(&own)
            .map(|node| node.addresses.clone())
            .or(member)
    });
    let from_note = convert::peers(restored)
        .into_iter()
        .find(|(peer, _)| peer.as_str() == node)
        .map(|(_, addresses)| addresses);
    let addresses = from_state.or(from_note).unwrap_or_default();
    let links: Vec<SocketAddr> = addresses
        .iter()
        .filter_map(|address| address.parse().ok())
        .collect();
    if links.is_empty() {
        return Err(Failure::new(
            78,
            format!("the state names no address of node {node}"),
        ));
    }
    Ok(links)
}

fn start_edges(
    options: &Options,
    (identity, storage): (standfast_storage::Identity, Storage),
    links: &[SocketAddr],
    (inputs, inquiry): (&Queue, Inquiry),
    (guards, address): (&GuardSupport, standfast_address::Support),
) -> Result<Edges, Failure> {
    let credentials = own_credentials(options, &identity)?;
    let mut config = Config::new(credentials, links.to_vec());
    config.feature_level = options.level;
    if options.realtime {
        config.on_thread_start = Some(Box::new(|| {
            if let Err(why) = realtime::raise_this_thread() {
                tracing::warn!("transport: {why}");
            }
        }));
    }
    let pki = setup::pki_dir(&options.state);
    let certificates = certificates::watch(pki.clone(), options.certificate_life, inputs.clone())
        .map_err(|error| Failure::cannot("start a thread", &error))?;
    let sink = Sink::new(inputs.clone(), inquiry.clone(), certificates.clone());
    let stored = inputs.clone();
    let storage = StorageThread::start(storage, WRITES, move |event| {
        stored.send(Input::Event(input::storage_event(event)));
    })
    .map_err(|error| Failure::cannot("start the storage thread", &error))?;
    let events = input::event_sender(inputs.clone())
        .map_err(|error| Failure::cannot("start a thread", &error))?;
    let settings = ProcessSettings {
        run_dir: options.run.join("keepers"),
        output_dir: options.state.join("output"),
        keeper: standfast_guard::KeeperProgram::default(),
        agents: PathBuf::from(standfast_ocf::ROOT),
        cgroup_parent: options.cgroup.clone(),
        node: identity.node.clone(),
        network_guard: guards.network,
    };
    let from_process = inputs.clone();
    let processes = ProcessDriver::new(settings, move |resource, change| {
        from_process.send(Input::Event(Event::Instance { resource, change }));
    })
    .map_err(|error| Failure::cannot("start the process driver", &error))?;
    let addresses = start_addresses(options, address, events)?;
    let fencing = fencing::Fencing::start(inputs, &identity.node)
        .map_err(|error| Failure::cannot("start a thread", &error))?;
    let told = inputs.clone();
    let pinger = Pinger::new(move |round| told.send(Input::Event(Event::Pinged(round))));
    let kept_file = KeptFile::start(&options.state, inputs.clone())
        .map_err(|error| Failure::cannot("start a thread", &error))?;
    // Last: until the core says who the peers are, whoever dials is turned away.
    let transport = Transport::start(config, Arc::new(sink))
        .map_err(|error| Failure::cannot("open the cluster's port", &error))?;
    Ok(Edges {
        identity,
        transport,
        storage,
        processes,
        addresses,
        fencing,
        pinger,
        kept_file,
        inquiry,
        waiting: BTreeMap::new(),
        backlog: VecDeque::new(),
        submitted: 0,
        unsent: Vec::new(),
        certificates,
        pki,
        inputs: inputs.clone(),
        kinds: BTreeMap::new(),
        unfit: None,
    })
}

/// This node's keys, which have to be those of the cluster that the state is of.
fn own_credentials(
    options: &Options,
    identity: &standfast_storage::Identity,
) -> Result<Credentials, Failure> {
    recovery::finish_keys(&options.state, &identity.cluster_id)?;
    let credentials = Credentials::load(&setup::pki_dir(&options.state))
        .map_err(|error| Failure::cannot("read this node's keys", &error))?;
    if credentials.cluster().as_str() != identity.cluster_id {
        return Err(Failure::new(
            78,
            format!(
                "the state in {} is of cluster {}, its keys are of {}: one of them was put there from elsewhere",
                options.state.display(),
                identity.cluster_id,
                credentials.cluster()
            ),
        ));
    }
    Ok(credentials)
}

fn start_addresses(
    options: &Options,
    mut support: standfast_address::Support,
    events: std::sync::mpsc::Sender<Event>,
) -> Result<Addresses, Failure> {
    if options.without_guards {
        support.nft = Err("left out by --without-guards".to_owned());
    }
    Addresses::start(&options.run, "standfast", &support, events)
        .map_err(|error| Failure::cannot("start the address driver", &error))
}

fn main_loop(
    init: Init,
    (mut edges, mut watchdog): (Edges, Watchdog),
    queue: &Queue,
    links: &[SocketAddr],
    options: &Options,
) -> Result<(), Failure> {
    let (mut core, effects) = Core::new(init, clock::now());
    let mut ends = edges.carry_out(effects);
    let mut next_id = setup::random_u64()?;
    let mut service = Service::from_environment();
    service.tell("READY=1");
    let mut steps_unsent = 0;
    while !ends {
        service.feed();
        // What several inputs had sent leaves together, but does not wait long for more of them.
        if steps_unsent >= TOGETHER || queue.is_empty() {
            edges.send_all();
            steps_unsent = 0;
        }
        steps_unsent += 1;
        let before = clock::now();
        let wait = core.next_wakeup(before);
        let patience = Duration::from_micros(wait.0.clamp(SHORTEST_SLEEP, 1_000_000));
        let event = match queue.next(patience) {
            Some(input) => {
                next_id = next_id.wrapping_add(1);
                match event_of(&mut edges, &core, input, (next_id, links, options)) {
                    Some(event) => event,
                    None => continue,
                }
            }
            None => Event::Timer,
        };
        let now = clock::now();
        if service.is_told_to_end() {
            let request = Request::Leave;
            next_id = next_id.wrapping_add(1);
            let id = next_id;
            let asked = Event::Request { id, request };
            ends |= edges.carry_out(watchdog.step(&mut core, now, asked));
        }
        let late = stall(before, now, wait);
        if late > STALL {
            let paused = Event::Paused(late);
            ends |= edges.carry_out(watchdog.step(&mut core, now, paused));
        }
        ends |= edges.carry_out(watchdog.step(&mut core, now, event));
    }
    edges.send_all();
    watchdog.end();
    service.tell("STOPPING=1");
    match edges.unfit.take() {
        Some(text) => Err(Failure::new(78, text)),
        None => Ok(()),
    }
}

/// An input as an event; who waits for its answer is noted under `id`. None when it was answered right here.
fn event_of(
    edges: &mut Edges,
    core: &Core,
    input: Input,
    (id, links, options): (u64, &[SocketAddr], &Options),
) -> Option<Event> {
    let (waiting, request) = match input {
        Input::Event(event) => return Some(event),
        Input::Rotation(step) => return rotation::go_on(edges, options, step, id),
        Input::Token(handle) => {
            handle.send(make_token(edges, links, options));
            return None;
        }
        Input::Renewed(credentials) => {
            edges.transport.set_credentials(*credentials);
            return None;
        }
        Input::Send { to, message } => {
            edges.send(&to, Class::Stream, &message);
            return None;
        }
        Input::Client(incoming) => {
            return accept_client(edges, core, incoming, (id, options));
        }
        Input::Join(asked) => {
            let request = Request::Join {
                node: NodeId::from(asked.name.as_str()),
                addresses: asked.addresses.iter().map(ToString::to_string).collect(),
                offer: JoinOffer {
                    key: asked.key.clone(),
                    feature_level: asked.feature_level,
                    witness: asked.witness,
                },
            };
            (Waiting::Joiner(asked), request)
        }
        Input::Watcher(asked) => (Waiting::Watcher(asked), Request::View),
    };
    edges.waiting.insert(id, waiting);
    Some(Event::Request { id, request })
}

/// How much later than asked for this thread woke up.
fn stall(before: Now, now: Now, wait: Micros) -> Micros {
    now.held_since(before).minus(wait.max(Micros(1)))
}

/// A client's request as an event, unless it is answered right here.
fn accept_client(
    edges: &mut Edges,
    core: &Core,
    incoming: standfast_api::Incoming,
    (id, options): (u64, &Options),
) -> Option<Event> {
    let standfast_api::Incoming {
        request,
        peer,
        reply,
    } = incoming;
    if !request.looks_only() && !peer.may_change {
        let text = format!("{} may look but not change anything; ask root", peer.name);
        reply.send(Response::Refused(Refusal {
            kind: RefusalKind::Unsafe,
            text,
        }));
        return None;
    }
    if matches!(request, Request::FenceResult { .. }) {
        // Only the agent itself knows what came of its orders.
        reply.send(Response::Refused(Refusal {
            kind: RefusalKind::Invalid,
            text: "agents say this, not clients; `standfast fence confirm NODE` is for people"
                .to_owned(),
        }));
        return None;
    }
    let who = format!("{}@{}", peer.name, edges.identity.node);
    if matches!(request, Request::Token) {
        edges.waiting.insert(id, Waiting::Token(reply));
        let request = Request::Act {
            node: NodeId::from(edges.identity.node.as_str()),
            act: Act::Token,
            author: who,
        };
        return Some(Event::Request { id, request });
    }
    if let Request::RotateKey { force, .. } = request {
        rotation::begin(edges, options, reply, (force, who));
        return None;
    }
    if let Request::RotateAuthority { reason, .. } = request {
        rotation::begin_authority(edges, options, reply, (who, reason));
        return None;
    }
    if let Request::Query { node, query } = request {
        edges.inquiry.hand(Work::Client { node, query, reply });
        return None;
    }
    let request = with_author(request, &who);
    let shown = Shown::of(&request, core.inspect().state);
    edges.waiting.insert(id, Waiting::Client(reply, shown));
    Some(Event::Request { id, request })
}

fn make_token(edges: &Edges, links: &[SocketAddr], options: &Options) -> Response {
    let authority = Authority::load(&setup::pki_dir(&options.state));
    let token = authority
        .map_err(|error| error.to_string())
        .and_then(|authority| {
            edges
                .transport
                .open_join(authority, links.to_vec(), TOKEN_LIFE)
                .map_err(|error| error.to_string())
        });
    match token {
        Ok(token) => Response::Token {
            token: token.to_string(),
        },
        Err(text) => Response::Refused(Refusal {
            kind: RefusalKind::Invalid,
            text,
        }),
    }
}
