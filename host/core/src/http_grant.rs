//! Which servers a task may ask by HTTP.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Leave to ask servers: `https://api.example.com`, `https://*.example.com:8443`,
/// `http://10.0.0.7:8080`; with ` private` behind it, also where the name means an address that is
/// not the public internet's.
///
/// A grant is of one scheme and one port; the port is the scheme's own where none is said. A leading
/// `*.` stands for one label or more, never for none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpGrant {
    secure: bool,
    host: Host,
    port: u16,
    private: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// This address.
    Address(IpAddr),
    /// This name, in lower case.
    Name(String),
    /// All that is below this name.
    Below(String),
}

/// What kind of network an address is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Anybody's.
    Public,
    /// The machine's own, or its owner's: loopback, private and shared addresses.
    Private,
    /// What no server of anybody's has: link-local addresses, where clouds answer with the machine's
    /// credentials, multicast, and what is reserved.
    Reserved,
}

/// Bytes of a name at most, as the DNS has it.
const NAME_BYTES_MAX: usize = 253;

/// Addresses at which clouds answer with credentials, outside of what is link-local: AWS's by IPv6,
/// and Alibaba Cloud's.
const METADATA: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(std::net::Ipv4Addr::new(100, 100, 100, 200)),
];

// === impl HttpGrant ===

impl HttpGrant {
    /// Whether a request there is granted: `host` without brackets, `port` as it is connected to.
    pub fn allows(&self, secure: bool, host: &str, port: u16) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        self.secure == secure
            && self.port == port
            && match &self.host {
                Host::Address(address) => host.parse() == Ok(*address),
                Host::Name(name) => *name == host,
                Host::Below(name) => is_below(&host, name),
            }
    }

    /// Whether a server at `address` is granted, once it is known that its name is.
    pub fn allows_address(&self, address: IpAddr) -> bool {
        match (&self.host, network(address)) {
            (Host::Address(granted), _) => address == *granted,
            (_, Network::Public) => true,
            (_, Network::Private) => self.private,
            (_, Network::Reserved) => false,
        }
    }

    /// Whether names may lead to private addresses.
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Whether all that this grants is granted by `wider` too.
    pub fn is_within(&self, wider: &Self) -> bool {
        let (secure, port) = (self.secure == wider.secure, self.port == wider.port);
        let host = match (&self.host, &wider.host) {
            (Host::Name(name), Host::Below(below)) => is_below(name, below),
            (Host::Below(name), Host::Below(below)) => name == below || is_below(name, below),
            (own, others) => own == others,
        };
        secure && port && host && (wider.private || !self.private)
    }
}

/// Whether a name is one label or more below another.
fn is_below(name: &str, below: &str) -> bool {
    let front = name.strip_suffix(below).and_then(|front| front.strip_suffix('.'));
    front.is_some_and(|front| !front.is_empty())
}

impl FromStr for HttpGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}` {why}, such as https://api.example.com:8443");
        let (origin, private) = match text.strip_suffix(" private") {
            Some(origin) => (origin, true),
            None => (text, false),
        };
        let (scheme, rest) = origin.split_once("://").unwrap_or(("", origin));
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(wrong("should begin with http:// or https://")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let bracket = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match bracket {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or("?"))),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = match port {
            None if secure => 443,
            None => 80,
            Some(port) => port.parse().map_err(|_| wrong("should name a port"))?,
        };
        let below = host.strip_prefix("*.");
        let name = below.unwrap_or(host).to_ascii_lowercase();
        let host = match (name.parse::<IpAddr>(), below) {
            (Ok(address), None) if address.is_ipv4() || bracket.is_some() => Host::Address(address),
            (Err(_), below) if is_name(&name) && bracket.is_none() => match below {
                Some(_) => Host::Below(name),
                None => Host::Name(name),
            },
            _ => return Err(wrong("should name a host and, at most, a port")),
        };
        Ok(Self { secure, host, port, private })
    }
}

/// Whether a text can be a host's name. What ends in a number is an address to some, and written in
/// many ways: `127.1`, `0x7f000001`.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() < 64 && label.chars().all(is_fine)
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with(|c: char| c.is_ascii_digit());
    text.len() <= NAME_BYTES_MAX && text.split('.').all(is_label) && !is_number
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "https://" } else { "http://" })?;
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Host::Address(address) => address.fmt(f)?,
            Host::Name(name) => f.write_str(name)?,
            Host::Below(name) => write!(f, "*.{name}")?,
        }
        if self.port != if self.secure { 443 } else { 80 } {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(if self.private { " private" } else { "" })
    }
}

impl TryFrom<String> for HttpGrant {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HttpGrant> for String {
    fn from(grant: HttpGrant) -> Self {
        grant.to_string()
    }
}

/// What kind of network an address is of, by IANA's registries of special addresses:
/// <https://www.iana.org/assignments/iana-ipv4-special-registry> and
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>.
pub fn network(address: IpAddr) -> Network {
    if METADATA.contains(&address) {
        return Network::Reserved;
    }
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            match (a, b, c) {
                // Private, shared by carriers, and the machine itself.
                (10 | 127, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => {
                    Network::Private
                }
                // This network, link-local, protocols' own, documentation, benchmarks, 6to4 relays,
                // multicast and what is kept for later.
                (0 | 224..=255, ..)
                | (169, 254, _)
                | (192, 0, 0 | 2)
                | (192, 88, 99)
                | (198, 18..=19, _)
                | (198, 51, 100)
                | (203, 0, 113) => Network::Reserved,
                _ => Network::Public,
            }
        }
        IpAddr::V6(v6) => network_v6(v6),
    }
}

fn network_v6(v6: Ipv6Addr) -> Network {
    let segments = v6.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        network(IpAddr::V4([a, b, c, d].into()))
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 1] => Network::Private,
        // Addresses of IPv4 in other clothes: mapped, translated (RFC 6052), and 6to4.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        // Unique local.
        [0xfc00..=0xfdff, ..] => Network::Private,
        // Teredo and other protocols' own, documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => {
            Network::Reserved
        }
        // Global unicast.
        [0x2000..=0x3fff, ..] => Network::Public,
        _ => Network::Reserved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(text: &str) -> HttpGrant {
        text.parse().unwrap()
    }

    #[test]
    fn a_grant_is_of_one_scheme_host_and_port() {
        let exact = grant("https://API.example.com");
        assert!(exact.allows(true, "api.example.com", 443));
        assert!(exact.allows(true, "api.EXAMPLE.com.", 443));
        for (secure, host, port) in [
            (false, "api.example.com", 443),
            (true, "api.example.com", 8443),
            (true, "x.api.example.com", 443),
            (true, "api.example.com.evil.org", 443),
            (true, "evilapi.example.com", 443),
        ] {
            assert!(!exact.allows(secure, host, port), "{secure} {host} {port}");
        }
    }

    #[test]
    fn a_star_stands_for_a_label_or_more() {
        let below = grant("https://*.example.com:8443/");
        assert!(below.allows(true, "a.example.com", 8443));
        assert!(below.allows(true, "a.b.example.com", 8443));
        for host in ["example.com", ".example.com", "notexample.com", "example.com.org"] {
            assert!(!below.allows(true, host, 8443), "{host}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "example.com",
            "ftp://example.com",
            "https://",
            "https://*",
            "https://*.*.com",
            "https://a.*.com",
            "https://a/b",
            "https://user@host",
            "https://a:b",
            "https://a:99999",
            "https://*.10.0.0.1",
            "http://127.1",
            "http://0x7f.1",
            "http://2130706433",
            "http://::1",
            "http://[::1",
            "http://[::1]x",
            "http://a..b",
            "http://a b",
            "http://exämple.com",
        ] {
            assert!(text.parse::<HttpGrant>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_grant_is_read_as_it_is_written() {
        for text in [
            "https://a.example.com",
            "http://*.example.com:81",
            "http://10.0.0.7:8080",
            "https://[2001:4860::1]",
            "http://db.internal private",
        ] {
            assert_eq!(grant(text).to_string(), text);
        }
    }

    #[test]
    fn names_do_not_lead_to_addresses_that_are_nobody_elses() {
        let (plain, private) = (grant("http://a.example"), grant("http://a.example private"));
        let cases = [
            ("93.184.216.34", true, true),
            ("2606:4700::1111", true, true),
            ("127.0.0.1", false, true),
            ("10.1.2.3", false, true),
            ("172.16.0.1", false, true),
            ("192.168.1.1", false, true),
            ("100.64.0.1", false, true),
            ("::1", false, true),
            ("fd12::1", false, true),
            ("::ffff:127.0.0.1", false, true),
            ("64:ff9b::7f00:1", false, true),
            ("2002:7f00:1::", false, true),
            ("169.254.169.254", false, false),
            ("169.254.170.2", false, false),
            ("100.100.100.200", false, false),
            ("fd00:ec2::254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("64:ff9b::a9fe:a9fe", false, false),
            ("2002:a9fe:a9fe::", false, false),
            ("::169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("224.0.0.1", false, false),
            ("255.255.255.255", false, false),
            ("ff02::1", false, false),
            ("2001::1", false, false),
        ];
        for (address, public, with_private) in cases {
            let address = address.parse().unwrap();
            assert_eq!(plain.allows_address(address), public, "{address}");
            assert_eq!(private.allows_address(address), with_private, "{address}");
        }
        let metadata = grant("http://169.254.169.254");
        assert!(metadata.allows(false, "169.254.169.254", 80));
        assert!(metadata.allows_address("169.254.169.254".parse().unwrap()), "it is named");
        assert!(!metadata.allows_address("169.254.170.2".parse().unwrap()));
    }

    #[test]
    fn narrower_grants_are_within_wider_ones() {
        for (narrow, wider, is_within) in [
            ("https://a.b.c", "https://a.b.c", true),
            ("https://a.b.c", "https://*.b.c", true),
            ("https://*.a.b", "https://*.b", true),
            ("https://*.b", "https://*.b", true),
            ("https://*.b", "https://*.a.b", false),
            ("https://b.c", "https://*.b.c", false),
            ("http://a.b.c", "https://a.b.c", false),
            ("https://a.b.c:1", "https://a.b.c", false),
            ("https://a.b.c private", "https://a.b.c", false),
            ("https://a.b.c", "https://a.b.c private", true),
            ("http://10.0.0.1", "http://10.0.0.1", true),
            ("http://10.0.0.1", "http://10.0.0.2", false),
        ] {
            assert_eq!(grant(narrow).is_within(&grant(wider)), is_within, "{narrow} in {wider}");
        }
    }
}
