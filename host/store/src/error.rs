//! Why an operation on a store failed: classes that a caller can act on, each naming the place.

use std::io;

/// Result of an operation on a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What lies behind an error, whatever the store.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// An operation on a store that failed.
///
/// Every variant names the URL that it is about. The text of a `source` is not part of the text
/// of the error: print the chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such object, or nothing that a discovery could find.
    #[error("{location}: not found (looked for {sought})")]
    NotFound {
        /// URL that was looked at.
        location: String,
        /// What would have satisfied the caller.
        sought: &'static str,
    },

    /// A put-if-absent found an object under that name.
    #[error("{location}: exists already")]
    AlreadyExists {
        /// URL of the object.
        location: String,
    },

    /// The object is not the version that was asked for, or changed while it was read.
    #[error("{location}: {reason}")]
    Precondition {
        /// URL of the object.
        location: String,
        /// Which of the two it was.
        reason: &'static str,
    },

    /// The store refused the operation to this process.
    #[error("{location}: permission denied")]
    PermissionDenied {
        /// URL of the object or of the directory.
        location: String,
        /// What the store said.
        source: Source,
    },

    /// A key or prefix that the store cannot hold.
    #[error("{location}: invalid name: {reason}")]
    InvalidKey {
        /// URL of the object.
        location: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// A URL, path or pattern that does not name a place.
    #[error("`{url}`: {reason}")]
    InvalidUrl {
        /// The URL as it was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// A URL of a scheme that this build has no store for.
    #[error("`{url}`: no store for `{scheme}:` in this build (known: {known})")]
    UnknownScheme {
        /// The URL as it was given.
        url: String,
        /// Its scheme.
        scheme: String,
        /// The schemes of [`STORES`](crate::STORES).
        known: String,
    },

    /// The store is full. Nothing was left behind.
    #[error("{location}: no space left in the store")]
    OutOfSpace {
        /// URL of the object.
        location: String,
        /// What the store said.
        source: Source,
    },

    /// The store cannot be reached or is overloaded; a later attempt may succeed.
    #[error("{location}: the store is unavailable")]
    Unavailable {
        /// URL of the object.
        location: String,
        /// What the store said.
        source: Source,
    },

    /// Anything else; another attempt will hardly do better.
    #[error("{location}: the store failed")]
    Generic {
        /// URL of the object.
        location: String,
        /// What the store said.
        source: Source,
    },
}

// === impl Error ===

impl Error {
    /// The error and all its sources in one line, for where a chain cannot be kept.
    pub fn in_full(&self) -> String {
        let first: &(dyn std::error::Error + 'static) = self;
        let chain = std::iter::successors(Some(first), |error| error.source());
        chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    /// Whether the same operation may succeed later although nobody changes anything.
    pub fn retry(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// The URL that the error is about.
    pub fn location(&self) -> &str {
        match self {
            Self::NotFound { location, .. }
            | Self::AlreadyExists { location }
            | Self::Precondition { location, .. }
            | Self::PermissionDenied { location, .. }
            | Self::InvalidKey { location, .. }
            | Self::OutOfSpace { location, .. }
            | Self::Unavailable { location, .. }
            | Self::Generic { location, .. } => location,
            Self::InvalidUrl { url, .. } | Self::UnknownScheme { url, .. } => url,
        }
    }

    /// There is no object at `location`.
    pub fn not_found(location: impl Into<String>) -> Self {
        Self::NotFound { location: location.into(), sought: "an object" }
    }

    /// Classifies an error of the operating system.
    pub(crate) fn from_io(location: &str, error: io::Error) -> Self {
        let location = location.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound => Self::not_found(location),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::PermissionDenied { location, source: error.into() }
            }
            io::ErrorKind::InvalidFilename => {
                Self::InvalidKey { location, reason: "too long for the file system" }
            }
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::OutOfSpace { location, source: error.into() },
            io::ErrorKind::TimedOut
            | io::ErrorKind::ResourceBusy
            | io::ErrorKind::OutOfMemory
            | io::ErrorKind::StaleNetworkFileHandle => {
                Self::Unavailable { location, source: error.into() }
            }
            _ if is_out_of_files(&error) => Self::Unavailable { location, source: error.into() },
            _ => Self::Generic { location, source: error.into() },
        }
    }
}

/// Whether the process or the machine has too many files open, which passes.
fn is_out_of_files(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each error of the operating system becomes, and whether it is worth another attempt.
    #[test]
    fn system_errors_are_classified() {
        let class = |code| {
            let error = Error::from_io("file:///x", io::Error::from_raw_os_error(code));
            assert_eq!(error.location(), "file:///x");
            (format!("{error:?}").split(' ').next().unwrap().to_owned(), error.retry())
        };
        for (code, name, retry) in [
            (1, "PermissionDenied", false),
            (2, "NotFound", false),
            (5, "Generic", false),
            (12, "Unavailable", true),
            (13, "PermissionDenied", false),
            (23, "Unavailable", true),
            (24, "Unavailable", true),
            (27, "OutOfSpace", false),
            (28, "OutOfSpace", false),
            (30, "PermissionDenied", false),
            (36, "InvalidKey", false),
            (116, "Unavailable", true),
            (122, "OutOfSpace", false),
        ] {
            assert_eq!(class(code), (name.to_owned(), retry), "errno {code}");
        }
    }
}
