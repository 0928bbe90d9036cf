//! Discovery: from a URL, directory or pattern to the objects that it stands for.

use futures::TryStreamExt;

use crate::error::shown;
use crate::pattern::{self, Pattern};
use crate::{Entry, Error, ListOptions, Location, Locator, Metadata, Result, StoreExt};

/// An object that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// Its canonical URL.
    pub url: String,
    /// What is known of it. With its etag as `if_match`, a later change does not go unnoticed.
    pub metadata: Metadata,
}

/// Objects that one discovery may find. They are held in memory, at some 200 bytes each; a
/// pattern that finds more is likely a mistake.
pub const DISCOVERED_MAX: usize = 1_000_000;

/// What the names of objects begin with that a store is tried out with.
pub(crate) const TRIAL: &str = ".samara-probe-";

const NO_OBJECT: &str = "an object, or objects below it";
const NO_OBJECT_BELOW: &str = "objects below it";
const NO_MATCH: &str = "an object of that name, or objects that match it as a pattern";

/// Whether a key is of an object that its store is being tried out with, and was not asked for by
/// that name. Such objects are gone in a moment, and nobody's input.
///
/// ```
/// use samara_store::is_trial;
///
/// let key = "in/.samara-probe-0123456789abcdef-0";
/// assert!(is_trial("in/", key) && !is_trial("in/", "in/.samara-probe-notes"));
/// // Where a process died half way, they can be seen and removed.
/// assert!(!is_trial("**/.samara-probe-*", key));
/// ```
pub fn is_trial(asked: &str, key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key);
    let Some((random, number)) = name.strip_prefix(TRIAL).and_then(|rest| rest.split_once('-'))
    else {
        return false;
    };
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    random.len() == 16
        && random.bytes().all(is_hex)
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && !asked.contains(TRIAL)
}

impl Pattern {
    /// The key of a location as a pattern over the keys of its store.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` where it is malformed.
    pub fn of(location: &Location) -> Result<Self> {
        let invalid = |reason| Error::InvalidUrl { url: shown(location.url()), reason };
        Self::parse(&location.key).map_err(invalid)
    }
}

impl Locator {
    /// Finds the objects that a URL or path stands for, sorted by the bytes of their names.
    ///
    /// It is the first of these that finds something:
    ///
    /// 1. the object of exactly this name;
    /// 2. if the name has one of `*?[{`, all objects that match it as a pattern: `?` is one
    ///    character, `*` any number of them, `[a-z]` and `[!a-z]` one out of a set, none of them
    ///    `/`; `**` as a segment is any number of segments; `{a,b}` is either; `\` takes the next
    ///    character literally;
    /// 3. else all objects below it as a directory, at any depth.
    ///
    /// Names that begin with a dot are like all others, but for [trials](is_trial).
    ///
    /// # Errors
    ///
    /// `NotFound` where nothing is found; `InvalidUrl` for a malformed pattern or for more than
    /// [`DISCOVERED_MAX`] objects; like [`open`](Self::open) and [`Store`](crate::Store).
    pub async fn discover(&self, url: &str) -> Result<Vec<Discovered>> {
        let location = self.open(url)?;
        let key = location.key.as_str();
        let is_pattern = pattern::is_pattern(key);
        if !key.is_empty() && !key.ends_with('/') {
            match location.store.head(key).await {
                Ok(metadata) => return Ok(vec![Discovered { url: location.url(), metadata }]),
                Err(Error::NotFound { .. }) => {}
                Err(Error::InvalidKey { .. }) if is_pattern => {}
                Err(error) => return Err(error),
            }
        }
        if is_pattern { matching(&location).await } else { below(&location).await }
    }
}

async fn matching(location: &Location) -> Result<Vec<Discovered>> {
    let pattern = Pattern::of(location)?;
    let options = ListOptions { slashes: pattern.slashes_max(), ..ListOptions::default() };
    let matches = |entry: &Entry| pattern.matches(&entry.key);
    find(location, pattern.literal_prefix(), options, matches, NO_MATCH).await
}

async fn below(location: &Location) -> Result<Vec<Discovered>> {
    let key = location.key.as_str();
    let is_directory = key.is_empty() || key.ends_with('/');
    let (separator, sought) = if is_directory { ("", NO_OBJECT_BELOW) } else { ("/", NO_OBJECT) };
    let prefix = format!("{key}{separator}");
    find(location, &prefix, ListOptions::default(), |_| true, sought).await
}

async fn find(
    location: &Location,
    prefix: &str,
    options: ListOptions,
    matches: impl Fn(&Entry) -> bool + Send,
    sought: &'static str,
) -> Result<Vec<Discovered>> {
    let mut found = Vec::new();
    let mut entries = location.store.list_from(prefix, options);
    while let Some(entry) = entries.try_next().await? {
        if !matches(&entry) || is_trial(&location.key, &entry.key) {
            continue;
        }
        if found.len() == DISCOVERED_MAX {
            let reason = "it stands for more than a million objects; narrow it";
            return Err(Error::InvalidUrl { url: shown(location.url()), reason });
        }
        let url = format!("{}{}", location.store, entry.key);
        found.push(Discovered { url, metadata: entry.metadata });
    }
    if found.is_empty() {
        return Err(Error::NotFound { location: shown(location.url()), sought });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PutOptions;
    use crate::conformance::tests::block_on;

    const KEYS: &[&str] = &[
        ".hidden",
        "a.txt",
        "a/1.txt",
        "a/2.csv",
        "a/b/3.txt",
        "a/b/c/4.txt",
        "a0",
        "b1.txt",
        "b[1].txt",
        "q?.txt",
        "x*",
        "xyz",
        "ü/日本 1.txt",
        "ü/日本 2.txt",
    ];

    /// Names found by `url` after the store's root, or the error; in memory and in files alike.
    fn check(url: &str, expected: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        let locator = Locator::new(&path);
        let roots = [
            format!("file://{}/", path.display()),
            format!("mem://discover {}/", url.replace('/', "|")),
        ];
        for root in roots {
            block_on(async {
                for key in KEYS {
                    let at = locator.open(&format!("{root}{key}")).unwrap();
                    at.store.put(&at.key, "1".into(), PutOptions::default()).await.unwrap();
                }
                let found = match locator.discover(&format!("{root}{url}")).await {
                    Ok(found) => {
                        found.into_iter().map(|f| f.url[root.len()..].to_owned()).collect()
                    }
                    Err(Error::NotFound { sought, .. }) => vec![format!("none: {sought}")],
                    Err(error) => vec![error.to_string().replace(&root, "")],
                };
                assert_eq!(found, expected, "{root}{url}");
            });
        }
    }

    #[test]
    fn trials_are_nobodys_input() {
        let locator = Locator::default();
        let found = |url: &str| {
            let found = block_on(locator.discover(&format!("mem://discover trials/{url}")));
            found.map(|found| found.len())
        };
        let trial = "in/.samara-probe-0123456789abcdef-0";
        block_on(async {
            for key in [trial, "in/a"] {
                let at = locator.open(&format!("mem://discover trials/{key}")).unwrap();
                at.store.put(&at.key, "1".into(), PutOptions::default()).await.unwrap();
            }
        });
        assert_eq!((found("in").unwrap(), found("in/").unwrap(), found("**").unwrap()), (1, 1, 1));
        assert!(matches!(found("in/.s*"), Err(Error::NotFound { .. })));
        assert_eq!((found(trial).unwrap(), found("**/.samara-probe-*").unwrap()), (1, 1));
    }

    #[test]
    fn the_object_itself() {
        check("a.txt", &["a.txt"]);
        check("a/b/3.txt", &["a/b/3.txt"]);
        check("ü/日本 1.txt", &["ü/日本 1.txt"]);
    }

    #[test]
    fn the_object_itself_before_the_pattern() {
        check("b[1].txt", &["b[1].txt"]);
        check("x*", &["x*"]);
        check("q?.txt", &["q?.txt"]);
    }

    #[test]
    fn directories() {
        let a = ["a/1.txt", "a/2.csv", "a/b/3.txt", "a/b/c/4.txt"];
        check("a", &a);
        check("a/", &a);
        check("a/b", &["a/b/3.txt", "a/b/c/4.txt"]);
        check("", KEYS);
    }

    #[test]
    fn patterns() {
        check("*.txt", &["a.txt", "b1.txt", "b[1].txt", "q?.txt"]);
        check(
            "**/*.txt",
            &[
                "a.txt",
                "a/1.txt",
                "a/b/3.txt",
                "a/b/c/4.txt",
                "b1.txt",
                "b[1].txt",
                "q?.txt",
                "ü/日本 1.txt",
                "ü/日本 2.txt",
            ],
        );
        check("a/*", &["a/1.txt", "a/2.csv"]);
        check("a/**", &["a/1.txt", "a/2.csv", "a/b/3.txt", "a/b/c/4.txt"]);
        check("a/*/*.txt", &["a/b/3.txt"]);
        check("a/{1.txt,b/3.*}", &["a/1.txt", "a/b/3.txt"]);
        check("b[0-9].txt", &["b1.txt"]);
        check("b\\[*", &["b[1].txt"]);
        check("?/日? ?.txt", &["ü/日本 1.txt", "ü/日本 2.txt"]);
        check("[ö-ü]/*[!1].txt", &["ü/日本 2.txt"]);
        check("*", &[".hidden", "a.txt", "a0", "b1.txt", "b[1].txt", "q?.txt", "x*", "xyz"]);
    }

    #[test]
    fn nothing_found_says_what_was_looked_for() {
        check("none", &["none: an object, or objects below it"]);
        check("a.txt/", &["none: objects below it"]);
        check("none/*", &["none: an object of that name, or objects that match it as a pattern"]);
    }

    #[test]
    fn malformed_names_are_refused() {
        check("a[b", &["`a[b`: a `[` in the pattern is not closed"]);
        check("{a,b", &["`{a,b`: a `{` in the pattern is not closed"]);
    }
}
