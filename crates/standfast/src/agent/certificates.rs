//! Keeps this node's certificate young: renewed by itself at two thirds of its life, long before anybody
//! would have to know of it. What cannot be renewed is said in `status`. And follows the cluster when another
//! authority takes the place of the present one.
//!
//! Nothing depends on it: members are known by their keys, and a certificate that has ended is served
//! all the same. So a clock that is years off does no harm here either.

use super::{input::Input, queue::Queue};
use standfast_model::{
    authority::{AuthorityOrders, NextAuthority},
    event::Event,
    id::{MemberId, NodeId},
    message::{AuthorityKey, Body, Message},
    state::CertificateReport,
};
use standfast_transport::pki::{
    Credentials, Fingerprint, PkiError, authority_key, distrust, keep_authority_key, renew, trust,
    use_authority,
};
use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Life of a certificate, unless something else is said.
pub(crate) const LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// Certificates begin so long before they are made, because clocks differ.
const BACKDATED: u64 = 24 * 3600;
/// What could not be done now is tried again after this time.
const RETRY: Duration = Duration::from_millis(500);
/// The clock may jump: it is looked at again at least so often.
const LOOK: Duration = Duration::from_secs(60);

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Work {
    /// What the cluster has agreed on about authorities.
    Follow(AuthorityOrders),
    /// A member asks for the key of the authority to come, or gives it.
    Key(NodeId, AuthorityKey),
}

/// Starts the thread that renews and follows.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn watch(pki: PathBuf, life: Duration, inputs: Queue) -> std::io::Result<Sender<Work>> {
    let (sender, work) = channel();
    let mut watcher = Watcher {
        pki,
        life,
        inputs,
        orders: AuthorityOrders::default(),
        asked: 0,
        report: CertificateReport::default(),
    };
    thread::Builder::new()
        .name("certificates".to_owned())
        .spawn(move || watcher.run(&work))?;
    Ok(sender)
}

struct Watcher {
    pki: PathBuf,
    life: Duration,
    inputs: Queue,
    orders: AuthorityOrders,
    /// How often a member was asked for a key: each time another one.
    asked: usize,
    report: CertificateReport,
}

impl Watcher {
    fn run(&mut self, work: &Receiver<Work>) {
        loop {
            let pause = match self.look() {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(%error, "cannot look at this node's certificate");
                    RETRY
                }
            };
            match work.recv_timeout(pause) {
                Ok(work) => self.on_work(work),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn on_work(&mut self, work: Work) {
        match work {
            Work::Follow(orders) => self.orders = orders,
            Work::Key(from, key) if key.pem.is_empty() => self.give_key(&from, &key.fingerprint),
            Work::Key(from, key) => {
                let Some(next) = &self.orders.next else {
                    return;
                };
                if next.fingerprint != key.fingerprint {
                    return;
                }
                let kept =
                    keep_authority_key(&self.pki, &next.certificate, &next.fingerprint, &key.pem);
                if let Err(error) = kept {
                    tracing::warn!(%from, %error, "cannot keep the new authority's key");
                }
            }
        }
    }

    /// One look: follows, renews when that is due, and reports. How long nothing else is due.
    fn look(&mut self) -> Result<Duration, PkiError> {
        let (changed, retry) = match self.follow() {
            Ok(done) => done,
            Err(error) => {
                tracing::warn!(%error, "cannot follow the change of the authority");
                (true, true)
            }
        };
        let mut present = Credentials::load(&self.pki)?;
        let left = due_in(present.validity(), self.life.as_secs(), seconds());
        let (mut problem, mut renewed) = (String::new(), false);
        if left == 0 {
            match renew(&self.pki, self.life) {
                Ok(new) => {
                    tracing::info!("this node's certificate was renewed");
                    (present, renewed) = (new, true);
                }
                Err(error) => {
                    tracing::warn!(%error, "this node's certificate cannot be renewed");
                    problem = error.to_string();
                }
            }
        }
        let pause = match (left, renewed) {
            (0, true) => Duration::from_secs(1),
            (0, false) => LOOK,
            (left, _) => Duration::from_secs(left).min(LOOK),
        };
        let report = CertificateReport {
            until_ms: present.validity().1.saturating_mul(1000),
            problem,
            authority: present.authority_fingerprint().to_string(),
            ready_for: self.ready_for(&present),
        };
        // The transport has it before the cluster is told so.
        if changed || renewed {
            self.inputs.send(Input::Renewed(Box::new(present)));
        }
        if report != self.report {
            self.inputs
                .send(Input::Event(Event::Certificate(report.clone())));
            self.report = report;
        }
        Ok(if retry { pause.min(RETRY) } else { pause })
    }

    /// The authority to come, when this node trusts it and has its key.
    fn ready_for(&self, present: &Credentials) -> String {
        let next = self.orders.next.as_ref().filter(|next| {
            present
                .trusted()
                .iter()
                .any(|one| Fingerprint::of(one).to_string() == next.fingerprint)
                && authority_key(&self.pki, &next.fingerprint).is_some()
        });
        next.map_or_else(String::new, |next| next.fingerprint.clone())
    }

    /// Does what the cluster has agreed on, as far as that is possible now: whether the files have changed, and
    /// whether it is to be tried again soon.
    fn follow(&mut self) -> Result<(bool, bool), PkiError> {
        let (mut changed, mut retry) = (false, false);
        if let Some(next) = self.orders.next.clone() {
            let uses = |present: Credentials| {
                present.authority_fingerprint().to_string() == next.fingerprint
            };
            changed |= trust(&self.pki, &next.certificate, &next.fingerprint)?;
            if authority_key(&self.pki, &next.fingerprint).is_none() {
                self.ask_for_key(&next.fingerprint, &next.holders);
                retry = true;
            } else if next.take && !uses(Credentials::load(&self.pki)?) {
                use_authority(&self.pki, &next.fingerprint, self.life)?;
                tracing::info!("this node has a certificate of the new authority");
                changed = true;
            }
        }
        if distrust(&self.pki, &self.orders.retired)? {
            tracing::info!("the old authority is trusted no more");
            changed = true;
        }
        Ok((changed, retry))
    }

    fn ask_for_key(&mut self, fingerprint: &str, holders: &[NodeId]) {
        let Some(turn) = self.asked.checked_rem(holders.len()) else {
            return;
        };
        self.asked = self.asked.wrapping_add(1);
        if let Some(holder) = holders.get(turn) {
            self.send(holder, fingerprint, String::new());
        }
    }

    /// Only what the cluster has agreed on is given away, and only to members: nobody else's messages come here.
    fn give_key(&self, to: &NodeId, fingerprint: &str) {
        let agreed = |next: &NextAuthority| next.fingerprint == fingerprint;
        if self.orders.next.as_ref().is_some_and(agreed)
            && let Some(pem) = authority_key(&self.pki, fingerprint)
        {
            self.send(to, fingerprint, pem);
        }
    }

    fn send(&self, to: &NodeId, fingerprint: &str, pem: String) {
        let body = Body::AuthorityKey(AuthorityKey {
            fingerprint: fingerprint.to_owned(),
            pem,
        });
        self.inputs.send(Input::Send {
            to: to.clone(),
            message: Box::new(Message::new(MemberId(0), 0, body)),
        });
    }
}

/// Seconds until a certificate of this validity is to be renewed. One from the future, as after a clock
/// that was wrong, and one that was made for longer than wanted, are renewed at once.
fn due_in((from, until): (u64, u64), life: u64, now: u64) -> u64 {
    let issued = from.saturating_add(BACKDATED);
    let whole = until.saturating_sub(issued);
    if now < from || whole > life.saturating_add(BACKDATED) {
        return 0;
    }
    let due = issued.saturating_add(whole / 3 * 2);
    due.saturating_sub(now)
}

fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;

    #[test]
    fn renewed_at_two_thirds_of_its_life() {
        let made = 1000 * DAY;
        let validity = (made - DAY, made + 300 * DAY);
        let due = |now| due_in(validity, 300 * DAY, now);
        assert_eq!(due(made), 200 * DAY);
        assert_eq!(due(made + 199 * DAY), DAY);
        assert_eq!(due(made + 200 * DAY), 0);
        assert_eq!(due(made + 400 * DAY), 0);
        // A clock that went back before it was made, and a life that is to be shorter.
        assert_eq!(due(made - 10 * DAY), 0);
        assert_eq!(due_in(validity, 30 * DAY, made), 0);
        // A clock a little behind the one that made it.
        assert!(due(made - DAY / 2) > 0);
    }
}
