//! The system calls that no safe wrapper offers, one function each. Not for logic.
#![allow(
    unsafe_code,
    reason = "raw system calls and shared memory; every block says why it is sound"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

#[cfg(test)]
use rustix::mm::mmap_anonymous;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::process::Pid;

/// Bytes mapped for the word: one page of every architecture we run on is at least this.
const PAGE: usize = 4096;

/// A shared mapping whose first eight bytes are an atomic word.
#[derive(Debug)]
pub(crate) struct SharedWord {
    at: NonNull<AtomicU64>,
    /// Keeps what is mapped findable (a map's id lives as long as a descriptor or a program holds it).
    _backing: Option<OwnedFd>,
}

// SAFETY: the mapping belongs to this value alone, is never moved, and is reached only through an atomic.
unsafe impl Send for SharedWord {}
// SAFETY: as above; `AtomicU64` is made for sharing.
unsafe impl Sync for SharedWord {}

impl SharedWord {
    /// Maps the first page of `backing`, which must be at least eight bytes long (a file, or a mappable BPF map).
    pub(crate) fn map(backing: OwnedFd) -> rustix::io::Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let at = unsafe {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            mmap(
                std::ptr::null_mut(),
                PAGE,
                protection,
                MapFlags::SHARED,
                backing.as_fd(),
                0,
            )?
        };
        let at = NonNull::new(at.cast()).ok_or(rustix::io::Errno::NOMEM)?;
        Ok(Self {
            at,
            _backing: Some(backing),
        })
    }

    /// A word that only this process and its children see.
    #[cfg(test)]
    pub(crate) fn anonymous() -> rustix::io::Result<Self> {
        // SAFETY: as in `map`.
        let at = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                PAGE,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
            )?
        };
        let at = NonNull::new(at.cast()).ok_or(rustix::io::Errno::NOMEM)?;
        Ok(Self { at, _backing: None })
    }

    /// The word.
    pub(crate) fn get(&self) -> &AtomicU64 {
        // SAFETY: the mapping is page-aligned, at least eight bytes, and lives as long as `self`; every access is atomic.
        unsafe { self.at.as_ref() }
    }
}

impl Drop for SharedWord {
    fn drop(&mut self) {
        // SAFETY: unmaps exactly what was mapped; no reference outlives `self`.
        let unmapped = unsafe { munmap(self.at.as_ptr().cast(), PAGE) };
        debug_assert!(unmapped.is_ok(), "the mapping is ours");
    }
}

/// clone(2); `libc`'s own constant is cut to 32 bits.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of a fork this is.
pub(crate) enum Forked {
    /// The new process. It must end with [`exit_now`] or `exec`, never return to its caller's caller.
    Child,
    /// The old one; the number is the child's as seen from here.
    Parent(Pid),
}

/// Forks, into a control group and a new process-id namespace as asked. Only for the keeper, which has one thread: the
/// child may then do whatever the parent might; elsewhere only for a child that does nothing but system calls.
pub(crate) fn fork(cgroup: Option<BorrowedFd<'_>>, new_pids: bool) -> io::Result<Forked> {
    let mut arguments = libc::clone_args {
        flags: 0,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(libc::SIGCHLD.unsigned_abs()),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    if new_pids {
        arguments.flags |= u64::from(libc::CLONE_NEWPID.unsigned_abs());
    }
    if let Some(group) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(group.as_raw_fd().unsigned_abs());
    }
    // SAFETY: the arguments are as long as we say; without CLONE_VM the child has its own copy of everything, and a
    // process of one thread leaves no lock held by another.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of::<libc::clone_args>(),
        )
    };
    match i32::try_from(answer) {
        Ok(0) => Ok(Forked::Child),
        Ok(pid) if pid > 0 => Pid::from_raw(pid)
            .map(Forked::Parent)
            .ok_or_else(io::Error::last_os_error),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ends a forked child at once, without the parent's clean-up.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// In a forked child: closes every descriptor but this one, so that what the parent holds open (its lock, its
/// connections) closes with the parent.
pub(crate) fn keep_only(fd: BorrowedFd<'_>) -> OwnedFd {
    const KEPT: i32 = 0;
    // SAFETY: this process never returns to the code that owns the other descriptors (see `Forked::Child`), so nobody
    // uses them again; number 0 becomes a duplicate that only the returned value owns.
    unsafe {
        libc::dup2(fd.as_raw_fd(), KEPT);
        libc::syscall(libc::SYS_close_range, 1, u32::MAX, 0);
        OwnedFd::from_raw_fd(KEPT)
    }
}

/// Moves standard input and output to close-on-exec descriptors of their own and leaves the null device in their
/// place (and as standard error).
pub(crate) fn take_standard_fds() -> io::Result<(OwnedFd, OwnedFd)> {
    let input = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    let output = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?;
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    for standard in 0..3 {
        // SAFETY: the standard numbers are always open and belong to nobody in Rust's terms.
        if unsafe { libc::dup2(null.as_raw_fd(), standard) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok((input, output))
}

/// Blocks every signal and returns a descriptor on which SIGCHLD and SIGTERM arrive.
pub(crate) fn signal_fd() -> io::Result<OwnedFd> {
    // SAFETY: the sets are initialised by the calls that fill them; the new descriptor is ours alone.
    unsafe {
        let (mut all, mut wanted) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::sigemptyset(&raw mut wanted);
        libc::sigaddset(&raw mut wanted, libc::SIGCHLD);
        libc::sigaddset(&raw mut wanted, libc::SIGTERM);
        if libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()) < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(
            -1,
            &raw const wanted,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        );
        if fd < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(OwnedFd::from_raw_fd(fd))
        }
    }
}

/// The next signal waiting on a [`signal_fd`].
pub(crate) fn next_signal(fd: BorrowedFd<'_>) -> Option<i32> {
    let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
    let read = rustix::io::read(fd, &mut info).ok()?;
    let number = info.get(..4).filter(|_| read == info.len())?;
    number.try_into().ok().map(i32::from_ne_bytes)
}

/// Gives a program that is about to be executed no signal blocked and none ignored: it would inherit both, what [`signal_fd`]
/// blocks and what was ignored where the agent was started, as a shell does for what it starts in the background. A shell cannot
/// even trap a signal again that it was started with ignored.
pub(crate) fn default_signals() {
    // SAFETY: the set is initialised by `sigemptyset`.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        // Refused for those that cannot be ignored either.
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// Lets the kernel reap this process's children by itself.
pub(crate) fn ignore_children() {
    // SAFETY: SIG_IGN installs no handler.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
    }
}

/// First-in-first-out real-time scheduling for this process, not inherited by its children.
pub(crate) fn set_real_time(priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the parameters live over the call.
    let answer = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Ordinary scheduling for this process, ahead of ordinary work. Also for what never had real-time priority.
///
/// Whoever reaps a child must not do so at real-time priority: the kernel then drops what `/proc` remembers of it, and
/// where another process is about to do the same it tries again without a pause (`shrink_dcache_parent`). If that other
/// process is of ordinary priority and waits for this very core, it never gets there: the core stands still until the
/// kernel's throttling of real-time work lets it on, after a second.
pub(crate) fn set_ordinary() {
    const NICE: libc::c_int = -10;
    let parameters = libc::sched_param { sched_priority: 0 };
    // Lowering is always allowed, and without the better nice value everything is only a little later.
    // SAFETY: the parameters live over the call; the second call takes no pointers.
    unsafe {
        libc::sched_setscheduler(
            0,
            libc::SCHED_OTHER | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        );
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
    }
}

/// Gives this process, which has one thread, a mount namespace of its own.
pub(crate) fn unshare_mounts() -> io::Result<()> {
    // SAFETY: only mounts are unshared; no descriptor table or memory is affected.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
