//! What a process needs of its surroundings to reach some objects, and nothing beyond that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Locator, STORES, Settings};

/// What clients of stores read of the environment by themselves: the beginnings of names, by scheme;
/// an empty one is for all that are behind a network.
const AMBIENT: &[(&str, &[&str])] = &[
    ("", &["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy"]),
    ("", &["all_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"]),
    ("s3", &["AWS_", "HOME"]),
    ("gs", &["GOOGLE_", "GCE_METADATA_HOST", "CLOUDSDK_", "HOME"]),
    ("az", &["AZURE_", "IDENTITY_", "MSI_", "HOME"]),
    ("oss", &["ALIBABA_CLOUD_"]),
];

/// Where they read credentials below the user's directory.
const HOMES: &[(&str, &str)] = &[("s3", ".aws"), ("gs", ".config/gcloud"), ("az", ".azure")];

/// What a process needs to reach objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// The settings of their stores.
    pub settings: Settings,
    /// Variables that their clients read by themselves. May be secret.
    pub environment: BTreeMap<String, String>,
    /// Files that settings and variables name: credentials, certificates.
    pub files: Vec<PathBuf>,
    /// Whether some of them are behind a network.
    pub network: bool,
}

// === impl Needs ===

impl Needs {
    /// What the stores of these URLs need, of all that a program was told.
    pub fn of(urls: &[&str], settings: &Settings, variables: &BTreeMap<String, String>) -> Self {
        let schemes: Vec<&str> = STORES
            .iter()
            .filter(|row| urls.iter().any(|url| scheme_of(url) == row.scheme))
            .map(|row| row.scheme)
            .collect();
        let network = STORES.iter().any(|row| row.remote && schemes.contains(&row.scheme));
        let is_ambient = |name: &str| {
            let of_scheme = |scheme: &str| match scheme {
                "" => network,
                scheme => schemes.contains(&scheme),
            };
            let rows = AMBIENT.iter().filter(|(scheme, _)| of_scheme(scheme));
            let mut begins = rows.flat_map(|(_, names)| *names);
            begins.any(|begin| match begin.ends_with('_') {
                true => name.starts_with(begin),
                false => name == *begin,
            })
        };
        let environment: BTreeMap<String, String> = variables
            .iter()
            .filter(|(name, _)| is_ambient(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let settings = only(settings, urls, &schemes);
        let mut files = files(&settings, &environment);
        if let Some(home) = environment.get("HOME") {
            let known = HOMES.iter().filter(|(scheme, _)| schemes.contains(scheme));
            let below = known.map(|(_, name)| Path::new(home).join(name));
            files.extend(below.filter(|path| path.exists()));
        }
        Self { settings, environment, files, network }
    }
}

impl Locator {
    /// The file or directory of this machine that a canonical URL means; none where it means none.
    pub fn on_disk(url: &str) -> Option<PathBuf> {
        let path = url.strip_prefix("file://")?;
        Some(match path.trim_end_matches('/') {
            "" => "/".into(),
            path => path.into(),
        })
    }
}

fn scheme_of(url: &str) -> &str {
    url.split_once(':').map_or("", |(scheme, _)| scheme)
}

/// The settings of some stores.
fn only(settings: &Settings, urls: &[&str], schemes: &[&str]) -> Settings {
    let rows = STORES.iter().filter(|row| schemes.contains(&row.scheme));
    let known: Vec<&str> =
        rows.flat_map(|row| row.settings).filter_map(|setting| setting.variable).collect();
    let variables = settings.variables().filter(|(name, _)| known.contains(name));
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut kept = Settings::default().with_variables(variables.map(own));
    for (place, name, value) in settings.values() {
        let is_whole_scheme = place.strip_suffix(':').is_some_and(|it| schemes.contains(&it));
        let is_above = |url: &&str| url.strip_prefix(place).is_some_and(is_boundary);
        if is_whole_scheme || urls.iter().any(is_above) {
            kept = kept.with(place, name, value);
        }
    }
    kept
}

fn is_boundary(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

/// The files that are named.
fn files(settings: &Settings, environment: &BTreeMap<String, String>) -> Vec<PathBuf> {
    let said = settings.values().map(|(_, _, value)| value);
    let said = said.chain(settings.variables().map(|(_, value)| value));
    let said =
        said.chain(environment.iter().filter(|(n, _)| *n != "HOME").map(|(_, v)| v.as_str()));
    let paths = said.filter(|value| value.starts_with('/')).map(PathBuf::from);
    paths.filter(|path| path.exists()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(names: &[(&str, &str)]) -> BTreeMap<String, String> {
        names.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn files_alone_need_nothing() {
        let all = variables(&[("AWS_REGION", "x"), ("HOME", "/"), ("HTTPS_PROXY", "p")]);
        let settings = Settings::default().with("s3:", "region", "r");
        let needs = Needs::of(&["file:///a/"], &settings, &all);
        assert_eq!(needs, Needs::default());
        assert_eq!(Locator::on_disk("file:///a/b/"), Some("/a/b".into()));
        assert_eq!(Locator::on_disk("file:///"), Some("/".into()));
        assert_eq!(Locator::on_disk("mem://a/b"), None);
    }

    #[cfg(feature = "s3")]
    #[test]
    fn a_store_has_what_is_its_own_and_no_others() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let all = variables(&[
            ("AWS_REGION", "x"),
            ("AWS_CONFIG_FILE", path),
            ("AZURE_STORAGE_KEY", "hush"),
            ("HTTPS_PROXY", "p"),
            ("HTTPS_PROXY_OTHER", "p"),
            ("SAMARA_HOST_TOKENS", "hush"),
        ]);
        let settings = Settings::default()
            .with_variables([("AZURE_STORAGE_KEY".to_owned(), "hush".to_owned())])
            .with("s3:", "region", "r")
            .with("s3://mine", "profile", "p")
            .with("s3://mine-too", "profile", "q")
            .with("az:", "key", "hush");
        let needs = Needs::of(&["s3://mine/in/"], &settings, &all);
        let names: Vec<&str> = needs.environment.keys().map(String::as_str).collect();
        assert_eq!(names, ["AWS_CONFIG_FILE", "AWS_REGION", "HTTPS_PROXY"]);
        let said: Vec<_> = needs.settings.values().collect();
        assert_eq!(said, [("s3:", "region", "r"), ("s3://mine", "profile", "p")]);
        assert_eq!(needs.settings.variables().count(), 0);
        assert_eq!((needs.files, needs.network), (vec![path.into()], true));
    }
}
