//! The switches between the hosts: one bridge for clients, one for the cluster, and the ways to break them. Lives in the enclosure's own
//! network namespace, so nothing appears on the machine. Not for what hosts do inside.

use std::path::{Path, PathBuf};

use crate::command;
use crate::error::{LabError, Result};

/// One interface of a host with the switch port that it is plugged into.
#[derive(Debug, Clone)]
pub struct Nic {
    /// Name inside the host.
    pub name: &'static str,
    /// Name of the switch's end.
    pub port: String,
    /// The bridge of that port.
    pub bridge: String,
    /// Hardware address inside the host.
    pub mac: [u8; 6],
    /// Addresses with prefix length, as `ip` takes them.
    pub addresses: Vec<String>,
    /// Whether cuts between nodes apply to it.
    pub is_node: bool,
    /// Default gateways to route through.
    pub gateways: Vec<String>,
}

/// What the switch does with the frames between one node and the other nodes. Frames of clients always pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Everything passes.
    Nothing,
    /// Nothing passes in either direction.
    Both,
    /// What the node sends does not reach the other nodes.
    Out,
    /// What the other nodes send does not reach the node.
    Into,
}

impl Cut {
    /// The interface group that stands for it in the switch's rules. Rules match on groups because a port's group changes with one
    /// write to sysfs: no program has to be started at the moment of the fault.
    fn group(self) -> u32 {
        match self {
            Self::Nothing => 10,
            Self::Both => 11,
            Self::Out => 12,
            Self::Into => 13,
        }
    }
}

/// The two bridges of a lab, with the rules that drop frames between ports.
#[derive(Debug)]
pub struct Network {
    /// Bridge on which clients and the virtual address live.
    pub client_bridge: String,
    /// Bridge for the nodes' second link.
    pub cluster_bridge: String,
    table: String,
    sysfs: PathBuf,
}

/// A hardware address as `ip` prints it.
#[must_use]
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

impl Network {
    /// Makes the bridges of lab number `lab`. `folder` gets a view of /sys of this network namespace.
    ///
    /// # Errors
    /// When the kernel refuses bridges, nftables or sysfs.
    pub fn create(lab: u8, folder: &Path) -> Result<Self> {
        let network = Self {
            client_bridge: format!("l{lab}c"),
            cluster_bridge: format!("l{lab}k"),
            table: format!("lab{lab}"),
            sysfs: folder.join("sys"),
        };
        std::fs::create_dir_all(&network.sysfs)
            .map_err(|error| LabError::file("create", &network.sysfs, error))?;
        let none: Option<&std::ffi::CStr> = None;
        rustix::mount::mount(
            "sysfs",
            &network.sysfs,
            "sysfs",
            rustix::mount::MountFlags::NOSUID,
            none,
        )
        .map_err(|error| LabError::file("mount sysfs on", &network.sysfs, error.into()))?;
        let mut batch = String::new();
        for bridge in [&network.client_bridge, &network.cluster_bridge] {
            // No spanning tree and no delay: a port forwards as soon as it is up. Without snooping multicast reaches all, as on a plain switch.
            batch.push_str(&format!(
                "link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set {bridge} up\n"
            ));
        }
        command::run(&["ip", "-batch", "-"], &batch)?;
        command::run(
            &["nft", "-f", "-"],
            &format!(
                "table bridge {} {{
 chain forward {{
  type filter hook forward priority 0
  iifgroup {{ {}, {} }} oifgroup >= {} drop
  iifgroup >= {} oifgroup {{ {}, {} }} drop
 }}
}}
",
                network.table,
                Cut::Both.group(),
                Cut::Out.group(),
                Cut::Nothing.group(),
                Cut::Nothing.group(),
                Cut::Both.group(),
                Cut::Into.group(),
            ),
        )?;
        Ok(network)
    }

    /// Plugs `nic` of the host whose process 1 is `pid` into its switch port.
    ///
    /// # Errors
    /// When the kernel refuses the pair or an address.
    pub fn plug(&self, nic: &Nic, pid: u32) -> Result<()> {
        let Nic {
            name, port, bridge, ..
        } = nic;
        let mac = mac_text(nic.mac);
        // The pair of a host that just lost its power goes away with its namespace, some time later.
        drop(command::output(&["ip", "link", "delete", port], ""));
        command::run(
            &["ip", "-batch", "-"],
            &format!(
                "link add {port} type veth peer name {name} address {mac} netns {pid}\nlink set {port} master {bridge}\nlink set {port} up\n"
            ),
        )?;
        if nic.is_node {
            self.cut(port, Cut::Nothing)?;
        }
        let mut inside = String::new();
        for address in &nic.addresses {
            inside.push_str(&format!("address add {address} dev {name} nodad\n"));
        }
        inside.push_str(&format!("link set {name} up\n"));
        for gateway in &nic.gateways {
            inside.push_str(&format!("route add default via {gateway} dev {name}\n"));
        }
        let pid = pid.to_string();
        command::run(&["nsenter", "-t", &pid, "-n", "ip", "-batch", "-"], &inside).map(|_| ())
    }

    /// Sets the switch's end of a link up or down: down, the host has no carrier, and nothing passes. One write to sysfs, so
    /// that the moment is exact.
    ///
    /// # Errors
    /// When the port does not exist.
    pub fn set_port(&self, port: &str, up: bool) -> Result<()> {
        let file = self.sysfs.join("class/net").join(port).join("flags");
        // IFF_BROADCAST and IFF_MULTICAST always, IFF_UP as asked.
        let flags = if up { "0x1003" } else { "0x1002" };
        std::fs::write(&file, flags).map_err(|error| LabError::file("write", &file, error))
    }

    /// Cuts the port of a node off from the other nodes, or heals it. The node sees nothing of it.
    ///
    /// # Errors
    /// When the port does not exist.
    pub fn cut(&self, port: &str, cut: Cut) -> Result<()> {
        let file = self.sysfs.join("class/net").join(port).join("netdev_group");
        std::fs::write(&file, cut.group().to_string())
            .map_err(|error| LabError::file("write", &file, error))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The namespace takes everything with it; this is for several labs one after the other inside one enclosure.
        drop(command::run(
            &["nft", "delete", "table", "bridge", &self.table],
            "",
        ));
        for bridge in [&self.client_bridge, &self.cluster_bridge] {
            drop(command::run(&["ip", "link", "delete", bridge], ""));
        }
        rustix::mount::unmount(&self.sysfs, rustix::mount::UnmountFlags::DETACH).ok();
    }
}
