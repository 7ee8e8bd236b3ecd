//! The address guard: an address is silent unless the kernel's own timer says its lease still runs.
//!
//! Two tables of one name, families `inet` and `arp`. An address in the set `managed` may be used by this machine only
//! while it is in the set `live`, whose elements time out by themselves, agent alive or not. Traffic of other machines
//! that own the address at the moment is not touched (the rules are listed in `nft`).
//!
//! Timeouts are relative, leases absolute, and this process may be stopped or starved between reading the clock and the
//! system call. So that no stall lengthens a lease:
//! 1. Extending is delete + add in one transaction: an element that has expired makes all of it fail. (Adding again to a
//!    live element is no alternative: kernels before 6.12 ignore it, later ones set the timeout anew.)
//! 2. Before the clock is read, a *token* element that lives for [`WINDOW`] is added; the transaction that sets the
//!    timeout also deletes the token, so it fails unless it reaches the kernel within the window. The timeout is shorter
//!    than what is left by just that window. An address therefore closes up to [`WINDOW`] and two kernel ticks before
//!    its deadline, and not after it; what no process can see is a kernel thread preempted within the transaction.
//!
//! Failed transactions are slow (the kernel waits for an RCU grace period, some 13 ms), so nothing fails on purpose.

mod survey;

use crate::AddressError;
use crate::clock::{boot_now_ns, remaining};
use crate::netlink::{NetlinkSocket, Refusal};
use crate::nft::{ARP, Batch, INET, Set};
use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use survey::Survey;

/// The kernel counts timeouts in ticks (up to 10 ms each) and some kernels take a timeout below one tick for none at
/// all, so less than this counts as nothing left.
pub(crate) const SHORTEST: Duration = Duration::from_millis(10);
/// The time within which a computed timeout has to reach the kernel.
const WINDOW: Duration = Duration::from_millis(20);
/// An element missing this long before its deadline did not expire: somebody removed it.
const REMOVED_MARGIN: Duration = Duration::from_millis(25);
const TRIES: usize = 4;

/// The outcome of extending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardExtended {
    /// The guard is open until the new deadline.
    Live,
    /// The guard had closed (or the deadline had passed): it stays closed. Nothing was opened.
    Lapsed,
}

/// How a timeout is to be set.
#[derive(Debug, Clone, Copy)]
struct Setting {
    /// The address has to be open (or has to be closed).
    replace: bool,
    /// Missing tables may be put back first.
    may_repair: bool,
}

/// The outcome of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    Done,
    /// This process was stopped for too long in the middle: nothing has changed.
    Delayed,
    /// An address is closed, or the tables are gone: nothing has changed.
    Absent,
    /// The deadline is too near.
    TooLate,
}

/// Handle to the guard's tables. Dropping it leaves the tables in place: they protect without an agent.
#[derive(Debug)]
pub struct AddressGuard {
    table: String,
    socket: NetlinkSocket,
    /// What this handle guards; of those it has opened when they close by themselves.
    known: BTreeMap<IpAddr, Option<u64>>,
}

impl AddressGuard {
    /// Connects to nftables. Creates nothing yet; tables that an earlier agent left are taken over as they are.
    ///
    /// # Errors
    /// [`AddressError::Unsupported`] without nftables or `CAP_NET_ADMIN`.
    pub fn new(table: &str) -> Result<Self, AddressError> {
        if table.is_empty() || table.len() > 128 || table.contains('\0') {
            return Err(AddressError::Spec(format!(
                "\"{table}\" cannot name an nftables table"
            )));
        }
        let unsupported = |errno: Errno| {
            AddressError::Unsupported(format!(
                "the address guard needs nftables and CAP_NET_ADMIN: {errno}"
            ))
        };
        let socket = NetlinkSocket::open(Some(NETFILTER), 0).map_err(unsupported)?;
        let mut guard = Self {
            table: table.to_owned(),
            socket,
            known: BTreeMap::new(),
        };
        let now = boot_now_ns();
        let survey = Survey::take(&mut guard.socket, table).map_err(unsupported)?;
        for (address, live_for) in survey.addresses() {
            guard.known.insert(
                address,
                live_for.map(|left| now.saturating_add(nanoseconds(left))),
            );
        }
        Ok(guard)
    }

    /// Name of the tables.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The origin of notifications that this handle's own transactions cause.
    pub(crate) fn port(&self) -> u32 {
        self.socket.port()
    }

    /// The managed addresses as the kernel has them, with what is left of their opening; `None` for closed ones.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel refuses.
    pub fn addresses(&mut self) -> Result<Vec<(IpAddr, Option<Duration>)>, AddressError> {
        Ok(self.survey()?.addresses())
    }

    /// Until when the address is open, by this handle's own account.
    pub(crate) fn open_until(&self, address: IpAddr) -> Option<u64> {
        let deadline = self.known.get(&address).copied().flatten();
        deadline.filter(|deadline| boot_now_ns() < *deadline)
    }

    /// Whether this handle has opened the address (or found it open) and its deadline has not passed.
    pub(crate) fn is_open(&self, address: IpAddr) -> bool {
        self.open_until(address).is_some()
    }

    /// Guards `addresses`, closed when they were not guarded before. Creates the tables first when they are missing.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel refuses.
    pub fn manage(&mut self, addresses: &[IpAddr]) -> Result<(), AddressError> {
        for address in addresses {
            self.known.entry(*address).or_insert(None);
        }
        self.repair().map(|_reason| ())
    }

    /// First opening: lets the addresses speak until the deadline. Refused when one of them is open already.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel refuses, with `EEXIST` for an address that is open; `EAGAIN` when this
    /// process was delayed again and again. Nothing has been opened then.
    pub fn open(
        &mut self,
        addresses: &[IpAddr],
        deadline_boot_ns: u64,
    ) -> Result<GuardExtended, AddressError> {
        self.set_timeout(
            addresses,
            deadline_boot_ns,
            Setting {
                replace: false,
                may_repair: true,
            },
        )
    }

    /// Moves the deadline of open addresses, all or none. Never opens a closed one; after [`GuardExtended::Lapsed`] all
    /// of them are closed.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel refuses for another reason than a closed guard, with `EAGAIN` when this
    /// process was delayed again and again. The previous deadline holds then.
    pub fn extend(
        &mut self,
        addresses: &[IpAddr],
        deadline_boot_ns: u64,
    ) -> Result<GuardExtended, AddressError> {
        self.set_timeout(
            addresses,
            deadline_boot_ns,
            Setting {
                replace: true,
                may_repair: true,
            },
        )
    }

    fn set_timeout(
        &mut self,
        addresses: &[IpAddr],
        deadline_boot_ns: u64,
        mut setting: Setting,
    ) -> Result<GuardExtended, AddressError> {
        for _ in 0..TRIES {
            match self.try_timeout(addresses, deadline_boot_ns, setting.replace)? {
                Tried::Done => {
                    let closes_at = deadline_boot_ns.saturating_sub(nanoseconds(WINDOW));
                    self.remember(addresses, Some(closes_at));
                    return Ok(GuardExtended::Live);
                }
                Tried::Delayed => {}
                Tried::Absent
                    if setting.may_repair && (!setting.replace || self.were_removed(addresses)) =>
                {
                    setting.may_repair = false;
                    self.repair()?;
                }
                Tried::Absent | Tried::TooLate => {
                    self.close(addresses)?;
                    return Ok(GuardExtended::Lapsed);
                }
            }
        }
        Err(AddressError::kernel(
            "extend addresses: this process is delayed too often",
            Errno::AGAIN,
        ))
    }

    /// One round of the module text's second point.
    fn try_timeout(
        &mut self,
        addresses: &[IpAddr],
        deadline: u64,
        replace: bool,
    ) -> Result<Tried, AddressError> {
        let token = token_of(self.socket.port());
        match self.apply("add a token", |batch| batch.add_token(token, WINDOW)) {
            Ok(()) => {}
            Err(AddressError::Kernel {
                errno: Errno::NOENT,
                ..
            }) => return Ok(Tried::Absent),
            Err(other) => return Err(other),
        }
        let timeout = remaining(deadline, boot_now_ns()).saturating_sub(WINDOW);
        if timeout < SHORTEST {
            return Ok(Tried::TooLate);
        }
        let set = self.transact(|batch| {
            if replace {
                batch.delete_elements(Set::Live, addresses);
            }
            batch.add_elements(Set::Live, addresses, Some(timeout), true);
            batch.delete_token(token);
        });
        match set {
            Ok(()) => Ok(Tried::Done),
            Err(Refusal {
                errno: Errno::NOENT,
                last: true,
            }) => Ok(Tried::Delayed),
            Err(Refusal {
                errno: Errno::NOENT,
                last: false,
            }) => Ok(Tried::Absent),
            Err(Refusal { errno, .. }) => Err(self.refused("extend addresses", errno)),
        }
    }

    /// Closes the addresses now. They stay managed. Closed ones are left as they are.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel refuses: the address is then in an unknown state.
    pub fn close(&mut self, addresses: &[IpAddr]) -> Result<(), AddressError> {
        self.remember(addresses, None);
        if !self.remove(Set::Live, addresses)? {
            // The tables are gone or changed: nothing is closed at all.
            self.repair()?;
        }
        Ok(())
    }

    /// Stops guarding the addresses; removes the tables when none is left.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel refuses.
    pub fn release(&mut self, addresses: &[IpAddr]) -> Result<(), AddressError> {
        for address in addresses {
            self.known.remove(address);
        }
        self.remove(Set::Managed, addresses)?;
        self.remove(Set::Live, addresses)?;
        if self.known.is_empty() && self.survey()?.addresses().is_empty() {
            self.uninstall()
        } else {
            Ok(())
        }
    }

    /// Removes the tables. Everything they guarded is unguarded afterwards.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel refuses.
    pub fn uninstall(&mut self) -> Result<(), AddressError> {
        self.known.clear();
        self.apply("remove the guard's tables", |batch| {
            for family in [INET, ARP] {
                // Adding first makes the deletion succeed whether or not the table was there.
                batch.add_table(family);
                batch.delete_table(family);
            }
        })
    }

    /// Compares the tables with what this handle guards and puts back what is missing: closed, then open again what
    /// still has time left. Returns what was missing.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel refuses.
    pub fn repair(&mut self) -> Result<Option<String>, AddressError> {
        if self.known.is_empty() {
            return Ok(None);
        }
        let survey = self.survey()?;
        let managed: Vec<IpAddr> = self.known.keys().copied().collect();
        let mut reason = survey.damage();
        if reason.is_some() {
            self.rebuild(&managed)?;
        } else if let Some(missing) = managed.iter().find(|address| !survey.is_managed(**address)) {
            reason = Some(format!("{missing} was not guarded"));
            self.apply("guard addresses", |batch| {
                batch.add_elements(Set::Managed, &managed, None, false)
            })?;
        }
        let rebuilt = survey.damage().is_some();
        let now = boot_now_ns();
        let removed: Vec<(IpAddr, u64)> = self
            .known
            .iter()
            .filter_map(|(address, deadline)| deadline.map(|deadline| (*address, deadline)))
            .filter(|(address, deadline)| {
                remaining(*deadline, now) > REMOVED_MARGIN && (rebuilt || !survey.is_live(*address))
            })
            .collect();
        for (address, deadline) in removed {
            reason.get_or_insert_with(|| format!("{address} was closed before its deadline"));
            self.remove(Set::Live, &[address])?;
            self.set_timeout(
                &[address],
                deadline,
                Setting {
                    replace: false,
                    may_repair: false,
                },
            )?;
        }
        Ok(reason)
    }

    /// Both tables anew in one transaction, everything closed.
    fn rebuild(&mut self, managed: &[IpAddr]) -> Result<(), AddressError> {
        self.apply("build the guard's tables", |batch| {
            for family in [INET, ARP] {
                batch.add_table(family);
                batch.delete_table(family);
                batch.add_table(family);
                batch.add_structure(family);
            }
            batch.add_elements(Set::Managed, managed, None, false);
        })
    }

    /// Removes what is there, after looking: a transaction that fails costs an RCU grace period, some 13 ms. Tells
    /// whether the tables are as they have to be.
    fn remove(&mut self, set: Set, addresses: &[IpAddr]) -> Result<bool, AddressError> {
        for _ in 0..TRIES {
            let survey = self.survey()?;
            let present = survey.present(set, addresses);
            if present.is_empty() {
                return Ok(survey.damage().is_none());
            }
            let removed = self.apply("close addresses", |batch| {
                for (family, address) in &present {
                    batch.delete_element(*family, set, *address);
                }
            });
            match removed {
                Ok(()) => return Ok(survey.damage().is_none()),
                // One expired meanwhile: look again.
                Err(AddressError::Kernel {
                    errno: Errno::NOENT,
                    ..
                }) => {}
                Err(other) => return Err(other),
            }
        }
        Err(AddressError::kernel(
            format!("close addresses (nftables table {})", self.table),
            Errno::AGAIN,
        ))
    }

    /// Whether these are open by our own account for longer than an early expiry could explain.
    fn were_removed(&self, addresses: &[IpAddr]) -> bool {
        let now = boot_now_ns();
        let open = |address: &IpAddr| self.known.get(address).copied().flatten();
        addresses
            .iter()
            .all(|a| open(a).is_some_and(|deadline| remaining(deadline, now) > REMOVED_MARGIN))
    }

    fn remember(&mut self, addresses: &[IpAddr], deadline: Option<u64>) {
        for address in addresses {
            self.known.insert(*address, deadline);
        }
    }

    fn survey(&mut self) -> Result<Survey, AddressError> {
        Survey::take(&mut self.socket, &self.table).map_err(|errno| {
            AddressError::kernel(format!("read the nftables table {}", self.table), errno)
        })
    }

    fn apply(&mut self, what: &str, fill: impl FnOnce(&mut Batch<'_>)) -> Result<(), AddressError> {
        self.transact(fill)
            .map_err(|refusal| self.refused(what, refusal.errno))
    }

    fn transact(&mut self, fill: impl FnOnce(&mut Batch<'_>)) -> Result<(), Refusal> {
        let mut batch = Batch::new(&self.table, self.socket.next_sequence());
        fill(&mut batch);
        let (writer, last) = batch.finish();
        self.socket.transact(&writer, last)
    }

    fn refused(&self, what: &str, errno: Errno) -> AddressError {
        AddressError::kernel(format!("{what} (nftables table {})", self.table), errno)
    }
}

/// A key of this handle's own, so that handles on one table do not meet.
fn token_of(port: u32) -> Ipv4Addr {
    Ipv4Addr::from(port)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
