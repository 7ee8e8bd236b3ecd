//! The file of addresses that follow the primary: one `address/prefix` a line, ranges allowed, `#` begins
//! a comment.
//!
//! ```text
//! 10.0.0.4/24
//! 10.0.0.10-10.0.0.19/24   # ten addresses
//! fd80::100/64
//! ```
//!
//! Not for reading the file, nor for putting addresses anywhere.

use crate::{
    address,
    mistake::{Mistake, Report},
    ping::own_addresses,
    references::Found,
};
use standfast_model::{
    config::{ClusterConfig, FailurePolicy, ResourceConfig, ResourceKind, VipConfig},
    id::ResourceId,
    pair::PAIR_ADDRESSES,
};
use std::{collections::BTreeMap, net::IpAddr, ops::Range};

/// Most addresses in one file.
pub const MAX_ADDRESSES: usize = 4096;

/// Largest such file, bytes: it is part of the replicated configuration.
pub const MAX_ADDRESSES_TEXT: usize = 256 << 10;

/// The resource that gets the addresses of the file which `[pair]` names. It has none yet: this crate reads no files.
pub(crate) fn reserve(
    config: &mut ClusterConfig,
    found: &mut Found,
    at: Range<usize>,
    report: &mut Report<'_>,
) {
    if config.addresses_file().is_none() {
        return;
    }
    let id = ResourceId::from(PAIR_ADDRESSES);
    if let Some(at) = found.resources.get(&id) {
        let problem = "the addresses of addresses_file in [pair] have this name";
        let mistake = Mistake::new(&format!("resources.{id}"), problem);
        return report.mistake(at.clone(), mistake.allowed("another name"));
    }
    found.resources.insert(id.clone(), at);
    let resource = ResourceConfig {
        kind: ResourceKind::Vip(VipConfig::default()),
        failure: FailurePolicy::default(),
        needs_fencing: false,
    };
    config.resources.insert(id, resource);
}

/// Gives a configuration whose `[pair]` names such a file the addresses in it. `file_name` is for the messages.
///
/// # Errors
/// Every mistake with its line; then the configuration is as it was. A file without any address is one: it is more
/// likely to have been lost than to be meant.
pub fn set_addresses(
    config: &mut ClusterConfig,
    text: &str,
    file_name: &str,
) -> Result<(), Vec<Mistake>> {
    let mut report = Report::new(text, file_name);
    let list = read(text, &mut report);
    let owners = own_addresses(config);
    for (ip, (_, at)) in &list.places {
        let owner = owners.get(&ip.to_string());
        if let Some(owner) = owner.filter(|owner| !is_ours(owner)) {
            let mistake = Mistake::new("", format!("{ip} is taken already by {owner}"));
            report.mistake(
                at.clone(),
                mistake.allowed("an address that nothing else has"),
            );
        }
    }
    let mut mistakes = report.into_mistakes();
    if mistakes.is_empty() && list.addresses.is_empty() {
        let mut report = Report::new(text, file_name);
        let mistake = Mistake::new("", "no address");
        let allowed = "at least one; where none is wanted, no addresses_file in [pair]";
        report.mistake(0..0, mistake.allowed(allowed));
        mistakes = report.into_mistakes();
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    config.set_addresses(list.addresses, text.to_owned());
    Ok(())
}

fn is_ours(owner: &str) -> bool {
    owner == format!("resources.{PAIR_ADDRESSES}.addresses")
}

/// Reads such a file: `address/prefix` in normal form, in the order of the file, ranges written out.
/// `file_name` is for the messages.
///
/// # Errors
/// Every mistake with its line.
pub fn parse_addresses(text: &str, file_name: &str) -> Result<Vec<String>, Vec<Mistake>> {
    let mut report = Report::new(text, file_name);
    let list = read(text, &mut report);
    let mistakes = report.into_mistakes();
    if mistakes.is_empty() {
        Ok(list.addresses)
    } else {
        Err(mistakes)
    }
}

fn read(text: &str, report: &mut Report<'_>) -> List {
    let mut list = List::default();
    if text.len() > MAX_ADDRESSES_TEXT {
        let mistake = Mistake::new("", format!("the file has {} bytes", text.len()));
        report.mistake(
            0..0,
            mistake.allowed(format!("at most {MAX_ADDRESSES_TEXT} bytes")),
        );
        return list;
    }
    let mut start = 0;
    for (number, line) in text.split('\n').enumerate() {
        let content = line.split('#').next().unwrap_or(line);
        let written = content.trim();
        let indent = content.len() - content.trim_start().len();
        let at = start + indent..start + indent + written.len();
        start += line.len() + 1;
        if !written.is_empty() {
            list.take(written, at, number + 1, report);
        }
    }
    if list.addresses.len() > MAX_ADDRESSES {
        let mistake = Mistake::new("", format!("{} addresses", list.addresses.len()));
        report.mistake(0..0, mistake.allowed(format!("at most {MAX_ADDRESSES}")));
    }
    list
}

#[derive(Default)]
struct List {
    addresses: Vec<String>,
    /// Where each address stands: the line, and its bytes.
    places: BTreeMap<IpAddr, (usize, Range<usize>)>,
}

impl List {
    fn take(&mut self, written: &str, at: Range<usize>, line: usize, report: &mut Report<'_>) {
        let allowed =
            "address/prefix or first-last/prefix, such as 10.0.0.4/24 or 10.0.0.10-10.0.0.19/24";
        let found = match addresses_of(written) {
            Ok(found) => found,
            Err(problem) => return report.mistake(at, Mistake::new("", problem).allowed(allowed)),
        };
        for address in found {
            let ip = address
                .split('/')
                .next()
                .and_then(|ip| ip.parse::<IpAddr>().ok());
            let before = ip.and_then(|ip| self.places.insert(ip, (line, at.clone())));
            if let Some((before, _)) = before {
                let problem = format!("{address} stands in line {before} already");
                return report.mistake(at, Mistake::new("", problem).allowed("each address once"));
            }
            self.addresses.push(address);
        }
    }
}

fn addresses_of(written: &str) -> Result<Vec<String>, String> {
    let Some((first, rest)) = written.split_once('-') else {
        return Ok(vec![address::with_prefix(written)?]);
    };
    let Some((last, prefix)) = rest.split_once('/') else {
        return Err(format!("\"{written}\" has no prefix length"));
    };
    let (first, last) = (address_of(first)?, address_of(last)?);
    let (Some(start), Some(end)) = (number(first, last), number(last, first)) else {
        return Err(format!("{first} and {last} are not of one kind"));
    };
    if start > end {
        return Err(format!(
            "the range begins with {first}, behind its end {last}"
        ));
    }
    let count = end - start;
    if count >= u128::try_from(MAX_ADDRESSES).unwrap_or(u128::MAX) {
        return Err(format!("the range has more than {MAX_ADDRESSES} addresses"));
    }
    if !is_in_network(start, end, prefix, first) {
        return Err(format!(
            "{first} and {last} are not in one network of prefix {prefix}"
        ));
    }
    let all = (start..=end).map(|bits| {
        let ip = if first.is_ipv4() {
            IpAddr::from(u32::try_from(bits).unwrap_or_default().to_be_bytes())
        } else {
            IpAddr::from(bits.to_be_bytes())
        };
        address::with_prefix(&format!("{ip}/{prefix}"))
    });
    all.collect()
}

fn address_of(text: &str) -> Result<IpAddr, String> {
    let text = text.trim();
    text.parse()
        .map_err(|_ignored: std::net::AddrParseError| format!("\"{text}\" is not an IP address"))
}

/// The address as a number, if the other one is of the same kind.
fn number(ip: IpAddr, other: IpAddr) -> Option<u128> {
    match (ip, other) {
        (IpAddr::V4(ip), IpAddr::V4(_)) => Some(u128::from(ip.to_bits())),
        (IpAddr::V6(ip), IpAddr::V6(_)) => Some(ip.to_bits()),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}

fn is_in_network(start: u128, end: u128, prefix: &str, first: IpAddr) -> bool {
    let bits = if first.is_ipv4() { 32 } else { 128 };
    let Some(prefix) = prefix
        .parse::<u32>()
        .ok()
        .filter(|prefix| (1..=bits).contains(prefix))
    else {
        // What is wrong with it is said for the first address.
        return true;
    };
    let host = bits - prefix;
    host >= 128 || start >> host == end >> host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let found = parse_addresses(text, "addresses").expect_err("a mistake");
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_ranges_and_comments() {
        let text = "# ours\n\n 10.0.0.4/24 # web\n10.0.0.254-10.0.1.1/23\nFD80::1-fd80::2/64\r\n";
        let list = parse_addresses(text, "addresses").expect("no mistakes");
        let expected = [
            "10.0.0.4/24",
            "10.0.0.254/23",
            "10.0.0.255/23",
            "10.0.1.0/23",
            "10.0.1.1/23",
            "fd80::1/64",
            "fd80::2/64",
        ];
        assert_eq!(list, expected);
        assert_eq!(parse_addresses("", "addresses"), Ok(Vec::new()));
    }

    #[test]
    fn each_mistake_names_file_and_line() {
        let allowed = "; allowed: address/prefix or first-last/prefix, such as 10.0.0.4/24 or 10.0.0.10-10.0.0.19/24";
        for (text, problem) in [
            ("10.0.0.4", "\"10.0.0.4\" has no prefix length"),
            ("10.0.0.x/24", "\"10.0.0.x\" is not an IP address"),
            ("10.0.0.4/33", "\"33\" is not a prefix length from 1 to 32"),
            (
                "10.0.0.4-10.0.0.9",
                "\"10.0.0.4-10.0.0.9\" has no prefix length",
            ),
            (
                "10.0.0.4-10.0.0.9/40",
                "\"40\" is not a prefix length from 1 to 32",
            ),
            (
                "10.0.0.9-10.0.0.4/24",
                "the range begins with 10.0.0.9, behind its end 10.0.0.4",
            ),
            (
                "10.0.0.9-fd80::1/24",
                "10.0.0.9 and fd80::1 are not of one kind",
            ),
            (
                "10.0.0.9-10.0.1.4/24",
                "10.0.0.9 and 10.0.1.4 are not in one network of prefix 24",
            ),
            (
                "10.0.0.250-10.0.0.255/24",
                "10.0.0.255/24 is the broadcast address of its network",
            ),
            (
                "fd80::-fd80::ffff/64",
                "the range has more than 4096 addresses",
            ),
            (
                "10.0.0.1/24 10.0.0.2/24",
                "\"24 10.0.0.2/24\" is not a prefix length from 1 to 32",
            ),
        ] {
            let given = mistakes(&format!("# first\n  {text}"));
            assert_eq!(given, [format!("addresses:2:3: {problem}{allowed}")]);
        }
    }

    #[test]
    fn an_address_stands_there_once() {
        let given = mistakes("10.0.0.4/24\n10.0.0.1-10.0.0.5/24");
        assert_eq!(
            given,
            ["addresses:2:1: 10.0.0.4/24 stands in line 1 already; allowed: each address once"]
        );
    }

    const PAIR: &str = "[cluster]\nname = \"two\"\n[nodes.alpha]\naddresses = [\"10.0.0.1:7400\"]\n\
        [nodes.beta]\naddresses = [\"10.0.0.2:7400\"]\n[resources.web]\nkind = \"vip\"\naddresses = [\"10.0.0.3/24\"]\n\
        [pair]\narbiter = \"none\"\naddresses_file = \"/a\"\n";

    #[test]
    fn a_pair_gets_a_resource_with_the_addresses_of_its_file() {
        let (mut config, _) = crate::parse(PAIR, "pair.toml").expect("no mistakes");
        let text = "10.0.0.10-10.0.0.11/24 # two\n";
        assert_eq!(set_addresses(&mut config, text, "/a"), Ok(()));
        let id = ResourceId::from(PAIR_ADDRESSES);
        let group = config.group_of(&id).expect("a group");
        assert_eq!(group.as_str(), PAIR_ADDRESSES);
        let Some(ResourceKind::Vip(vip)) = config.resources.get(&id).map(|found| &found.kind)
        else {
            panic!("no addresses: {config:?}")
        };
        assert_eq!(vip.addresses, ["10.0.0.10/24", "10.0.0.11/24"]);
        assert_eq!(config.pair_addresses.as_deref(), Some(text));
        // A text that is put in force without its file keeps what is there; without [pair] as well.
        for text in [PAIR, PAIR.split("[pair]").next().unwrap_or_default()] {
            let (mut again, _) = crate::parse(text, "pair.toml").expect("no mistakes");
            assert!(again.keep_pair(&config));
            assert_eq!(again, config);
        }
        let (mut first, _) = crate::parse(PAIR, "pair.toml").expect("no mistakes");
        assert!(!first.clone().keep_pair(&first), "never read");
        let grouped = PAIR.replace(
            "[resources.web]",
            "[groups.site]\nmembers = [\"pair-addresses\", \"web\"]\n[resources.web]",
        );
        let (site, _) = crate::parse(&grouped, "pair.toml").expect("no mistakes");
        assert_eq!(site.groups.len(), 1, "it may be named by a group");
        for (text, said) in [
            (
                "# none\n",
                "/a:1:1: no address; allowed: at least one; where none is wanted, no addresses_file in [pair]",
            ),
            (
                "10.0.0.9/24\n10.0.0.1-10.0.0.1/24",
                "/a:2:1: 10.0.0.1 is taken already by nodes.alpha.addresses; allowed: an address that nothing else has",
            ),
            (
                "10.0.0.3/24",
                "/a:1:1: 10.0.0.3 is taken already by resources.web.addresses; allowed: an address that nothing else has",
            ),
        ] {
            let found = set_addresses(&mut first, text, "/a").expect_err("a mistake");
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, [said]);
        }
    }
}
