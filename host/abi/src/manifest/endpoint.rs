//! Hosts and ports as manifests and policies write them.

use core::net::IpAddr;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Hosts and ports that may be reached: `example.org:443`, `*.example.org:443`, `127.0.0.1:8080`,
/// `10.0.0.0/8:*`, `[::1]:80-89`, `*:443`.
///
/// A name stands for the addresses that looking that very name up gives; it never stands for an
/// address that the plugin knows from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Which hosts.
    pub host: HostPattern,
    /// The ports.
    pub ports: RangeInclusive<u16>,
}

/// The hosts of an [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// All of them.
    Any,
    /// One name, in lower case.
    Name(String),
    /// All names below this one, in lower case.
    Below(String),
    /// All addresses that begin with the same bits.
    Addresses {
        /// The first of them.
        address: IpAddr,
        /// How many bits count.
        bits: u8,
    },
}

/// A text that names no hosts and ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no host and port: {reason}; write for example \"example.org:443\", \
     \"127.0.0.1:8080\", \"10.0.0.0/8:*\" or \"[::1]:80-89\""
)]
pub struct EndpointError {
    /// The text.
    pub text: String,
    /// The error in it.
    pub reason: &'static str,
}

impl Endpoint {
    /// True if the address and port are among them.
    pub fn admits_address(&self, address: IpAddr, port: u16) -> bool {
        let host = match &self.host {
            HostPattern::Any => true,
            HostPattern::Addresses { address: first, bits } => {
                shares_bits(first.to_canonical(), address.to_canonical(), *bits)
            }
            HostPattern::Name(_) | HostPattern::Below(_) => false,
        };
        host && self.ports.contains(&port)
    }

    /// True if the name may be looked up.
    pub fn admits_name(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match &self.host {
            HostPattern::Any => true,
            HostPattern::Name(known) => *known == name,
            HostPattern::Below(known) => {
                name.strip_suffix(known.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
            HostPattern::Addresses { .. } => false,
        }
    }
}

fn shares_bits(first: IpAddr, other: IpAddr, bits: u8) -> bool {
    let differing = match (first, other) {
        (IpAddr::V4(first), IpAddr::V4(other)) => {
            u128::from(first.to_bits() ^ other.to_bits()) << 96
        }
        (IpAddr::V6(first), IpAddr::V6(other)) => first.to_bits() ^ other.to_bits(),
        _ => return false,
    };
    differing.leading_zeros() >= u32::from(bits)
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let wrong = |reason| EndpointError { text: text.to_owned(), reason };
        let (host, ports) = match text.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
            Some(parts) => parts,
            None => text.rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?,
        };
        if host.contains(':') && !text.starts_with('[') {
            return Err(wrong("addresses with colons stand in brackets"));
        }
        let port = |digits: &str| digits.parse::<u16>().ok();
        let ports = match ports.split_once('-') {
            _ if ports == "*" => Some(0..=u16::MAX),
            Some((first, last)) => port(first).zip(port(last)).map(|(first, last)| first..=last),
            None => port(ports).map(|port| port..=port),
        };
        let ports = ports.filter(|ports| !ports.is_empty()).ok_or_else(|| {
            wrong("a port is a number to 65535, two with `-` between them, or `*`")
        })?;
        Ok(Endpoint { host: host_pattern(host).map_err(wrong)?, ports })
    }
}

/// Bits in front of an IPv4 address in an IPv4-mapped one (RFC 4291, 2.5.5.2).
const MAPPED_BITS: u8 = 96;

fn host_pattern(host: &str) -> Result<HostPattern, &'static str> {
    if host == "*" {
        return Ok(HostPattern::Any);
    }
    let (address, bits) = match host.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (host, None),
    };
    if let Ok(address) = address.parse::<IpAddr>() {
        let most: u8 = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or("after `/` stands how many bits count, at most 32 or 128")?,
        };
        // Such an address is reached as the IPv4 one that it is, so the pattern is of IPv4, too.
        return match address.to_canonical() {
            same if same == address => Ok(HostPattern::Addresses { address, bits }),
            address => match bits.checked_sub(MAPPED_BITS) {
                Some(bits) => Ok(HostPattern::Addresses { address, bits }),
                None => Err("fewer than 96 bits of an IPv4-mapped address count; write IPv4"),
            },
        };
    }
    let name = host.strip_prefix("*.").unwrap_or(host).trim_end_matches('.').to_ascii_lowercase();
    let is_label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter))
    };
    if !name.split('.').all(is_label) {
        return Err("the host is neither a name nor an address");
    }
    match host.starts_with("*.") {
        true => Ok(HostPattern::Below(name)),
        false => Ok(HostPattern::Name(name)),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostPattern::Any => formatter.write_str("*")?,
            HostPattern::Name(name) => formatter.write_str(name)?,
            HostPattern::Below(name) => write!(formatter, "*.{name}")?,
            HostPattern::Addresses { address, bits } => {
                let most = if address.is_ipv4() { 32 } else { 128 };
                let range = if *bits == most { String::new() } else { format!("/{bits}") };
                match address {
                    IpAddr::V4(address) => write!(formatter, "{address}{range}")?,
                    IpAddr::V6(address) => write!(formatter, "[{address}{range}]")?,
                }
            }
        }
        let (first, last) = (*self.ports.start(), *self.ports.end());
        match (first, last) {
            (0, u16::MAX) => formatter.write_str(":*"),
            _ if first == last => write!(formatter, ":{first}"),
            _ => write!(formatter, ":{first}-{last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_admit_what_they_name() {
        /// `peer` is an address with a port, or a name that is to be looked up.
        fn check(endpoint: &str, peer: &str, expected: bool) {
            let endpoint: Endpoint = endpoint.parse().unwrap();
            assert_eq!(endpoint.to_string().parse::<Endpoint>().unwrap(), endpoint);
            let admitted = match peer.parse::<core::net::SocketAddr>() {
                Ok(peer) => endpoint.admits_address(peer.ip(), peer.port()),
                Err(_) => endpoint.admits_name(peer),
            };
            assert_eq!(admitted, expected, "{endpoint} and {peer}");
        }
        check("127.0.0.1:8080", "127.0.0.1:8080", true);
        check("127.0.0.1:8080", "127.0.0.1:8081", false);
        check("127.0.0.1:8080", "127.0.0.2:8080", false);
        check("127.0.0.1:8080", "[::ffff:127.0.0.1]:8080", true);
        check("10.0.0.0/8:*", "10.255.0.1:1", true);
        check("10.0.0.0/8:*", "11.0.0.1:1", false);
        check("0.0.0.0/0:80", "8.8.8.8:80", true);
        check("[::1]:80-89", "[::1]:85", true);
        check("[::1]:80-89", "[::1]:90", false);
        check("[fd00::/8]:*", "[fd12::1]:5", true);
        check("[::ffff:10.0.0.0/104]:*", "10.255.0.1:1", true);
        check("[::ffff:10.0.0.0/104]:*", "[::ffff:10.255.0.1]:1", true);
        check("[::ffff:10.0.0.0/104]:*", "11.0.0.1:1", false);
        check("[::ffff:10.0.0.1]:*", "10.0.0.1:1", true);
        check("[::ffff:0.0.0.0/96]:*", "8.8.8.8:1", true);
        check("*:443", "1.2.3.4:443", true);
        check("*:443", "anything.example", true);
        check("Example.org:443", "example.ORG.", true);
        check("example.org:443", "1.2.3.4:443", false);
        check("*.example.org:443", "a.b.example.org", true);
        check("*.example.org:443", "example.org", false);
        check("*.example.org:443", "badexample.org", false);
    }

    #[test]
    fn bad_endpoints_say_what_is_wrong() {
        fn check(text: &str, expected: &str) {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        }
        check("[::ffff:10.0.0.0/90]:*", "fewer than 96 bits of an IPv4-mapped address count");
        check("example.org", "the port is missing");
        check("example.org:http", "a port is a number");
        check("example.org:70000", "a port is a number");
        check("example.org:9-1", "a port is a number");
        check("::1:80", "in brackets");
        check("10.0.0.0/33:80", "how many bits");
        check("exa mple:80", "neither a name nor an address");
        check(":80", "neither a name nor an address");
    }
}
