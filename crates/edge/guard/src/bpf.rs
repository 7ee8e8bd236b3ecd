//! bpf(2) by hand: one mappable word, one nine-slot program, attach, and finding both again. Not a general loader.
//!
//! Layouts: `union bpf_attr` and `struct bpf_prog_info` of `include/uapi/linux/bpf.h`; the kernel takes a shorter
//! attribute than its own and reads the rest as zero.
#![allow(
    unsafe_code,
    reason = "the bpf system call takes pointers; every block says why it is sound"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Name of the program, by which it is found again. At most 15 bytes.
const NAME: &[u8; 15] = b"standfast_guard";

const MAP_CREATE: libc::c_int = 0;
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const MAP_GET_FD_BY_ID: libc::c_int = 14;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const PROG_QUERY: libc::c_int = 16;

const MAP_TYPE_ARRAY: u32 = 2;
const F_MMAPABLE: u32 = 1 << 10;
const PROG_TYPE_CGROUP_SKB: u32 = 8;
const F_ALLOW_MULTI: u32 = 2;
/// `bpf_ktime_get_boot_ns`: `CLOCK_BOOTTIME`, like the deadline.
const HELPER_BOOT_NS: i32 = 125;

/// Which way a packet goes, seen from the control group.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Direction {
    /// BPF_CGROUP_INET_INGRESS
    In = 0,
    /// BPF_CGROUP_INET_EGRESS
    Out = 1,
}

/// An attribute, built field by field in the order of the C layout.
#[derive(Default)]
struct Attribute(Vec<u8>);

impl Attribute {
    fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    fn fd(self, fd: BorrowedFd<'_>) -> Self {
        self.u32(fd.as_raw_fd().unsigned_abs())
    }

    fn name(mut self) -> Self {
        self.0.extend_from_slice(NAME);
        self.0.push(0);
        self
    }

    /// The address of something that the caller keeps alive over [`call`](Self::call).
    fn pointer<T>(self, to: *const T) -> Self {
        self.u64(u64::try_from(to.addr()).unwrap_or(0))
    }

    fn read_u32(&self, offset: usize) -> u32 {
        let bytes = self
            .0
            .get(offset..offset + 4)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_ne_bytes)
    }

    fn call(&mut self, command: libc::c_int) -> io::Result<libc::c_int> {
        // SAFETY: the attribute is as long as we say, and what it points to is alive in the caller.
        let answer =
            unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), self.0.len()) };
        match libc::c_int::try_from(answer) {
            Ok(answer) if answer >= 0 => Ok(answer),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn call_for_fd(&mut self, command: libc::c_int) -> io::Result<OwnedFd> {
        let fd = self.call(command)?;
        // SAFETY: the kernel has just made this descriptor for us (it is close-on-exec) and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// A mappable array of one 64-bit word, zero at first.
pub(crate) fn create_word() -> io::Result<OwnedFd> {
    let (key_bytes, value_bytes, entries) = (4, 8, 1);
    Attribute::default()
        .u32(MAP_TYPE_ARRAY)
        .u32(key_bytes)
        .u32(value_bytes)
        .u32(entries)
        .u32(F_MMAPABLE)
        .u32(0)
        .u32(0)
        .name()
        .call_for_fd(MAP_CREATE)
}

/// One instruction as the kernel lays it out (little-endian bit fields: destination register in the low half).
fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> [u8; 8] {
    let registers = if cfg!(target_endian = "little") {
        source << 4 | destination
    } else {
        destination << 4 | source
    };
    let [low, high] = offset.to_ne_bytes();
    let [a, b, c, d] = immediate.to_ne_bytes();
    [code, registers, low, high, a, b, c, d]
}

/// Loads the program: pass while boot time is before the word, else drop. The word is read before the clock, so that
/// an error of order is an early cut.
pub(crate) fn load_program(word: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const LOAD_MAP_VALUE: u8 = 2;
    let program = [
        instruction(0x18, 6, LOAD_MAP_VALUE, 0, word.as_raw_fd()), // r6 = &word
        instruction(0x00, 0, 0, 0, 0), //   (second half: offset 0 in the map)
        instruction(0x79, 6, 6, 0, 0), // r6 = *r6
        instruction(0x85, 0, 0, 0, HELPER_BOOT_NS), // r0 = boot time
        instruction(0x3d, 0, 6, 2, 0), // if r0 >= r6 skip two
        instruction(0xb7, 0, 0, 0, 1), // r0 = pass
        instruction(0x95, 0, 0, 0, 0), // return
        instruction(0xb7, 0, 0, 0, 0), // r0 = drop
        instruction(0x95, 0, 0, 0, 0), // return
    ];
    let license = c"Dual MIT/GPL";
    let slots = u32::try_from(program.len()).unwrap_or(u32::MAX);
    Attribute::default()
        .u32(PROG_TYPE_CGROUP_SKB)
        .u32(slots)
        .pointer(program.as_ptr())
        .pointer(license.as_ptr())
        .u32(0)
        .u32(0)
        .u64(0)
        .u32(0)
        .u32(0)
        .name()
        .call_for_fd(PROG_LOAD)
}

/// Attaches without a link object, so that the program lives as long as the control group. Beside other programs, all
/// of which must pass a packet; a group below this one can't undo it.
pub(crate) fn attach(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    direction: Direction,
) -> io::Result<()> {
    let mut attribute = Attribute::default()
        .fd(cgroup)
        .fd(program)
        .u32(direction as u32)
        .u32(F_ALLOW_MULTI);
    attribute.call(PROG_ATTACH).map(drop)
}

/// The numbers of the programs attached to exactly this control group.
fn attached(cgroup: BorrowedFd<'_>, direction: Direction) -> io::Result<Vec<u32>> {
    const COUNT_AT: usize = 24;
    let mut numbers = vec![0_u32; 64];
    let room = u32::try_from(numbers.len()).unwrap_or(0);
    let mut attribute = Attribute::default()
        .fd(cgroup)
        .u32(direction as u32)
        .u32(0)
        .u32(0)
        .pointer(numbers.as_mut_ptr())
        .u32(room)
        .u32(0);
    attribute.call(PROG_QUERY)?;
    let count = usize::try_from(attribute.read_u32(COUNT_AT)).unwrap_or(0);
    numbers.truncate(count);
    Ok(numbers)
}

/// The word of our program on this control group, if it is attached in this direction.
pub(crate) fn find_word(
    cgroup: BorrowedFd<'_>,
    direction: Direction,
) -> io::Result<Option<OwnedFd>> {
    for number in attached(cgroup, direction)? {
        let program = Attribute::default()
            .u32(number)
            .u32(0)
            .u32(0)
            .call_for_fd(PROG_GET_FD_BY_ID)?;
        if let Some(map) = map_of_ours(program.as_fd())? {
            return Attribute::default()
                .u32(map)
                .u32(0)
                .u32(0)
                .call_for_fd(MAP_GET_FD_BY_ID)
                .map(Some);
        }
    }
    Ok(None)
}

/// The number of the program's map when the program is ours.
fn map_of_ours(program: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    const INFO_BYTES: u32 = 80;
    const MAP_COUNT_AT: usize = 52;
    const NAME_AT: usize = 64;
    let mut map = [0_u32; 1];
    let info = Attribute(vec![0; MAP_COUNT_AT])
        .u32(1)
        .pointer(map.as_mut_ptr());
    let mut info = Attribute([info.0, vec![0; 16]].concat());
    let mut attribute = Attribute::default()
        .fd(program)
        .u32(INFO_BYTES)
        .pointer(info.0.as_mut_ptr());
    attribute.call(OBJ_GET_INFO_BY_FD)?;
    let ours = info
        .0
        .get(NAME_AT..)
        .is_some_and(|name| name.starts_with(NAME));
    Ok((ours && info.read_u32(MAP_COUNT_AT) == 1).then_some(map[0]))
}
