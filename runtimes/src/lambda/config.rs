//! What `lambda://NAME?OPTIONS` says.

use aws_config::SdkConfig;
use samara_core::{Error, ErrorKind};

use crate::aws;
use crate::rate::RATE_MAX;

/// Functions at the same moment that a URL may ask for: what the largest accounts are granted.
const SLOTS_MAX: usize = 100_000;

/// Characters of a function's name at most, as AWS has it.
const NAME_MAX: usize = 64;

/// What the URL says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Config {
    /// The function's name.
    pub(super) name: String,
    /// The version or the alias of it, where one is named.
    pub(super) qualifier: Option<String>,
    /// Where it is; else what AWS's own settings say.
    pub(super) region: Option<String>,
    /// The profile of AWS's own files.
    pub(super) profile: Option<String>,
    /// Where requests go that are not for Amazon.
    pub(super) endpoint: Option<String>,
    /// Functions at the same moment.
    pub(super) slots: Option<usize>,
    /// Batches that the driver begins per second at most.
    pub(super) rate: Option<u32>,
}

// === impl Config ===

impl Config {
    /// The way to AWS, as the URL and AWS's own settings say.
    pub(super) async fn connect(&self) -> SdkConfig {
        let endpoint = self.endpoint.as_deref();
        aws::connect(self.region.as_deref(), self.profile.as_deref(), endpoint).await
    }

    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let invalid = |text: &str| {
            let form = "lambda://NAME[:VERSION][?region=R&profile=P&endpoint=URL&slots=N&rate=N]";
            Error::new(ErrorKind::Invalid, format!("`{url}`: {text} ({form})"))
        };
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let place = place.trim_end_matches('/');
        let (name, qualifier) = match place.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (place, None),
        };
        if name.is_empty() {
            return Err(invalid("it names no function"));
        }
        if name.len() > NAME_MAX || !name.chars().all(is_of_names) {
            return Err(invalid(&format!(
                "a function's name has letters, digits, `-` and `_`, at most {NAME_MAX}"
            )));
        }
        let is_version =
            |said: &str| !said.is_empty() && said.chars().all(|c| is_of_names(c) || c == '$');
        if qualifier.is_some_and(|said| !is_version(said)) {
            return Err(invalid("what follows the colon is no version and no alias"));
        }
        let mut config = Self {
            name: name.to_owned(),
            qualifier: qualifier.map(str::to_owned),
            ..Self::default()
        };
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("region", said)) => config.region = Some(said.to_owned()),
                Some(("profile", said)) => config.profile = Some(said.to_owned()),
                Some(("endpoint", said)) if said.starts_with("http") && said.contains("://") => {
                    config.endpoint = Some(said.to_owned());
                }
                Some(("endpoint", _)) => {
                    return Err(invalid("the endpoint should begin with `http(s)://`"));
                }
                Some(("slots", number)) => {
                    let number = number.parse().ok().filter(|n| (1..=SLOTS_MAX).contains(n));
                    let wanted = || invalid(&format!("slots lie between 1 and {SLOTS_MAX}"));
                    config.slots = Some(number.ok_or_else(wanted)?);
                }
                Some(("rate", number)) => {
                    let number = number.parse().ok().filter(|n| (1..=RATE_MAX).contains(n));
                    let wanted = || invalid(&format!("rates lie between 1 and {RATE_MAX}"));
                    config.rate = Some(number.ok_or_else(wanted)?);
                }
                _ => {
                    let text = "is no option; there are: region, profile, endpoint, slots, rate";
                    return Err(invalid(&format!("`{option}` {text}")));
                }
            }
        }
        Ok(config)
    }
}

fn is_of_names(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_function_a_version_and_options() {
        let config = Config::parse("lambda://app?region=eu-central-1&slots=7&rate=3").unwrap();
        assert_eq!((config.name.as_str(), config.slots, config.rate), ("app", Some(7), Some(3)));
        assert_eq!(config.region.as_deref(), Some("eu-central-1"));
        let config = Config::parse("lambda://app:3/?endpoint=http://127.0.0.1:1/x").unwrap();
        assert_eq!(config.qualifier.as_deref(), Some("3"));
        assert_eq!(config.endpoint.as_deref(), Some("http://127.0.0.1:1/x"));
    }

    #[test]
    fn malformed_urls_are_refused_by_name() {
        for (url, wanted) in [
            ("lambda:", "names no function"),
            ("lambda://?slots=1", "names no function"),
            ("lambda://a b", "letters, digits"),
            ("lambda://a:", "no version"),
            ("lambda://a?endpoint=host", "begin with"),
            ("lambda://a?slots=0", "between 1 and"),
            ("lambda://a?rate=no", "rates lie between 1 and"),
            ("lambda://a?pace=1", "is no option"),
        ] {
            let error = Config::parse(url).unwrap_err();
            assert!(error.message.contains(wanted) && error.message.contains(url), "{error}");
        }
    }
}
