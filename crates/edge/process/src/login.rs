//! Who a check runs as: the service's user, found as its keeper finds it, but without the C library,
//! whose lookups are not made for threads. Not for the service itself.

use std::process::{Command, Stdio};

/// A user as the system's database describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// What a login would set.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// Looks a user up, by name or number. A number without a record is itself.
///
/// # Errors
/// There is no such user, as a sentence.
pub(crate) fn find(user: &str) -> Result<Login, String> {
    let local = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = find_in(&local, user).or_else(|| find_in(&ask_name_service(user), user));
    let number = user.parse().ok().map(|number| Login {
        uid: number,
        gid: number,
        environment: Vec::new(),
    });
    found
        .or(number)
        .ok_or_else(|| format!("there is no user {user:?} on this machine"))
}

/// Users that are not in the file (LDAP and the like).
fn ask_name_service(user: &str) -> String {
    let output = Command::new("/usr/bin/getent")
        .args(["passwd", "--", user])
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    output.map_or_else(
        |_absent| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// The record of a user in text of the form of passwd(5).
fn find_in(list: &str, user: &str) -> Option<Login> {
    let number: Option<u32> = user.parse().ok();
    list.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = fields.as_slice() else {
            return None;
        };
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        number
            .map_or(*name == user, |number| uid == number)
            .then(|| Login {
                uid,
                gid,
                environment: [
                    ("USER", name),
                    ("LOGNAME", name),
                    ("HOME", home),
                    ("SHELL", shell),
                ]
                .map(|(variable, value)| (variable, (*value).to_owned()))
                .to_vec(),
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "root:x:0:0:root:/root:/bin/bash\nweb:x:33:34::/srv:/bin/sh\n";

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let web = find_in(LIST, "web").unwrap();
        assert_eq!((web.uid, web.gid), (33, 34));
        assert!(web.environment.contains(&("HOME", "/srv".to_owned())));
        assert_eq!(find_in(LIST, "33"), Some(web));
        assert_eq!(find_in(LIST, "we"), None);
    }

    #[test]
    fn nobody_becomes_root_for_want_of_a_record() {
        assert!(find("sf-no-such-user").unwrap_err().contains("no user"));
        let number = find("4000000001").unwrap();
        assert_eq!((number.uid, number.gid), (4_000_000_001, 4_000_000_001));
        assert_eq!(find("nobody").unwrap().uid, 65534);
    }
}
