//! A job in numbers: in all, and attempt by attempt.

use std::time::Duration;

use samara_core::{JobId, Outcome, Report, Stats};
use serde::{Deserialize, Serialize};

/// A job in numbers, as far as it has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// Tasks of the job; of inputs that come one by one, those so far.
    pub tasks: u64,
    /// Tasks that came to a value.
    pub succeeded: u64,
    /// Tasks that came to an error, but for those that were cancelled.
    pub failed: u64,
    /// Tasks that were cancelled, whether they had begun or not: with the job, or because the job
    /// stopped at the failure of others.
    #[serde(default)]
    pub cancelled: u64,
    /// Attempts beyond each task's first, made because one failed.
    pub retries: u64,
    /// Second attempts beside a slow one.
    pub backups: u64,
    /// Bytes of partitions that guests pulled.
    pub bytes_read: u64,
    /// Bytes of encoded outputs.
    pub output_bytes: u64,
    /// Sum of the attempts' wall-clock times.
    #[serde(with = "seconds")]
    pub task_time: Duration,
    /// Sum of the attempts' processor times.
    #[serde(with = "seconds")]
    pub cpu_time: Duration,
    /// Largest memory of a task in bytes.
    pub memory_peak: u64,
    /// From the submission to the last end, or to now.
    #[serde(with = "seconds")]
    pub elapsed: Duration,
}

/// One attempt of a task in numbers. Where tasks shared an instance, all of them are one row.
///
/// Points in time are durations since the Unix epoch: `submitted` and `collected` by the driver's
/// clock, the rest by the worker's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptStats {
    /// The task's number; of tasks that shared an instance, the first one's.
    pub task: u64,
    /// Number of tasks that the row is about: 1, but for those that shared an instance.
    pub tasks: u64,
    /// Number of the attempt, from 0.
    pub attempt: u32,
    /// What it came to: `success`, `failed`, `trapped`, `limit-exceeded` or `platform`.
    pub outcome: Ended,
    /// When the driver handed it to the runtime.
    #[serde(with = "seconds")]
    pub submitted: Duration,
    /// When the instance started.
    #[serde(with = "seconds")]
    pub started: Duration,
    /// When its input had been read, reading counted as if it came first.
    #[serde(with = "seconds")]
    pub fetched: Duration,
    /// When the function had returned.
    #[serde(with = "seconds")]
    pub computed: Duration,
    /// When its output was stored; as `computed` where the output rode in the reply.
    #[serde(with = "seconds")]
    pub stored: Duration,
    /// When the driver had it.
    #[serde(with = "seconds")]
    pub collected: Duration,
    /// Wall-clock time from the instance's start to its end.
    #[serde(with = "seconds")]
    pub wall: Duration,
    /// Processor time.
    #[serde(with = "seconds")]
    pub cpu: Duration,
    /// Largest sum of linear memories in bytes.
    pub memory_peak: u64,
    /// Bytes that it read: its partition, and objects through the storage capability.
    pub bytes_in: u64,
    /// Bytes that it wrote: its output, and objects through the storage capability.
    pub bytes_out: u64,
    /// Calls into the host.
    pub host_calls: u64,
    /// WebAssembly instructions executed, where they are counted.
    pub fuel: Option<u64>,
}

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Ended {
    /// A value.
    Success,
    /// An error of the user's function.
    Failed,
    /// A panic or trap.
    Trapped,
    /// A limit.
    LimitExceeded,
    /// A failure of the platform.
    Platform,
}

/// A job in numbers, attempt by attempt.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct JobStats {
    /// The job.
    pub job: JobId,
    /// The function.
    pub function: String,
    /// The job in all.
    pub summary: Summary,
    /// Its attempts, in the order in which they ended.
    pub attempts: Vec<AttemptStats>,
    /// Attempts that ended after [`ATTEMPTS_KEPT`] others, and are in the job's event log alone.
    pub attempts_dropped: u64,
}

/// Attempts whose numbers a driver keeps in memory: some 20 MB.
pub const ATTEMPTS_KEPT: usize = 100_000;

/// The attempts of one job, as far as they are kept.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    pub(crate) kept: Vec<AttemptStats>,
    pub(crate) dropped: u64,
}

// === impl Attempts ===

impl Attempts {
    pub(crate) fn add(&mut self, rows: &[AttemptStats]) {
        let room = ATTEMPTS_KEPT.saturating_sub(self.kept.len()).min(rows.len());
        self.kept.extend_from_slice(&rows[..room]);
        self.dropped += (rows.len() - room) as u64;
    }
}

// === impl Summary ===

impl Summary {
    pub(crate) fn add(&mut self, stats: &Stats) {
        self.add_attempt(stats.bytes_read, stats.output_bytes, (stats.wall, stats.cpu));
        self.memory_peak = self.memory_peak.max(stats.memory_peak);
    }

    /// Adds an attempt's bytes, in and out, and its times. A host, or a log, says what it likes: sums
    /// end at the largest number.
    pub(crate) fn add_attempt(
        &mut self,
        read: u64,
        output: u64,
        (wall, cpu): (Duration, Duration),
    ) {
        self.bytes_read = self.bytes_read.saturating_add(read);
        self.output_bytes = self.output_bytes.saturating_add(output);
        self.task_time = self.task_time.saturating_add(wall);
        self.cpu_time = self.cpu_time.saturating_add(cpu);
    }
}

// === impl AttemptStats ===

impl AttemptStats {
    pub(crate) fn of(report: &Report, submitted: Duration, collected: Duration) -> Self {
        let row = Self::shared(report.index, 1, &report.stats, submitted, collected);
        Self { attempt: report.attempt, outcome: Ended::of(&report.outcome), ..row }
    }

    /// Tasks that shared an instance and succeeded.
    pub(crate) fn shared(
        first: u64,
        tasks: u64,
        stats: &Stats,
        submitted: Duration,
        collected: Duration,
    ) -> Self {
        let computed = stats.started.saturating_add(stats.wall);
        Self {
            task: first,
            tasks,
            attempt: 0,
            outcome: Ended::Success,
            submitted,
            started: stats.started,
            fetched: stats.started.saturating_add(stats.fetch),
            computed,
            stored: computed.saturating_add(stats.store),
            collected,
            wall: stats.wall,
            cpu: stats.cpu,
            memory_peak: stats.memory_peak,
            bytes_in: stats.bytes_read.saturating_add(stats.storage_read),
            bytes_out: stats.output_bytes.saturating_add(stats.storage_written),
            host_calls: stats.host_calls,
            fuel: stats.fuel,
        }
    }

    /// The attempt as a line of CSV (RFC 4180), its end included, with the columns of
    /// [`JobStats::COLUMNS`].
    pub fn to_csv_line(&self) -> String {
        // Numbers and bare words: nothing to quote.
        self.cells().join(",") + "\r\n"
    }

    fn cells(&self) -> [String; 17] {
        let seconds = |time: Duration| format!("{:.6}", time.as_secs_f64());
        [
            self.task.to_string(),
            self.tasks.to_string(),
            self.attempt.to_string(),
            self.outcome.name().to_owned(),
            seconds(self.submitted),
            seconds(self.started),
            seconds(self.fetched),
            seconds(self.computed),
            seconds(self.stored),
            seconds(self.collected),
            seconds(self.wall),
            seconds(self.cpu),
            self.memory_peak.to_string(),
            self.bytes_in.to_string(),
            self.bytes_out.to_string(),
            self.host_calls.to_string(),
            self.fuel.map_or(String::new(), |fuel| fuel.to_string()),
        ]
    }
}

// === impl Ended ===

impl Ended {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Success(_) => Self::Success,
            Outcome::Failed(_) => Self::Failed,
            Outcome::Trapped(_) => Self::Trapped,
            Outcome::LimitExceeded(_) => Self::LimitExceeded,
            _ => Self::Platform,
        }
    }

    /// The word for it in CSV, JSON and the command.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(samara::Ended::LimitExceeded.name(), "limit-exceeded");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Trapped => "trapped",
            Self::LimitExceeded => "limit-exceeded",
            Self::Platform => "platform",
        }
    }
}

// === impl JobStats ===

impl JobStats {
    /// Columns of [`to_csv`](Self::to_csv): times in seconds, points in time since the Unix epoch.
    pub const COLUMNS: [&str; 17] = [
        "task",
        "tasks",
        "attempt",
        "outcome",
        "submitted_s",
        "started_s",
        "fetched_s",
        "computed_s",
        "stored_s",
        "collected_s",
        "wall_s",
        "cpu_s",
        "memory_peak_bytes",
        "bytes_in",
        "bytes_out",
        "host_calls",
        "fuel",
    ];

    /// The attempts as CSV (RFC 4180), a header first.
    pub fn to_csv(&self) -> String {
        let mut csv = Self::COLUMNS.join(",");
        csv.push_str("\r\n");
        csv.extend(self.attempts.iter().map(AttemptStats::to_csv_line));
        csv
    }

    /// Everything as JSON; durations, and points in time since the Unix epoch, in seconds.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and names are JSON")
    }
}

/// Durations as seconds, which other programs read more easily than serde's pairs.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(time.as_secs_f64())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(from)?;
        Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(task: u64) -> AttemptStats {
        let mut stats = Stats::default();
        (stats.started, stats.wall) = (Duration::from_secs(10), Duration::from_millis(1500));
        (stats.fetch, stats.store) = (Duration::from_millis(250), Duration::from_millis(125));
        (stats.bytes_read, stats.storage_read, stats.output_bytes) = (7, 3, 5);
        AttemptStats::shared(task, 1, &stats, Duration::from_secs(9), Duration::from_secs(12))
    }

    /// A host says what it likes.
    #[test]
    fn any_numbers_of_a_host_can_be_added() {
        let mut stats = Stats::default();
        (stats.started, stats.wall, stats.cpu) = (Duration::MAX, Duration::MAX, Duration::MAX);
        (stats.fetch, stats.store) = (Duration::MAX, Duration::MAX);
        (stats.bytes_read, stats.storage_read, stats.output_bytes) = (u64::MAX, u64::MAX, u64::MAX);
        stats.storage_written = u64::MAX;
        let row = AttemptStats::shared(0, 1, &stats, Duration::MAX, Duration::MAX);
        assert_eq!((row.stored, row.bytes_in), (Duration::MAX, u64::MAX));
        let mut summary = Summary::default();
        (0..2).for_each(|_| summary.add(&stats));
        assert_eq!((summary.task_time, summary.output_bytes), (Duration::MAX, u64::MAX));
        assert!(!row.to_csv_line().is_empty());
    }

    #[test]
    fn an_attempts_points_in_time_are_in_order() {
        let row = row(0);
        let times =
            [row.submitted, row.started, row.fetched, row.computed, row.stored, row.collected];
        assert!(times.is_sorted(), "{times:?}");
        assert_eq!(row.stored, Duration::from_millis(11_625));
        assert_eq!((row.bytes_in, row.bytes_out), (10, 5));
    }

    #[test]
    fn csv_and_json_hold_every_attempt() {
        let (job, function) = (JobId::new(0, 0), "f".to_owned());
        let attempts = vec![row(0), row(1)];
        let stats =
            JobStats { job, function, summary: Summary::default(), attempts, attempts_dropped: 0 };
        let csv = stats.to_csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("0,1,0,success,9.000000,10.000000,10.250000,11.500000"));
        let columns = |line: &str| line.split(',').count();
        assert!(lines.iter().all(|line| columns(line) == JobStats::COLUMNS.len()));
        let json: serde_json::Value = serde_json::from_str(&stats.to_json()).unwrap();
        assert_eq!(json["attempts"][1]["outcome"], "success");
    }

    #[test]
    fn attempts_beyond_what_is_kept_are_counted() {
        let mut attempts = Attempts::default();
        let rows = vec![row(0); 60_000];
        attempts.add(&rows);
        attempts.add(&rows);
        assert_eq!((attempts.kept.len(), attempts.dropped), (ATTEMPTS_KEPT, 20_000));
    }
}
