//! Who is at the other end of a connection, as the kernel says.

use rustix::{net::sockopt::socket_peercred, process::geteuid};
use std::{fs, os::unix::net::UnixStream};

/// A client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its user number.
    pub uid: u32,
    /// Its user name, or `uid N` when the machine does not know one.
    pub name: String,
    /// Root, or the agent's own user: may change things.
    pub may_change: bool,
}

impl Peer {
    pub(crate) fn of(stream: &UnixStream) -> rustix::io::Result<Self> {
        let uid = socket_peercred(stream)?.uid;
        Ok(Self {
            uid: uid.as_raw(),
            name: name_of(uid.as_raw()),
            may_change: uid.is_root() || uid == geteuid(),
        })
    }
}

/// From the machine's own list only: asking a directory service could block for long.
fn name_of(uid: u32) -> String {
    let list = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let wanted = uid.to_string();
    let name = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == wanted).then_some(name)
    });
    name.map_or_else(|| format!("uid {uid}"), String::from)
}
