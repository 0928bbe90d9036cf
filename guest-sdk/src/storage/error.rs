//! Why a call into the host failed.

use std::fmt;
use std::io;

/// Why a call into the host failed.
///
/// The text says which object and what happened; the case says what the function can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The object does not exist.
    NotFound(String),
    /// A put-if-absent found an object under that name.
    AlreadyExists(String),
    /// The object is not the version that was asked for, or changed while it was read.
    PreconditionFailed(String),
    /// No grant of the task's tenant covers the name.
    NotGranted(String),
    /// The store refused the host's credentials.
    PermissionDenied(String),
    /// A name, range or argument is malformed.
    Invalid(String),
    /// A limit of the task was exceeded; the text names it.
    LimitExceeded(String),
    /// The task was cancelled while the call was under way.
    Cancelled,
    /// The store failed or cannot be reached; a later attempt may succeed.
    Unavailable(String),
}

// === impl Error ===

impl Error {
    /// The nearest word that `std::io` has.
    pub(crate) fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::NotFound(_) => io::ErrorKind::NotFound,
            Self::AlreadyExists(_) => io::ErrorKind::AlreadyExists,
            Self::NotGranted(_) | Self::PermissionDenied(_) => io::ErrorKind::PermissionDenied,
            Self::Invalid(_) => io::ErrorKind::InvalidInput,
            Self::LimitExceeded(_) => io::ErrorKind::QuotaExceeded,
            Self::PreconditionFailed(_) | Self::Cancelled | Self::Unavailable(_) => {
                io::ErrorKind::Other
            }
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.io_kind(), error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (case, text) = match self {
            Self::NotFound(text) => ("not found", text),
            Self::AlreadyExists(text) => ("already exists", text),
            Self::PreconditionFailed(text) => ("precondition failed", text),
            Self::NotGranted(text) => ("not granted", text),
            Self::PermissionDenied(text) => ("permission denied", text),
            Self::Invalid(text) => ("invalid", text),
            Self::LimitExceeded(text) => ("limit exceeded", text),
            Self::Cancelled => return f.write_str("the task was cancelled"),
            Self::Unavailable(text) => ("unavailable", text),
        };
        write!(f, "{case}: {text}")
    }
}

impl std::error::Error for Error {}
