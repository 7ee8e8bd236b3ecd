//! Who may ask what: root and the agent's own user everything, members of a group as well, everybody else at
//! most look. And how often.
//!
//! Who somebody is comes from the kernel with the connection; a process that changes afterwards changes nothing.
#![allow(
    unsafe_code,
    reason = "the groups of a peer are a socket option that no safe interface has"
)]

use rustix::process::geteuid;
use std::{
    collections::BTreeMap,
    fs, io,
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    time::Instant,
};

/// Requests and connections a second of one user who is neither root nor the agent's own; as many at once
/// after a quiet second or two.
const PER_SECOND: f64 = 50.0;
const AT_ONCE: f64 = 100.0;

/// Users that are remembered; more at once than this are more than any machine has logged in.
const USERS: usize = 4096;

/// More groups than the kernel gives to a process.
const MOST_GROUPS: usize = 65_536;

/// Who may use the socket, besides root and the agent's own user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Members of this group of the machine may look and change things. A group that does not exist has none.
    pub group: Option<String>,
    /// Everybody else may look; otherwise they may not even connect.
    pub anybody_reads: bool,
}

impl Access {
    /// Number of the group, from the machine's own list only: a directory service could block for long.
    pub(crate) fn group_number(&self) -> Option<u32> {
        let wanted = self.group.as_deref()?;
        let list = fs::read_to_string("/etc/group").unwrap_or_default();
        list.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(wanted)).then_some(())?;
            fields.nth(1)?.parse().ok()
        })
    }

    /// Mode of the socket.
    pub(crate) const fn mode(&self) -> u32 {
        if self.anybody_reads { 0o666 } else { 0o660 }
    }
}

/// Supplementary groups of whoever connected, as they were then.
///
/// # Errors
/// The kernel does not say.
pub(crate) fn groups_of(stream: &UnixStream) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let bytes = groups.len() * size_of::<libc::gid_t>();
        let mut length = libc::socklen_t::try_from(bytes).unwrap_or(0);
        // SAFETY: the buffer has `length` bytes, and the kernel writes at most that many; gid_t may hold any bits.
        let result = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let needed = usize::try_from(length).unwrap_or(0) / size_of::<libc::gid_t>();
        if result == 0 {
            groups.truncate(needed);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || needed > MOST_GROUPS {
            return Err(error);
        }
        groups.resize(needed, 0);
    }
}

/// How much each user has asked lately.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    users: BTreeMap<u32, (f64, Instant)>,
}

impl Rates {
    /// Counts one more; no: it is too much, and is refused.
    pub(crate) fn allow(&mut self, uid: u32, now: Instant) -> bool {
        if uid == 0 || uid == geteuid().as_raw() {
            return true;
        }
        if self.users.len() >= USERS {
            self.users
                .retain(|_, (left, at)| *left + since(*at, now) * PER_SECOND < AT_ONCE);
        }
        let (left, at) = self.users.entry(uid).or_insert((AT_ONCE, now));
        *left = AT_ONCE.min(*left + since(*at, now) * PER_SECOND);
        *at = now;
        if *left < 1.0 {
            return false;
        }
        *left -= 1.0;
        true
    }
}

fn since(at: Instant, now: Instant) -> f64 {
    now.saturating_duration_since(at).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_user_has_a_rate_of_its_own_and_root_none() {
        let mut rates = Rates::default();
        let now = Instant::now();
        let allowed =
            |rates: &mut Rates, uid, at| (0..200).filter(|_| rates.allow(uid, at)).count();
        assert_eq!(allowed(&mut rates, 1000, now), 100);
        assert_eq!(allowed(&mut rates, 1001, now), 100);
        assert_eq!(allowed(&mut rates, 0, now), 200);
        let later = now + Duration::from_millis(500);
        assert_eq!(allowed(&mut rates, 1000, later), 25);
        let later = now + Duration::from_secs(60);
        assert_eq!(allowed(&mut rates, 1000, later), 100);
    }
}
