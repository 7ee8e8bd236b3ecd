//! What nodes will have recorded once a plan is carried out.
//!
//! Not for what is carried out: see `simulate`.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::input::{History, NodeState, Record};
use crate::migrated::by_resource;
use crate::names::Names;
use crate::work::{Node, NodeId};

/// What an agent was asked, and what it answers.
pub(crate) struct Done<'a> {
    pub(crate) task: &'a str,
    pub(crate) interval_ms: u64,
    pub(crate) rc: i32,
    pub(crate) migration: Option<(String, String)>,
}

/// The states of nodes while more and more is recorded in them.
pub(crate) struct Recorder {
    now: i64,
    states: Vec<NodeState>,
    /// Histories by the name of their resource, for each state that was asked about.
    names: Vec<OnceCell<Names>>,
    /// The state of each node that was asked about.
    places: Vec<Option<usize>>,
}

impl Recorder {
    pub(crate) fn new(states: &[NodeState], now: i64, nodes: usize) -> Self {
        Self {
            now,
            states: states.to_vec(),
            names: vec![OnceCell::new(); states.len()],
            places: vec![None; nodes],
        }
    }

    pub(crate) fn into_states(self) -> Vec<NodeState> {
        self.states
    }

    /// The place of a node's state, made if there is none.
    pub(crate) fn place(&mut self, id: NodeId, node: &Node) -> usize {
        if let Some(known) = self.places.get(id.at()).copied().flatten() {
            return known;
        }
        let same = |state: &NodeState| state.id == node.id || state.name == node.name;
        let found = self.states.iter().position(same).unwrap_or_else(|| {
            self.states.push(NodeState {
                id: node.id.clone(),
                name: node.name.clone(),
                ..NodeState::default()
            });
            self.names.push(OnceCell::new());
            self.states.len() - 1
        });
        if let Some(place) = self.places.get_mut(id.at()) {
            *place = Some(found);
        }
        found
    }

    /// The places of a resource's histories within a state.
    fn histories_at(&self, place: usize, resource: &str) -> impl Iterator<Item = usize> {
        let state = self.states.get(place).zip(self.names.get(place));
        let found = state.into_iter().flat_map(move |(state, names)| {
            let names = names.get_or_init(|| by_resource(&state.history));
            let candidates = names.candidates(resource);
            candidates.filter_map(|at| Some((at, state.history.get(at)?)))
        });
        let own = found.filter(move |(_, history)| history.resource == resource);
        own.map(|(at, _)| at)
    }

    /// Whether anything is recorded of a resource under that name.
    pub(crate) fn knows(&self, place: usize, resource: &str) -> bool {
        self.histories_at(place, resource).next().is_some()
    }

    /// Whether a node of that name knows of such an operation.
    pub(crate) fn has_done(
        &self,
        node: &str,
        resource: &str,
        (task, interval_ms): (&str, u64),
    ) -> bool {
        let places = (0..).zip(&self.states);
        let named = places.filter(|(_, state)| state.name == node);
        let histories = named.filter_map(|(place, state)| {
            let at = self.histories_at(place, resource).next()?;
            state.history.get(at)
        });
        histories
            .flat_map(|history| &history.operations)
            .any(|record| record.task == task && record.interval_ms == interval_ms)
    }

    /// A node that was fenced is gone, and forgets everything.
    pub(crate) fn fence(&mut self, id: NodeId, node: &Node) {
        let place = self.place(id, node);
        if let Some(state) = self.states.get_mut(place) {
            state.in_ccm = Some("false".to_owned());
            state.crmd = Some("offline".to_owned());
            state.join = Some("down".to_owned());
            state.expected = Some("down".to_owned());
            state.history.clear();
            state.attributes.clear();
        }
        if let Some(names) = self.names.get_mut(place) {
            *names = OnceCell::new();
        }
    }

    /// Records a result under the name that the node has for the resource. The agent matters only
    /// where nothing but the history knows the resource.
    pub(crate) fn record(
        &mut self,
        place: usize,
        (name, agent): (&str, Option<&[String; 3]>),
        done: &Done<'_>,
    ) {
        let mut known = self.histories_at(place, name);
        // Of several histories of a name none is taken for the right one.
        let found = known.next().filter(|_| known.next().is_none());
        drop(known);
        let Some(state) = self.states.get_mut(place) else {
            return;
        };
        let at = found.unwrap_or_else(|| {
            state.history.push(Arc::new(History {
                resource: name.to_owned(),
                agent: agent.cloned().unwrap_or_default(),
                ..History::default()
            }));
            let at = state.history.len() - 1;
            let names = self.names.get_mut(place).and_then(OnceCell::get_mut);
            if let Some(names) = names {
                names.note(name, at);
            }
            at
        });
        if let Some(history) = state.history.get_mut(at) {
            add(Arc::make_mut(history), self.now, done);
        }
    }
}

fn add(history: &mut History, now: i64, done: &Done<'_>) {
    let calls = history.operations.iter().map(|record| record.call);
    let call = calls.max().unwrap_or(0).max(0) + 1;
    let name = history.resource.as_str();
    let once = done.interval_ms == 0 && done.migration.is_none();
    let key = if done.interval_ms == 0 {
        [name, "_", done.task, "_0"].concat()
    } else {
        format!("{name}_{}_{}", done.task, done.interval_ms)
    };
    let id = if once {
        [name, "_last_0"].concat()
    } else {
        key.clone()
    };
    history.operations.retain(|record| record.id != id);
    history.operations.push(Record {
        id,
        key,
        task: done.task.to_owned(),
        interval_ms: done.interval_ms,
        call,
        rc: done.rc,
        status: Some(0),
        expected: Some(done.rc),
        transition: Some((-1, "simulated".to_owned())),
        changed: Some(now),
        on_node: None,
        source: done.migration.as_ref().map(|(from, _)| from.clone()),
        target: done.migration.as_ref().map(|(_, to)| to.clone()),
        parameters_changed: false,
        outdated: false,
    });
}
