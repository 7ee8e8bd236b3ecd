//! Keeps this node's certificate young: renewed by itself at two thirds of its life, long before anybody
//! would have to know of it. What cannot be renewed is said in `status`.
//!
//! Nothing depends on it: members are known by their keys, and a certificate that has ended is served
//! all the same. So a clock that is years off does no harm here either.

use super::{input::Input, queue::Queue};
use standfast_model::{event::Event, state::CertificateReport};
use standfast_transport::pki::{Credentials, PkiError, renew};
use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Life of a certificate, unless something else is said.
pub(crate) const LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// Certificates begin so long before they are made, because clocks differ.
const BACKDATED: u64 = 24 * 3600;
/// The clock may jump: it is looked at again at least so often.
const LOOK: Duration = Duration::from_secs(60);

/// Starts the thread that renews.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn watch(pki: PathBuf, life: Duration, inputs: Queue) -> std::io::Result<()> {
    thread::Builder::new()
        .name("certificates".to_owned())
        .spawn(move || {
            let mut report = CertificateReport::default();
            loop {
                let pause = match look(&pki, life, &inputs) {
                    Ok((new, pause)) => {
                        if new != report {
                            inputs.send(told(&new));
                        }
                        report = new;
                        pause
                    }
                    Err(error) => {
                        tracing::error!(%error, "cannot look at this node's certificate");
                        LOOK
                    }
                };
                thread::sleep(pause);
            }
        })?;
    Ok(())
}

fn told(report: &CertificateReport) -> Input {
    Input::Event(Event::Certificate(report.clone()))
}

/// One look: renews when that is due.
fn look(
    pki: &Path,
    life: Duration,
    inputs: &Queue,
) -> Result<(CertificateReport, Duration), PkiError> {
    let now = seconds();
    let present = Credentials::load(pki)?;
    let left = due_in(present.validity(), life.as_secs(), now);
    let report = |credentials: &Credentials, problem| CertificateReport {
        until_ms: credentials.validity().1.saturating_mul(1000),
        problem,
    };
    if left > 0 {
        let pause = Duration::from_secs(left).min(LOOK);
        return Ok((report(&present, String::new()), pause));
    }
    match renew(pki, life) {
        Ok(renewed) => {
            tracing::info!("this node's certificate was renewed");
            let new = report(&renewed, String::new());
            inputs.send(Input::Renewed(Box::new(renewed)));
            Ok((new, Duration::from_secs(1)))
        }
        Err(error) => {
            tracing::warn!(%error, "this node's certificate cannot be renewed");
            Ok((report(&present, error.to_string()), LOOK))
        }
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
