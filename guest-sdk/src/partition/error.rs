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
}

// === impl Error ===

impl Error {
    pub(super) fn invalid_utf8(at: u64, description: &Description) -> Self {
        let description = Some(description.clone());
        Self(Box::new(Inner { kind: ErrorKind::InvalidUtf8 { at }, description }))
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
        match &error.0.kind {
            ErrorKind::Storage(cause) => Self::new(cause.io_kind(), error),
            ErrorKind::InvalidUtf8 { .. } => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.kind, &self.0.description) {
            (ErrorKind::Storage(_), _) => f.write_str("cannot read the partition"),
            (
                ErrorKind::InvalidUtf8 { at },
                Some(Description { object: Some(object), offset, .. }),
            ) => {
                write!(f, "byte {at} of the partition is not UTF-8 ({object} from byte {offset})")
            }
            (ErrorKind::InvalidUtf8 { at }, _) => {
                write!(f, "byte {at} of the partition is not UTF-8")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.kind {
            ErrorKind::Storage(cause) => Some(cause),
            ErrorKind::InvalidUtf8 { .. } => None,
        }
    }
}
