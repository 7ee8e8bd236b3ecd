//! What is written on hosts that run Pacemaker: `corosync.conf`, the cluster's configuration, the service's script, a fence agent.
//! Texts only, from a lab's addresses: nothing is started here.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{LabError, Result};
use crate::host::Host;
use crate::lab::{Lab, SERVICE_PORT};

/// The group that holds the service and its address.
pub(crate) const GROUP: &str = "site";

/// Pacemaker starts when Corosync is ready, as its unit has it.
pub(crate) const PACEMAKER: &str = "until corosync-cmapctl -g totem.cluster_name >/dev/null 2>&1; do sleep 0.05; done; \
     exec /usr/sbin/pacemakerd";

/// Run once after each boot of a host, with the host's folder as argument. Shared memory and `/usr/sbin` are a machine's own. A
/// fenced node may want to reset its machine through the kernel: that is not the host's to do.
pub(crate) const BOOT: &str = r#"[ ! -e /run/prepared ] || exit 0
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
[ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger
[ ! -e "$1/sbin" ] || mount -t overlay -o ro,lowerdir="$1/sbin:/usr/sbin" overlay /usr/sbin
mkdir -p -m 1755 /run/resource-agents
mkdir -p /var/lib/corosync
chmod 750 /var/lib/pacemaker /var/lib/pacemaker/cib
chown -R hacluster:haclient /var/lib/pacemaker
touch /run/prepared"#;

/// What differs from the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// How many nodes.
    pub nodes: usize,
    /// Corosync's `token`, when it is not the default of 3 s.
    pub token_ms: Option<u32>,
    /// Whether a lost node is switched off before its resources start elsewhere.
    pub fencing: bool,
}

impl Variant {
    /// Reads words separated by commas: `2`, `3`, `token:MILLISECONDS`, `fencing`.
    ///
    /// # Errors
    /// When a word is none of these.
    pub fn parse(words: &str) -> Result<Self> {
        let mut variant = Self {
            nodes: 2,
            token_ms: None,
            fencing: false,
        };
        for word in words.split(',').filter(|word| !word.is_empty()) {
            let token = word.strip_prefix("token:").map(str::parse);
            match (word, token) {
                ("2", _) => variant.nodes = 2,
                ("3", _) => variant.nodes = 3,
                ("fencing", _) => variant.fencing = true,
                (_, Some(Ok(token))) => variant.token_ms = Some(token),
                _ => {
                    return Err(LabError::Unexpected(format!(
                        "{word}: no variant of pacemaker; known: 2, 3, token:MILLISECONDS, fencing"
                    )));
                }
            }
        }
        Ok(variant)
    }

    /// Name in tables.
    #[must_use]
    pub fn name(self) -> String {
        let mut words = vec!["pacemaker".to_owned()];
        if self.nodes != 2 {
            words.push(self.nodes.to_string());
        }
        words.extend(self.token_ms.map(|token| format!("token:{token}")));
        if self.fencing {
            words.push("fencing".to_owned());
        }
        words.join(" ")
    }
}

/// Writes a file of a host, with its folders.
pub(crate) fn write(file: &Path, content: &[u8], mode: u32) -> Result<()> {
    let folder = file.parent().unwrap_or(file);
    std::fs::create_dir_all(folder).map_err(|error| LabError::file("create", folder, error))?;
    std::fs::write(file, content).map_err(|error| LabError::file("write", file, error))?;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode))
        .map_err(|error| LabError::file("set the mode of", file, error))
}

/// A new key for the messages between the nodes.
pub(crate) fn key() -> Result<Vec<u8>> {
    let source = Path::new("/dev/urandom");
    let mut key = vec![0_u8; 256];
    std::fs::File::open(source)
        .and_then(|mut file| file.read_exact(&mut key))
        .map_err(|error| LabError::file("read", source, error))?;
    Ok(key)
}

/// Both networks are links, messages are encrypted: what `pcs cluster setup` writes.
pub(crate) fn corosync(lab: &Lab, variant: Variant) -> String {
    let token = variant
        .token_ms
        .map(|token| format!("    token: {token}\n"))
        .unwrap_or_default();
    let mut text = format!(
        "totem {{\n    version: 2\n    cluster_name: lab\n    transport: knet\n    crypto_cipher: aes256\n    crypto_hash: sha256\n{token}}}\n\
         nodelist {{\n"
    );
    for host in &lab.nodes {
        text.push_str("    node {\n");
        // The link of the cluster's own network first: it is the one in use while it works.
        for (link, address) in lab.addresses(host).iter().rev().enumerate() {
            text.push_str(&format!("        ring{link}_addr: {address}\n"));
        }
        text.push_str(&format!(
            "        name: {}\n        nodeid: {}\n    }}\n",
            host.name(),
            host.index
        ));
    }
    let two = if variant.nodes == 2 {
        "    two_node: 1\n"
    } else {
        ""
    };
    text.push_str(&format!(
        "}}\nquorum {{\n    provider: corosync_votequorum\n{two}}}\n\
         logging {{\n    to_stderr: yes\n    to_logfile: no\n    to_syslog: no\n    timestamp: hires\n}}\n\
         resources {{\n    watchdog_device: off\n}}\n"
    ));
    text
}

fn pair(id: &str, name: &str, value: &str) -> String {
    format!("<nvpair id=\"{id}-{name}\" name=\"{name}\" value=\"{value}\"/>")
}

/// The configuration: the service and its address in one group, monitored as is usual, and the fence device.
pub(crate) fn cib(lab: &Lab, variant: Variant) -> String {
    let names: Vec<&str> = lab.nodes.iter().map(Host::name).collect();
    let device = if variant.fencing {
        format!(
            "   <primitive id=\"power\" class=\"stonith\" type=\"fence_lab\">\n    <instance_attributes id=\"power-params\">{}</instance_attributes>\n\
             \x20   <operations><op id=\"power-monitor\" name=\"monitor\" interval=\"60s\"/></operations>\n   </primitive>\n",
            pair("power", "pcmk_host_list", &names.join(" "))
        )
    } else {
        String::new()
    };
    let address = lab.service().ip().to_string();
    let parameters: String = [
        ("ip", address.as_str()),
        ("cidr_netmask", "24"),
        ("nic", "eth0"),
    ]
    .iter()
    .map(|(name, value)| pair("site-ip", name, value))
    .collect();
    format!(
        "<cib crm_feature_set=\"3.0.14\" validate-with=\"pacemaker-3.7\" admin_epoch=\"0\" epoch=\"1\" num_updates=\"0\">\n <configuration>\n\
         \x20 <crm_config>\n   <cluster_property_set id=\"cib-bootstrap-options\">{}{}</cluster_property_set>\n  </crm_config>\n\
         \x20 <nodes/>\n  <resources>\n   <group id=\"{GROUP}\">\n\
         \x20   <primitive id=\"site-ip\" class=\"ocf\" provider=\"heartbeat\" type=\"IPaddr2\">\n\
         \x20    <instance_attributes id=\"site-ip-params\">{parameters}</instance_attributes>\n\
         \x20    <operations><op id=\"site-ip-monitor\" name=\"monitor\" interval=\"30s\"/></operations>\n    </primitive>\n\
         \x20   <primitive id=\"web\" class=\"lsb\" type=\"web\">\n\
         \x20    <operations><op id=\"web-monitor\" name=\"monitor\" interval=\"10s\"/></operations>\n    </primitive>\n\
         \x20  </group>\n{device}  </resources>\n  <constraints/>\n </configuration>\n <status/>\n</cib>\n",
        pair(
            "option",
            "stonith-enabled",
            if variant.fencing { "true" } else { "false" }
        ),
        // A lost node stays off until the trial is over.
        pair("option", "stonith-action", "off"),
    )
}

/// The service as an init script, which Pacemaker starts, stops and asks like any other.
pub(crate) fn service_script(host: &Host, program: &Path) -> String {
    let (name, program) = (host.name(), program.display());
    let log = host.folder().join("log/service.log");
    format!(
        "#!/bin/sh
# The demonstration service.
ask() {{ {program} ask 127.0.0.1:{SERVICE_PORT} >/dev/null 2>&1; }}
case $1 in
start)
    ask && exit 0
    setsid {program} serve --node {name} --bind '[::]:{SERVICE_PORT}' >>{} 2>&1 </dev/null &
    echo $! >/run/web.pid
    until ask; do sleep 0.02; done
    ;;
stop)
    pid=$(cat /run/web.pid 2>/dev/null) || exit 0
    kill \"$pid\" 2>/dev/null
    count=0
    while kill -0 \"$pid\" 2>/dev/null; do
        count=$((count + 1))
        [ $count -lt 200 ] || kill -KILL \"$pid\"
        sleep 0.01
    done
    rm -f /run/web.pid
    ;;
status) ask || exit 3 ;;
*) exit 1 ;;
esac
exit 0
",
        log.display()
    )
}

/// A power switch with one socket a host: links first, then everything that runs there, and done when nothing does. It
/// speaks the protocol of fence-agents.
pub(crate) fn fence_agent(lab: &Lab) -> Result<String> {
    let mut sockets = String::new();
    for host in &lab.nodes {
        let view = host.outside_view().ok_or_else(|| {
            LabError::Unexpected("a power switch needs control groups of version 2".to_owned())
        })?;
        let flags: Vec<String> = host
            .nics
            .iter()
            .map(|nic| view.ports.join(&nic.port).join("flags"))
            .map(|file: PathBuf| file.display().to_string())
            .collect();
        sockets.push_str(&format!(
            "{}) group={} ports='{}' ;;\n",
            host.name(),
            view.cgroup.display(),
            flags.join(" ")
        ));
    }
    Ok(format!(
        "#!/bin/sh
# The laboratory's power switch: options on standard input, as agents of fence-agents take them.
action=reboot port= group= ports=
while IFS== read -r name value; do
    case $name in
    action) action=$value ;;
    port) port=$value ;;
    esac
done
case $port in
{sockets}esac
on() {{ grep -q '^populated 1' \"$group/cgroup.events\"; }}
case $action in
metadata)
    cat <<'END'
{METADATA}
END
    ;;
off)
    [ -n \"$group\" ] || exit 1
    # The other end of a link is gone some time after its host: then there is nothing to set down.
    for flags in $ports; do [ ! -e \"$flags\" ] || echo 0x1002 >\"$flags\"; done
    echo 1 >\"$group/cgroup.kill\" || exit 1
    while on; do sleep 0.01; done
    ;;
status) on || exit 2 ;;
monitor | list | validate-all) ;;
*) exit 1 ;;
esac
exit 0
"
    ))
}

const METADATA: &str = r#"<?xml version="1.0"?>
<resource-agent name="fence_lab" shortdesc="The laboratory's power switch">
 <parameters>
  <parameter name="action"><content type="string" default="reboot"/><shortdesc lang="en">Fencing action</shortdesc></parameter>
  <parameter name="port"><content type="string"/><shortdesc lang="en">The host's socket</shortdesc></parameter>
 </parameters>
 <actions>
  <action name="off"/><action name="status"/><action name="monitor"/><action name="list"/><action name="metadata"/>
 </actions>
</resource-agent>"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_named_by_what_differs() {
        let named = |words| Variant::parse(words).map(Variant::name).map_err(drop);
        assert_eq!(named(""), Ok("pacemaker".to_owned()));
        assert_eq!(named("3"), Ok("pacemaker 3".to_owned()));
        assert_eq!(
            named("fencing,token:300"),
            Ok("pacemaker token:300 fencing".to_owned())
        );
        assert_eq!(named("4"), Err(()));
        assert_eq!(named("token:soon"), Err(()));
    }
}
