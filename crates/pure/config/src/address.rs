//! Addresses as people write them, in normal form: one spelling for one address, whatever was typed.

use std::net::{IpAddr, SocketAddr};

/// `address:port` of a link in normal form.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn link(text: &str) -> Result<String, String> {
    let Ok(address) = text.parse::<SocketAddr>() else {
        return Err(format!("\"{text}\" is not an address with a port"));
    };
    if address.port() == 0 {
        return Err(String::from("port 0 is not a port"));
    }
    usable(address.ip())?;
    Ok(address.to_string())
}

/// An address without prefix in normal form.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn plain(text: &str) -> Result<String, String> {
    let Ok(ip) = text.parse::<IpAddr>() else {
        return Err(format!("\"{text}\" is not an IP address"));
    };
    usable(ip)?;
    Ok(ip.to_string())
}

/// `address/prefix` in normal form.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn with_prefix(text: &str) -> Result<String, String> {
    let Some((ip, prefix)) = text.split_once('/') else {
        return Err(format!("\"{text}\" has no prefix length"));
    };
    let Ok(ip) = ip.parse::<IpAddr>() else {
        return Err(format!("\"{ip}\" is not an IP address"));
    };
    usable(ip)?;
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    let Some(prefix) = prefix
        .parse::<u8>()
        .ok()
        .filter(|p| (1..=longest).contains(p))
    else {
        return Err(format!(
            "\"{prefix}\" is not a prefix length from 1 to {longest}"
        ));
    };
    if let IpAddr::V4(v4) = ip
        && prefix < 31
    {
        let hosts = u32::MAX >> prefix;
        let host = v4.to_bits() & hosts;
        if host == 0 {
            return Err(format!("{ip}/{prefix} is the network itself"));
        }
        if host == hosts {
            return Err(format!(
                "{ip}/{prefix} is the broadcast address of its network"
            ));
        }
    }
    Ok(format!("{ip}/{prefix}"))
}

fn usable(ip: IpAddr) -> Result<(), String> {
    let mapped = matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    if ip.is_unspecified() || ip.is_multicast() || mapped || ip == IpAddr::from([255; 4]) {
        return Err(format!("{ip} is no address of one machine"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_one_spelling() {
        for spelling in [
            "fd80::1:100/64",
            "FD80:0:0:0:0:0:1:0100/64",
            "fd80:0000::0001:100/64",
        ] {
            assert_eq!(with_prefix(spelling), Ok(String::from("fd80::1:100/64")));
        }
        assert_eq!(
            link("[FD80::0001]:7400"),
            Ok(String::from("[fd80::1]:7400"))
        );
    }

    #[test]
    fn addresses_of_no_single_machine_are_refused() {
        for text in [
            "10.80.1.0/24",
            "10.80.1.255/24",
            "0.0.0.0/8",
            "ff02::1/64",
            "224.0.0.1/4",
            "::/64",
            "::ffff:10.0.0.1/64",
        ] {
            assert!(with_prefix(text).is_err(), "{text}");
        }
        assert!(
            with_prefix("10.80.1.0/31").is_ok(),
            "RFC 3021: both addresses are hosts"
        );
        assert!(with_prefix("10.80.1.1").is_err());
        assert!(with_prefix("10.80.1.1/33").is_err());
    }
}
