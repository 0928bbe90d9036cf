//! Values that a host knows, and jobs name.

use std::fmt;

/// Looks up secrets. A job names them; their values are known where its tasks run, and nowhere else.
pub trait Secrets: fmt::Debug + Send + Sync + 'static {
    /// The value of a tenant's secret; the tenant is empty where a host knows none.
    fn secret(&self, tenant: &str, name: &str) -> Option<Secret>;
}

/// A value that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// The text without what stands before the `@` of a URL's authority, for what is shown or logged: `***`
/// is there instead.
#[must_use]
pub fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after.find(['/', '"', '`', ' ']).unwrap_or(after.len());
        match after[..end].rfind('@') {
            Some(at) => {
                shown.push_str("***");
                rest = &after[at..];
            }
            None => rest = after,
        }
    }
    shown.push_str(rest);
    shown
}

// === impl Secret ===

impl Secret {
    /// The value itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
