//! Another certificate authority takes the place of the present one, without anybody being cut off: first every
//! member trusts both and has the new one's key; then every member takes a certificate from the new one; then
//! nobody trusts the old one.
//!
//! A step ends when all members have reported that they have done it, and that is decided here, in `apply`, from
//! the reports alone: whoever leads, and whatever is interrupted, it goes on. Not for keys and files (the agent).

use crate::{
    apply::{Entry, refuse},
    configure::{By, clean},
    core::Core,
};
use standfast_model::{
    authority::{
        AuthorityChange, AuthorityOrders, AuthorityStep, LONGEST_CERTIFICATE, MOST_RETIRED,
        NextAuthority,
    },
    effect::Effect,
    id::NodeId,
    request::{Refusal, RefusalKind},
    state::{ClusterState, NodeState},
};

/// Length of a fingerprint, SHA-256 in hexadecimal.
const FINGERPRINT: usize = 64;

/// A change of the authority begins.
///
/// # Errors
/// Another one is under way, or this one makes no sense.
pub(crate) fn begin(
    state: &mut ClusterState,
    entry: &mut Entry,
    new: &AuthorityChange,
) -> Result<(), Refusal> {
    check(state, new)?;
    if let Some(present) = &state.authorities.change {
        if present.fingerprint == new.fingerprint {
            return Ok(());
        }
        if !is_lost(state, present) {
            let text = format!(
                "the authority is being replaced already, as {} asked; `standfast status` says what it waits for",
                present.by
            );
            return Err(refuse(RefusalKind::Exists, text));
        }
        let lost = present.fingerprint.clone();
        retire(state, lost);
    }
    let by = By {
        author: &new.by,
        reason: &new.reason,
    };
    let text = format!(
        "{} began to replace the certificate authority{}; nothing is interrupted: first every member is to trust the new one as well",
        new.by,
        by.because()
    );
    let evidence = vec![
        format!("new authority: {}", new.fingerprint),
        format!("old authority: {}", new.old),
    ];
    state.authorities.change = Some(AuthorityChange {
        step: AuthorityStep::Trust,
        reason: clean(by.reason),
        since_ms: entry.wall_ms,
        ..new.clone()
    });
    entry.write(state, "keys", text, evidence);
    Ok(())
}

fn check(state: &ClusterState, new: &AuthorityChange) -> Result<(), Refusal> {
    let refused = |text: &str| Err(refuse(RefusalKind::Invalid, text.to_owned()));
    let is_fingerprint =
        |text: &str| text.len() == FINGERPRINT && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_fingerprint(&new.fingerprint)
        || !is_fingerprint(&new.old)
        || new.fingerprint == new.old
        || new.certificate.len() > LONGEST_CERTIFICATE
    {
        return refused("this is no other authority");
    }
    if state.authorities.retired.contains(&new.fingerprint) {
        return refused("this authority was replaced before: nobody trusts it again");
    }
    Ok(())
}

/// Whether nobody has said that it has the new authority's key: whoever made it may be gone with it.
fn is_lost(state: &ClusterState, change: &AuthorityChange) -> bool {
    change.step == AuthorityStep::Trust
        && !state
            .nodes
            .values()
            .any(|known| change.is_held_by(&known.report))
}

fn retire(state: &mut ClusterState, fingerprint: String) {
    let retired = &mut state.authorities.retired;
    retired.retain(|known| *known != fingerprint);
    retired.push_back(fingerprint);
    while retired.len() > MOST_RETIRED {
        retired.pop_front();
    }
}

/// Looks whether a step is done, after every command: reports, removals and the time all may end one.
pub(crate) fn advance(state: &mut ClusterState, entry: &mut Entry) {
    while let Some(change) = &state.authorities.change {
        let is_over = change.old_until_ms > 0 && entry.wall_ms > change.old_until_ms;
        let (left, waits): (Vec<&NodeId>, Vec<&NodeId>) = state
            .authority_waits_for()
            .into_iter()
            .partition(|node| is_over && !is_online(state, node));
        if !waits.is_empty() || state.members.is_empty() {
            return;
        }
        let evidence: Vec<String> = left
            .into_iter()
            .map(|node| {
                format!(
                    "{node} is away and not waited for: the old authority's certificate has ended"
                )
            })
            .collect();
        let mut change = change.clone();
        let text = match change.step {
            AuthorityStep::Trust => {
                change.step = AuthorityStep::Take;
                state.authorities.change = Some(change);
                "every member trusts the new certificate authority; each now takes a certificate from it"
            }
            AuthorityStep::Take => {
                state.authorities.change = None;
                retire(state, change.old);
                "every member uses the new certificate authority; the old one is trusted no more"
            }
        };
        entry.write(state, "keys", text.to_owned(), evidence);
    }
}

fn is_online(state: &ClusterState, node: &NodeId) -> bool {
    let known: Option<&NodeState> = state.nodes.get(node);
    known.is_some_and(|known| known.online)
}

impl Core {
    /// Tells the agent what to do about authorities, when that has changed.
    pub(crate) fn publish_authorities(&mut self) {
        let orders = self.authority_orders();
        if orders != self.authorities {
            self.authorities.clone_from(&orders);
            self.out.push(Effect::Authorities(orders));
        }
    }

    fn authority_orders(&self) -> AuthorityOrders {
        let next = self.state.authorities.change.as_ref().map(|change| {
            let others = self.state.nodes.iter();
            let holders = others
                .filter(|(node, known)| **node != self.node && change.is_held_by(&known.report))
                .map(|(node, _)| node.clone())
                .collect();
            NextAuthority {
                fingerprint: change.fingerprint.clone(),
                certificate: change.certificate.clone(),
                take: change.step == AuthorityStep::Take,
                holders,
            }
        });
        AuthorityOrders {
            next,
            retired: self.state.authorities.retired.iter().cloned().collect(),
        }
    }
}
