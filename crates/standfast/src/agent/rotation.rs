//! Another private key for this node, step by step: made and signed, made known to the cluster, put in
//! place, and the old one made worthless. And another certificate authority, of which the first step is made
//! here: the cluster agrees on the rest (`certificates` follows it). Files are written on threads of their
//! own, because leases wait for nothing.
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
    authority::AuthorityChange,
    event::Event,
    id::NodeId,
    request::{Refusal, RefusalKind, Request, Response},
};
use standfast_transport::pki::{
    Credentials, PkiError, Prepared, adopt_key, prepare_authority, prepare_key,
};
use std::{collections::BTreeSet, thread};

/// What has happened, and who waits for the end. Each names the user who asked.
#[derive(Debug)]
pub(crate) enum Step {
    /// A key is prepared; its fingerprint and the present one's; whether nobody who is away is waited for.
    Prepared(
        ReplyHandle,
        (bool, String),
        Result<BTreeSet<String>, PkiError>,
    ),
    /// The cluster knows it.
    Known(ReplyHandle, String),
    /// It is in place.
    Adopted(ReplyHandle, String, Result<Box<Credentials>, PkiError>),
    /// Another authority is made; who asked, and why.
    Made(ReplyHandle, (String, String), Result<Prepared, PkiError>),
}

/// Begins: a client has asked for another key.
pub(crate) fn begin(
    edges: &Edges,
    options: &Options,
    handle: ReplyHandle,
    (force, author): (bool, String),
) {
    let (pki, life) = (setup::pki_dir(&options.state), options.certificate_life);
    work(edges, move || {
        let keys = Credentials::load(&pki).and_then(|present| {
            let next = prepare_key(&pki, life)?;
            Ok(BTreeSet::from([present.key_fingerprint(), next]))
        });
        Step::Prepared(handle, (force, author), keys)
    });
}

/// Begins: a client has asked for another authority. Its author, and why.
pub(crate) fn begin_authority(
    edges: &Edges,
    options: &Options,
    handle: ReplyHandle,
    asked: (String, String),
) {
    let pki = setup::pki_dir(&options.state);
    work(edges, move || {
        Step::Made(handle, asked, prepare_authority(&pki))
    });
}

/// The next step: a request to the cluster, if one follows.
pub(crate) fn go_on(edges: &mut Edges, options: &Options, step: Step, id: u64) -> Option<Event> {
    let node = NodeId::from(edges.identity.node.as_str());
    match step {
        Step::Prepared(handle, (force, author), Ok(keys)) => {
            edges
                .waiting
                .insert(id, Waiting::Rotation(handle, author.clone()));
            let request = Request::Keys {
                node,
                keys,
                force,
                author,
            };
            Some(Event::Request { id, request })
        }
        Step::Known(handle, author) => {
            let pki = setup::pki_dir(&options.state);
            work(edges, move || {
                Step::Adopted(handle, author, adopt_key(&pki).map(Box::new))
            });
            None
        }
        Step::Adopted(handle, author, Ok(credentials)) => {
            let keys = BTreeSet::from([credentials.key_fingerprint()]);
            edges.transport.set_credentials(*credentials);
            edges
                .waiting
                .insert(id, Waiting::Client(handle, Shown::default()));
            let request = Request::Keys {
                node,
                keys,
                force: true,
                author,
            };
            Some(Event::Request { id, request })
        }
        Step::Made(handle, (by, reason), Ok(made)) => {
            edges
                .waiting
                .insert(id, Waiting::Authority(handle, made.fingerprint.clone()));
            let change = AuthorityChange {
                fingerprint: made.fingerprint,
                certificate: made.certificate,
                old: made.old,
                old_until_ms: made.old_until.saturating_mul(1000),
                by,
                reason,
                ..AuthorityChange::default()
            };
            let request = Request::ReplaceAuthority {
                change: Box::new(change),
            };
            Some(Event::Request { id, request })
        }
        Step::Prepared(handle, _, Err(error)) | Step::Adopted(handle, _, Err(error)) => {
            refuse(handle, format!("another key cannot be made: {error}"));
            None
        }
        Step::Made(handle, _, Err(error)) => {
            refuse(handle, format!("another authority cannot be made: {error}"));
            None
        }
    }
}

fn refuse(handle: ReplyHandle, text: String) {
    handle.send(Response::Refused(Refusal {
        kind: RefusalKind::Invalid,
        text,
    }));
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
