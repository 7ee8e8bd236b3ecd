//! Another private key for this node, step by step: made and signed, made known to the cluster, put in
//! place, and the old one made worthless. Files are written on threads of their own, because leases
//! wait for nothing.
//!
//! An interruption leaves both keys good, or only one of them; asking again finishes it.

use super::{
    Options,
    carry::{Edges, Waiting},
    input::Input,
    setup,
    shown::Shown,
};
use standfast_api::ReplyHandle;
use standfast_model::{
    event::Event,
    id::NodeId,
    request::{Refusal, RefusalKind, Request, Response},
};
use standfast_transport::pki::{Credentials, PkiError, adopt_key, prepare_key};
use std::{collections::BTreeSet, thread};

/// What has happened, and who waits for the end.
#[derive(Debug)]
pub(crate) enum Step {
    /// A key is prepared; its fingerprint.
    Prepared(ReplyHandle, bool, Result<BTreeSet<String>, PkiError>),
    /// The cluster knows it.
    Known(ReplyHandle),
    /// It is in place.
    Adopted(ReplyHandle, Result<Box<Credentials>, PkiError>),
}

/// Begins: a client has asked for another key.
pub(crate) fn begin(edges: &Edges, options: &Options, handle: ReplyHandle, force: bool) {
    let (pki, life) = (setup::pki_dir(&options.state), options.certificate_life);
    work(edges, move || {
        let keys = Credentials::load(&pki).and_then(|present| {
            let next = prepare_key(&pki, life)?;
            Ok(BTreeSet::from([present.key_fingerprint(), next]))
        });
        Step::Prepared(handle, force, keys)
    });
}

/// The next step: a request to the cluster, if one follows.
pub(crate) fn go_on(edges: &mut Edges, options: &Options, step: Step, id: u64) -> Option<Event> {
    let node = NodeId::from(edges.identity.node.as_str());
    match step {
        Step::Prepared(handle, force, Ok(keys)) => {
            edges.waiting.insert(id, Waiting::Rotation(handle));
            let request = Request::Keys { node, keys, force };
            Some(Event::Request { id, request })
        }
        Step::Known(handle) => {
            let pki = setup::pki_dir(&options.state);
            work(edges, move || {
                Step::Adopted(handle, adopt_key(&pki).map(Box::new))
            });
            None
        }
        Step::Adopted(handle, Ok(credentials)) => {
            let keys = BTreeSet::from([credentials.key_fingerprint()]);
            edges.transport.set_credentials(*credentials);
            edges
                .waiting
                .insert(id, Waiting::Client(handle, Shown::default()));
            let request = Request::Keys {
                node,
                keys,
                force: true,
            };
            Some(Event::Request { id, request })
        }
        Step::Prepared(handle, _, Err(error)) | Step::Adopted(handle, Err(error)) => {
            handle.send(Response::Refused(Refusal {
                kind: RefusalKind::Invalid,
                text: format!("another key cannot be made: {error}"),
            }));
            None
        }
    }
}

fn work(edges: &Edges, job: impl FnOnce() -> Step + Send + 'static) {
    let inputs = edges.inputs.clone();
    let done = move || inputs.send(Input::Rotation(job()));
    if let Err(error) = thread::Builder::new()
        .name("rotation".to_owned())
        .spawn(done)
    {
        tracing::error!(%error, "cannot start a thread");
    }
}
