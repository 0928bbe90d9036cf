//! What a task may touch outside of its sandbox.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::HttpGrant;

/// Everything that the tasks of a job may touch. Empty by default: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Grants {
    /// Objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Grant>,
    /// Servers that may be asked by HTTP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpGrant>,
    /// Variables of the environment, with their values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Variables whose values the host alone knows: by the variable's name, that of the secret.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Whether clocks are as fine as the machine's; else they go by [`COARSE_CLOCK`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub precise_clock: bool,
}

/// The grain of clocks where nothing else is granted: coarse enough to tell little of what else runs
/// on the machine, fine enough for deadlines and logs.
pub const COARSE_CLOCK: std::time::Duration = std::time::Duration::from_millis(1);

/// Bytes of all variables at most, names and values: they travel with each batch.
pub const VARIABLES_BYTES_MAX: usize = 64 << 10;

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

/// A grant that is not part of others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Wider(String);

// === impl Grants ===

impl Grants {
    /// Grants of objects alone.
    pub fn of(objects: Vec<Grant>) -> Self {
        Self { objects, ..Self::default() }
    }

    /// Whether some grant allows `access` to the object at `url`, which is canonical.
    pub fn allow(&self, url: &str, access: Access) -> bool {
        self.objects.iter().any(|grant| grant.access >= access && grant.covers(url))
    }

    /// Whether all of this is granted by `whole` too. Values of variables need no grant: who sends
    /// them knows them.
    ///
    /// # Errors
    ///
    /// Names the first grant that is not.
    pub fn within(&self, whole: &Self) -> Result<(), Wider> {
        for grant in &self.objects {
            if !whole.allow(&grant.prefix, grant.access) {
                return Err(Wider(format!("to {} {}", grant.access, grant.prefix)));
            }
        }
        for grant in &self.http {
            if !whole.http.iter().any(|wider| grant.is_within(wider)) {
                return Err(Wider(format!("to ask {grant}")));
            }
        }
        for secret in self.secrets.values() {
            if !whole.secrets.values().any(|known| known == secret) {
                return Err(Wider(format!("to know the secret `{secret}`")));
            }
        }
        match self.precise_clock && !whole.precise_clock {
            true => Err(Wider("to have a precise clock".to_owned())),
            false => Ok(()),
        }
    }

    /// Checks what does not depend on anybody else's grants.
    ///
    /// # Errors
    ///
    /// Names what is malformed.
    pub fn check(&self) -> Result<(), crate::Error> {
        let refuse = |text: String| Err(crate::Error::new(crate::ErrorKind::Invalid, text));
        let names = self.variables.keys().chain(self.secrets.keys());
        for name in names {
            if name.is_empty() || name.contains(['=', '\0']) {
                return refuse(format!("`{}` cannot be a variable's name", name.escape_debug()));
            }
        }
        if let Some((name, _)) = self.variables.iter().find(|(_, value)| value.contains('\0')) {
            return refuse(format!("the value of the variable `{name}` has a NUL"));
        }
        if let Some(name) = self.variables.keys().find(|name| self.secrets.contains_key(*name)) {
            return refuse(format!("`{name}` is both a variable and a secret"));
        }
        let bytes = |(name, value): (&String, &String)| name.len() + value.len();
        let bytes: usize = self.variables.iter().chain(&self.secrets).map(bytes).sum();
        match bytes > VARIABLES_BYTES_MAX {
            true => refuse(format!(
                "variables of {bytes} bytes are more than a job may have ({VARIABLES_BYTES_MAX}); \
                 put the rest into an object"
            )),
            false => Ok(()),
        }
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

// === impl Access ===

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::ReadWrite => "write",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(prefix: &str, access: Access) -> Grants {
        Grants::of(vec![Grant { prefix: prefix.to_owned(), access }])
    }

    fn allowed(prefix: &str, access: Access, url: &str) -> bool {
        one(prefix, Access::Read).allow(url, access)
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

    #[test]
    fn what_is_wider_is_named() {
        let whole = Grants {
            http: vec!["https://*.example.com".parse().unwrap()],
            secrets: [("key".to_owned(), "key".to_owned())].into(),
            ..one("s3://b/in/", Access::Read)
        };
        assert_eq!(Grants::default().within(&whole), Ok(()));
        assert_eq!(whole.within(&whole), Ok(()));
        assert_eq!(one("s3://b/in/x", Access::Read).within(&whole), Ok(()));
        let variables = [("A".to_owned(), "b".to_owned())].into();
        assert_eq!(Grants { variables, ..Grants::default() }.within(&whole), Ok(()));
        let secret = |name: &str| [("A".to_owned(), name.to_owned())].into();
        let http = |text: &str| vec![text.parse().unwrap()];
        assert_eq!(Grants { secrets: secret("key"), ..Grants::default() }.within(&whole), Ok(()));
        for (narrow, named) in [
            (one("s3://b/in/x", Access::ReadWrite), "write s3://b/in/x"),
            (one("s3://b/in", Access::Read), "read s3://b/in"),
            (one("s3://b/in/../out", Access::Read), "s3://b/in/../out"),
            (one("", Access::Read), "read"),
            (Grants { http: http("https://example.org"), ..Grants::default() }, "example.org"),
            (Grants { secrets: secret("other"), ..Grants::default() }, "`other`"),
            (Grants { precise_clock: true, ..Grants::default() }, "precise"),
        ] {
            let error = narrow.within(&whole).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn variables_are_checked() {
        let of = |name: &str, value: &str| Grants {
            variables: [(name.to_owned(), value.to_owned())].into(),
            ..Grants::default()
        };
        assert_eq!(of("A", "=b").check(), Ok(()));
        for (grants, named) in [
            (of("A=B", ""), "A=B"),
            (of("", ""), "name"),
            (of("A", "a\0b"), "`A`"),
            (of("A", &"x".repeat(VARIABLES_BYTES_MAX)), "bytes"),
            (Grants { secrets: of("A", "s").variables, ..of("A", "b") }, "both"),
        ] {
            let error = grants.check().unwrap_err();
            assert!(error.message.contains(named), "{error}");
        }
    }
}
