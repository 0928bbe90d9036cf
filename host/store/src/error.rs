//! Why an operation on a store failed: classes that a caller can act on, each naming the place.

use std::fmt;
use std::io;
use std::time::Duration;

/// Result of an operation on a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What lies behind an error, whatever the store.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// What was asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[allow(missing_docs, reason = "named for the methods of `Store`")]
pub enum Operation {
    Open,
    Get,
    Head,
    Put,
    Write,
    Delete,
    List,
    Copy,
    Presign,
    CreateBucket,
    RemoveBucket,
}

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
    #[error("{location}: permission denied{}", during(*operation))]
    PermissionDenied {
        /// URL of the object or of the directory.
        location: String,
        /// What was asked of the store.
        operation: Option<Operation>,
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

    /// A store that cannot be opened as it is set.
    #[error("{location}: cannot be opened: {reason}")]
    Settings {
        /// URL of the store.
        location: String,
        /// What is wrong, and the way out.
        reason: String,
    },

    /// A URL of a scheme that this build has no store for.
    #[error("`{url}`: no store for `{scheme}:` in this build (known: {known}){}", feature(scheme))]
    UnknownScheme {
        /// The URL as it was given.
        url: String,
        /// Its scheme.
        scheme: String,
        /// The schemes of [`STORES`](crate::STORES).
        known: String,
    },

    /// The store cannot do this, or not so that it can be relied on.
    #[error("{location}: the store cannot do this{}: {reason}", during(*operation))]
    Unsupported {
        /// URL of the object or of the store.
        location: String,
        /// What was asked of the store.
        operation: Option<Operation>,
        /// What it lacks, and the way out.
        reason: &'static str,
    },

    /// The store is full. Nothing was left behind.
    #[error("{location}: no space left in the store{}", during(*operation))]
    OutOfSpace {
        /// URL of the object.
        location: String,
        /// What was asked of the store.
        operation: Option<Operation>,
        /// What the store said.
        source: Source,
    },

    /// The store asks for fewer requests; a later attempt may succeed.
    #[error("{location}: the store is overloaded{}", during(*operation))]
    Throttled {
        /// URL of the object.
        location: String,
        /// What was asked of the store.
        operation: Option<Operation>,
        /// For how long it wants no more, where it said so.
        wait: Option<Duration>,
        /// What the store said.
        source: Source,
    },

    /// The store cannot be reached; a later attempt may succeed.
    #[error("{location}: the store is unavailable{}", during(*operation))]
    Unavailable {
        /// URL of the object.
        location: String,
        /// What was asked of the store.
        operation: Option<Operation>,
        /// What the store said.
        source: Source,
    },

    /// What came of an object, or what the store has received of one, is not what was sent: its
    /// checksum says so. Another attempt may succeed; what was read before is not to be used.
    #[error("{location}: the checksum does not match{}", during(*operation))]
    Checksum {
        /// URL of the object.
        location: String,
        /// What was asked of the store.
        operation: Option<Operation>,
        /// Both checksums, or what the store said.
        source: Source,
    },

    /// Anything else; another attempt will hardly do better.
    #[error("{location}: the store failed{}", during(*operation))]
    Generic {
        /// URL of the object.
        location: String,
        /// What was asked of the store.
        operation: Option<Operation>,
        /// What the store said.
        source: Source,
    },
}

// === impl Operation ===

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Get => "get",
            Self::Head => "head",
            Self::Put => "put",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Copy => "copy",
            Self::Presign => "presign",
            Self::CreateBucket => "create bucket",
            Self::RemoveBucket => "remove bucket",
        })
    }
}

/// How to come by a store that this build lacks.
fn feature(scheme: &str) -> String {
    let feature = crate::FEATURES.iter().find(|(schemes, _)| schemes.contains(&scheme));
    feature.map_or_else(String::new, |(_, feature)| format!("; the feature `{feature}` brings it"))
}

/// The end of an error's text that says what was asked.
fn during(operation: Option<Operation>) -> String {
    operation.map_or_else(String::new, |operation| format!(" ({operation})"))
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
        matches!(self, Self::Unavailable { .. } | Self::Throttled { .. } | Self::Checksum { .. })
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
            | Self::Settings { location, .. }
            | Self::Unsupported { location, .. }
            | Self::Throttled { location, .. }
            | Self::Unavailable { location, .. }
            | Self::Checksum { location, .. }
            | Self::Generic { location, .. } => location,
            Self::InvalidUrl { url, .. } | Self::UnknownScheme { url, .. } => url,
        }
    }

    /// What was asked of the store, where that is known.
    pub fn operation(&self) -> Option<Operation> {
        match self {
            Self::PermissionDenied { operation, .. }
            | Self::OutOfSpace { operation, .. }
            | Self::Throttled { operation, .. }
            | Self::Unavailable { operation, .. }
            | Self::Unsupported { operation, .. }
            | Self::Checksum { operation, .. }
            | Self::Generic { operation, .. } => *operation,
            _ => None,
        }
    }

    /// Says what was asked of the store, where that is not said yet.
    #[must_use]
    pub fn during(mut self, asked: Operation) -> Self {
        if let Self::PermissionDenied { operation, .. }
        | Self::OutOfSpace { operation, .. }
        | Self::Throttled { operation, .. }
        | Self::Unavailable { operation, .. }
        | Self::Unsupported { operation, .. }
        | Self::Checksum { operation, .. }
        | Self::Generic { operation, .. } = &mut self
        {
            operation.get_or_insert(asked);
        }
        self
    }

    /// The store cannot be reached; another attempt may succeed.
    pub fn unavailable(location: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Unavailable { location: location.into(), operation: None, source: source.into() }
    }

    /// The bytes are not those that were sent.
    pub fn checksum(location: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Checksum { location: location.into(), operation: None, source: source.into() }
    }

    /// The store failed, and will again.
    pub fn generic(location: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Generic { location: location.into(), operation: None, source: source.into() }
    }

    /// The store cannot do this.
    pub fn unsupported(
        location: impl Into<String>,
        operation: Operation,
        reason: &'static str,
    ) -> Self {
        Self::Unsupported { location: location.into(), operation: Some(operation), reason }
    }

    /// The object is not the version that was asked for.
    pub fn another_version(location: impl Into<String>) -> Self {
        let location = location.into();
        Self::Precondition { location, reason: "the object is another version" }
    }

    /// There is no object at `location`.
    pub fn not_found(location: impl Into<String>) -> Self {
        Self::NotFound { location: location.into(), sought: "an object" }
    }

    /// Classifies an error of the operating system.
    pub(crate) fn from_io(location: &str, error: io::Error) -> Self {
        let location = location.to_owned();
        let operation = None;
        match error.kind() {
            io::ErrorKind::NotFound => Self::not_found(location),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::PermissionDenied { location, operation, source: error.into() }
            }
            io::ErrorKind::InvalidFilename => {
                Self::InvalidKey { location, reason: "too long for the file system" }
            }
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => {
                Self::OutOfSpace { location, operation, source: error.into() }
            }
            io::ErrorKind::TimedOut
            | io::ErrorKind::ResourceBusy
            | io::ErrorKind::OutOfMemory
            | io::ErrorKind::StaleNetworkFileHandle => {
                Self::Unavailable { location, operation, source: error.into() }
            }
            _ if is_out_of_files(&error) => {
                Self::Unavailable { location, operation, source: error.into() }
            }
            _ => Self::Generic { location, operation, source: error.into() },
        }
    }
}

/// The nearest word that `std::io` has; the error itself is the source's.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::NotFound { .. } => io::ErrorKind::NotFound,
            Error::AlreadyExists { .. } => io::ErrorKind::AlreadyExists,
            Error::PermissionDenied { .. } => io::ErrorKind::PermissionDenied,
            Error::InvalidKey { .. }
            | Error::InvalidUrl { .. }
            | Error::UnknownScheme { .. }
            | Error::Settings { .. } => io::ErrorKind::InvalidInput,
            Error::Unsupported { .. } => io::ErrorKind::Unsupported,
            Error::OutOfSpace { .. } => io::ErrorKind::StorageFull,
            Error::Checksum { .. } => io::ErrorKind::InvalidData,
            Error::Precondition { .. }
            | Error::Throttled { .. }
            | Error::Unavailable { .. }
            | Error::Generic { .. } => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// Whether the process or the machine has too many files open, which passes.
fn is_out_of_files(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// A URL for errors. Names of objects of `http:` may be signed; those of other stores are no
/// queries, and stay as they are.
pub(crate) fn shown(url: String) -> String {
    #[cfg(feature = "http")]
    if url.starts_with("http://") || url.starts_with("https://") {
        return redact(&url);
    }
    url
}

/// What in a text of somebody else gives access: `name=` or `name:`, up to the next sign that ends
/// a value. Before `://…@`, a user and a password.
#[cfg(any(feature = "http", feature = "s3", feature = "redis", feature = "sftp"))]
pub(crate) fn redact(text: &str) -> String {
    const SECRETS: &[&str] = &[
        "sig",
        "signature",
        "x-amz-signature",
        "x-amz-security-token",
        "x-amz-credential",
        "x-goog-signature",
        "x-goog-credential",
        "ossaccesskeyid",
        "accountkey",
        "sharedaccesssignature",
        "temp_url_sig",
        "token",
        "access_token",
        "refresh_token",
        "id_token",
        "x-auth-token",
        "x-auth-key",
        "authorization",
        "password",
        "client_secret",
        "secret",
        "assertion",
        "client_assertion",
        "private_key",
        "subject_token",
    ];
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut said = String::with_capacity(text.len());
    let mut rest = without_users(text);
    while let Some(at) = rest.find(['=', ':']) {
        let after = rest.split_off(at + 1);
        let name = rest[..at].trim_end_matches(['"', '\'', ' ']);
        let begin = name
            .rfind(|c| !is_name(c))
            .map_or(0, |at| at + name[at..].chars().next().map_or(1, char::len_utf8));
        let name = name[begin..].to_ascii_lowercase();
        let is_secret = SECRETS.contains(&name.as_str());
        // `Authorization: Bearer x` is two words.
        let spaces = name == "authorization";
        said.push_str(&rest);
        rest = after;
        if is_secret {
            let value = rest.trim_start_matches([' ', '"', '\'']);
            let ends = |c: char| "&;,\"'\n\r)>}".contains(c) || (c == ' ' && !spaces);
            rest = value.find(ends).map_or_else(String::new, |end| value[end..].to_owned());
            said.push('…');
        }
    }
    said + &rest
}

/// Takes `user:password@` out of URLs.
#[cfg(any(feature = "http", feature = "s3", feature = "redis", feature = "sftp"))]
fn without_users(text: &str) -> String {
    let mut parts = text.split("://");
    let mut said = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['/', '?', '#', ' ', '"', '\'', '\n']).unwrap_or(part.len());
        let from = part[..end].rfind('@').map_or(0, |at| at + 1);
        said.push_str("://");
        said.push_str(&part[from..]);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "http")]
    fn what_gives_access_is_not_shown() {
        for (text, shown) in [
            ("plain text, nothing else: really", "plain text, nothing else: really"),
            ("https://h/k?sv=1&sig=a%2Fb&se=2", "https://h/k?sv=1&sig=…&se=2"),
            ("?X-Amz-Signature=00ff&X-Amz-Date=1", "?X-Amz-Signature=…&X-Amz-Date=1"),
            ("X-Goog-Signature=00ff", "X-Goog-Signature=…"),
            ("AccountName=n;AccountKey=abc==;X=y", "AccountName=n;AccountKey=…;X=y"),
            ("token=abc def", "token=… def"),
            ("{\"access_token\": \"abc\", \"n\": 1}", "{\"access_token\":…\", \"n\": 1}"),
            ("grant_type=jwt&assertion=ey.x.y", "grant_type=jwt&assertion=…"),
            ("Authorization: Bearer abc.def\nnext", "Authorization:…\nnext"),
            ("at redis://me:hush@h:1/0 failed", "at redis://h:1/0 failed"),
            ("https://user@h/a@b", "https://h/a@b"),
            ("ü=1 sig=ü日&b", "ü=1 sig=…&b"),
            ("design=x assign=y", "design=x assign=y"),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

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
