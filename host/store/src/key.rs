//! Which keys and prefixes exist, the same for every store.

use std::fmt;

use crate::error::shown;
use crate::{Error, Result};

/// Refuses a key that no store holds.
pub(crate) fn check(store: &dyn fmt::Display, key: &str) -> Result<()> {
    fault(key).map_or(Ok(()), |reason| invalid(store, key, reason))
}

/// Refuses a prefix that no key can start with.
pub(crate) fn check_prefix(store: &dyn fmt::Display, prefix: &str) -> Result<()> {
    let directories = prefix.rsplit_once('/').map(|(directories, _)| directories);
    let fault = directories.and_then(fault).or_else(|| nul(prefix));
    fault.map_or(Ok(()), |reason| invalid(store, prefix, reason))
}

/// The error for a key or prefix.
pub(crate) fn invalid<T>(store: &dyn fmt::Display, key: &str, reason: &'static str) -> Result<T> {
    Err(Error::InvalidKey { location: shown(format!("{store}{key}")), reason })
}

/// Whether a store may hold an object under this name. Other programs may have put some under names
/// that are no keys.
pub(crate) fn is_key(name: &str) -> bool {
    fault(name).is_none()
}

/// Drops from a listing what stands under names that are no keys, and says so: no URL names it.
pub(crate) fn named<T>(store: &dyn fmt::Display, listed: &mut Vec<T>, name: impl Fn(&T) -> &str) {
    const SHOWN_MAX: usize = 5;
    let (mut foreign, mut more) = (Vec::new(), 0_usize);
    listed.retain(|item| {
        let name = name(item);
        let is_key = is_key(name);
        match (is_key, foreign.len() < SHOWN_MAX) {
            (true, _) => {}
            (false, true) => foreign.push(shown(format!("{store}{name}"))),
            (false, false) => more += 1,
        }
        is_key
    });
    if !foreign.is_empty() {
        tracing::warn!(
            names = ?foreign, more,
            "passed over: a part of the name is empty, `.` or `..`, so no URL names it"
        );
    }
}

/// A name as it stands in the path of a URL.
#[cfg(any(feature = "az", feature = "gs", feature = "s3", feature = "swift", feature = "webdav"))]
pub(crate) fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn fault(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        return Some("the name is empty");
    }
    key.split('/')
        .find_map(|segment| match segment {
            "" => Some("a segment is empty: `//`, or `/` at the beginning or end"),
            "." | ".." => Some("`.` and `..` are no segments: names are taken literally"),
            _ => None,
        })
        .or_else(|| nul(key))
}

fn nul(key: &str) -> Option<&'static str> {
    key.contains('\0').then_some("it contains a NUL byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_segments() {
        for key in ["a", "a/b", "...", ".a", "a.", "a b", "%2e%2e", "ü/日本", "a\\b", "~", "#?"]
        {
            assert!(check(&"mem://x/", key).is_ok(), "{key}");
        }
        for key in ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/./b", "a\0", "\0/a"]
        {
            let error = check(&"mem://x/", key).unwrap_err();
            assert!(matches!(error, Error::InvalidKey { .. }), "{key:?}");
            assert_eq!(error.location(), format!("mem://x/{key}"));
        }
    }

    #[test]
    fn what_is_no_key_is_dropped_from_listings() {
        let mut listed = vec!["a", "a//b", "a/", "/", "x/../y", "b", "c//"];
        named(&"mem://x/", &mut listed, |name| name);
        assert_eq!(listed, ["a", "b"]);
    }

    #[test]
    #[cfg(any(feature = "az", feature = "gs", feature = "s3", feature = "swift"))]
    fn keys_in_paths_are_encoded() {
        assert_eq!(encoded("a b/ü+%~"), "a%20b/%C3%BC%2B%25~");
    }

    #[test]
    fn prefixes_are_beginnings_of_keys() {
        for prefix in ["", "a", "a/", "a/b", ".", "..", "a/..", "a/."] {
            assert!(check_prefix(&"mem://x/", prefix).is_ok(), "{prefix}");
        }
        for prefix in ["/", "/a", "a//", "a//b", "../", "./", "a/../b", "a\0", "a/\0/"] {
            assert!(check_prefix(&"mem://x/", prefix).is_err(), "{prefix:?}");
        }
    }
}
