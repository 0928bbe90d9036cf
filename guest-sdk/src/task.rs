//! The task that is being run: who it is, its log, its progress.
//!
//! Built natively, the task is one of a made-up job, and its log goes to standard error, where
//! `cargo test` shows it for a test that fails. [`testing`](crate::testing) changes and reads these.
//!
//! ```
//! use samara_guest::task;
//!
//! let files = ["a", "b"];
//! for (done, file) in files.iter().enumerate() {
//!     task::progress(done as u64, files.len() as u64);
//!     task::debug!("task {} looks at {file}", task::current().index);
//! }
//! ```

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::host;

/// Which task this is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The job's id, a ULID.
    pub job: String,
    /// Number of the task within the job, from 0.
    pub index: u64,
    /// Number of this attempt, from 0. Outputs must not depend on it.
    pub attempt: u32,
}

/// Weight of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// The lightest level whose lines are logged.
static LEVELS: AtomicU8 = AtomicU8::new(Level::Trace as u8);

/// Says which task is being run.
pub fn current() -> Identity {
    host::current()
}

/// URL prefix below which this task may create objects that are removed with its job.
/// [`ObjectRef`](crate::ObjectRef) makes some; by hand, `storage` does. Empty where the job has no
/// store.
///
/// It ends in the task's number and a `/`, and does not depend on the attempt: write the same bytes
/// under the same name each time, or use [`storage::put_if_absent`](crate::storage::put_if_absent).
pub fn scratch() -> String {
    let prefix = host::scratch();
    if prefix.is_empty() { prefix } else { format!("{prefix}{}/", host::current().index) }
}

/// Writes a line to the task's log, if lines of that level are [`enabled`]. Past the log's limit
/// lines are dropped and counted.
///
/// [`error!`], [`warn!`], [`info!`], [`debug!`] and [`trace!`] format their line like `println!`,
/// and only where it is enabled.
pub fn log(level: Level, message: &str) {
    if enabled(level) {
        host::log(level, message);
    }
}

/// Whether lines of that level are logged. All are, until [`set_level`] says otherwise.
///
/// Worth asking before what a line says is computed at some cost; the macros ask by themselves.
pub fn enabled(level: Level) -> bool {
    level as u8 <= LEVELS.load(Ordering::Relaxed)
}

/// Logs lines of `max` and heavier ones alone: with [`Level::Warn`], errors and warnings.
///
/// It holds for the instance, so for this task, unless the job lets tasks share instances; natively
/// it holds for the process.
///
/// ```
/// use samara_guest::task::{self, Level};
/// use samara_guest::testing;
///
/// task::set_level(Level::Info);
/// task::debug!("{}", unreachable!("not even formatted"));
/// task::info!("seen");
/// assert_eq!(testing::log(), [(Level::Info, "seen".to_owned())]);
/// ```
pub fn set_level(max: Level) {
    LEVELS.store(max as u8, Ordering::Relaxed);
}

/// Reports how far the task has come: `done` of `total` in the function's own unit.
pub fn progress(done: u64, total: u64) {
    host::progress(done, total);
}

/// Whether the task was cancelled. A cancelled task is stopped soon in any case; one that looks
/// can stop in order.
pub fn is_cancelled() -> bool {
    host::is_cancelled()
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

// `macro_export` puts macros at the crate's root, where names as common as `info!` would be in the
// way: there they have other names, and are hidden.
pub use crate::{
    __task_debug as debug, __task_error as error, __task_info as info, __task_trace as trace,
    __task_warn as warn,
};

/// Logs something that failed; takes what `println!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __task_error {
    ($($line:tt)+) => {
        if $crate::task::enabled($crate::task::Level::Error) {
            $crate::task::log($crate::task::Level::Error, &::std::format!($($line)+))
        }
    };
}

/// Logs something that looks wrong; takes what `println!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __task_warn {
    ($($line:tt)+) => {
        if $crate::task::enabled($crate::task::Level::Warn) {
            $crate::task::log($crate::task::Level::Warn, &::std::format!($($line)+))
        }
    };
}

/// Logs something worth knowing in normal operation; takes what `println!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __task_info {
    ($($line:tt)+) => {
        if $crate::task::enabled($crate::task::Level::Info) {
            $crate::task::log($crate::task::Level::Info, &::std::format!($($line)+))
        }
    };
}

/// Logs something for debugging; takes what `println!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __task_debug {
    ($($line:tt)+) => {
        if $crate::task::enabled($crate::task::Level::Debug) {
            $crate::task::log($crate::task::Level::Debug, &::std::format!($($line)+))
        }
    };
}

/// Logs something for debugging in great detail; takes what `println!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __task_trace {
    ($($line:tt)+) => {
        if $crate::task::enabled($crate::task::Level::Trace) {
            $crate::task::log($crate::task::Level::Trace, &::std::format!($($line)+))
        }
    };
}
