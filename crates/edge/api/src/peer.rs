//! Who is at the other end of a connection, as the kernel says.

use crate::{access::groups_of, sys::user_of};
use rustix::process::geteuid;
use std::{fs, io, os::unix::net::UnixStream};

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
    pub(crate) fn of(stream: &UnixStream, group: Option<u32>) -> io::Result<Self> {
        let (uid, gid) = user_of(stream)?;
        let member = group.is_some_and(|group| {
            gid == group || groups_of(stream).is_ok_and(|groups| groups.contains(&group))
        });
        Ok(Self {
            uid,
            name: name_of(uid),
            may_change: uid == 0 || uid == geteuid().as_raw() || member,
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
