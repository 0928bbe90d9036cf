//! From URLs and paths to stores and keys, and back.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use crate::adapters::{Guard, Patience, Policy};
use crate::{Error, Opening, Operation, Options, Result, Row, STORES, Settings, Store};

/// A place in a store: an object, or what a prefix of objects starts with.
#[derive(Clone, Debug)]
pub struct Location {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The key or prefix within it. Not checked yet: the store's methods do that.
    pub key: String,
}

/// Opens URLs and paths.
///
/// Keeps each store that it opened, so that opening a URL of a known store again costs a look-up.
#[derive(Debug, Default)]
pub struct Locator {
    working_directory: Option<PathBuf>,
    settings: Settings,
    policy: Option<Policy>,
    /// Why no programs are started, where none are.
    no_programs: Option<&'static str>,
    stores: RwLock<BTreeMap<String, Arc<Guard>>>,
}

/// A URL cut in its parts.
struct Parts<'a> {
    row: &'static Row,
    authority: &'a str,
    key: &'a str,
}

// === impl Location ===

impl Location {
    /// The canonical URL: [`Locator::open`] makes the same location of it.
    pub fn url(&self) -> String {
        self.to_string()
    }

    /// The place `name` below this one, with one `/` between them.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        let separator = if self.key.is_empty() || self.key.ends_with('/') { "" } else { "/" };
        let key = format!("{}{separator}{name}", self.key);
        Self { store: Arc::clone(&self.store), key }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.store, self.key)
    }
}

// === impl Locator ===

impl Locator {
    /// Resolves relative paths against this directory, which must be absolute. A locator made by
    /// `default` refuses relative paths.
    pub fn new(working_directory: impl Into<PathBuf>) -> Self {
        Self { working_directory: Some(working_directory.into()), ..Self::default() }
    }

    /// Opens stores by these settings.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Is as patient with stores far away as this. Default [`Policy::REMOTE`].
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Opens no store that is reached by a program, and says that this is why: `a process that …`.
    #[must_use]
    pub fn without_programs(mut self, why: &'static str) -> Self {
        self.no_programs = Some(why);
        self
    }

    /// The program by which what lies at a URL is reached; mostly there is none.
    pub fn program(url: &str) -> Option<&'static str> {
        Parts::of(url).ok().flatten()?.row.program
    }

    /// What is wrong with the settings, as far as that is seen without opening anything: places
    /// that are none, stores that this build does not have, settings that a store does not know.
    pub fn faults(settings: &Settings) -> Vec<String> {
        let fault = |(place, name): (&str, &str)| {
            let (scheme, rest) = place.split_once(':').unwrap_or((place, "x"));
            let Some(row) = STORES.iter().find(|row| row.scheme == scheme) else {
                let known = known_schemes();
                return Some(format!(
                    "{place}: no store for `{scheme}:` in this build (known: {known})"
                ));
            };
            if !(rest.is_empty() || rest.strip_prefix("//").is_some_and(|a| !a.contains('/'))) {
                return Some(format!(
                    "{place}: say `{scheme}:` for all, or `{scheme}://…` for one"
                ));
            }
            let one = Settings::default().with(place, name, "").of(scheme, rest.trim_matches('/'));
            one.check(row.settings).err().map(|fault| format!("{place}: {fault}"))
        };
        settings.said().filter_map(fault).collect()
    }

    /// How many requests each store far away was sent, by its URL.
    pub fn requests(&self) -> BTreeMap<String, BTreeMap<Operation, u64>> {
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        let counts = |(root, guard): (&String, &Arc<Guard>)| {
            Some((root.clone(), guard.patience()?.counts().by_operation()))
        };
        stores.iter().filter_map(counts).collect()
    }

    /// Opens a URL (`scheme://authority/key`, `file:/key`) or a path. Does not look whether
    /// anything is there.
    ///
    /// URLs are taken literally. Paths are too, but for `//` and `.`, which are dropped, and
    /// `..`, which is resolved as the system does: through symbolic links.
    ///
    /// # Errors
    ///
    /// `InvalidUrl`; `UnknownScheme`; what opening the store gives.
    pub fn open(&self, url: &str) -> Result<Location> {
        match Parts::of(url)? {
            Some(parts) => self.open_parts(url, &parts),
            None => {
                let path = self.absolute(url)?;
                let file = Parts { row: &STORES[0], authority: "", key: &path };
                self.open_parts(url, &file)
            }
        }
    }

    /// The URL that [`open`](Self::open) would give, without opening anything: a store that is not
    /// known yet is not made. For checks before a name from elsewhere is used.
    ///
    /// # Errors
    ///
    /// Those of `open` that are about the name.
    pub fn canonical(&self, url: &str) -> Result<String> {
        let root = |row: &Row, authority: &str| format!("{}://{authority}/", row.scheme);
        Ok(match Parts::of(url)? {
            Some(parts) => root(parts.row, parts.authority) + parts.key,
            None => root(&STORES[0], "") + &self.absolute(url)?,
        })
    }

    fn open_parts(&self, url: &str, parts: &Parts<'_>) -> Result<Location> {
        let root = format!("{}://{}/", parts.row.scheme, parts.authority);
        let known = self.stores.read().unwrap_or_else(PoisonError::into_inner).get(&root).cloned();
        let store = match known {
            Some(store) => store,
            None => {
                let store = self.open_store(parts).map_err(|reason| {
                    let location = url.to_owned();
                    Error::Settings { location, reason }
                })?;
                let mut stores = self.stores.write().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(stores.entry(root).or_insert(store))
            }
        };
        Ok(Location { store, key: parts.key.to_owned() })
    }

    fn open_store(&self, parts: &Parts<'_>) -> Result<Arc<Guard>, String> {
        let Parts { row, authority, .. } = *parts;
        if let Some((program, why)) = row.program.zip(self.no_programs) {
            let scheme = row.scheme;
            return Err(format!("`{scheme}:` starts the program `{program}`, and this is {why}"));
        }
        let options = self.settings.of(row.scheme, authority);
        options.check(row.settings)?;
        let policy = self.policy.unwrap_or(Policy::REMOTE);
        let patience = Patience::with_store(policy, &named(row, authority, &options));
        let opening =
            Opening { scheme: row.scheme, authority, options: &options, patience: &patience };
        let store = (row.open)(&opening)?;
        Ok(Arc::new(if row.remote { Guard::new(store, patience) } else { Guard::local(store) }))
    }

    /// The key of a path in the store that is rooted at `/`. Keeps a `/` at the end.
    fn absolute(&self, path: &str) -> Result<String> {
        let invalid = |reason| Error::InvalidUrl { url: path.to_owned(), reason };
        if path.is_empty() {
            return Err(invalid("it is empty"));
        }
        if path == "~" || path.starts_with("~/") {
            // In a file of settings, or in quotes.
            return Err(invalid(
                "no shell has read this `~`; write the home directory itself, or `./~` for a \
                 directory of that name",
            ));
        }
        let mut all = match (&self.working_directory, path.starts_with('/')) {
            (_, true) => PathBuf::from(path),
            (Some(base), false) if base.is_absolute() => base.join(path),
            _ => return Err(invalid("a relative path, and no working directory is known")),
        };
        if all.components().any(|component| component == Component::ParentDir) {
            all = without_parents(&all);
        }
        let mut key = String::with_capacity(path.len());
        for component in all.components() {
            if let Component::Normal(name) = component {
                let name = name.to_str().ok_or_else(|| invalid("the path is not UTF-8"))?;
                key.push_str(if key.is_empty() { "" } else { "/" });
                key.push_str(name);
            }
        }
        if !key.is_empty() && (path.ends_with('/') || path.ends_with("/.")) {
            key.push('/');
        }
        Ok(key)
    }
}

// === impl Parts ===

impl<'a> Parts<'a> {
    /// Cuts a URL; `None` for a path.
    fn of(url: &'a str) -> Result<Option<Self>> {
        let Some((scheme, rest)) = url.split_once(':').filter(|(s, _)| is_scheme(s)) else {
            return Ok(None);
        };
        let known = STORES.iter().find(|row| row.scheme.eq_ignore_ascii_case(scheme));
        match (known, rest.strip_prefix("//")) {
            (Some(row), Some(rest)) => {
                let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
                Ok(Some(Self { row, authority, key }))
            }
            (Some(row), None) => match rest.strip_prefix('/') {
                Some(key) => Ok(Some(Self { row, authority: "", key })),
                None => Err(Error::InvalidUrl {
                    url: url.to_owned(),
                    reason: "after the scheme stands `://`; a path that looks like this: `./…`",
                }),
            },
            (None, Some(_)) => Err(unknown_scheme(url, scheme)),
            (None, None) => Ok(None),
        }
    }
}

fn unknown_scheme(url: &str, scheme: &str) -> Error {
    Error::UnknownScheme { url: url.to_owned(), scheme: scheme.to_owned(), known: known_schemes() }
}

fn known_schemes() -> String {
    let known: Vec<_> = STORES.iter().map(|row| row.scheme).collect();
    known.join(", ")
}

/// RFC 3986: a letter, then letters, digits, `+`, `-` and `.`.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// Resolves `..` through symbolic links as far as the path exists, and by its text beyond.
fn without_parents(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for component in path.components() {
        if component == Component::ParentDir {
            resolved = resolved.canonicalize().unwrap_or(resolved);
            resolved.pop();
        } else {
            resolved.push(component);
        }
    }
    resolved
}

/// What tells a store from another one: also where it is, and whose, but nothing that is secret.
fn named(row: &Row, authority: &str, options: &Options) -> String {
    let mut name = format!("{}://{authority}/", row.scheme);
    for setting in row.settings.iter().filter(|setting| !setting.secret) {
        if let Some(value) = options.value(setting) {
            name += &format!(" {}={value}", setting.name);
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::ODD_NAMES;

    fn url(text: &str) -> String {
        let locator = Locator::new("/w/d");
        match locator.open(text) {
            Ok(location) => {
                assert_eq!(locator.canonical(text).unwrap(), location.url());
                location.url()
            }
            Err(error) => format!("error: {error}"),
        }
    }

    #[cfg(feature = "sftp")]
    #[test]
    fn no_program_is_started_where_none_may_be() {
        let locator = Locator::default().without_programs("a test");
        let error = locator.open("sftp://h/a").unwrap_err().to_string();
        assert!(error.contains("starts the program `ssh`, and this is a test"), "{error}");
        assert!(Locator::default().open("sftp://h/a").is_ok());
        assert!(locator.open("file:///a").is_ok());
        let programs = ["sftp://h/a", "file:///a", "a", "x:/y"].map(Locator::program);
        assert_eq!(programs, [Some("ssh"), None, None, None]);
    }

    #[cfg(feature = "s3")]
    #[test]
    fn stores_are_told_apart_by_what_is_not_secret() {
        let row = STORES.iter().find(|row| row.scheme == "s3").unwrap();
        let with = |endpoint: &str, secret: &str| {
            let settings = Settings::default().with("s3:", "endpoint", endpoint);
            let settings = settings.with("s3:", "secret_access_key", secret);
            named(row, "b", &settings.of("s3", "b"))
        };
        let one = with("http://127.0.0.1:1", "x");
        assert_eq!(one, "s3://b/ endpoint=http://127.0.0.1:1");
        assert_eq!(one, with("http://127.0.0.1:1", "y"));
        assert_ne!(one, with("http://127.0.0.1:2", "x"));
    }

    #[test]
    fn urls_are_taken_literally() {
        for (text, canonical) in [
            ("file:///a/b", "file:///a/b"),
            ("file:/a/b", "file:///a/b"),
            ("FILE:///A", "file:///A"),
            ("file:///", "file:///"),
            ("file:///a/", "file:///a/"),
            ("file:///a%20b?c#d", "file:///a%20b?c#d"),
            ("file:///a/../b", "file:///a/../b"),
            ("mem://n", "mem://n/"),
            ("mem://n/", "mem://n/"),
            ("Mem://N/a b", "mem://N/a b"),
        ] {
            assert_eq!(url(text), canonical, "{text}");
        }
    }

    #[test]
    fn paths_become_urls() {
        for (text, canonical) in [
            ("/", "file:///"),
            ("/a//b/./c", "file:///a/b/c"),
            ("/a/b/", "file:///a/b/"),
            (".", "file:///w/d"),
            ("./", "file:///w/d/"),
            ("x/.", "file:///w/d/x/"),
            ("x y#%20", "file:///w/d/x y#%20"),
            ("../x", "file:///w/x"),
            ("/../..", "file:///"),
            ("12:30", "file:///w/d/12:30"),
            ("foo:bar", "file:///w/d/foo:bar"),
            ("./mem://x", "file:///w/d/mem:/x"),
            ("*.txt", "file:///w/d/*.txt"),
        ] {
            assert_eq!(url(text), canonical, "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "it is empty"),
            ("nfs://b/k", "no store for `nfs:` in this build (known: file, mem"),
            ("file://host/a", "`file:` has no host"),
            ("file:a", "after the scheme"),
            ("mem:a", "after the scheme"),
            ("mem:///a", "the name of the store is missing"),
            ("~", "no shell has read this"),
            ("~/out", "no shell has read this"),
        ] {
            let error = url(text);
            assert!(error.contains(reason) && error.contains(text), "{text}: {error}");
        }
        let error = Locator::default().open("a").unwrap_err();
        assert!(matches!(error, Error::InvalidUrl { .. }), "{error}");
        assert!(Locator::default().open("/a").is_ok());
    }

    #[test]
    fn urls_round_trip() {
        let locator = Locator::default();
        for root in ["file:///", "mem://round trip%#?/"] {
            for name in ODD_NAMES {
                let first = locator.open(&format!("{root}{name}")).unwrap();
                let again = locator.open(&first.url()).unwrap();
                assert_eq!((first.url(), &*first.key), (again.url(), *name));
                assert!(Arc::ptr_eq(&first.store, &again.store));
            }
        }
    }

    #[test]
    fn parents_are_resolved_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("real/deep")).unwrap();
        std::os::unix::fs::symlink(root.join("real/deep"), root.join("link")).unwrap();
        let location = Locator::new(&root).open("link/../x").unwrap();
        assert_eq!(location.key, root.join("real/x").to_str().unwrap()[1..]);
    }

    #[test]
    fn joins_with_one_slash() {
        let at = |url| Locator::default().open(url).unwrap().join("x").url();
        assert_eq!(at("mem://j"), "mem://j/x");
        assert_eq!(at("mem://j/a"), "mem://j/a/x");
        assert_eq!(at("mem://j/a/"), "mem://j/a/x");
    }
}
