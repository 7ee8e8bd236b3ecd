//! The addresses of nodes, as `corosync.conf` lists them.
//!
//! Not for anything else in that file: timing goes by the profile here.

use std::net::IpAddr;

/// A node of the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Member {
    name: Option<String>,
    id: Option<String>,
    /// Its rings in their order: an address, or the name of a host.
    rings: Vec<String>,
}

impl Member {
    /// Whether it is the node of that id and name.
    pub(crate) fn is(&self, id: &str, uname: &str) -> bool {
        let named = self
            .name
            .as_deref()
            .map(|name| name.eq_ignore_ascii_case(uname));
        named.unwrap_or(false)
            || (self.name.is_none()
                && (self.id.as_deref() == Some(id) || self.rings.iter().any(|ring| ring == uname)))
    }

    /// The rings that are addresses, and those that are not.
    pub(crate) fn addresses(&self) -> (Vec<IpAddr>, Vec<&str>) {
        let (mut addresses, mut others) = (Vec::new(), Vec::new());
        for ring in &self.rings {
            match ring.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => others.push(ring.as_str()),
            }
        }
        (addresses, others)
    }
}

/// The nodes of the list.
pub(crate) fn members(text: &str) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    let mut within: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('#') {
            continue;
        }
        if let Some(section) = line.strip_suffix('{') {
            within.push(section.trim());
            if within == ["nodelist", "node"] {
                members.push(Member::default());
            }
        } else if line == "}" {
            within.pop();
        } else if within == ["nodelist", "node"]
            && let Some((key, value)) = line.split_once(':')
            && let Some(member) = members.last_mut()
        {
            let value = value.trim().to_owned();
            match key.trim() {
                "name" => member.name = Some(value),
                "nodeid" => member.id = Some(value),
                key if key.starts_with("ring") && key.ends_with("_addr") => {
                    member.rings.push(value);
                }
                _ => {}
            }
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_found_with_all_their_rings() {
        let text = "totem {\n  version: 2\n  interface {\n    name: x\n  }\n}\n# node {\n\
                    nodelist {\n  node {\n    ring0_addr: 10.0.0.1\n    ring1_addr: alpha-2\n    name: alpha\n    nodeid: 1\n  }\n\
                    node {\n ring0_addr: fd00::2\n nodeid: 2\n }\n}\n";
        let members = members(text);
        assert_eq!(members.len(), 2);
        assert!(members[0].is("7", "ALPHA") && !members[0].is("1", "beta"));
        assert!(members[1].is("2", "beta"));
        let (addresses, others) = members[0].addresses();
        assert_eq!(addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(others, ["alpha-2"]);
    }
}
