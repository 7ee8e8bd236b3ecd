//! Who is at the other end of a connection, as the kernel says.

use crate::access::groups_of;
use rustix::{net::sockopt::socket_peercred, process::geteuid};
use std::{fs, os::unix::net::UnixStream};

/// A client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its user number.
    pub uid: u32,
    /// Its user name, or `uid N` when the machine does not know one.
    pub name: String,
    /// Root, the agent's own user, or a member of the group: may change things.
    pub may_change: bool,
}

impl Peer {
    /// `group` may change things, too.
    pub(crate) fn of(stream: &UnixStream, group: Option<u32>) -> rustix::io::Result<Self> {
        let peer = socket_peercred(stream)?;
        let uid = peer.uid;
        let member = group.is_some_and(|group| {
            peer.gid.as_raw() == group
                || groups_of(stream).is_ok_and(|groups| groups.contains(&group))
        });
        Ok(Self {
            uid: uid.as_raw(),
            name: name_of(uid.as_raw()),
            may_change: uid.is_root() || uid == geteuid() || member,
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
