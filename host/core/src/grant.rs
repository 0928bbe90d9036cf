//! What a task may touch in object storage.

use serde::{Deserialize, Serialize};

/// Everything that the tasks of a job may touch. Empty by default: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants(pub Vec<Grant>);

/// Access to the objects below one URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// An object's URL, or that of everything below it (`file:///data/out`, `s3://bucket/in/`).
    pub prefix: String,
    /// What may be done there.
    pub access: Access,
}

/// What may be done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Access {
    /// Reading and listing.
    Read,
    /// Reading, listing, writing and deleting.
    ReadWrite,
}

// === impl Grants ===

impl Grants {
    /// Whether some grant allows `access` to the object at `url`.
    pub fn allow(&self, url: &str, access: Access) -> bool {
        self.0.iter().any(|grant| grant.access >= access && grant.covers(url))
    }
}

// === impl Grant ===

impl Grant {
    /// A grant cannot be climbed out of: `..` never names an object.
    fn covers(&self, url: &str) -> bool {
        let Some(rest) = url.strip_prefix(&self.prefix) else { return false };
        let on_boundary = rest.is_empty() || rest.starts_with('/') || self.prefix.ends_with('/');
        on_boundary && !url.split('/').any(|segment| segment == "..")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(prefix: &str, access: Access, url: &str) -> bool {
        let grants = Grants(vec![Grant { prefix: prefix.to_owned(), access: Access::Read }]);
        grants.allow(url, access)
    }

    #[test]
    fn nothing_is_granted_by_default() {
        assert!(!Grants::default().allow("mem://a/b", Access::Read));
    }

    #[test]
    fn a_grant_covers_what_lies_below_it_and_no_more() {
        assert!(allowed("file:///data", Access::Read, "file:///data/a/b"));
        assert!(allowed("file:///data", Access::Read, "file:///data"));
        assert!(allowed("file:///data/", Access::Read, "file:///data/a"));
        assert!(!allowed("file:///data", Access::Read, "file:///database"));
        assert!(!allowed("file:///data/", Access::Read, "file:///data/../etc/passwd"));
        assert!(!allowed("file:///data/a", Access::Read, "file:///data"));
    }

    #[test]
    fn reading_does_not_allow_writing() {
        assert!(!allowed("mem://a/", Access::ReadWrite, "mem://a/b"));
    }
}
