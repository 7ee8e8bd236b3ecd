//! What this machine offers of what this crate uses, each with the reason why not. Not for decisions: the core reads
//! this and changes its arithmetic.

/// What is available; `Err` holds the sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Support {
    /// `CAP_NET_ADMIN` over this network namespace.
    pub net_admin: Result<(), String>,
    /// `CAP_NET_RAW`: announcements, conflict and gateway probes.
    pub net_raw: Result<(), String>,
    /// nftables tables of family `inet` with the `fib` expression.
    pub nft: Result<(), String>,
    /// nftables tables of family `arp`.
    pub nft_arp: Result<(), String>,
    /// nftables sets with timeouts.
    pub set_timeouts: Result<(), String>,
    /// Address lifetimes (`valid_lft`) over rtnetlink.
    pub lifetimes: Result<(), String>,
}

impl Support {
    /// Whether the address guard covers IP, ARP and neighbour discovery on this machine.
    #[must_use]
    pub fn guard(&self) -> bool {
        self.net_admin.is_ok()
            && self.nft.is_ok()
            && self.nft_arp.is_ok()
            && self.set_timeouts.is_ok()
    }
}

/// Tries each of them (on a scratch table that is removed again, and without changing any address).
#[must_use]
pub fn probe_support() -> Support {
    let no = || Err("not built yet".to_owned());
    Support {
        net_admin: no(),
        net_raw: no(),
        nft: no(),
        nft_arp: no(),
        set_timeouts: no(),
        lifetimes: no(),
    }
}
