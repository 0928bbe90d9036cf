//! Samara's vocabulary: the words of a job, and the traits between the rooms that run it.
//!
//! **Invariant:** this crate does no I/O and knows no backend. It names no cloud, no engine and no
//! async runtime, so that everything above it can be tested with plain values.

pub mod clock;
pub mod depot;
pub mod error;
pub mod function;
pub mod grant;
pub mod http_grant;
pub mod id;
pub mod layout;
pub mod limits;
pub mod link;
pub mod nested;
pub mod outcome;
pub mod records;
pub mod runtime;
pub mod secrets;
pub mod task;
pub mod tenant;
pub mod units;
pub mod wire;

pub use crate::clock::{Clock, SystemClock};
pub use crate::depot::Depot;
pub use crate::error::{Error, ErrorKind, Retry};
pub use crate::function::FunctionInfo;
pub use crate::grant::{Access, Grant, Grants};
pub use crate::http_grant::HttpGrant;
pub use crate::id::{ComponentId, JobId, ParseIdError};
pub use crate::limits::Limits;
pub use crate::nested::{JobStarter, Nested, StartedJob, Waiting, Waits};
pub use crate::outcome::{
    Exceeded, Level, LogLine, Outcome, Output, Report, Reports, Shared, Stats, Trap, UserError,
    UserErrorKind,
};
pub use crate::records::{CsvOptions, Records, Terminator};
pub use crate::runtime::{Cancel, Capacity, Observer, Reach, Runtime, TaskHandler};
pub use crate::secrets::{Secret, Secrets, without_passwords};
pub use crate::task::{Argument, Arguments, Batch, Partition, Task};
pub use crate::tenant::{Account, Allowance, Caller, Gate, Payer, Share, Tally, Usage};
