//! What `http://HOST,HOST/PATH?OPTIONS` says.

use samara_core::{Error, ErrorKind};

use crate::rate::RATE_MAX;

/// Hosts that one URL may name: each has connections of its own.
const HOSTS_MAX: usize = 1024;

/// Slots that a URL may ask for: what the largest platforms start at once.
const SLOTS_MAX: usize = 100_000;

/// What the URL says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Config {
    /// The URL of each host, without a slash at its end.
    pub(super) hosts: Vec<String>,
    /// Tasks at the same moment, where a platform starts hosts as they are needed.
    pub(super) slots: Option<usize>,
    /// Batches per second at most, where a platform takes no more.
    pub(super) rate: Option<u32>,
    /// The platform's front door, where it wants more than the host does.
    pub(super) door: Option<String>,
}

// === impl Config ===

impl Config {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let invalid = |text: &str| {
            let form = "http://HOST:PORT[,HOST:PORT…][/PATH][?slots=N&rate=N&door=DOOR]";
            Error::new(ErrorKind::Invalid, format!("`{url}`: {text} ({form})"))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("it names no host"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (names, path) = place.split_once('/').unwrap_or((place, ""));
        if names.contains('@') {
            return Err(invalid(
                "secrets do not belong into a URL; the setting `token` is for them",
            ));
        }
        let path = path.trim_matches('/');
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        let hosts: Vec<String> =
            names.split(',').map(|name| format!("{scheme}://{}{path}", name.trim())).collect();
        if names.split(',').any(|name| name.trim().is_empty()) {
            return Err(invalid("it names no host"));
        }
        if hosts.len() > HOSTS_MAX {
            return Err(invalid(&format!("there are more than {HOSTS_MAX} hosts")));
        }
        if let Some(wrong) = hosts.iter().find(|host| reqwest::Url::parse(host).is_err()) {
            return Err(invalid(&format!("`{wrong}` is no URL")));
        }
        let (mut slots, mut rate, mut door) = (None, None, None);
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("slots", number)) => {
                    let number = number.parse().ok().filter(|n| (1..=SLOTS_MAX).contains(n));
                    let wanted = || invalid(&format!("slots lie between 1 and {SLOTS_MAX}"));
                    slots = Some(number.ok_or_else(wanted)?);
                }
                Some(("rate", number)) => {
                    let number = number.parse().ok().filter(|n| (1..=RATE_MAX).contains(n));
                    let wanted = || invalid(&format!("rates lie between 1 and {RATE_MAX}"));
                    rate = Some(number.ok_or_else(wanted)?);
                }
                Some(("door", name)) => door = Some(name.to_owned()),
                _ => {
                    let text = "is no option; there are: slots=N, rate=N, door=DOOR";
                    return Err(invalid(&format!("`{option}` {text}")));
                }
            }
        }
        Ok(Self { hosts, slots, rate, door })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_hosts_a_path_and_options() {
        let config = Config::parse("http://a:1,b:2/x/y/?slots=7&rate=50&door=aws").unwrap();
        assert_eq!(config.hosts, ["http://a:1/x/y", "http://b:2/x/y"]);
        assert_eq!((config.slots, config.rate), (Some(7), Some(50)));
        assert_eq!(config.door.as_deref(), Some("aws"));
        let config = Config::parse("https://a").unwrap();
        assert_eq!((config.hosts, config.slots), (vec!["https://a".to_owned()], None));
    }

    #[test]
    fn malformed_urls_are_refused_by_name() {
        for (url, wanted) in [
            ("http:", "names no host"),
            ("http://", "names no host"),
            ("http://a,,b", "names no host"),
            ("http://me:secret@a", "the setting `token`"),
            ("http://a:x", "is no URL"),
            ("http://a?slots=0", "between 1 and"),
            ("http://a?rate=0", "rates lie between 1 and"),
            ("http://a?pace=1", "is no option"),
        ] {
            let error = Config::parse(url).unwrap_err();
            assert!(error.message.contains(wanted) && error.message.contains(url), "{error}");
        }
    }
}
