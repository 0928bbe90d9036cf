//! Why a partition could not be read.

use std::fmt;
use std::io;

use super::Description;
use crate::storage;

/// Why a partition could not be read.
///
/// Boxed, so that it does not widen every line's `Result`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    description: Option<Description>,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The host could not read the object.
    Storage(storage::Error),
    /// The text is not UTF-8.
    InvalidUtf8 {
        /// The first wrong byte, counted from the partition's first.
        at: u64,
    },
    /// A record is not what it was read as.
    Malformed {
        /// Its first byte, counted from the partition's first.
        at: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// It was to be read as what cannot be.
    Invalid(&'static str),
}

// === impl Error ===

impl Error {
    pub(super) fn invalid_utf8(at: u64, description: &Description) -> Self {
        let description = Some(description.clone());
        Self(Box::new(Inner { kind: ErrorKind::InvalidUtf8 { at }, description }))
    }

    #[cold]
    pub(super) fn malformed(at: u64, reason: String, description: &Description) -> Self {
        let description = Some(description.clone());
        Self(Box::new(Inner { kind: ErrorKind::Malformed { at, reason }, description }))
    }

    #[cold]
    pub(super) fn invalid(reason: &'static str) -> Self {
        Self(Box::new(Inner { kind: ErrorKind::Invalid(reason), description: None }))
    }

    /// Whether reading on would fail again.
    #[cfg(feature = "csv")]
    pub(super) fn is_of_storage(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Storage(_))
    }

    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }
}

impl From<storage::Error> for Error {
    #[cold]
    fn from(error: storage::Error) -> Self {
        Self(Box::new(Inner { kind: ErrorKind::Storage(error), description: None }))
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error.0.kind {
            ErrorKind::Storage(cause) => cause.io_kind(),
            ErrorKind::InvalidUtf8 { .. } | ErrorKind::Malformed { .. } => {
                io::ErrorKind::InvalidData
            }
            ErrorKind::Invalid(_) => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            ErrorKind::Storage(_) => return f.write_str("cannot read the partition"),
            ErrorKind::Invalid(reason) => return f.write_str(reason),
            ErrorKind::InvalidUtf8 { at } => write!(f, "byte {at} of the partition is not UTF-8")?,
            ErrorKind::Malformed { at, reason } => {
                write!(f, "the record at byte {at} of the partition: {reason}")?;
            }
        }
        match &self.0.description {
            Some(Description { object: Some(object), offset, .. }) => {
                write!(f, " ({object} from byte {offset})")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.kind {
            ErrorKind::Storage(cause) => Some(cause),
            _ => None,
        }
    }
}
