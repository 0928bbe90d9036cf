//! What a job does about failures, stragglers and lost time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use samara_core::{Error, ErrorKind, JobId, Limits, Retry};

use crate::{Cause, TaskError};

/// Which failed attempts are tried again, how often and when.
///
/// A platform's failure is tried again by default; a user's error, trap or exceeded limit is not,
/// because a function that fails once mostly fails again.
///
/// ```
/// use std::time::Duration;
/// use samara::Retries;
///
/// let patient = Retries::default().attempts(8).backoff(Duration::from_millis(500));
/// let flaky = Retries::default().user_errors(true);
/// let large = Retries::default().memory_max(4 << 30);
/// # let _ = (patient, flaky, large);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Retries {
    /// Attempts of one task in all. Default 4.
    pub attempts: u32,
    /// Wait before a task's second attempt; doubles with each further one. Default 100 ms.
    pub backoff: Duration,
    /// The longest such wait. Default 30 s.
    pub backoff_max: Duration,
    /// The part of each wait that is random, so that retries do not come together: 0 to 1.
    /// Default 0.5.
    pub jitter: f64,
    /// Retries of the whole job, as a part of its tasks so far; ten are always allowed. Where a
    /// place is broken, this ends a job that would else be tried for hours. Default 1.
    pub budget: f64,
    /// Whether errors that functions return are tried again. Default no.
    pub user_errors: bool,
    /// Whether panics and traps are tried again. Default no.
    pub traps: bool,
    /// Whether tasks that ran out of time are tried again. Default no.
    pub time_limits: bool,
    /// A task that ran out of memory is tried again with twice as much, up to this many bytes.
    /// Default none: it is not.
    pub memory_max: Option<u64>,
}

/// When a task that takes long gets a second attempt beside the first. The first that ends
/// successfully counts, and ends the other.
///
/// The defaults are those of MapReduce's backup tasks (Dean and Ghemawat, OSDI 2004, 3.6) with the
/// thresholds that cubed uses.
///
/// ```
/// use std::time::Duration;
/// use samara::{Backups, Executor};
///
/// # fn main() -> Result<(), samara::Error> {
/// let eager = Backups::default().slower(1.5).time_min(Duration::from_millis(200));
/// let executor = Executor::builder().backups(Some(eager)).build()?;
/// let never = Executor::builder().backups(None).build()?;
/// # let _ = (executor, never);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Backups {
    /// Jobs of fewer tasks get none. Default 10.
    pub tasks_min: u64,
    /// The part of the job's tasks that must have ended. Default 0.5.
    pub done_min: f64,
    /// How many times the median of the ended tasks' times one must take. Default 3.
    pub slower: f64,
    /// Tasks that have run for less get none. Default 1 s: below it a backup costs more than it
    /// saves.
    pub time_min: Duration,
}

/// What becomes of a job when a task fails for good.
///
/// As text, in settings and on the command line: `continue`, `stop`, `tolerate 5%`.
///
/// ```
/// use samara::OnFailure;
///
/// assert_eq!("tolerate 5%".parse(), Ok(OnFailure::Tolerate(0.05)));
/// assert_eq!(OnFailure::Stop.to_string(), "stop");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum OnFailure {
    /// The other tasks go on; each has its own result.
    #[default]
    Continue,
    /// The first failure cancels the rest.
    Stop,
    /// The job goes on until more than this part of its tasks has failed (0 to 1), which cancels
    /// the rest. Refused for CSV that is cut, where the partition behind a failed one is unchecked.
    Tolerate(f64),
}

/// A task that has ended for good, as a callback is told of it.
///
/// ```no_run
/// # use samara::{Component, Executor, function::{Function, Given, Kind}};
/// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
/// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
/// let map = executor.map(&app, double, 0..100).on_task_end(|end| {
///     if let Some(error) = end.error {
///         eprintln!("task {} of {}: {error}", end.index, end.job);
///     }
/// });
/// map.await?.wait().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct TaskEnd<'a> {
    /// The job.
    pub job: JobId,
    /// The task's number within the job, from 0.
    pub index: usize,
    /// Why it came to no value, if it did not.
    pub error: Option<&'a TaskError>,
}

/// Retries that are allowed whatever the budget.
const BUDGET_MIN: u64 = 10;

// === impl Retries ===

impl Retries {
    /// No attempt is made twice.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(samara::Retries::none().attempts, 1);
    /// ```
    pub fn none() -> Self {
        Self { attempts: 1, ..Self::default() }
    }

    /// Attempts of one task in all.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// Wait before a task's second attempt; doubles with each further one.
    #[must_use]
    pub fn backoff(self, backoff: Duration) -> Self {
        Self { backoff, ..self }
    }

    /// The longest wait between two attempts.
    #[must_use]
    pub fn backoff_max(self, backoff_max: Duration) -> Self {
        Self { backoff_max, ..self }
    }

    /// The part of each wait that is random: 0 to 1.
    #[must_use]
    pub fn jitter(self, jitter: f64) -> Self {
        Self { jitter, ..self }
    }

    /// Retries of the whole job, as a part of its tasks.
    #[must_use]
    pub fn budget(self, budget: f64) -> Self {
        Self { budget, ..self }
    }

    /// Whether errors that functions return are tried again.
    #[must_use]
    pub fn user_errors(self, user_errors: bool) -> Self {
        Self { user_errors, ..self }
    }

    /// Whether panics and traps are tried again.
    #[must_use]
    pub fn traps(self, traps: bool) -> Self {
        Self { traps, ..self }
    }

    /// Whether tasks that ran out of time are tried again.
    #[must_use]
    pub fn time_limits(self, time_limits: bool) -> Self {
        Self { time_limits, ..self }
    }

    /// Lets tasks that ran out of memory be tried again with twice as much, up to `bytes`.
    #[must_use]
    pub fn memory_max(self, bytes: u64) -> Self {
        Self { memory_max: Some(bytes), ..self }
    }

    /// Says what makes no sense.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.attempts == 0 {
            return Err("retries: attempts = 0 would run nothing; 1 means no retries".to_owned());
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(format!("retries: jitter = {} must lie between 0 and 1", self.jitter));
        }
        if self.budget.is_nan() || self.budget < 0.0 {
            return Err(format!("retries: budget = {} must be 0 or more", self.budget));
        }
        if self.memory_max.is_some_and(|max| max > Limits::MEMORY_BYTES_MAX) {
            return Err(
                "retries: memory-max must be 4 GiB or less, which is what a component can \
                        address"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Whether an attempt that came to `cause` is to be followed by another, as far as its class
    /// says; with the memory that the next one gets where that changes.
    pub(crate) fn admit(&self, cause: &Cause, memory: u64) -> Option<u64> {
        let again = match cause {
            Cause::Failed(error) => {
                self.user_errors && error.kind == samara_core::UserErrorKind::Returned
            }
            Cause::Trapped(_) => self.traps,
            Cause::LimitExceeded(samara_core::Exceeded::Time { .. }) => self.time_limits,
            Cause::LimitExceeded(samara_core::Exceeded::Memory { .. }) => {
                let doubled = memory.saturating_mul(2).min(self.memory_max.unwrap_or(0));
                return (doubled > memory).then_some(doubled);
            }
            Cause::Platform(error) => error.retry == Retry::Later,
            _ => false,
        };
        again.then_some(memory)
    }

    /// Whether the job has retries left, after `made` of them, with `tasks` tasks so far.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "a budget need not be exact"
    )]
    pub(crate) fn affords(&self, made: u64, tasks: u64) -> bool {
        made < BUDGET_MIN.saturating_add((self.budget * tasks as f64) as u64)
    }

    /// How long to wait before attempt `attempt`, counted from 0, with `random` between 0 and 255.
    pub(crate) fn wait(&self, attempt: u32, random: u8) -> Duration {
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let full = self.backoff.saturating_mul(doubled).min(self.backoff_max);
        let part = full.as_secs_f64() * self.jitter * f64::from(random) / 255.0;
        full.saturating_sub(Duration::try_from_secs_f64(part).unwrap_or(full))
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 4,
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            jitter: 0.5,
            budget: 1.0,
            user_errors: false,
            traps: false,
            time_limits: false,
            memory_max: None,
        }
    }
}

// === impl Backups ===

impl Backups {
    /// Jobs of fewer tasks get none.
    #[must_use]
    pub fn tasks_min(self, tasks_min: u64) -> Self {
        Self { tasks_min, ..self }
    }

    /// The part of the job's tasks that must have ended: 0 to 1.
    #[must_use]
    pub fn done_min(self, done_min: f64) -> Self {
        Self { done_min, ..self }
    }

    /// How many times the median of the ended tasks' times one must take.
    #[must_use]
    pub fn slower(self, slower: f64) -> Self {
        Self { slower, ..self }
    }

    /// Tasks that have run for less get none.
    #[must_use]
    pub fn time_min(self, time_min: Duration) -> Self {
        Self { time_min, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.done_min) {
            return Err(format!("backups: done-min = {} must lie between 0 and 1", self.done_min));
        }
        if self.slower.is_nan() || self.slower < 1.0 {
            return Err(format!("backups: slower = {} must be 1 or more", self.slower));
        }
        Ok(())
    }

    /// How long a task may run before it gets a second attempt; none while the job is not so far.
    #[allow(clippy::cast_precision_loss, reason = "a threshold need not be exact")]
    pub(crate) fn threshold(&self, done: u64, tasks: u64, median: Duration) -> Option<Duration> {
        let far = tasks >= self.tasks_min && done as f64 >= self.done_min * tasks as f64;
        far.then(|| median.mul_f64(self.slower.min(1e6)).max(self.time_min))
    }
}

impl Default for Backups {
    fn default() -> Self {
        Self { tasks_min: 10, done_min: 0.5, slower: 3.0, time_min: Duration::from_secs(1) }
    }
}

// === impl OnFailure ===

impl OnFailure {
    pub(crate) fn check(self) -> Result<(), String> {
        match self {
            Self::Tolerate(part) if !(0.0..=1.0).contains(&part) => {
                Err(format!("on-failure: tolerate = {part} must lie between 0 and 1"))
            }
            _ => Ok(()),
        }
    }

    /// Why the rest of a job is to be cancelled, with `failed` of `tasks` tasks failed.
    #[allow(clippy::cast_precision_loss, reason = "a threshold need not be exact")]
    pub(crate) fn verdict(self, failed: u64, tasks: u64) -> Option<Error> {
        let stop = match self {
            Self::Continue => false,
            Self::Stop => failed > 0,
            Self::Tolerate(part) => failed as f64 > part * tasks as f64,
        };
        let why = match self {
            Self::Tolerate(part) => {
                format!("{failed} of {tasks} tasks failed, more than {} % tolerated", part * 100.0)
            }
            _ => "another task failed and the job stops at the first failure".to_owned(),
        };
        stop.then(|| Error::new(ErrorKind::Cancelled, why))
    }
}

impl fmt::Display for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continue => f.write_str("continue"),
            Self::Stop => f.write_str("stop"),
            // What a person wrote as 7% is not to come back as 7.000000000000001%.
            Self::Tolerate(part) => write!(f, "tolerate {}%", (part * 1e8).round() / 1e6),
        }
    }
}

impl FromStr for OnFailure {
    type Err = String;

    /// Reads `continue`, `stop`, or `tolerate` with a percentage: `tolerate 5%`, `tolerate:0.1`.
    fn from_str(text: &str) -> Result<Self, String> {
        let percent = match text {
            "continue" => return Ok(Self::Continue),
            "stop" => return Ok(Self::Stop),
            _ => text.strip_prefix("tolerate").and_then(|rest| rest.strip_prefix([' ', ':'])),
        };
        let percent = percent.map(|percent| percent.trim_end_matches('%').trim().parse::<f64>());
        let Some(Ok(percent)) = percent else {
            let known = "\"continue\", \"stop\", or \"tolerate 5%\"";
            return Err(format!("it is {text:?}, and should be {known}"));
        };
        let tolerate = Self::Tolerate(percent / 100.0);
        tolerate.check().map_err(|_| format!("{percent}% must lie between 0 and 100"))?;
        Ok(tolerate)
    }
}

#[cfg(test)]
mod tests {
    use samara_core::{Exceeded, UserError, UserErrorKind};

    use super::*;

    fn returned() -> Cause {
        let (message, causes) = ("no".to_owned(), Vec::new());
        Cause::Failed(UserError { kind: UserErrorKind::Returned, message, causes })
    }

    #[test]
    fn a_users_error_is_tried_again_only_when_asked() {
        assert_eq!(Retries::default().admit(&returned(), 1), None);
        assert_eq!(Retries::default().user_errors(true).admit(&returned(), 1), Some(1));
        let lost = Cause::Platform(Error::new(ErrorKind::Lost, "gone"));
        assert_eq!(Retries::default().admit(&lost, 1), Some(1));
        let denied = Cause::Platform(Error::new(ErrorKind::Denied, "no"));
        assert_eq!(Retries::default().admit(&denied, 1), None);
    }

    #[test]
    fn memory_doubles_up_to_its_maximum() {
        let cause = Cause::LimitExceeded(Exceeded::Memory { limit: 1 });
        let retries = Retries::default().memory_max(300);
        let next = |memory| retries.admit(&cause, memory);
        assert_eq!((next(100), next(200), next(300)), (Some(200), Some(300), None));
        assert_eq!(Retries::default().admit(&cause, 100), None);
    }

    #[test]
    fn waits_double_to_a_maximum_and_differ() {
        let retries = Retries::default();
        assert_eq!(retries.wait(1, 0), Duration::from_millis(100));
        assert_eq!(retries.wait(3, 0), Duration::from_millis(400));
        assert_eq!(retries.wait(3, 255), Duration::from_millis(200));
        assert_eq!(retries.wait(60, 0), retries.backoff_max);
    }

    #[test]
    fn waits_without_end_are_waits() {
        let retries = Retries::default().backoff(Duration::MAX).backoff_max(Duration::MAX);
        assert_eq!(retries.wait(1, 0), Duration::MAX);
        assert_eq!(retries.jitter(1.0).wait(9, 255), Duration::ZERO);
        assert!(retries.wait(2, 128) > Duration::from_secs(1 << 60));
    }

    #[test]
    fn a_budget_ends_retries_that_help_nothing() {
        let retries = Retries::default().budget(0.5);
        assert!(retries.affords(9, 0) && !retries.affords(10, 0));
        assert!(retries.affords(59, 100) && !retries.affords(60, 100));
    }

    #[test]
    fn a_backup_waits_for_the_jobs_half_and_three_medians() {
        let backups = Backups::default();
        let second = Duration::from_secs(1);
        assert_eq!(backups.threshold(5, 9, second), None, "too few tasks");
        assert_eq!(backups.threshold(4, 10, second), None, "not half done");
        assert_eq!(backups.threshold(5, 10, second), Some(3 * second));
        assert_eq!(backups.threshold(5, 10, second / 1000), Some(second), "the least time");
    }

    #[test]
    fn a_tolerated_part_is_exceeded_by_more() {
        assert_eq!(OnFailure::Continue.verdict(9, 10), None);
        assert!(OnFailure::Stop.verdict(1, 10).is_some());
        assert_eq!(OnFailure::Tolerate(0.1).verdict(1, 10), None);
        let verdict = OnFailure::Tolerate(0.1).verdict(2, 10).unwrap();
        assert_eq!(verdict.message, "2 of 10 tasks failed, more than 10 % tolerated");
    }

    #[test]
    fn policies_that_make_no_sense_are_named() {
        for (result, wanted) in [
            (Retries::default().attempts(0).check(), "attempts"),
            (Retries::default().jitter(2.0).check(), "jitter"),
            (Retries::default().budget(f64::NAN).check(), "budget"),
            (Retries::default().memory_max(1 << 40).check(), "memory-max"),
            (Backups::default().done_min(-1.0).check(), "done-min"),
            (Backups::default().slower(0.5).check(), "slower"),
            (OnFailure::Tolerate(1.5).check(), "tolerate"),
        ] {
            assert!(result.unwrap_err().contains(wanted), "{wanted}");
        }
    }

    #[test]
    fn what_becomes_of_a_job_is_read_as_it_is_written() {
        for (text, is) in [
            ("continue", OnFailure::Continue),
            ("stop", OnFailure::Stop),
            ("tolerate 7%", OnFailure::Tolerate(0.07)),
            ("tolerate 0.1%", OnFailure::Tolerate(0.001)),
        ] {
            assert_eq!(text.parse(), Ok(is));
            assert_eq!(is.to_string(), text);
        }
        assert_eq!("tolerate:5".parse(), Ok(OnFailure::Tolerate(0.05)));
        for (text, wanted) in [
            ("", "should be"),
            ("tolerate", "should be"),
            ("tolerate 101%", "101% must lie between 0 and 100"),
            ("tolerate -1", "between"),
            ("tolerate NaN", "between"),
            ("tolerate5", "should be"),
        ] {
            let error = text.parse::<OnFailure>().unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
