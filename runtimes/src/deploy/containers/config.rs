//! What a URL of a container platform says: `knative://NAME?namespace=N`.

use std::collections::BTreeMap;

use samara_core::{Error, ErrorKind};

use super::Platform;

/// What the URL says.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) platform: &'static Platform,
    pub(super) name: String,
    options: BTreeMap<&'static str, String>,
}

/// Characters of an option at most: a resource id of Azure's has some two hundred.
const OPTION_MAX: usize = 512;

/// What options are where the URL has none. The others are needed by some command.
const DEFAULTS: &[(&str, &str)] =
    &[("namespace", "default"), ("gateway", "http://127.0.0.1:8080"), ("port", "8080")];

// === impl Config ===

impl Config {
    pub(super) fn parse(url: &str, platform: &'static Platform) -> Result<Self, Error> {
        let form: Vec<String> =
            platform.options.iter().map(|option| format!("{option}=…")).collect();
        let form = format!("{}://NAME[?{}]", platform.scheme, form.join("&"));
        let invalid =
            |text: &str| Error::new(ErrorKind::Invalid, format!("`{url}`: {text} ({form})"));
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
        let name = name.trim_end_matches('/');
        if name.is_empty() {
            return Err(invalid("it names no deployment"));
        }
        let is_of_names = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-');
        if name.len() > platform.name_max || !begins || !name.chars().all(is_of_names) {
            let max = platform.name_max;
            return Err(invalid(&format!(
                "a name has lowercase letters, digits and `-`, begins with a letter, and is at \
                 most {max} long"
            )));
        }
        let mut options = BTreeMap::new();
        for said in query.split('&').filter(|said| !said.is_empty()) {
            let known = |(option, _): &(&str, &str)| platform.options.contains(option);
            let Some((option, value)) = said.split_once('=').filter(known) else {
                let known = platform.options.join(", ");
                return Err(invalid(&format!("`{said}` is no option; there are: {known}")));
            };
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
            if value.is_empty() || value.len() > OPTION_MAX || !value.chars().all(is_plain) {
                return Err(invalid(&format!("`{value}` is no value for `{option}`")));
            }
            let option = platform.options.iter().find(|known| **known == option);
            options.insert(*option.expect("it is known"), value.to_owned());
        }
        Ok(Self { platform, name: name.to_owned(), options })
    }

    /// What an option says, or its default.
    pub(super) fn option(&self, name: &str) -> Result<&str, Error> {
        let default = || DEFAULTS.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        self.options.get(name).map(String::as_str).or_else(default).ok_or_else(|| {
            let (scheme, deployment) = (self.platform.scheme, &self.name);
            let text =
                format!("no {name} is said; say it in the URL: {scheme}://{deployment}?{name}=…");
            Error::new(ErrorKind::Invalid, text)
        })
    }

    /// A text with the name and the options in place of `{…}`.
    pub(super) fn fill(&self, text: &str) -> Result<String, Error> {
        let mut filled = text.replace("{name}", &self.name);
        for option in self.platform.options {
            let place = format!("{{{option}}}");
            if filled.contains(&place) {
                filled = filled.replace(&place, self.option(option)?);
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PLATFORMS, open};
    use super::*;

    #[test]
    fn urls_name_a_deployment_and_options() {
        let config = Config::parse("knative://app?namespace=jobs", &PLATFORMS[0]).unwrap();
        assert_eq!(config.fill("{namespace}/{name}").unwrap(), "jobs/app");
        let config = Config::parse("knative://app/", &PLATFORMS[0]).unwrap();
        assert_eq!(config.fill("{namespace}/{name}").unwrap(), "default/app");
    }

    #[test]
    fn malformed_urls_are_refused_by_name() {
        for (url, wanted) in [
            ("knative:", "names no deployment"),
            ("knative://App", "lowercase"),
            ("knative://-a", "begins with"),
            ("container-apps://a-name-that-is-longer-than-they-allow", "at most 32"),
            ("knative://a?region=x", "is no option; there are: namespace"),
            ("knative://a?namespace=x;rm", "is no value"),
        ] {
            let error = open(url).unwrap_err();
            assert!(error.message.contains(wanted) && error.message.contains(url), "{error}");
        }
        let config = Config::parse("cloud-run://a", &PLATFORMS[1]).unwrap();
        let error = config.fill("{region}").unwrap_err();
        assert!(error.message.contains("cloud-run://a?region=…"), "{error}");
    }
}
