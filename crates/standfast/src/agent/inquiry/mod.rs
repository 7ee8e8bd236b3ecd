//! Questions about a node that its core has no part in: logs, and what is wrong on the machine. A thread
//! of its own keeps the agent's last log lines, answers members and clients, and asks other members.
//!
//! Bounded everywhere: lines kept, work waiting, questions under way, bytes of an answer, time for one.
//! Nothing here changes anything.

mod lines;
mod output;

pub(crate) use lines::LogWriter;

use super::{Options, input::Input, queue::Queue};
use crate::doctor;
use lines::Ring;
use standfast_api::ReplyHandle;
use standfast_model::{
    id::{MemberId, NodeId},
    message::{Body, Message, Query as QueryMessage, QueryAnswer},
    query::{AGENT, Answer, PAGE_BYTES, Page, Query},
    request::{Refusal, RefusalKind, Response},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// Work that may wait; what comes beyond is dropped: a line of the log, or a question.
const WAITING: usize = 1024;
/// Questions to other nodes under way.
const UNDER_WAY: usize = 32;
/// A node that does not answer within this time is not waited for.
const PATIENCE: Duration = Duration::from_secs(8);
/// Between two looks for questions that nobody has answered.
const SWEEP: Duration = Duration::from_millis(500);

/// What the thread is given.
#[derive(Debug)]
pub(crate) enum Work {
    /// A line of this agent's log.
    Line(String),
    /// A client's question.
    Client {
        /// About which node; none means this one.
        node: Option<NodeId>,
        query: Query,
        reply: ReplyHandle,
    },
    /// Another node's question.
    Asked {
        from: NodeId,
        id: u64,
        json: Vec<u8>,
    },
    /// Another node's answer.
    Answered {
        from: NodeId,
        id: u64,
        json: Vec<u8>,
    },
    /// Something that took its time is found out.
    Found(Asker, Answer),
}

/// Who waits for an answer.
#[derive(Debug)]
pub(crate) enum Asker {
    Client(ReplyHandle),
    Node(NodeId, u64),
}

/// A handle on the thread.
#[derive(Clone, Debug)]
pub(crate) struct Inquiry(SyncSender<Work>);

/// The thread's work, until it is started.
#[derive(Debug)]
pub(crate) struct Desk {
    work: Receiver<Work>,
    /// For what the thread tells itself.
    own: SyncSender<Work>,
}

/// A handle and its desk. Lines may be written from now on.
pub(crate) fn open() -> (Inquiry, Desk) {
    let (sender, work) = sync_channel(WAITING);
    let own = sender.clone();
    (Inquiry(sender), Desk { work, own })
}

impl Inquiry {
    /// Hands over, unless too much waits already. Never blocks: the core's thread does this.
    pub(crate) fn hand(&self, work: Work) {
        drop(self.0.try_send(work));
    }
}

/// Starts the thread. Messages to members leave through the agent's queue.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn start(
    desk: Desk,
    options: &Options,
    node: &str,
    inputs: Queue,
) -> std::io::Result<()> {
    let mut worker = Worker {
        own: desk.own,
        node: NodeId::from(node),
        place: doctor::Place::of(options),
        output: options.state.join("output"),
        inputs,
        ring: Ring::default(),
        under_way: BTreeMap::new(),
        next: 0,
        examining: false,
    };
    let work = desk.work;
    thread::Builder::new()
        .name("inquiry".to_owned())
        .spawn(move || worker.run(&work))?;
    Ok(())
}

struct Worker {
    own: SyncSender<Work>,
    node: NodeId,
    place: doctor::Place,
    output: PathBuf,
    inputs: Queue,
    ring: Ring,
    under_way: BTreeMap<u64, (NodeId, Instant, ReplyHandle)>,
    next: u64,
    /// The machine is being examined, which is done once at a time.
    examining: bool,
}

impl Worker {
    fn run(&mut self, work: &Receiver<Work>) {
        loop {
            // An idle agent is not woken.
            let next = if self.under_way.is_empty() {
                work.recv()
                    .map_err(|_closed| RecvTimeoutError::Disconnected)
            } else {
                work.recv_timeout(SWEEP)
            };
            match next {
                Ok(work) => self.on_work(work),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.sweep();
        }
    }

    fn on_work(&mut self, work: Work) {
        match work {
            Work::Line(line) => self.ring.push(line),
            Work::Client { node, query, reply } => match node {
                Some(node) if node != self.node => self.ask(node, &query, reply),
                Some(_) | None => self.answer(query, Asker::Client(reply)),
            },
            Work::Asked { from, id, json } => match serde_json::from_slice(&json) {
                Ok(query) => self.answer(query, Asker::Node(from, id)),
                Err(_) => {
                    let why = String::from("this version does not know the question");
                    self.reply(Asker::Node(from, id), Answer::Failed(why));
                }
            },
            Work::Answered { from, id, json } => self.on_answer(&from, id, &json),
            Work::Found(asker, answer) => {
                self.examining = false;
                self.reply(asker, answer);
            }
        }
    }

    fn send(&self, to: NodeId, body: Body) {
        // The core never sees these, so nothing depends on who says it as which member.
        let message = Box::new(Message::new(MemberId(0), 0, body));
        self.inputs.send(Input::Send { to, message });
    }

    fn ask(&mut self, node: NodeId, query: &Query, reply: ReplyHandle) {
        if self.under_way.len() >= UNDER_WAY {
            refuse(reply, "too many questions are under way; try again");
            return;
        }
        let Ok(json) = serde_json::to_vec(query) else {
            return;
        };
        self.next += 1;
        let id = self.next;
        let body = Body::Query(QueryMessage { id, json });
        self.send(node.clone(), body);
        self.under_way.insert(id, (node, Instant::now(), reply));
    }

    /// Only the node that was asked may answer.
    fn on_answer(&mut self, from: &NodeId, id: u64, json: &[u8]) {
        if self
            .under_way
            .get(&id)
            .is_none_or(|(node, ..)| node != from)
        {
            return;
        }
        let Some((_, _, reply)) = self.under_way.remove(&id) else {
            return;
        };
        match serde_json::from_slice(json) {
            Ok(answer) => reply.send(Response::Answer(Box::new(answer))),
            Err(_) => refuse(
                reply,
                "it answered something that this version does not know",
            ),
        }
    }

    fn sweep(&mut self) {
        let late: Vec<u64> = self
            .under_way
            .iter()
            .filter(|(_, (_, since, _))| since.elapsed() > PATIENCE)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            if let Some((node, _, reply)) = self.under_way.remove(&id) {
                let seconds = PATIENCE.as_secs();
                refuse(reply, &format!("{node} did not answer within {seconds} s"));
            }
        }
    }

    fn answer(&mut self, query: Query, asker: Asker) {
        match query {
            Query::Logs { only, after, lines } => {
                let page = self.page(only.as_deref(), &after, lines);
                self.reply(asker, Answer::Logs(page));
            }
            Query::Findings => self.examine(asker),
        }
    }

    fn page(
        &self,
        only: Option<&[standfast_model::id::ResourceId]>,
        after: &BTreeMap<String, u64>,
        lines: u32,
    ) -> Page {
        let mut page = Page::default();
        let mut room = PAGE_BYTES;
        let lines = usize::try_from(lines).unwrap_or(usize::MAX);
        if only.is_none() {
            self.ring
                .read(after.get(AGENT).copied(), lines, &mut room, &mut page);
        }
        for resource in output::resources(&self.output) {
            if only.is_none_or(|only| only.iter().any(|one| one.as_str() == resource)) {
                let from = after.get(&resource).copied();
                output::read(&self.output, &resource, from, lines, &mut room, &mut page);
            }
        }
        page
    }

    /// Takes a while, and asks this agent itself: on a thread of its own.
    fn examine(&mut self, asker: Asker) {
        if self.examining {
            let why = String::from("the machine is being examined already; try again");
            self.reply(asker, Answer::Failed(why));
            return;
        }
        self.examining = true;
        let (place, own) = (self.place.clone(), self.own.clone());
        let started = thread::Builder::new()
            .name("doctor".to_owned())
            .spawn(move || {
                let found = Answer::Findings(doctor::examine(&place));
                // The agent may be ending.
                drop(own.send(Work::Found(asker, found)));
            });
        if started.is_err() {
            self.examining = false;
        }
    }

    fn reply(&self, asker: Asker, answer: Answer) {
        match asker {
            Asker::Client(reply) => reply.send(Response::Answer(Box::new(answer))),
            Asker::Node(node, id) => {
                if let Ok(json) = serde_json::to_vec(&answer) {
                    let body = Body::QueryAnswer(QueryAnswer { id, json });
                    self.send(node, body);
                }
            }
        }
    }
}

fn refuse(reply: ReplyHandle, text: &str) {
    reply.send(Response::Refused(Refusal {
        kind: RefusalKind::Timeout,
        text: text.to_owned(),
    }));
}
