//! What is known of OCF resource agents by their names: whether all that one does ends with its processes.
//!
//! A lease is kept by ending processes. So an agent whose effect outlives them (a mount, an address, an export)
//! runs a resource here only where the machine's power can be cut, and one that is on no list needs the administrator's word. Not for what an agent
//! says of itself: the crate `ocf` asks it.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

/// The exit code of an agent, or of what calls it, that is not there.
pub const NOT_INSTALLED: i32 = 5;

/// How far a failure reaches, in the words of Pacemaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The next try may succeed.
    #[default]
    Soft,
    /// The same would come of every try on this node.
    Hard,
    /// The same would come of every try on every node.
    Fatal,
}

impl Severity {
    /// Whether it counts like any other failure.
    #[must_use]
    pub const fn is_soft(&self) -> bool {
        matches!(self, Self::Soft)
    }
}

/// How far a failure reaches that an agent reports with this exit code of OCF.
#[must_use]
pub const fn severity(code: i32) -> Severity {
    match code {
        // Arguments that do not fit the machine, not implemented, insufficient privileges, not installed.
        2..=NOT_INSTALLED => Severity::Hard,
        // The configuration is wrong in itself.
        6 => Severity::Fatal,
        _ => Severity::Soft,
    }
}

/// What ending all processes of a resource ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effects {
    /// Everything that it does: it consists of processes.
    Processes,
    /// Not everything.
    Outlive(Outlives),
    /// Nobody has looked.
    Unknown,
}

/// What goes on when the processes of an agent are killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlives {
    /// What is left.
    pub what: &'static str,
    /// What to do instead.
    pub instead: &'static str,
    /// The machine's power ends it.
    pub fenced: bool,
    /// It keeps file systems or disks in use.
    pub mounts: bool,
}

/// Agents of `resource-agents` that as copies with a promoted one do nothing without more of Pacemaker: notifications, and
/// attributes of nodes. As single resources they run.
const NEED_NOTIFY: [&str; 4] = ["mariadb", "mysql", "pgsql", "redis"];

/// What an agent lacks here, by its name, if its copies were to be promoted.
#[must_use]
pub fn lacks_for_promotion(name: &str) -> Option<&'static str> {
    let (provider, kind) = parts(name)?;
    (provider == "heartbeat" && NEED_NOTIFY.contains(&kind))
        .then_some("notifications (notify) and attributes of nodes")
}

/// Agents of `resource-agents` that start programs and do nothing else that lasts. Files that they leave behind
/// (process numbers, marks) mean nothing to other machines.
const PROCESSES: [&str; 35] = [
    "Delay",
    "Dummy",
    "Pure-FTPd",
    "SphinxSearchDaemon",
    "Squid",
    "anything",
    "apache",
    "asterisk",
    "dhcpd",
    "dovecot",
    "fio",
    "garbd",
    "jboss",
    "jira",
    "kamailio",
    "mariadb",
    "minio",
    "mysql",
    "mysql-proxy",
    "nagios",
    "named",
    "nginx",
    "pgagent",
    "pgsql",
    "postfix",
    "pound",
    "proftpd",
    "redis",
    "rsyncd",
    "rsyslog",
    "slapd",
    "syslog-ng",
    "varnish",
    "vsftpd",
    "zabbixserver",
];

const ADDRESS: Outlives = Outlives {
    what: "addresses stay on the interface",
    instead: "kind = \"vip\" holds addresses and takes them away in time",
    fenced: true,
    mounts: false,
};
const ROUTING: Outlives = Outlives {
    what: "what it changes in the kernel's network stays",
    instead: "set it up on every node, outside of the cluster",
    fenced: false,
    mounts: false,
};
const STORAGE: Outlives = Outlives {
    what: "a disk that is mounted, active or assembled stays so, and may be written to",
    instead: "keep such a service out of this cluster",
    fenced: true,
    mounts: true,
};
const SHARED: Outlives = Outlives {
    what: "what it changes on a disk or at another machine stays, without power too",
    instead: "no kind does this yet: keep such a service out of this cluster",
    fenced: false,
    mounts: false,
};
const EXPORT: Outlives = Outlives {
    what: "the kernel goes on serving it",
    instead: "keep such a service out of this cluster",
    fenced: true,
    mounts: true,
};
const SHARING: Outlives = Outlives {
    what: "somebody else goes on serving it",
    instead: "no kind does this yet: keep such a service out of this cluster",
    fenced: false,
    mounts: false,
};
const CONTAINER: Outlives = Outlives {
    what: "another daemon holds its processes, out of the keeper's reach",
    instead: "kind = \"process\" with the program that is in it",
    fenced: false,
    mounts: false,
};
const CLOUD: Outlives = Outlives {
    what: "a setting at the provider stays",
    instead: "no kind does this yet: keep such a service out of this cluster",
    fenced: false,
    mounts: false,
};

/// Agents whose effect outlives their processes, by what it is.
const OUTLIVING: [(&[&str], Outlives); 8] = [
    (
        &["IPaddr", "IPaddr2", "IPv6addr", "SendArp", "VIPArip"],
        ADDRESS,
    ),
    (
        &[
            "IPsrcaddr",
            "Route",
            "conntrackd",
            "iface-bridge",
            "iface-macvlan",
            "iface-vlan",
            "ipsec",
            "ldirectord",
            "portblock",
        ],
        ROUTING,
    ),
    (
        &[
            "Filesystem",
            "LVM",
            "LVM-activate",
            "Raid1",
            "ZFS",
            "crypt",
            "iscsi",
            "mdraid",
            "vdo-vol",
        ],
        STORAGE,
    ),
    (
        &[
            "AoEtarget",
            "EvmsSCC",
            "Evmsd",
            "LinuxSCSI",
            "ManageRAID",
            "ServeRAID",
            "clvm",
            "drbd",
            "gcp-pd-move",
            "lvmlockd",
            "mpathpersist",
            "o2cb",
            "openstack-cinder-volume",
            "scsi2reservation",
            "sfex",
            "sg_persist",
            "symlink",
        ],
        SHARED,
    ),
    (
        &[
            "exportfs",
            "iSCSILogicalUnit",
            "iSCSITarget",
            "nfsnotify",
            "nfsserver",
            "nvmet-namespace",
            "nvmet-port",
            "nvmet-subsystem",
        ],
        EXPORT,
    ),
    (&["CTDB", "smb-share"], SHARING),
    (
        &[
            "ManageVE",
            "VirtualDomain",
            "Xen",
            "Xinetd",
            "docker",
            "docker-compose",
            "lxc",
            "podman",
            "rkt",
            "vmware",
        ],
        CONTAINER,
    ),
    (
        &[
            "aliyun-vpc-move-ip",
            "aws-vpc-move-ip",
            "aws-vpc-route53",
            "awseip",
            "awsvip",
            "azure-events",
            "azure-events-az",
            "azure-lb",
            "dnsupdate",
            "gcp-ilb",
            "gcp-vpc-move-ip",
            "gcp-vpc-move-route",
            "gcp-vpc-move-vip",
            "ocivip",
            "openstack-floating-ip",
            "openstack-virtual-ip",
        ],
        CLOUD,
    ),
];

/// The parts of `ocf:PROVIDER:TYPE`, if it is such a name. Each is a file's name, and nothing that leads elsewhere.
#[must_use]
pub fn parts(name: &str) -> Option<(&str, &str)> {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
    let is_part = |part: &str| {
        (1..=64).contains(&part.len()) && !part.starts_with('.') && part.chars().all(letter)
    };
    let (provider, kind) = name.strip_prefix("ocf:")?.split_once(':')?;
    (is_part(provider) && is_part(kind)).then_some((provider, kind))
}

/// The one agent whose address the address guard can silence, which does nothing else that lasts.
const ADDRESS_AGENT: &str = "ocf:heartbeat:IPaddr2";

/// Its parameters that leave it at that: one address on one interface of the machine, announced for a moment.
const PLAIN: [&str; 14] = [
    "arp_bg",
    "arp_count",
    "arp_interval",
    "arp_sender",
    "broadcast",
    "cidr_netmask",
    "flush_routes",
    "iflabel",
    "ip",
    "nic",
    "nodad",
    "noprefixroute",
    "preferred_lft",
    "run_arping",
];

/// The address that an agent puts on an interface, where the address guard can silence it at the end of a lease: then nothing of it is heard
/// outside, whether it is still there or not. Nothing for agents that do something else.
///
/// # Errors
/// Why not, for an agent that could do so with other parameters.
pub fn silenced(
    name: &str,
    parameters: &BTreeMap<String, String>,
) -> Option<Result<IpAddr, String>> {
    (name == ADDRESS_AGENT).then(|| address_of(parameters))
}

fn address_of(parameters: &BTreeMap<String, String>) -> Result<IpAddr, String> {
    let as_if_missing = |name: &str, value: &str| match name {
        "lvs_support" | "unique_clone_address" => matches!(value, "false" | "no" | "off" | "0"),
        "arp_count_refresh" => value == "0",
        _ => value.is_empty(),
    };
    let mut others = parameters.iter().filter(|(name, value)| {
        !PLAIN.contains(&name.as_str()) && !as_if_missing(name, value.trim())
    });
    if let Some((name, _)) = others.next() {
        let why = match name.as_str() {
            "clusterip_hash" | "mac" | "unique_clone_address" => {
                "several nodes have the address at once then"
            }
            "lvs_support" => "the address stays on the loopback interface then",
            "network_namespace" => "the address is in another network namespace then",
            "arp_count_refresh" => {
                "it goes on announcing the address by packets that pass no guard"
            }
            _ => "what it does is not known here",
        };
        return Err(format!("{name} is given, and {why}"));
    }
    let written = parameters.get("ip").map(|ip| ip.trim());
    let Some(written) = written else {
        return Err("its address (ip) is not in the configuration".to_owned());
    };
    let no_address = || format!("ip = \"{written}\" is no address of one machine");
    let ip: IpAddr = written.parse().map_err(|_syntax| no_address())?;
    let mapped = matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    if ip.is_unspecified()
        || ip.is_multicast()
        || ip.is_loopback()
        || mapped
        || ip == IpAddr::from([255; 4])
    {
        return Err(no_address());
    }
    if matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
        return Err(format!("{ip} means another machine on each network"));
    }
    Ok(ip)
}

/// What is known of an agent, by `ocf:PROVIDER:TYPE`. What is dangerous is so whoever provides it.
#[must_use]
pub fn effects(name: &str) -> Effects {
    let Some((provider, kind)) = parts(name) else {
        return Effects::Unknown;
    };
    let mut outliving = OUTLIVING.iter();
    if let Some((_, outlives)) = outliving.find(|(names, _)| names.contains(&kind)) {
        return Effects::Outlive(*outlives);
    }
    if provider == "heartbeat" && PROCESSES.contains(&kind) {
        Effects::Processes
    } else {
        Effects::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_what_its_list_says() {
        assert_eq!(effects("ocf:heartbeat:nginx"), Effects::Processes);
        assert_eq!(effects("ocf:ours:nginx"), Effects::Unknown);
        assert_eq!(effects("ocf:heartbeat:ours"), Effects::Unknown);
        for name in ["ocf:heartbeat:Filesystem", "ocf:linbit:drbd"] {
            assert!(matches!(effects(name), Effects::Outlive(_)), "{name}");
        }
        let both = |kind: &&str| OUTLIVING.iter().any(|(names, _)| names.contains(kind));
        assert_eq!(PROCESSES.iter().find(|kind| both(kind)), None);
    }

    #[test]
    fn an_address_is_silenced_where_nothing_else_is_done() {
        let of = |pairs: &[(&str, &str)]| {
            let owned = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            silenced(ADDRESS_AGENT, &owned.collect())
        };
        let ip = ("ip", "10.0.0.9");
        let plain = of(&[
            ip,
            ("nic", "eth0"),
            ("cidr_netmask", "24"),
            ("lvs_support", "false"),
            ("mac", ""),
        ]);
        assert_eq!(plain, Some(Ok(IpAddr::from([10, 0, 0, 9]))));
        assert!(of(&[("ip", " fd80::9 ")]).is_some_and(|found| found.is_ok()));
        for more in [
            ("clusterip_hash", "sourceip"),
            ("unique_clone_address", "true"),
            ("mac", "01:00:5e:00:00:01"),
            ("lvs_support", "true"),
            ("network_namespace", "red"),
            ("arp_count_refresh", "2"),
            ("send_arp_opts", "-x"),
            ("of_next_year", "1"),
        ] {
            let found = of(&[ip, more]);
            assert!(
                matches!(&found, Some(Err(why)) if why.starts_with(more.0)),
                "{found:?}"
            );
        }
        for wrong in [
            "fe80::1",
            "127.0.0.1",
            "224.0.0.1",
            "0.0.0.0",
            "::ffff:10.0.0.1",
            "x",
            "",
        ] {
            assert!(matches!(of(&[("ip", wrong)]), Some(Err(_))), "{wrong}");
        }
        assert!(matches!(of(&[]), Some(Err(_))), "a file has it");
        assert_eq!(silenced("ocf:heartbeat:IPaddr", &BTreeMap::new()), None);
        assert_eq!(silenced("ocf:ours:IPaddr2", &BTreeMap::new()), None);
    }

    #[test]
    fn codes_reach_as_far_as_with_pacemaker() {
        let of = |wanted| -> Vec<i32> {
            let all = -1..256;
            all.filter(|code| severity(*code) == wanted).collect()
        };
        assert_eq!(of(Severity::Hard), [2, 3, 4, 5]);
        assert_eq!(of(Severity::Fatal), [6]);
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        assert_eq!(
            parts("ocf:heartbeat:Pure-FTPd"),
            Some(("heartbeat", "Pure-FTPd"))
        );
        for name in [
            "nginx",
            "ocf:nginx",
            "ocf::nginx",
            "ocf:a:",
            "ocf:a:../b",
            "ocf:..:b",
            "ocf:a:b:c",
            "ocf:a/b:c",
            "lsb:a:b",
        ] {
            assert_eq!(parts(name), None, "{name}");
        }
    }
}
