//! A lab: hosts on two networks, a client and a watcher, and a probe. Several may live in one enclosure. Not for what runs on the hosts (`system`)
//! nor for what happens to them (`fault`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::enclosure::{Enclosure, Mode};
use crate::error::{LabError, Result};
use crate::host::Host;
use crate::host_init::HostSpec;
use crate::network::{Cut, Network, Nic};
use crate::probe::{Probe, ProbePlan};

/// Port of the service.
pub const SERVICE_PORT: u16 = 8080;

/// Names of the nodes, in order.
const NAMES: [&str; 5] = ["alpha", "beta", "gamma", "delta", "epsilon"];

/// The client is the networks' gateway too.
const CLIENT: u8 = 254;
const WATCHER: u8 = 253;

/// Hosts, networks and the addresses that belong to them.
#[derive(Debug)]
pub struct Lab {
    /// How hosts are kept apart.
    pub mode: Mode,
    /// Where everything of it is kept.
    pub folder: PathBuf,
    /// The nodes.
    pub nodes: Vec<Host>,
    /// The laboratory's own program, which hosts run as service.
    pub program: PathBuf,
    /// None on loopback.
    pub network: Option<Network>,
    /// Nodes that stand for 127.0.x: several labs on loopback must not share addresses.
    number: u8,
    client: Host,
    watcher: Host,
}

impl Lab {
    /// Makes and boots lab `number` (1 to 9, different for each lab of an enclosure) with `nodes` nodes.
    ///
    /// # Errors
    /// When the kernel refuses something.
    pub fn create(enclosure: &Enclosure, number: u8, nodes: usize) -> Result<Self> {
        let folder = enclosure.folder.join(format!("lab{number}"));
        std::fs::create_dir_all(&folder)
            .map_err(|error| LabError::file("create", &folder, error))?;
        let namespaced = enclosure.mode != Mode::Loopback;
        let network = namespaced
            .then(|| Network::create(number, &folder))
            .transpose()?;
        if let (Mode::Root, Some(cgroup)) = (enclosure.mode, &enclosure.cgroup) {
            show_cgroups(cgroup, &folder)?;
        }
        let program = own_program()?;
        let host = |index: u8, name: &str| {
            let spec = HostSpec {
                name: name.to_owned(),
                folder: folder.join(name),
                namespaced,
                cgroup: enclosure.cgroup.is_some(),
            };
            let cgroup = enclosure
                .cgroup
                .as_ref()
                .map(|parent| parent.join(format!("lab{number}-{name}")));
            let nics = network
                .as_ref()
                .map(|network| nics(network, number, index))
                .unwrap_or_default();
            Host::new(index, spec, nics, &program, cgroup)
        };
        let names = NAMES
            .get(..nodes)
            .ok_or_else(|| LabError::Unexpected("too many nodes".to_owned()))?;
        let mut lab = Self {
            mode: enclosure.mode,
            folder: folder.clone(),
            nodes: (1..)
                .zip(names)
                .map(|(index, name)| host(index, name))
                .collect(),
            number,
            client: host(CLIENT, "client"),
            watcher: host(WATCHER, "watcher"),
            program: program.clone(),
            network,
        };
        if namespaced {
            lab.client.boot(lab.network.as_ref())?;
            lab.watcher.boot(lab.network.as_ref())?;
        }
        lab.boot_all()?;
        Ok(lab)
    }

    /// Boots every node that is off.
    ///
    /// # Errors
    /// When a node cannot boot.
    pub fn boot_all(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.boot(self.network.as_ref())?;
        }
        Ok(())
    }

    /// Boots node `index`. True when it was off.
    ///
    /// # Errors
    /// When it cannot boot.
    pub fn boot(&mut self, index: usize) -> Result<bool> {
        match self.nodes.get_mut(index).filter(|node| !node.is_on()) {
            Some(node) => node.boot(self.network.as_ref()).map(|()| true),
            None => Ok(false),
        }
    }

    /// Takes the power of the nodes at `indexes` away, one right after the other.
    ///
    /// # Errors
    /// When a link cannot be set down.
    pub fn power_off(&mut self, indexes: &[usize]) -> Result<()> {
        for index in indexes {
            if let Some(node) = self.nodes.get_mut(*index) {
                node.power_off(self.network.as_ref())?;
            }
        }
        Ok(())
    }

    /// The service's address.
    #[must_use]
    pub fn service(&self) -> SocketAddr {
        let address = match self.mode {
            Mode::Loopback => Ipv4Addr::new(127, 0, self.number, 100),
            Mode::Root | Mode::Unprivileged => Ipv4Addr::new(10, 80, 1, 100),
        };
        SocketAddr::new(IpAddr::V4(address), SERVICE_PORT)
    }

    /// The IPv6 address that moves with the service; none on loopback.
    #[must_use]
    pub fn service_v6(&self) -> Option<Ipv6Addr> {
        (self.mode != Mode::Loopback).then(|| Ipv6Addr::new(0xfd80, 1, 0, 0, 0, 0, 0, 0x100))
    }

    /// The gateway of the client network, which answers as long as the network works.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 80, 1, CLIENT)
    }

    /// A node's own addresses: client network, then cluster network; on loopback only one.
    #[must_use]
    pub fn addresses(&self, node: &Host) -> Vec<Ipv4Addr> {
        match self.mode {
            Mode::Loopback => vec![Ipv4Addr::new(127, 0, self.number, node.index)],
            Mode::Root | Mode::Unprivileged => vec![
                Ipv4Addr::new(10, 80, 1, node.index),
                Ipv4Addr::new(10, 80, 2, node.index),
            ],
        }
    }

    /// Position of the node called `name`.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name() == name)
    }

    /// Cuts node `index` off from the other nodes on all networks, or heals it.
    ///
    /// # Errors
    /// When the node is off.
    pub fn cut(&self, index: usize, cut: Cut) -> Result<()> {
        let (Some(network), Some(node)) = (&self.network, self.nodes.get(index)) else {
            return Ok(());
        };
        node.nics
            .iter()
            .try_for_each(|nic| network.cut(&nic.port, cut))
    }

    /// A process in the client's network, for programs that are to be reached by every node and by no cut; none on loopback.
    #[must_use]
    pub fn client_process(&self) -> Option<u32> {
        self.client
            .process()
            .filter(|_| self.mode != Mode::Loopback)
    }

    /// Starts asking the service.
    ///
    /// # Errors
    /// When the probe cannot start.
    pub fn probe(&self) -> Result<Probe> {
        let macs = self
            .nodes
            .iter()
            .filter_map(|node| Some(node.nics.first()?.mac))
            .collect();
        let plan = ProbePlan {
            address: self.service(),
            address_v6: self.service_v6(),
            nodes: macs,
            names: self
                .nodes
                .iter()
                .map(|node| node.name().to_owned())
                .collect(),
            watcher: (
                mac(self.number, 1, WATCHER),
                Ipv4Addr::new(10, 80, 1, WATCHER),
                Ipv6Addr::new(0xfd80, 1, 0, 0, 0, 0, 0, u16::from(WATCHER)),
            ),
        };
        if self.mode == Mode::Loopback {
            return Probe::start(&plan, None, None);
        }
        Probe::start(
            &plan,
            self.client.network_namespace()?,
            self.watcher.network_namespace()?,
        )
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Its folder can be removed then, for the next one of its number.
        rustix::mount::unmount(view(&self.folder), rustix::mount::UnmountFlags::DETACH).ok();
    }
}

/// Where the control groups of all hosts are seen.
fn view(folder: &Path) -> PathBuf {
    folder.join("cgroup")
}

/// Hosts see no control groups but their own. A fence agent on one host has to reach those of the others, as a power switch would.
fn show_cgroups(cgroup: &Path, folder: &Path) -> Result<()> {
    let view = view(folder);
    std::fs::create_dir_all(&view).map_err(|error| LabError::file("create", &view, error))?;
    rustix::mount::mount_bind(cgroup, &view)
        .map_err(|error| LabError::file("bind-mount on", &view, error.into()))
}

fn mac(lab: u8, network: u8, index: u8) -> [u8; 6] {
    [0x02, 0x80, lab, network, 0, index]
}

fn nics(network: &Network, lab: u8, index: u8) -> Vec<Nic> {
    let first = Nic {
        name: "eth0",
        port: format!("l{lab}c{index}"),
        bridge: network.client_bridge.clone(),
        mac: mac(lab, 1, index),
        addresses: vec![
            format!("10.80.1.{index}/24"),
            format!("fd80:1::{index:x}/64"),
        ],
        is_node: index < WATCHER,
        gateways: if index == CLIENT {
            Vec::new()
        } else {
            vec![format!("10.80.1.{CLIENT}")]
        },
    };
    if index >= WATCHER {
        return vec![first];
    }
    let second = Nic {
        name: "eth1",
        port: format!("l{lab}k{index}"),
        bridge: network.cluster_bridge.clone(),
        mac: mac(lab, 2, index),
        addresses: vec![
            format!("10.80.2.{index}/24"),
            format!("fd80:2::{index:x}/64"),
        ],
        is_node: true,
        gateways: Vec::new(),
    };
    vec![first, second]
}

/// The binary `standfast-lab`, this program or its neighbour: hosts run it as process 1 and as service.
fn own_program() -> Result<PathBuf> {
    let current =
        std::env::current_exe().map_err(|error| LabError::system("find this program", error))?;
    let program = current.with_file_name("standfast-lab");
    if program.exists() {
        Ok(program)
    } else {
        Err(LabError::Unexpected(format!(
            "{} is missing: build the package standfast-lab",
            program.display()
        )))
    }
}
