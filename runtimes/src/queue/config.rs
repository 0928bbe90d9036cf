//! What `queue://HOST:PORT[/STREAM]?OPTIONS` says, to drivers and to hosts.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use samara_core::{Error, ErrorKind};

/// Servers of a broker that one URL may name: a cluster has three or five.
const SERVERS_MAX: usize = 16;

/// Where a broker listens unless it is said.
const PORT: u16 = 4222;

/// The stream where none is named.
const STREAM: &str = "samara";

/// Characters of a stream's name at most: it stands in every subject.
const NAME_MAX: usize = 64;

/// Slots of all hosts together that a URL may ask for: what a queue has places for.
pub(super) const SLOTS_MAX: usize = 8192;

/// What the URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Config {
    /// `HOST:PORT` of each server of the broker.
    pub(super) servers: Vec<String>,
    /// The stream that messages wait in.
    pub(super) stream: String,
    /// Tasks at the same moment; else what the hosts there have.
    pub(super) slots: Option<usize>,
    /// Whether the connection has to be encrypted.
    pub(super) tls: bool,
    /// A file with a user's credentials, as `nsc` writes them.
    pub(super) creds: Option<PathBuf>,
}

// === impl Config ===

impl Config {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        // Whoever put a secret into it does not want it shown: neither before an `@`, nor as an
        // option.
        let shown = url.split('?').next().unwrap_or_default();
        let shown = shown.rsplit_once('@').map_or(shown, |(_, place)| place);
        let invalid = |text: &str| {
            let form = "queue://HOST:PORT[,HOST:PORT…][/STREAM][?slots=N&tls=true&creds=FILE]";
            Error::new(ErrorKind::Invalid, format!("`{shown}`: {text} ({form})"))
        };
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        if place.contains('@') {
            return Err(invalid(
                "secrets do not belong into a URL; NATS_USER and NATS_PASSWORD, NATS_TOKEN or \
                 NATS_CREDS are for them",
            ));
        }
        let (servers, stream) = place.split_once('/').unwrap_or((place, ""));
        let stream = match stream.trim_end_matches('/') {
            "" => STREAM,
            name => name,
        };
        if stream.len() > NAME_MAX || !stream.chars().all(is_of_names) {
            return Err(invalid(&format!(
                "a stream's name has letters, digits, `-` and `_`, at most {NAME_MAX}"
            )));
        }
        let servers: Option<Vec<String>> = servers.split(',').map(server).collect();
        let servers = servers.ok_or_else(|| invalid("it names no broker"))?;
        if servers.len() > SERVERS_MAX {
            return Err(invalid(&format!("there are more than {SERVERS_MAX} servers")));
        }
        let stream = stream.to_owned();
        let mut config = Self { servers, stream, slots: None, tls: false, creds: None };
        for option in query.split('&').filter(|option| !option.is_empty()) {
            config.option(option).map_err(|text| invalid(&text))?;
        }
        Ok(config)
    }

    fn option(&mut self, option: &str) -> Result<(), String> {
        match option.split_once('=') {
            Some(("slots", number)) => {
                let number = number.parse().ok().filter(|n| (1..=SLOTS_MAX).contains(n));
                let wanted = || format!("slots lie between 1 and {SLOTS_MAX}");
                self.slots = Some(number.ok_or_else(wanted)?);
            }
            Some(("tls", said)) => {
                self.tls = said.parse().map_err(|_| "tls is true or false".to_owned())?;
            }
            Some(("creds", path)) if !path.is_empty() => self.creds = Some(path.into()),
            _ => {
                let name = option.split('=').next().unwrap_or_default();
                return Err(format!("`{name}` is no option; there are: slots, tls, creds"));
            }
        }
        Ok(())
    }

    /// The subject of its messages.
    pub(super) fn subject(&self) -> String {
        format!("samara.{}.batches", self.stream)
    }

    /// Whether the broker is on this machine, and nobody listens in between.
    pub(super) fn is_here(&self) -> bool {
        self.servers.iter().all(|server| {
            let host = server.rsplit_once(':').map_or("", |(host, _)| host);
            let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        })
    }
}

/// Without the options.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "queue://{}/{}", self.servers.join(","), self.stream)
    }
}

/// `HOST:PORT`, with the port where none is said.
fn server(said: &str) -> Option<String> {
    let said = said.trim();
    let (host, port) = match said.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => {
            (host, port.parse::<u16>().ok()?)
        }
        _ => (said, PORT),
    };
    let is_six = |inner: &str| inner.parse::<Ipv6Addr>().is_ok();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_sound = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').is_some_and(is_six),
        None => !host.is_empty() && host.chars().all(is_name),
    };
    is_sound.then(|| format!("{host}:{port}"))
}

fn is_of_names(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_broker_a_stream_and_options() {
        let config = Config::parse("queue://a:1,b/jobs/?slots=7&tls=true&creds=/c").unwrap();
        assert_eq!(config.servers, ["a:1", "b:4222"]);
        assert_eq!((config.stream.as_str(), config.slots), ("jobs", Some(7)));
        assert_eq!((config.tls, config.creds), (true, Some("/c".into())));
        let config = Config::parse("queue://[::1]:7").unwrap();
        assert_eq!(config.to_string(), "queue://[::1]:7/samara");
        assert_eq!(config.subject(), "samara.samara.batches");
        for (url, is_here) in [
            ("queue://127.0.0.1", true),
            ("queue://localhost:1", true),
            ("queue://[::1]:7", true),
            ("queue://127.0.0.1,10.0.0.1", false),
            ("queue://127.0.0.1.example.org", false),
        ] {
            assert_eq!(Config::parse(url).unwrap().is_here(), is_here, "{url}");
        }
    }

    #[test]
    fn malformed_urls_are_refused_by_name() {
        for (url, wanted) in [
            ("queue:", "names no broker"),
            ("queue://?slots=1", "names no broker"),
            ("queue://a,,b", "names no broker"),
            ("queue://a:x", "names no broker"),
            ("queue://a/b.c", "letters, digits"),
            ("queue://a?slots=0", "between 1 and"),
            ("queue://a?tls=no", "true or false"),
            ("queue://a?pace=1", "is no option"),
        ] {
            let error = Config::parse(url).unwrap_err();
            let shown = url.split('?').next().unwrap();
            assert!(error.message.contains(wanted) && error.message.contains(shown), "{error}");
        }
    }

    #[test]
    fn secrets_in_urls_are_refused_and_not_shown() {
        for (url, wanted) in [
            ("queue://me:hunter2@a:1", "NATS_PASSWORD"),
            ("queue://me:un/hunter2@a:1/s", "NATS_PASSWORD"),
            ("queue://a?password=hunter2", "is no option"),
        ] {
            let error = Config::parse(url).unwrap_err();
            assert!(error.message.contains(wanted), "{error}");
            assert!(!error.message.contains("hunter2"), "{error}");
        }
    }
}
