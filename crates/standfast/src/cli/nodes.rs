//! Asking every node about itself, through the agent of this one: `doctor`, `logs`, and parts of `report`.

use super::{
    ask::{Agent, unexpected},
    exit,
};
use crate::{doctor::wall_ms, failure::Failure};
use standfast_model::{
    id::NodeId,
    query::{Answer, Examined, Page, Query},
    request::{Request, Response, View},
};
use std::{collections::BTreeSet, path::Path, thread};

/// All nodes that are configured or members.
pub(super) fn all(view: &View) -> BTreeSet<NodeId> {
    let members = view.state.members.values();
    let members = members.map(|member| member.node.clone());
    let mut nodes: BTreeSet<NodeId> = members.collect();
    nodes.extend(view.state.config.nodes.keys().cloned());
    nodes.insert(NodeId::from(view.node.as_str()));
    nodes
}

/// One node's answer.
pub(super) fn ask(socket: &Path, node: Option<NodeId>, query: Query) -> Result<Answer, Failure> {
    let request = Request::Query { node, query };
    match Agent::connect(socket)?.ask(&request)? {
        Response::Answer(answer) => match *answer {
            Answer::Failed(why) => Err(Failure::new(exit::UNAVAILABLE, why)),
            answer => Ok(answer),
        },
        other => Err(unexpected(&other).into()),
    }
}

/// All answers to one question, asked at the same time.
pub(super) fn ask_all<T: Send>(
    socket: &Path,
    nodes: BTreeSet<NodeId>,
    ask_one: impl Fn(&Path, NodeId) -> Result<T, Failure> + Sync,
) -> Vec<(NodeId, Result<T, Failure>)> {
    let ask_one = &ask_one;
    thread::scope(|scope| {
        let asked: Vec<_> = nodes
            .into_iter()
            .map(|node| {
                let named = node.clone();
                (node, scope.spawn(move || ask_one(socket, named)))
            })
            .collect();
        asked
            .into_iter()
            .map(|(node, thread)| {
                let lost = || Failure::new(exit::UNAVAILABLE, "the question was lost");
                (node, thread.join().unwrap_or_else(|_| Err(lost())))
            })
            .collect()
    })
}

/// What a node finds wrong with itself, and our wall clock in the middle of asking.
pub(super) fn findings(socket: &Path, node: NodeId) -> Result<(Examined, u64), Failure> {
    match ask(socket, Some(node), Query::Findings)? {
        // It read its clock at the end of the examination, just before it answered.
        Answer::Findings(examined) => Ok((examined, wall_ms())),
        Answer::Logs(_) | Answer::Failed(_) => Err(mixed_up()),
    }
}

/// A page of a node's logs.
pub(super) fn page(socket: &Path, node: NodeId, query: Query) -> Result<Page, Failure> {
    match ask(socket, Some(node), query)? {
        Answer::Logs(page) => Ok(page),
        Answer::Findings(_) | Answer::Failed(_) => Err(mixed_up()),
    }
}

fn mixed_up() -> Failure {
    Failure::new(exit::PROTOCOL, "the node answered another question")
}
