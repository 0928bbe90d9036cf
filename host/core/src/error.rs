//! The platform's failures: what went wrong around a function, never inside it.

use serde::{Deserialize, Serialize};

/// A failure of the platform: a store, a worker, a component that is none.
///
/// A user function's own error is a [`UserError`](crate::UserError), a different type on purpose:
/// the platform's failures may be retried, a user's are not unless asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct Error {
    /// What the caller can branch on.
    pub kind: ErrorKind,
    /// Whether another attempt may succeed.
    pub retry: Retry,
    /// What happened, to what, and the way out.
    pub message: String,
}

/// Classes of platform failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The worker vanished, or its answer did.
    Lost,
    /// The worker gave back what it had not done, because it is about to end.
    HandedBack,
    /// A backend asked to slow down.
    Throttled,
    /// The backend did not answer in time.
    TimedOut,
    /// The job or task was cancelled.
    Cancelled,
    /// An object or component does not exist.
    NotFound,
    /// An object changed after the job was planned.
    Changed,
    /// Credentials or grants do not allow it.
    Denied,
    /// What was given is no component of this world.
    Component,
    /// A URL, option or plan is malformed.
    Invalid,
    /// A store failed.
    Store,
    /// A defect of Samara's.
    Internal,
}

/// Whether another attempt may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Retry {
    /// The same attempt would fail again.
    Never,
    /// Another attempt may succeed.
    Later,
}

// === impl Error ===

impl Error {
    /// An error of the given class, retried as the class suggests.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, retry: kind.retry(), message: message.into() }
    }

    /// Overrides whether another attempt may succeed.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Puts what was being done before the message.
    #[must_use]
    pub fn context(mut self, doing: impl std::fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}

// === impl ErrorKind ===

impl ErrorKind {
    /// What the class suggests.
    pub fn retry(self) -> Retry {
        match self {
            Self::Lost | Self::HandedBack | Self::Throttled | Self::TimedOut | Self::Store => {
                Retry::Later
            }
            _ => Retry::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platform_failures_that_may_pass_are_retried() {
        assert_eq!(Error::new(ErrorKind::Lost, "gone").retry, Retry::Later);
        assert_eq!(Error::new(ErrorKind::NotFound, "none").retry, Retry::Never);
        let full = Error::new(ErrorKind::Store, "disk full").with_retry(Retry::Never);
        assert_eq!(full.retry, Retry::Never);
    }

    #[test]
    fn context_stands_before_the_message() {
        let error = Error::new(ErrorKind::NotFound, "no such object").context("reading a/b");
        assert_eq!(error.to_string(), "reading a/b: no such object");
    }
}
