//! A job in numbers.

use std::time::Duration;

/// A job in numbers, as far as it has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Tasks of the job.
    pub tasks: u64,
    /// Tasks that came to a value.
    pub succeeded: u64,
    /// Tasks that came to an error.
    pub failed: u64,
    /// Attempts beyond each task's first.
    pub retries: u64,
    /// Bytes of partitions that guests pulled.
    pub bytes_read: u64,
    /// Sum of the tasks' wall-clock times.
    pub task_time: Duration,
    /// Largest memory of a task in bytes.
    pub memory_peak: u64,
    /// From the submission to the last end, or to now.
    pub elapsed: Duration,
}
