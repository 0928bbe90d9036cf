//! A job's history in its store: what its attempts came to, what its tasks logged, their results.
//!
//! Object stores cannot append, so a log is written in numbered parts, each whole. Events are JSON
//! lines, for people and programs of any kind; results are CBOR, for drivers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use samara_core::{Cancel, Clock, JobId, LogLine, Output, layout};
use samara_store::{Location, PutOptions, StoreExt};
use samara_wit::value;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;

use crate::error::Failure;
use crate::ledger::TaskResult;
use crate::manifest::{Manifest, TASKS_MAX};
use crate::summary::{AttemptStats, Summary};

/// How often what happened is written, where little happens.
const PART_TIME: Duration = Duration::from_secs(1);

/// Bytes of a part, where much happens.
const PART_BYTES: usize = 4 << 20;

/// How often a job says that its driver lives, where nothing else does.
pub(crate) const ALIVE_TIME: Duration = Duration::from_secs(5);

/// Entries on their way to the log.
const BUNDLES_MAX: usize = 64;

/// Something that happened in a job.
#[derive(Debug)]
pub(crate) enum Entry {
    Attempt(Box<AttemptStats>),
    Log { task: u64, attempt: u32, line: LogLine },
    Result { task: u64, result: Recorded },
}

/// A line of the event log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Line {
    Attempt(Box<AttemptStats>),
    Log {
        task: u64,
        attempt: u32,
        #[serde(flatten)]
        line: LogLine,
    },
    End {
        task: u64,
        error: Option<String>,
        /// Whether the error is that nobody wanted the task any more.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cancelled: bool,
    },
}

/// What a task came to, for another process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Recorded {
    Value(Output),
    Failed(Failure),
}

/// How a job ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct End {
    /// Number of parts of the results.
    pub(crate) parts: u64,
    pub(crate) summary: Summary,
    /// Why not all of it was done.
    pub(crate) stopped: Option<String>,
}

/// The dispatcher's end of a job's log.
#[derive(Debug)]
pub(crate) struct JobLog {
    sender: mpsc::Sender<Bundle>,
    written: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
enum Bundle {
    Entries(Vec<Entry>),
    Finish(Box<Summary>, Option<String>),
}

struct Writer {
    job: JobId,
    /// What is still to be written before the log.
    manifest: Option<Manifest>,
    store: Location,
    cancel: Cancel,
    wake: Arc<Notify>,
    events: Vec<u8>,
    results: Vec<(u64, Recorded)>,
    results_bytes: usize,
    event_parts: u64,
    result_parts: u64,
    clock: Arc<dyn Clock>,
    /// When events were written last, by the monotonic clock.
    last: Duration,
}

// === impl Entry ===

impl Entry {
    pub(crate) fn result(index: usize, result: &TaskResult) -> Self {
        let result = match result {
            Ok(output) => Recorded::Value(output.clone()),
            Err(error) => Recorded::Failed(Failure::of(error)),
        };
        Self::Result { task: index as u64, result }
    }
}

// === impl Recorded ===

impl Recorded {
    pub(crate) fn into_result(self, job: JobId, function: &str, index: u64) -> TaskResult {
        match self {
            Self::Value(output) => Ok(output),
            Self::Failed(failure) => Err(failure.into_error(job, function, index)),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Value(Output::Inline(bytes)) => bytes.len(),
            _ => 256,
        }
    }
}

// === impl JobLog ===

impl JobLog {
    /// Starts to write a job's log; also looks whether somebody asks for the job's end. Where the
    /// manifest is handed over, it and the log are for jobs that do not end soon and well: others
    /// leave nothing.
    pub(crate) fn start(
        (job, manifest): (JobId, Option<Manifest>),
        store: Location,
        cancel: Cancel,
        wake: Arc<Notify>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(BUNDLES_MAX);
        let writer = Writer {
            job,
            manifest,
            store,
            cancel,
            wake,
            events: Vec::new(),
            results: Vec::new(),
            results_bytes: 0,
            event_parts: 0,
            result_parts: 0,
            last: clock.monotonic(),
            clock,
        };
        Self { sender, written: tokio::spawn(writer.run(receiver)) }
    }

    /// Waits where the store is slower than the job.
    pub(crate) async fn write(&self, entries: Vec<Entry>) {
        // The writer ends after this end of the channel.
        let _written = self.sender.send(Bundle::Entries(entries)).await;
    }

    /// Writes the rest and how the job ended.
    pub(crate) async fn finish(self, summary: Summary, stopped: Option<String>) {
        let _written = self.sender.send(Bundle::Finish(Box::new(summary), stopped)).await;
        drop(self.sender);
        if let Err(error) = self.written.await {
            tracing::warn!("writing a job's log ended: {error}");
        }
    }
}

// === impl Writer ===

impl Writer {
    async fn run(mut self, mut bundles: mpsc::Receiver<Bundle>) {
        let mut tick = tokio::time::interval(PART_TIME);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        loop {
            tokio::select! {
                bundle = bundles.recv() => match bundle {
                    Some(Bundle::Entries(entries)) => {
                        entries.into_iter().for_each(|entry| self.add(entry));
                        if self.events.len() + self.results_bytes >= PART_BYTES {
                            self.write_manifest().await;
                            self.write_parts().await;
                        }
                    }
                    Some(Bundle::Finish(summary, stopped)) => {
                        if self.needs_no_record(&summary, stopped.as_deref()) {
                            return;
                        }
                        self.write_manifest().await;
                        self.write_parts().await;
                        self.write_end(*summary, stopped).await;
                        return;
                    }
                    None => return self.write_parts().await,
                },
                _ = tick.tick() => {
                    self.write_manifest().await;
                    self.look_for_cancel().await;
                    self.write_parts().await;
                    if self.clock.monotonic().saturating_sub(self.last) >= ALIVE_TIME {
                        // An empty part says that the driver lives.
                        self.write_events().await;
                    }
                }
            }
        }
    }

    /// Whether nobody would look for what is written of the job: it ended soon and well, and left
    /// nothing in the store that was to be removed by its name.
    fn needs_no_record(&self, summary: &Summary, stopped: Option<&str>) -> bool {
        let is_inline =
            |(_, result): &(u64, Recorded)| matches!(result, Recorded::Value(Output::Inline(_)));
        self.manifest.is_some()
            && summary.failed + summary.cancelled == 0
            && stopped.is_none()
            && self.results.iter().all(is_inline)
    }

    async fn write_manifest(&mut self) {
        if let Some(manifest) = self.manifest.take() {
            manifest.write_late(&self.store).await;
        }
    }

    fn add(&mut self, entry: Entry) {
        let line = match entry {
            Entry::Attempt(attempt) => Line::Attempt(attempt),
            Entry::Log { task, attempt, line } => Line::Log { task, attempt, line },
            Entry::Result { task, result } => {
                let (error, cancelled) = match &result {
                    Recorded::Value(_) => (None, false),
                    Recorded::Failed(Failure { cause, .. }) => {
                        (Some(cause.to_string()), cause.is_cancelled())
                    }
                };
                self.results_bytes += result.size();
                self.results.push((task, result));
                Line::End { task, error, cancelled }
            }
        };
        serde_json::to_writer(&mut self.events, &line).expect("names and numbers are JSON");
        self.events.push(b'\n');
    }

    async fn write_parts(&mut self) {
        if !self.results.is_empty() {
            let results = std::mem::take(&mut self.results);
            self.results_bytes = 0;
            let bytes = value::encode(&results).expect("bytes and texts are CBOR");
            let key = layout::result_part(&self.job, self.result_parts);
            self.result_parts += 1;
            self.put(&key, bytes).await;
        }
        if !self.events.is_empty() {
            self.write_events().await;
        }
    }

    async fn write_events(&mut self) {
        let events = std::mem::take(&mut self.events);
        let key = layout::event_part(&self.job, self.event_parts);
        self.event_parts += 1;
        self.last = self.clock.monotonic();
        self.put(&key, events).await;
    }

    async fn write_end(&self, summary: Summary, stopped: Option<String>) {
        let end = End { parts: self.result_parts, summary, stopped };
        let bytes = serde_json::to_vec(&end).expect("names and numbers are JSON");
        self.put(&layout::end(&self.job), bytes).await;
    }

    /// The job goes on without its log: its results are in this process.
    async fn put(&self, key: &str, bytes: Vec<u8>) {
        let store = self.store.join(key);
        let put = store.store.put(&store.key, Bytes::from(bytes), PutOptions::default());
        if let Err(error) = put.await {
            tracing::warn!(job = %self.job, "writing the job's log: {}", error.in_full());
        }
    }

    async fn look_for_cancel(&self) {
        let marker = self.store.join(&layout::cancel(&self.job));
        if matches!(marker.store.exists(&marker.key).await, Ok(true)) {
            self.cancel.cancel();
            self.wake.notify_one();
        }
    }
}

/// Reads one part of a job's results; none where it is not written yet.
pub(crate) async fn read_results(
    job: &JobId,
    store: &Location,
    part: u64,
) -> Result<Option<Vec<(u64, Recorded)>>, crate::Error> {
    let part = store.join(&layout::result_part(job, part));
    match part.store.read(&part.key).await {
        Ok(bytes) => {
            let damaged = |why: &dyn std::fmt::Display| {
                crate::Error::Invalid(format!("{} is damaged: {why}", part.url()))
            };
            let results: Vec<(u64, Recorded)> =
                value::decode(&bytes).map_err(|error| damaged(&error))?;
            match results.iter().find(|(index, _)| *index >= TASKS_MAX) {
                Some((index, _)) => Err(damaged(&format_args!("a task {index}"))),
                None => Ok(Some(results)),
            }
        }
        Err(samara_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// How a job ended; none where it has not, or its driver was lost.
pub(crate) async fn read_end(job: &JobId, store: &Location) -> Result<Option<End>, crate::Error> {
    let end = store.join(&layout::end(job));
    match end.store.read(&end.key).await {
        Ok(bytes) => {
            let damaged = |why: &dyn std::fmt::Display| {
                crate::Error::Invalid(format!("{} is damaged: {why}", end.url()))
            };
            let end: End = serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?;
            match end.summary.tasks {
                tasks if tasks > TASKS_MAX => Err(damaged(&format_args!("{tasks} tasks"))),
                _ => Ok(Some(end)),
            }
        }
        Err(samara_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
