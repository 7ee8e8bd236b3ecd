//! The address guard: an address is silent unless the kernel's own timer says its lease still runs.
//!
//! Two tables of one name, families `inet` and `arp`. An address in the set `managed` may be used by this machine only
//! while it is in the set `live`, whose elements time out by themselves. Traffic of other machines that own the address
//! at the moment is not touched.

use crate::AddressError;
use std::net::IpAddr;

/// The outcome of extending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardExtended {
    /// The guard is open until the new deadline.
    Live,
    /// The guard had closed (or the deadline had passed): it stays closed. Nothing was opened.
    Lapsed,
}

/// Handle to the guard's tables. Dropping it leaves the tables in place: they protect without an agent.
#[derive(Debug)]
pub struct AddressGuard {
    table: String,
}

impl AddressGuard {
    /// Connects to nftables. Creates nothing yet; finds tables that an earlier agent left.
    ///
    /// # Errors
    /// [`AddressError::Unsupported`] without nftables or `CAP_NET_ADMIN`.
    pub fn new(table: &str) -> Result<Self, AddressError> {
        Ok(Self {
            table: table.to_owned(),
        })
    }

    /// Name of the tables.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Guards `addresses`, closed when they were not guarded before. Creates the tables first when they are missing.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel refuses.
    pub fn manage(&mut self, _addresses: &[IpAddr]) -> Result<(), AddressError> {
        Err(AddressError::Unsupported("not built yet".to_owned()))
    }

    /// First opening: lets the addresses speak until the deadline. Refused when one of them is open already.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel refuses, e.g. `EEXIST` for an address that is open.
    pub fn open(
        &mut self,
        _addresses: &[IpAddr],
        _deadline_boot_ns: u64,
    ) -> Result<GuardExtended, AddressError> {
        Err(AddressError::Unsupported("not built yet".to_owned()))
    }

    /// Moves the deadline of open addresses, all or none. Never opens a closed one.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel refuses for another reason than a closed guard.
    pub fn extend(
        &mut self,
        _addresses: &[IpAddr],
        _deadline_boot_ns: u64,
    ) -> Result<GuardExtended, AddressError> {
        Err(AddressError::Unsupported("not built yet".to_owned()))
    }

    /// Closes the addresses now. They stay managed. Closed ones are left as they are.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel refuses: the address is then in an unknown state.
    pub fn close(&mut self, _addresses: &[IpAddr]) -> Result<(), AddressError> {
        Err(AddressError::Unsupported("not built yet".to_owned()))
    }

    /// Stops guarding the addresses; removes the tables when none is left.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel refuses.
    pub fn release(&mut self, _addresses: &[IpAddr]) -> Result<(), AddressError> {
        Err(AddressError::Unsupported("not built yet".to_owned()))
    }

    /// Removes the tables. Everything they guarded is unguarded afterwards.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel refuses.
    pub fn uninstall(&mut self) -> Result<(), AddressError> {
        Err(AddressError::Unsupported("not built yet".to_owned()))
    }
}
