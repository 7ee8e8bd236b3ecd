//! User, group and supplementary groups of a service, by name or number; taken on in the forked child, so that a slow
//! or blocked name service holds up only that child, which the deadline ends. Not for the keeper's own identity.
#![allow(
    unsafe_code,
    reason = "the C library's user database; every block says why it is sound"
)]

use std::ffi::{CStr, CString, c_char};
use std::io;

/// What the user database says about a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: Option<String>,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: Option<String>,
    pub(crate) shell: Option<String>,
}

/// Copies one string of a database record.
///
/// # Safety
/// `text` is null or a live C string.
unsafe fn copy(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned(),
    )
}

/// Looks a user up. A number without a record is itself; a name without one is an error.
pub(crate) fn find_user(user: &str) -> Result<User, String> {
    let number = user.parse::<u32>();
    let name = CString::new(user).map_err(|_nul| format!("user {user:?} contains a null byte"))?;
    // SAFETY: this child has one thread, so the static record stays as it is until it is copied here.
    let record = unsafe {
        match number {
            Ok(uid) => libc::getpwuid(uid).as_ref(),
            Err(_) => libc::getpwnam(name.as_ptr()).as_ref(),
        }
    };
    match (record, number) {
        // SAFETY: the strings of a record are live C strings or null.
        (Some(record), _) => Ok(unsafe {
            User {
                name: copy(record.pw_name),
                uid: record.pw_uid,
                gid: record.pw_gid,
                home: copy(record.pw_dir),
                shell: copy(record.pw_shell),
            }
        }),
        (None, Ok(uid)) => Ok(User {
            name: None,
            uid,
            gid: uid,
            home: None,
            shell: None,
        }),
        (None, Err(_)) => Err(format!("there is no user {user:?} on this machine")),
    }
}

/// Looks a group up, by name or number.
pub(crate) fn find_group(group: &str) -> Result<u32, String> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let name =
        CString::new(group).map_err(|_nul| format!("group {group:?} contains a null byte"))?;
    // SAFETY: as in `find_user`.
    let record = unsafe { libc::getgrnam(name.as_ptr()).as_ref() };
    record
        .map(|record| record.gr_gid)
        .ok_or_else(|| format!("there is no group {group:?} on this machine"))
}

/// Becomes `user` with `gid` and, when the user has a name, its supplementary groups. There is no way back.
pub(crate) fn become_user(user: Option<&User>, gid: Option<u32>) -> io::Result<()> {
    let check = |answer: libc::c_int| {
        if answer < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    };
    let gid = gid.or_else(|| user.map(|user| user.gid));
    if let Some(gid) = gid {
        let name = user
            .and_then(|user| user.name.as_deref())
            .and_then(|name| CString::new(name).ok());
        // SAFETY: the name and the one-element list live over the calls.
        unsafe {
            match &name {
                Some(name) => check(libc::initgroups(name.as_ptr(), gid))?,
                None => check(libc::setgroups(1, &raw const gid))?,
            }
            check(libc::setresgid(gid, gid, gid))?;
        }
    }
    if let Some(user) = user {
        // SAFETY: plain numbers.
        check(unsafe { libc::setresuid(user.uid, user.uid, user.uid) })?;
    }
    Ok(())
}
