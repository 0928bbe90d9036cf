//! Samara's vocabulary: the words of a job, and the traits between the rooms that run it.
//!
//! **Invariant:** this crate does no I/O and knows no backend. It names no cloud, no engine and no
//! async runtime, so that everything above it can be tested with plain values.

pub mod clock;
pub mod error;
pub mod function;
pub mod grant;
pub mod id;
pub mod layout;
pub mod limits;
pub mod nested;
pub mod outcome;
pub mod records;
pub mod runtime;
pub mod task;

pub use crate::clock::{Clock, SystemClock};
pub use crate::error::{Error, ErrorKind, Retry};
pub use crate::function::FunctionInfo;
pub use crate::grant::{Access, Grant, Grants};
pub use crate::id::{ComponentId, JobId, ParseIdError};
pub use crate::limits::Limits;
pub use crate::nested::{JobStarter, Nested, StartedJob, Waiting, Waits};
pub use crate::outcome::{
    Exceeded, Level, LogLine, Outcome, Output, Report, Reports, Shared, Stats, Trap, UserError,
    UserErrorKind,
};
pub use crate::records::{CsvOptions, Records, Terminator};
pub use crate::runtime::{Cancel, Capacity, Observer, Runtime, TaskHandler};
pub use crate::task::{Argument, Arguments, Batch, Partition, Task};
