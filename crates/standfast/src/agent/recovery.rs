//! New clusters from old ones: after the loss of a majority, and from a backup. Writes the state
//! directory while no agent runs; may be repeated after a crash at any point.
//!
//! What the new state is, is decided in crate `cluster`, module `refound`. Not for asking the operator.

use super::{convert, setup};
use crate::{doctor, failure::Failure};
use standfast_cluster::{NewCluster, Survey, longest_lease, refound, survey};
use standfast_model::{id::NodeId, state::ClusterState};
use standfast_storage::{Batch, HardState, Identity, Restored, Snapshot, Storage};
use standfast_transport::{ClusterId, NodeName, pki::Authority};
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// What a surviving node still knows, with its folder locked.
#[derive(Debug)]
pub(crate) struct Survivor {
    storage: Storage,
    restored: Restored,
    folder: PathBuf,
    /// Who it was.
    pub(crate) identity: Identity,
    /// What it knows.
    pub(crate) survey: Survey,
}

/// Opens the state of a node whose cluster has lost its majority.
pub(crate) fn open(folder: &Path) -> Result<Survivor, Failure> {
    let (storage, restored) = open_storage(folder)?;
    let identity = restored.identity.clone().ok_or_else(|| {
        Failure::new(
            78,
            format!("{} holds no node: nothing to recover", folder.display()),
        )
    })?;
    finish_keys(folder, &identity.cluster_id)?;
    let survey = survey(&convert::restored(&restored)).ok_or_else(|| {
        Failure::new(
            78,
            format!(
                "{} holds no state of the cluster ({:?}): recover on another node, or restore a backup",
                folder.display(),
                restored.condition
            ),
        )
    })?;
    Ok(Survivor {
        storage,
        restored,
        folder: folder.to_owned(),
        identity,
        survey,
    })
}

fn open_storage(folder: &Path) -> Result<(Storage, Restored), Failure> {
    if !folder.is_dir() {
        let text = format!("{} does not exist", folder.display());
        return Err(Failure::new(66, text));
    }
    Storage::open(folder).map_err(|error| match error {
        standfast_storage::OpenError::InUse { .. } => Failure::new(
            75,
            format!("{error}: stop the agent first (`systemctl stop standfast`)"),
        ),
        other => Failure::cannot("open the state directory", &other),
    })
}

impl Survivor {
    /// Makes it the only member of a new cluster; gives the new cluster's identity.
    pub(crate) fn refound(mut self, text: &str, evidence: Vec<String>) -> Result<String, Failure> {
        let node = self.identity.node.clone();
        let own = NodeId::from(node.as_str());
        let state = &self.survey.state;
        let addresses = state
            .config
            .nodes
            .get(&own)
            .map(|config| config.addresses.clone())
            .unwrap_or_default();
        let founding = Founding {
            folder: &self.folder,
            node: &node,
            addresses,
            text,
            evidence,
        };
        let known = convert::restored(&self.restored);
        let lease_cap = known.lease_cap.max(longest_lease(state));
        let mut batch = convert::batch(standfast_model::effect::Batch {
            promise: Some(known.promise),
            vote_cap: Some(known.vote_cap),
            lease_cap: Some(lease_cap),
            ..standfast_model::effect::Batch::default()
        });
        founding.write(&mut self.storage, state, self.survey.term, &mut batch)
    }
}

/// Makes a cluster from a backup's state, in a folder that holds nothing yet.
pub(crate) fn restore(
    folder: &Path,
    name: &str,
    addresses: &[SocketAddr],
    state: &ClusterState,
    (text, evidence): (&str, Vec<String>),
) -> Result<String, Failure> {
    let mut storage = setup::open_unused(folder)?;
    let founding = Founding {
        folder,
        node: name,
        addresses: addresses.iter().map(ToString::to_string).collect(),
        text,
        evidence,
    };
    let mut batch = convert::batch(standfast_model::effect::Batch {
        lease_cap: Some(longest_lease(state)),
        ..standfast_model::effect::Batch::default()
    });
    let term = state.plan.number.term;
    founding.write(&mut storage, state, term, &mut batch)
}

/// A cluster that begins with one node.
struct Founding<'f> {
    folder: &'f Path,
    node: &'f str,
    addresses: Vec<String>,
    text: &'f str,
    evidence: Vec<String>,
}

impl Founding<'_> {
    /// New keys first, then the state, then the keys in their place: whatever is interrupted is either
    /// the old cluster still, or finished by the next call.
    fn write(
        self,
        storage: &mut Storage,
        old: &ClusterState,
        term: u64,
        batch: &mut Batch,
    ) -> Result<String, Failure> {
        let name =
            NodeName::new(self.node).map_err(|error| Failure::usage(format!("--name: {error}")))?;
        let cluster_id = setup::new_cluster_id(&old.config.name)?;
        let id = ClusterId::new(&cluster_id)
            .map_err(|error| Failure::usage(format!("name of the cluster: {error}")))?;
        let prepared = prepared_keys(self.folder);
        let io_failure = |error: io::Error| Failure::cannot("prepare the cluster's keys", &error);
        remove_folder(&prepared).map_err(io_failure)?;
        let credentials = Authority::init(&prepared, &id, &name)
            .map_err(|error| Failure::cannot("make the cluster's keys", &error))?;
        let new = NewCluster {
            cluster_id: cluster_id.clone(),
            node: NodeId::from(self.node),
            addresses: self.addresses,
            key: credentials.key_fingerprint(),
            text: self.text.to_owned(),
            evidence: self.evidence,
            wall_ms: wall_ms(),
        };
        let (state, member) = refound(old, &new);
        let term = term.saturating_add(1);
        batch.snapshot = Some(Snapshot {
            index: state.applied,
            term,
            data: serde_json::to_vec(&state)
                .map_err(|error| Failure::cannot("write the new state", &error))?,
            voters: vec![member.0],
            learners: Vec::new(),
        });
        batch.hard_state = Some(HardState {
            term,
            vote: 0,
            commit: state.applied,
        });
        let identity = Identity {
            cluster_id: cluster_id.clone(),
            node: self.node.to_owned(),
            member: member.0,
        };
        storage
            .restart_as(&identity, batch)
            .map_err(|error| Failure::cannot("write the new state", &error))?;
        finish_keys(self.folder, &cluster_id)?;
        Ok(cluster_id)
    }
}

fn prepared_keys(folder: &Path) -> PathBuf {
    folder.join("pki.new")
}

/// Puts prepared keys in their place when the state is of their cluster already. The old ones are kept
/// beside them: they open nothing any more.
pub(crate) fn finish_keys(folder: &Path, cluster_id: &str) -> Result<(), Failure> {
    use standfast_transport::pki::Credentials;
    let (prepared, present) = (prepared_keys(folder), setup::pki_dir(folder));
    let of_cluster = |dir: &Path| {
        Credentials::load(dir).is_ok_and(|credentials| credentials.cluster().as_str() == cluster_id)
    };
    if !of_cluster(&prepared) {
        return Ok(());
    }
    let failure = |error: io::Error| Failure::cannot("put the new keys in their place", &error);
    if present.exists() && !of_cluster(&present) {
        let old = folder.join(format!("pki.before-{cluster_id}"));
        fs::rename(&present, old).map_err(failure)?;
    }
    fs::rename(&prepared, &present).map_err(failure)?;
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failure)
}

/// Takes away everything that this node knows of its cluster. Refused while an agent uses it, and while
/// something still runs here: an agent that has ended for a restart leaves its services to their keepers.
pub(crate) fn destroy(folder: &Path, cgroup: &Path) -> Result<Option<Identity>, Failure> {
    let (storage, restored) = open_storage(folder)?;
    refuse_while_running(cgroup)?;
    let failure = |error: io::Error| Failure::cannot("take the state away", &error);
    // The lock itself stays until the end, and its file for good: it is where the next agent waits.
    for entry in fs::read_dir(folder).map_err(failure)? {
        let entry = entry.map_err(failure)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = ["state.", "identity.", "acknowledged", "pki", "output"]
            .iter()
            .any(|start| name.starts_with(start));
        if !ours {
            continue;
        }
        if entry.file_type().map_err(failure)?.is_dir() {
            remove_folder(&entry.path()).map_err(failure)?;
        } else {
            fs::remove_file(entry.path()).map_err(failure)?;
        }
    }
    drop(storage);
    Ok(restored.identity)
}

fn refuse_while_running(cgroup: &Path) -> Result<(), Failure> {
    let mut running: Vec<String> = doctor::running(cgroup)
        .into_iter()
        .map(|left| left.resource)
        .collect();
    running.sort();
    running.dedup();
    if running.is_empty() {
        return Ok(());
    }
    let text = format!(
        "{} still runs here: the agent has ended for a restart, or was killed, and what it ran goes on until its lease is over; \
         start the agent and stop it (`systemctl start standfast`, `systemctl stop standfast`), which moves everything away, or \
         wait until the lease is over. Nothing was changed",
        running.join(", ")
    );
    Err(Failure::new(75, text))
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(crate) fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}
