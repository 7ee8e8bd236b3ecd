//! The system calls that no safe wrapper offers, one function each. Not for logic.
#![allow(
    unsafe_code,
    reason = "raw system calls and shared memory; every block says why it is sound"
)]

use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::io;
#[cfg(test)]
use rustix::mm::mmap_anonymous;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

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
    pub(crate) fn map(backing: OwnedFd) -> io::Result<Self> {
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
        let at = NonNull::new(at.cast()).ok_or(io::Errno::NOMEM)?;
        Ok(Self {
            at,
            _backing: Some(backing),
        })
    }

    /// A word that only this process and its children see.
    #[cfg(test)]
    pub(crate) fn anonymous() -> io::Result<Self> {
        // SAFETY: as in `map`.
        let at = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                PAGE,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
            )?
        };
        let at = NonNull::new(at.cast()).ok_or(io::Errno::NOMEM)?;
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
