//! What a driver's caller can be told: about a job as a whole, or about one of its tasks.

use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;

use samara_core::{ErrorKind, Exceeded, JobId, LogLine, Partition, Trap, UserError, UserErrorKind};
use serde::{Deserialize, Serialize};

/// A job that could not be submitted, or a value that could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The component cannot be read, built or run.
    #[error("component {name}: {message}")]
    Component {
        /// Its path, crate or id.
        name: String,
        /// What is wrong with it.
        message: String,
    },

    /// The component's crate does not build.
    #[error("building {}", path.display())]
    Build {
        /// The crate's directory.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: Box<samara_build::Error>,
    },

    /// An argument that all tasks share cannot be encoded.
    #[error("input {index}: {message}")]
    Input {
        /// The input's number, from 0.
        index: u64,
        /// What is wrong with it.
        message: String,
    },

    /// A store, an object of the input, or a name.
    #[error(transparent)]
    Store(#[from] samara_store::Error),

    /// Settings in files, variables or flags: all that is wrong with them.
    #[error(transparent)]
    Settings(#[from] crate::settings::Problems),

    /// An option that makes no sense.
    #[error("{0}")]
    Invalid(String),

    /// The platform failed around a job.
    #[error(transparent)]
    Platform(#[from] samara_core::Error),

    /// A task failed, where its value was needed.
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// A task that came to no value.
///
/// `Display` says which task and what happened; the user's chain of causes, if there is one, is the
/// error's `source()` chain. The fields are those of [`TaskFailure`].
#[derive(Debug, Clone)]
pub struct TaskError(Box<TaskFailure>);

/// What is known of a failed task.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskFailure {
    /// The job.
    pub job: JobId,
    /// The function.
    pub function: String,
    /// The task's number within the job, from 0.
    pub index: u64,
    /// The part of the input it was given, if it takes one.
    pub partition: Option<Partition>,
    /// How many times it was tried.
    pub attempts: u32,
    /// What happened.
    pub cause: Cause,
    /// What the task logged in its last attempt.
    pub log: Vec<LogLine>,
    chain: Option<Box<Chain>>,
}

/// Why a task came to no value.
///
/// ```
/// use samara::{Cause, Exceeded, TaskError};
///
/// fn wants_memory(error: &TaskError) -> bool {
///     matches!(error.cause, Cause::LimitExceeded(Exceeded::Memory { .. }))
/// }
/// # let _ = wants_memory;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Cause {
    /// The function returned an error, or its arguments do not fit.
    Failed(UserError),
    /// The function panicked or trapped.
    Trapped(Trap),
    /// The task used more than it may.
    LimitExceeded(Exceeded),
    /// The platform failed, as often as it was tried.
    Platform(samara_core::Error),
    /// The output is not of the type that the handle says: another version of the function?
    Output(String),
    /// The task's input cannot be encoded, or is the output of a task that failed.
    Input(String),
}

/// One link of a user error's chain of causes.
#[derive(Debug, Clone)]
struct Chain {
    message: String,
    next: Option<Box<Self>>,
}

// === impl Error ===

impl Error {
    /// A stable word for the kind of error: `component`, `build`, `input`, `store`, `invalid`,
    /// `settings`, `platform`, or the [code](TaskError::code) of the task.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = samara::Component::from_path("no/such.wasm").unwrap_err();
    /// assert_eq!(error.code(), "component");
    /// ```
    pub fn code(&self) -> &'static str {
        match self {
            Self::Component { .. } => "component",
            Self::Build { .. } => "build",
            Self::Input { .. } => "input",
            Self::Store(_) => "store",
            Self::Invalid(_) => "invalid",
            Self::Settings(_) => "settings",
            Self::Platform(_) => "platform",
            Self::Task(error) => error.code(),
        }
    }
}

// === impl TaskError ===

impl TaskError {
    pub(crate) fn new(task: TaskName, attempts: u32, cause: Cause, log: Vec<LogLine>) -> Self {
        let TaskName { job, function, index, partition } = task;
        let chain = match &cause {
            Cause::Failed(error) => Chain::of(&error.causes),
            _ => None,
        };
        Self(Box::new(TaskFailure { job, function, index, partition, attempts, cause, log, chain }))
    }

    /// Whether the user's code is to blame, not the platform.
    pub fn is_user_error(&self) -> bool {
        !matches!(self.cause, Cause::Platform(_))
    }

    /// A stable word for the kind of failure: `user-error`, `bad-call`, `trapped`,
    /// `out-of-memory`, `out-of-time`, `limit-exceeded`, `cancelled`, `timed-out`, `platform`,
    /// `bad-output` or `bad-input`.
    pub fn code(&self) -> &'static str {
        match &self.cause {
            Cause::Failed(error) => match error.kind {
                UserErrorKind::Returned => "user-error",
                UserErrorKind::BadOutput => "bad-output",
                _ => "bad-call",
            },
            Cause::Trapped(_) => "trapped",
            Cause::LimitExceeded(Exceeded::Memory { .. }) => "out-of-memory",
            Cause::LimitExceeded(Exceeded::Time { .. }) => "out-of-time",
            Cause::LimitExceeded(_) => "limit-exceeded",
            Cause::Platform(error) => match error.kind {
                ErrorKind::Cancelled => "cancelled",
                ErrorKind::TimedOut => "timed-out",
                _ => "platform",
            },
            Cause::Output(_) => "bad-output",
            Cause::Input(_) => "bad-input",
        }
    }

    /// What happened, and the user's chain of causes, in one line.
    pub(crate) fn in_full(&self) -> String {
        let mut text = self.to_string();
        if let Cause::Failed(error) = &self.cause {
            error.causes.iter().for_each(|cause| text.extend([": ", cause]));
        }
        text
    }

    /// What happened, by value.
    pub fn into_cause(self) -> Cause {
        self.0.cause
    }
}

impl Deref for TaskError {
    type Target = TaskFailure;

    fn deref(&self) -> &TaskFailure {
        &self.0
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} of job {} (`{}`", self.index, self.job, self.function)?;
        if let Some(partition) = &self.partition {
            write!(f, " on {partition}")?;
        }
        f.write_str(") ")?;
        match &self.cause {
            Cause::Platform(error) if self.attempts > 1 && error.kind != ErrorKind::Cancelled => {
                write!(f, "was tried {} times, and the platform failed: {error}", self.attempts)
            }
            cause => cause.fmt(f),
        }
    }
}

impl Cause {
    /// Whether nobody wanted the task any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self, Self::Platform(error) if error.kind == ErrorKind::Cancelled)
    }
}

impl fmt::Display for Cause {
    /// What follows a task's name in a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) if error.kind == UserErrorKind::Returned => {
                write!(f, "failed: {}", error.message)
            }
            Self::Failed(error) if error.kind == UserErrorKind::BadOutput => {
                write!(f, "gave an output that cannot be encoded: {}", error.message)
            }
            Self::Failed(error) => write!(f, "could not be called: {}", error.message),
            Self::Trapped(trap) => trap.fmt(f),
            Self::LimitExceeded(exceeded) => exceeded.fmt(f),
            Self::Platform(error) if error.kind == ErrorKind::Cancelled => {
                write!(f, "was cancelled: {error}")
            }
            Self::Platform(error) => write!(f, "was not done: {error}"),
            Self::Output(message) => write!(f, "gave an output of another type: {message}"),
            Self::Input(message) => write!(f, "could not be started: {message}"),
        }
    }
}

impl std::error::Error for TaskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.chain.as_deref().map(|chain| chain as _)
    }
}

/// A failure on its way to another process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failure {
    attempts: u32,
    partition: Option<Partition>,
    pub(crate) cause: Cause,
    log: Vec<LogLine>,
}

impl Failure {
    pub(crate) fn of(error: &TaskError) -> Self {
        let TaskFailure { attempts, partition, cause, log, .. } = &**error;
        let (partition, cause, log) = (partition.clone(), cause.clone(), log.clone());
        Self { attempts: *attempts, partition, cause, log }
    }

    pub(crate) fn into_error(self, job: JobId, function: &str, index: u64) -> TaskError {
        let Self { attempts, partition, cause, log } = self;
        let name = TaskName { job, function: function.to_owned(), index, partition };
        TaskError::new(name, attempts, cause, log)
    }
}

/// Which task an error is about.
#[derive(Debug, Clone)]
pub(crate) struct TaskName {
    pub(crate) job: JobId,
    pub(crate) function: String,
    pub(crate) index: u64,
    pub(crate) partition: Option<Partition>,
}

// === impl Chain ===

impl Chain {
    fn of(messages: &[String]) -> Option<Box<Self>> {
        messages
            .iter()
            .rev()
            .fold(None, |next, message| Some(Box::new(Self { message: message.clone(), next })))
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Chain {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.next.as_deref().map(|next| next as _)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn error(cause: Cause) -> TaskError {
        let task = TaskName {
            job: JobId::new(0, 1),
            function: "count".to_owned(),
            index: 3,
            partition: Some(Partition {
                object: "mem://a/b".to_owned(),
                offset: 10,
                length: 5,
                object_size: 100,
                etag: String::new(),
                records: samara_core::Records::Lines,
            }),
        };
        TaskError::new(task, 1, cause, Vec::new())
    }

    #[test]
    fn a_task_error_names_job_task_partition_and_chain() {
        let user = UserError {
            kind: UserErrorKind::Returned,
            message: "bad line".to_owned(),
            causes: vec!["line 7".to_owned(), "no digit".to_owned()],
        };
        let error = error(Cause::Failed(user));
        assert_eq!(
            error.to_string(),
            "task 3 of job 00000000000000000000000001 (`count` on mem://a/b bytes 10..15) \
             failed: bad line"
        );
        let cause = error.source().unwrap();
        assert_eq!(cause.to_string(), "line 7");
        assert_eq!(cause.source().unwrap().to_string(), "no digit");
    }

    #[test]
    fn a_platform_failure_is_not_the_users() {
        let lost = samara_core::Error::new(ErrorKind::Lost, "gone");
        assert!(!error(Cause::Platform(lost)).is_user_error());
        let exceeded = Exceeded::Memory { limit: 1 };
        assert!(error(Cause::LimitExceeded(exceeded)).is_user_error());
    }
}
