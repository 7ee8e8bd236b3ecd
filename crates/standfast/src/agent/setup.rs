//! How a node comes to be: `init` makes a cluster of one, `join` becomes a member of one. Both write
//! the state directory while no agent runs. Minimal: the checks of a real set-up come with it.

use super::convert;
use crate::failure::Failure;
use standfast_model::{
    config::{ClusterConfig, NodeConfig},
    id::{MemberId, NodeId},
    pair::PairConfig,
    state::{ClusterState, Member, NodeState},
};
use standfast_storage::{Batch, HardState, Identity, Snapshot, Storage};
use standfast_transport::{
    ClusterId, NodeName,
    join::{JoinOptions, JoinToken, join as ask_to_join},
    pki::{Authority, CA_CERTIFICATE, CA_KEY, NODE_CERTIFICATE, TRUSTED, trust},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
};

/// What a member tells a joiner.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Bootstrap {
    pub(crate) cluster_id: String,
    pub(crate) member: MemberId,
    pub(crate) peers: BTreeMap<NodeId, Vec<String>>,
    /// Fingerprints and certificates of everybody whose signature members trust: one, or two while the
    /// authority is replaced.
    #[serde(default)]
    pub(crate) authorities: Vec<(String, String)>,
}

/// Keys and certificates inside the state directory.
pub(crate) fn pki_dir(state: &Path) -> std::path::PathBuf {
    state.join("pki")
}

fn node_name(name: &str) -> Result<NodeName, Failure> {
    NodeName::new(name).map_err(|error| Failure::usage(format!("--name: {error}")))
}

/// Makes a cluster whose only member is this node.
pub(crate) fn init(
    state: &Path,
    cluster: &str,
    (name, addresses): (&str, &[SocketAddr]),
    pair: Option<PairConfig>,
) -> Result<String, Failure> {
    let node = node_name(name)?;
    for named in pair.iter().flat_map(|pair| &pair.nodes) {
        node_name(named.as_str())?;
    }
    let cluster_id = new_cluster_id(cluster)?;
    let id = ClusterId::new(&cluster_id)
        .map_err(|error| Failure::usage(format!("--cluster: {error}")))?;
    let mut storage = open_unused(state)?;
    forget_half(&pki_dir(state))?;
    let credentials = Authority::init(&pki_dir(state), &id, &node)
        .map_err(|error| Failure::cannot("make the cluster's keys", &error))?;
    let mut first = first_state(&cluster_id, cluster, name, addresses);
    first.keys = BTreeMap::from([(
        NodeId::from(name),
        BTreeSet::from([credentials.key_fingerprint()]),
    )]);
    first.config.pair = pair;
    let data = serde_json::to_vec(&first)
        .map_err(|error| Failure::cannot("write the first state", &error))?;
    let batch = Batch {
        snapshot: Some(Snapshot {
            index: 1,
            term: 1,
            data,
            voters: vec![1],
            learners: Vec::new(),
        }),
        hard_state: Some(HardState {
            term: 1,
            vote: 0,
            commit: 1,
        }),
        ..Batch::default()
    };
    let identity = Identity {
        cluster_id: cluster_id.clone(),
        node: name.to_owned(),
        member: 1,
    };
    storage
        .initialise(&identity, &batch)
        .map_err(|error| Failure::cannot("write the first state", &error))?;
    Ok(cluster_id)
}

/// An identity that no cluster has had.
pub(crate) fn new_cluster_id(name: &str) -> Result<String, Failure> {
    Ok(format!("{name}-{:08x}", random_u64()? >> 32))
}

fn first_state(
    cluster_id: &str,
    cluster: &str,
    name: &str,
    addresses: &[SocketAddr],
) -> ClusterState {
    let node = NodeId::from(name);
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let config = ClusterConfig {
        name: cluster.to_owned(),
        nodes: BTreeMap::from([(
            node.clone(),
            NodeConfig {
                addresses: addresses.clone(),
                ..NodeConfig::default()
            },
        )]),
        ..ClusterConfig::default()
    };
    ClusterState {
        cluster_id: cluster_id.to_owned(),
        applied: 1,
        config,
        members: BTreeMap::from([(
            MemberId(1),
            Member {
                node: node.clone(),
                voter: true,
                addresses,
            },
        )]),
        next_member: 2,
        nodes: BTreeMap::from([(node, NodeState::default())]),
        ..ClusterState::default()
    }
}

/// A machine that wants to join.
#[derive(Debug)]
pub(crate) struct Joiner<'j> {
    pub(crate) state: &'j Path,
    pub(crate) name: &'j str,
    pub(crate) addresses: &'j [SocketAddr],
    pub(crate) token: &'j str,
    /// Ask here instead of at the addresses of the token.
    pub(crate) through: Option<SocketAddr>,
    pub(crate) witness: bool,
}

impl Joiner<'_> {
    /// As the transport wants it.
    pub(crate) fn options(&self) -> Result<JoinOptions, Failure> {
        let token: JoinToken = self
            .token
            .trim()
            .parse()
            .map_err(|error| Failure::data(format!("the token: {error}")))?;
        Ok(JoinOptions {
            token,
            name: node_name(self.name)?,
            addresses: self.addresses.to_vec(),
            feature_level: standfast_model::FEATURE_LEVEL,
            witness: self.witness,
            through: self.through,
        })
    }

    /// Becomes a member of the cluster that the token is of.
    pub(crate) fn join(&self) -> Result<String, Failure> {
        let options = self.options()?;
        let mut storage = open_unused(self.state)?;
        forget_half(&pki_dir(self.state))?;
        let joined = ask_to_join(&options, &pki_dir(self.state))
            .map_err(|error| Failure::cannot("join", &error))?;
        let bootstrap: Bootstrap = serde_json::from_slice(&joined.bootstrap)
            .map_err(|error| Failure::cannot("understand what the member said", &error))?;
        for (fingerprint, certificate) in &bootstrap.authorities {
            trust(&pki_dir(self.state), certificate, fingerprint)
                .map_err(|error| Failure::cannot("keep what the members trust", &error))?;
        }
        let identity = Identity {
            cluster_id: bootstrap.cluster_id.clone(),
            node: self.name.to_owned(),
            member: bootstrap.member.0,
        };
        let peers: Vec<(NodeId, Vec<String>)> = bootstrap.peers.into_iter().collect();
        let batch = Batch {
            notes: convert::peers_note(&peers),
            ..Batch::default()
        };
        storage
            .initialise(&identity, &batch)
            .map_err(|error| Failure::cannot("write the first state", &error))?;
        Ok(bootstrap.cluster_id)
    }
}

/// Takes away what an interrupted set-up has left, except this node's own key: with it, whoever asks again
/// is the same node. Only for a folder that holds no state.
fn forget_half(pki: &Path) -> Result<(), Failure> {
    for file in [CA_CERTIFICATE, NODE_CERTIFICATE, CA_KEY, TRUSTED] {
        match std::fs::remove_file(pki.join(file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::cannot("take an interrupted set-up away", &error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Opens a state directory that no member's state is in.
pub(crate) fn open_unused(state: &Path) -> Result<Storage, Failure> {
    std::fs::create_dir_all(state)
        .map_err(|error| Failure::cannot(&format!("make {}", state.display()), &error))?;
    let (storage, restored) = Storage::open(state)
        .map_err(|error| Failure::cannot(&format!("open {}", state.display()), &error))?;
    match restored.identity {
        None => Ok(storage),
        Some(identity) => Err(Failure::exists(format!(
            "{} already holds node {} of cluster {}; choose another --state, or move that folder away",
            state.display(),
            identity.node,
            identity.cluster_id
        ))),
    }
}

/// Random bits of the operating system.
pub(crate) fn random_u64() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes))
        .map_err(|error| Failure::cannot("read random numbers", &error))?;
    Ok(u64::from_le_bytes(bytes))
}
