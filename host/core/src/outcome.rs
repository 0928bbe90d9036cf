//! What an attempt came to.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Error;

/// What one attempt of a task came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Outcome {
    /// The function returned.
    Success(Output),
    /// The function returned an error, or could not be called with these arguments.
    Failed(UserError),
    /// The function panicked or trapped.
    Trapped(Trap),
    /// The task used more than it may.
    LimitExceeded(Exceeded),
    /// The platform failed; the function may not have run at all.
    Platform(Error),
}

/// Where a task's output is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Small: here, as one CBOR data item.
    Inline(Bytes),
    /// Large: in the job's store, under [`layout::output`](crate::layout::output).
    Stored {
        /// Size in bytes.
        size: u64,
        /// The hash of its bytes, where the store could not promise to keep the first of several
        /// outputs, so that each is kept under a name of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Box<str>>,
    },
}

/// An error of the user's function, or of the call to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserError {
    /// What kind of error.
    pub kind: UserErrorKind,
    /// The error's message.
    pub message: String,
    /// The messages of its causes, nearest first.
    pub causes: Vec<String>,
}

/// Kinds of user errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum UserErrorKind {
    /// The function returned it.
    Returned,
    /// The component has no such function.
    NoSuchFunction,
    /// The arguments do not fit the function's types.
    BadArguments,
    /// The output could not be encoded.
    BadOutput,
}

/// A guest that was ended by a trap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trap {
    /// The panic's message, or the trap's name.
    pub message: String,
    /// Where a panic happened: `src/lib.rs:12:5`.
    pub location: Option<String>,
    /// The guest's functions on the stack, innermost first.
    pub backtrace: Vec<String>,
}

/// The limit that a task exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Exceeded {
    /// [`Limits::memory_bytes`](crate::Limits::memory_bytes).
    Memory {
        /// The limit in bytes.
        limit: u64,
    },
    /// [`Limits::time`](crate::Limits::time).
    Time {
        /// The limit.
        limit: Duration,
    },
    /// [`Limits::cpu`](crate::Limits::cpu).
    Cpu {
        /// The limit.
        limit: Duration,
    },
    /// [`Limits::storage_operations`](crate::Limits::storage_operations).
    StorageOperations {
        /// How many there may be.
        limit: u64,
    },
    /// [`Limits::storage_bytes`](crate::Limits::storage_bytes).
    StorageBytes {
        /// The limit in bytes.
        limit: u64,
    },
    /// [`Limits::http_requests`](crate::Limits::http_requests).
    HttpRequests {
        /// How many there may be.
        limit: u64,
    },
    /// [`Limits::http_bytes`](crate::Limits::http_bytes).
    HttpBytes {
        /// The limit in bytes.
        limit: u64,
    },
    /// [`Limits::buffer_bytes`](crate::Limits::buffer_bytes).
    Buffers {
        /// The limit in bytes.
        limit: u64,
    },
    /// [`Limits::output_bytes`](crate::Limits::output_bytes).
    Output {
        /// The limit in bytes.
        limit: u64,
        /// The output's size in bytes, where it was seen.
        size: Option<u64>,
    },
    /// [`Limits::host_call_bytes`](crate::Limits::host_call_bytes).
    HostCall {
        /// The limit in bytes.
        limit: u64,
    },
}

/// Everything that a worker says about one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The task's number.
    pub index: u64,
    /// The attempt's number.
    pub attempt: u32,
    /// What it came to.
    pub outcome: Outcome,
    /// What the task logged.
    pub log: Vec<LogLine>,
    /// Log lines dropped because of the log limit.
    pub log_dropped: u64,
    /// What it used.
    pub stats: Stats,
}

/// A line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its weight.
    pub level: Level,
    /// Its text.
    pub message: String,
}

/// Weight of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something failed.
    Error,
    /// Something looks wrong.
    Warn,
    /// Worth knowing in normal operation.
    Info,
    /// For debugging.
    Debug,
    /// For debugging in great detail.
    Trace,
}

/// What an attempt used, as its worker measured it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// When it started: time since the Unix epoch by the worker's clock.
    pub started: Duration,
    /// Wall-clock time from the instance's start to its end.
    pub wall: Duration,
    /// Processor time of its thread.
    pub cpu: Duration,
    /// Part of `wall` in which it waited for its partition or its stored arguments.
    pub fetch: Duration,
    /// Time that storing its output took, after `wall`; zero where the output rode in the reply.
    pub store: Duration,
    /// Largest sum of linear memories, in bytes.
    pub memory_peak: u64,
    /// Bytes of the partition that the guest pulled.
    pub bytes_read: u64,
    /// Bytes that it read through the storage capability.
    pub storage_read: u64,
    /// Bytes that it wrote through the storage capability.
    pub storage_written: u64,
    /// Bytes that it had from servers and sent to them by HTTP.
    #[serde(default)]
    pub http_bytes: u64,
    /// Bytes of its encoded output.
    pub output_bytes: u64,
    /// Calls into the host: partition, storage, task, jobs.
    pub host_calls: u64,
    /// WebAssembly instructions that it executed, where they are counted.
    pub fuel: Option<u64>,
    /// What the task last said of its progress: done, of how many, in its own unit.
    pub progress: (u64, u64),
}

/// What became of tasks of one batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reports {
    /// Each for itself.
    Each(Vec<Report>),
    /// Tasks that shared an instance and succeeded.
    Shared(Box<Shared>),
}

/// Tasks that shared an instance and succeeded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// The tasks' numbers.
    pub indices: Vec<u64>,
    /// Their outputs, one CBOR data item each, one after the other.
    pub outputs: Bytes,
    /// Where each output ends within `outputs`.
    pub ends: Vec<u32>,
    /// What they logged, together.
    pub log: Vec<LogLine>,
    /// Log lines dropped because of the log limit.
    pub log_dropped: u64,
    /// What they used, together.
    pub stats: Stats,
}

// === impl Outcome ===

impl Outcome {
    /// Whether the function returned a value.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Success(_))
    }
}

// === impl UserError ===

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

// === impl Trap ===

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Some(location) => write!(f, "panicked at {location}: {}", self.message)?,
            None => write!(f, "trapped: {}", self.message)?,
        }
        self.backtrace.iter().try_for_each(|frame| write!(f, "\n  at {frame}"))
    }
}

// === impl Exceeded ===

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { limit } => {
                write!(f, "out of memory: the task wanted more than its limit of {limit} bytes")
            }
            Self::Time { limit } => {
                write!(f, "out of time: the task ran longer than its limit of {limit:?}")
            }
            Self::Cpu { limit } => write!(
                f,
                "out of processor time: the task computed longer than its limit of {limit:?}"
            ),
            Self::StorageOperations { limit } => {
                write!(f, "more operations on stores than the task's limit of {limit}")
            }
            Self::StorageBytes { limit } => {
                write!(f, "more bytes from and to stores than the task's limit of {limit}")
            }
            Self::HttpRequests { limit } => {
                write!(f, "more requests by HTTP than the task's limit of {limit}")
            }
            Self::HttpBytes { limit } => {
                write!(f, "more bytes from and to servers than the task's limit of {limit}")
            }
            Self::Buffers { limit } => write!(
                f,
                "the host would hold more than {limit} bytes for objects that the task writes and \
                 requests that it makes; finish some before it begins others"
            ),
            Self::Output { limit, size } => {
                f.write_str("output too large: ")?;
                match size {
                    Some(size) => write!(f, "{size} bytes, the limit is {limit}")?,
                    None => write!(f, "over the limit of {limit} bytes")?,
                }
                f.write_str("; write it to an object, or raise the limit")
            }
            Self::HostCall { limit } => write!(
                f,
                "a call into the host passed more than {limit} bytes; write in pieces, \
                 or raise the limit"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_error_reads_as_its_chain() {
        let error = UserError {
            kind: UserErrorKind::Returned,
            message: "cannot parse".to_owned(),
            causes: vec!["line 3".to_owned(), "invalid digit".to_owned()],
        };
        assert_eq!(error.to_string(), "cannot parse: line 3: invalid digit");
    }

    #[test]
    fn a_panic_reads_with_its_place_and_stack() {
        let trap = Trap {
            message: "boom".to_owned(),
            location: Some("src/lib.rs:1:2".to_owned()),
            backtrace: vec!["inner".to_owned(), "outer".to_owned()],
        };
        assert_eq!(trap.to_string(), "panicked at src/lib.rs:1:2: boom\n  at inner\n  at outer");
    }
}
