//! What this machine offers of what this crate uses, each with the reason why not. Not for decisions: the core reads
//! this and changes its arithmetic.

use crate::netlink::NetlinkSocket;
use crate::nft::{ARP, Batch, INET, Set};
use crate::packet::Speaker;
use crate::route::Routing;
use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;
use std::net::IpAddr;
use std::time::Duration;

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

/// Tries each of them (on scratch tables that are removed again, and without changing any address).
#[must_use]
pub fn probe_support() -> Support {
    let net_admin = Routing::new()
        .map_err(|failure| failure.to_string())
        .and_then(|mut routing| {
            let refused = |errno| {
                format!("no CAP_NET_ADMIN over this network namespace ({errno}): run as root")
            };
            routing.may_change().map_err(refused)
        });
    let net_raw = Speaker::new().map(|_socket| ()).map_err(|errno| {
        format!("no CAP_NET_RAW over this network namespace ({errno}): run as root")
    });
    let with_timeout = |batch: &mut Batch<'_>| {
        build(batch, INET);
        batch.add_elements(
            Set::Live,
            &[IpAddr::from([0; 16])],
            Some(Duration::from_secs(1)),
            true,
        );
    };
    // The kernel takes its time over each attempt, and a restarted agent has none: only when not all of it works is it
    // found out what does not.
    let all = scratch("all of it", &[INET, ARP], |batch| {
        with_timeout(batch);
        build(batch, ARP);
    });
    let (nft, nft_arp, set_timeouts) = if all.is_ok() {
        (Ok(()), Ok(()), Ok(()))
    } else {
        (
            scratch(
                "tables of family inet with sets and fib",
                &[INET],
                |batch| build(batch, INET),
            ),
            scratch("tables of family arp", &[ARP], |batch| build(batch, ARP)),
            scratch("set elements with a timeout", &[INET], with_timeout),
        )
    };
    // Lifetimes came for IPv4 with kernel 3.9; every kernel that this program starts on has them.
    let lifetimes = net_admin.clone();
    Support {
        net_admin,
        net_raw,
        nft,
        nft_arp,
        set_timeouts,
        lifetimes,
    }
}

fn build(batch: &mut Batch<'_>, family: u8) {
    batch.add_table(family);
    batch.add_structure(family);
}

/// Applies a batch to tables of a name that nobody else uses, which the same batch removes: nothing is ever left.
fn scratch(what: &str, families: &[u8], fill: impl Fn(&mut Batch<'_>)) -> Result<(), String> {
    let table = format!("standfast-probe-{}", std::process::id());
    let refused = |errno: Errno| match errno {
        Errno::PERM => "nftables refused: no CAP_NET_ADMIN over this network namespace".to_owned(),
        errno => format!(
            "the kernel has no {what} ({errno}): it needs the modules nf_tables and nft_fib_inet"
        ),
    };
    let mut socket = NetlinkSocket::open(Some(NETFILTER), 0).map_err(refused)?;
    let mut batch = Batch::new(&table, socket.next_sequence());
    fill(&mut batch);
    for family in families {
        batch.delete_table(*family);
    }
    let (writer, last) = batch.finish();
    let tried = socket.transact(&writer, last);
    tried.map_err(|refusal| refused(refusal.errno))
}
