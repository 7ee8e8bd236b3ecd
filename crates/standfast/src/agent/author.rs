//! Who asks is what the kernel says: the author of a request is set here. Not for who may ask (crate `api`).

use standfast_model::{request::Request, simulation::Imagined};

/// Who asks is what the kernel says, not what the client says.
pub(super) fn with_author(request: Request, who: &str) -> Request {
    let author = who.to_owned();
    match request {
        Request::Apply {
            config,
            text,
            based_on,
            reason,
            draft,
            ..
        } => Request::Apply {
            config,
            text,
            based_on,
            author,
            reason,
            draft,
        },
        Request::Draft {
            name, text, reason, ..
        } => Request::Draft {
            name,
            text,
            author,
            reason,
        },
        Request::Switchover { group, to, .. } => Request::Switchover { group, to, author },
        Request::Simulate { imagined } => simulated(imagined, who),
        request @ (Request::Order { .. }
        | Request::Maintain { .. }
        | Request::Standby { .. }
        | Request::Drain { .. }
        | Request::Cleanup { .. }) => ordered(request, author),
        Request::PlainRestart | Request::Restart { .. } => Request::Restart { author },
        Request::AskRestart { node, .. } => Request::AskRestart { node, author },
        Request::Remove { node, .. } => Request::Remove { node, author },
        request @ (Request::Fence { .. }
        | Request::FenceDrill { .. }
        | Request::FenceConfirm { .. }) => fenced(request, author),
        Request::Pair { order, .. } => Request::Pair { order, author },
        other @ (Request::View
        | Request::Backup
        | Request::RotateKey { .. }
        | Request::Keys { .. }
        | Request::Plan { .. }
        | Request::Text { .. }
        | Request::RotateAuthority { .. }
        | Request::ReplaceAuthority { .. }
        | Request::Act { .. }
        | Request::Leave
        | Request::Token
        | Request::Query { .. }
        | Request::FenceResult { .. }
        | Request::Join { .. }) => other,
    }
}

fn simulated(imagined: Vec<Imagined>, who: &str) -> Request {
    let imagined = imagined.into_iter().map(|one| tried(one, who));
    Request::Simulate {
        imagined: imagined.collect(),
    }
}

/// The same for fencing.
fn fenced(request: Request, author: String) -> Request {
    match request {
        Request::Fence {
            node,
            power_on,
            force,
            ..
        } => Request::Fence {
            node,
            power_on,
            force,
            author,
        },
        Request::FenceDrill {
            node, level, force, ..
        } => Request::FenceDrill {
            node,
            level,
            force,
            author,
        },
        Request::FenceConfirm { node, .. } => Request::FenceConfirm { node, author },
        other => other,
    }
}

/// The same for what is ordered of groups and nodes.
fn ordered(request: Request, author: String) -> Request {
    match request {
        Request::Order { group, order, .. } => Request::Order {
            group,
            order,
            author,
        },
        Request::Maintain { what, on, .. } => Request::Maintain { what, on, author },
        Request::Standby {
            node, lifetime_ms, ..
        } => Request::Standby {
            node,
            lifetime_ms,
            author,
        },
        Request::Drain { node, drained, .. } => Request::Drain {
            node,
            drained,
            author,
        },
        Request::Cleanup { group, .. } => Request::Cleanup { group, author },
        other => other,
    }
}

/// What is only tried is tried by whoever asks.
fn tried(one: Imagined, who: &str) -> Imagined {
    match one {
        Imagined::Asked { request } => Imagined::Asked {
            request: Box::new(with_author(*request, who)),
        },
        other @ (Imagined::Time { .. }
        | Imagined::Apply { .. }
        | Imagined::ResourceFails { .. }
        | Imagined::NodesLost { .. }) => other,
    }
}
