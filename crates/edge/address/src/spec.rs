//! Addresses as people write them, normalised. Not for what the kernel has: that is `route`.

use crate::AddressError;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A link-layer (Ethernet) address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || {
            AddressError::Spec(format!(
                "\"{text}\" is not a MAC address such as 02:00:00:00:00:01"
            ))
        };
        let mut bytes = [0_u8; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_bad_digit| wrong())?;
        }
        if parts.next().is_some() {
            Err(wrong())
        } else {
            Ok(Self(bytes))
        }
    }
}

/// One virtual address with its prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vip {
    /// The address.
    pub address: IpAddr,
    /// Prefix length: at most 32 for IPv4, 128 for IPv6.
    pub prefix: u8,
}

impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Vip {
    type Err = AddressError;

    /// Accepts any textual form (`2001:DB8:0::1/64`); without a prefix the host prefix is meant. IPv4-mapped IPv6
    /// addresses mean the IPv4 address. Refuses what can never be a virtual address (unspecified, multicast, broadcast).
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = |why: &str| AddressError::Spec(format!("address \"{text}\": {why}"));
        let (host, prefix) = match text.trim().split_once('/') {
            Some((host, prefix)) => (host, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = host
            .parse()
            .map_err(|_syntax| wrong("not an IPv4 or IPv6 address such as 192.0.2.10/24"))?;
        let address = address.to_canonical();
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => widest,
            Some(text) => text
                .parse()
                .map_err(|_syntax| wrong("the prefix length is not a number"))?,
        };
        if prefix == 0 || prefix > widest {
            return Err(wrong(&format!(
                "the prefix length must be from 1 to {widest}"
            )));
        }
        if address.is_unspecified()
            || address.is_multicast()
            || address == IpAddr::from([255, 255, 255, 255])
        {
            return Err(wrong("cannot belong to one machine"));
        }
        Ok(Self { address, prefix })
    }
}

/// What a `vip` resource is made of, as configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VipSpec {
    /// `address/prefix`, any textual form, IPv4 and IPv6 mixed.
    pub addresses: Vec<String>,
    /// Interface name; `None` finds the interface whose own address or route covers the address.
    pub interface: Option<String>,
    /// Gateway to watch while the resource is prepared; `None` watches none.
    pub gateway: Option<IpAddr>,
}

impl VipSpec {
    /// The addresses, parsed, without duplicates, in the order written.
    ///
    /// # Errors
    /// [`AddressError::Spec`] names the first address that is wrong, or an empty list.
    pub fn vips(&self) -> Result<Vec<Vip>, AddressError> {
        let mut vips: Vec<Vip> = Vec::new();
        for text in &self.addresses {
            let vip: Vip = text.parse()?;
            if !vips.iter().any(|known| known.address == vip.address) {
                vips.push(vip);
            }
        }
        if vips.is_empty() {
            return Err(AddressError::Spec(
                "a vip resource needs at least one address".to_owned(),
            ));
        }
        Ok(vips)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vip(text: &str) -> Result<Vip, AddressError> {
        text.parse()
    }

    #[test]
    fn spellings_of_one_address_are_equal() {
        assert_eq!(vip("2001:DB8:0:0::00A/64"), vip("2001:db8::a/64"));
        assert_eq!(vip("::ffff:192.0.2.1/24"), vip("192.0.2.1/24"));
        assert_eq!(vip("192.0.2.1"), vip("192.0.2.1/32"));
    }

    #[test]
    fn impossible_addresses_are_refused() {
        for text in [
            "192.0.2.1/33",
            "2001:db8::1/129",
            "0.0.0.0/8",
            "224.0.0.1/4",
            "ff02::1/64",
            "x",
            "10.0.0.1/",
            "1/0",
        ] {
            assert!(vip(text).is_err(), "{text}");
        }
    }

    #[test]
    fn duplicates_collapse_and_empty_is_refused() {
        let spec = VipSpec {
            addresses: vec!["2001:db8::1/64".into(), "2001:DB8::1/64".into()],
            ..VipSpec::default()
        };
        assert_eq!(spec.vips().unwrap().len(), 1);
        assert!(VipSpec::default().vips().is_err());
    }

    #[test]
    fn mac_addresses_round_trip() {
        let mac: Mac = "02:00:00:00:0a:ff".parse().unwrap();
        assert_eq!(mac.to_string(), "02:00:00:00:0a:ff");
        assert!("02:00:00:00:0a".parse::<Mac>().is_err());
    }
}
