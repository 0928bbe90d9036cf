//! From a job's queue of tasks to its ledger of results: batches, retries, cancellation.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use samara_core::{
    Batch, Cancel, Error, ErrorKind, Outcome, Output, Report, Retry, Runtime, Task, layout,
};
use samara_store::{Location, StoreExt};
use tokio::sync::mpsc;

use crate::TaskError;
use crate::error::{Cause, TaskName};
use crate::job::SharedSummary;
use crate::ledger::Ledger;
use crate::progress::Progress;

/// Attempts of a task that the platform fails.
const ATTEMPTS_MAX: u32 = 4;

/// Wait before the second attempt; doubles with each further one.
const BACKOFF: Duration = Duration::from_millis(100);

/// Batches in flight per slot: while one runs the next one waits beside it.
const BATCHES_PER_SLOT: usize = 2;

/// What a batch of tiny tasks should take: long against what a batch costs (some 20 µs), short
/// against what a person notices.
const BATCH_TIME: Duration = Duration::from_millis(4);

/// Everything that running one job needs.
pub(crate) struct Dispatch {
    pub(crate) runtime: Arc<dyn Runtime>,
    /// The job's store.
    pub(crate) store: Location,
    /// Whether stored outputs are to be removed once they are here.
    pub(crate) ephemeral: bool,
    /// Everything of a batch but its tasks.
    pub(crate) template: Batch,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) cancel: Cancel,
    pub(crate) summary: Arc<SharedSummary>,
    pub(crate) progress: Progress,
}

/// What the dispatcher waits for.
enum Event {
    Batch(Arc<Batch>, Result<Vec<Report>, Error>),
    Retry(Task),
    Fed(mpsc::UnboundedReceiver<Task>, Option<Task>),
}

/// How long this job's tasks take, and so how many of them make a batch.
#[derive(Debug, Default)]
struct Pace {
    mean: Option<Duration>,
}

// === impl Dispatch ===

impl Dispatch {
    /// Runs every task that comes out of `feed` until it is closed, each to a result in the ledger.
    pub(crate) async fn run(self, mut queue: VecDeque<Task>, feed: mpsc::UnboundedReceiver<Task>) {
        let mut events: FuturesUnordered<BoxFuture<'_, Event>> = FuturesUnordered::new();
        let capacity = self.runtime.capacity();
        let mut batches = 0;
        let mut pace = Pace::default();
        events.push(Box::pin(next_fed(feed)));
        loop {
            while batches < capacity.slots * BATCHES_PER_SLOT && !queue.is_empty() {
                let share = queue.len().div_ceil(capacity.slots * BATCHES_PER_SLOT);
                let size = pace.batch_size().min(share).min(capacity.batch_tasks_max);
                let tasks = queue.drain(..size).collect();
                events.push(Box::pin(self.invoke(tasks)));
                batches += 1;
            }
            match events.next().await {
                Some(Event::Batch(batch, result)) => {
                    batches -= 1;
                    for task in self.take_reports(&batch, result, &mut pace).await {
                        let wait = backoff(task.attempt);
                        events.push(Box::pin(async move {
                            tokio::time::sleep(wait).await;
                            Event::Retry(task)
                        }));
                    }
                }
                Some(Event::Retry(task) | Event::Fed(_, Some(task))) if self.is_cancelled() => {
                    self.fail(&task, cancelled(), Vec::new());
                }
                Some(Event::Retry(task)) => queue.push_back(task),
                Some(Event::Fed(feed, Some(task))) => {
                    queue.push_back(task);
                    events.push(Box::pin(next_fed(feed)));
                }
                Some(Event::Fed(_, None)) => {}
                None => break,
            }
            if self.is_cancelled() {
                queue.drain(..).for_each(|task| self.fail(&task, cancelled(), Vec::new()));
            }
        }
        self.progress.finish();
    }

    async fn invoke(&self, tasks: Vec<Task>) -> Event {
        let batch = Arc::new(Batch { tasks, ..self.template.clone() });
        let result = self.runtime.invoke(Arc::clone(&batch), self.cancel.clone()).await;
        Event::Batch(batch, result)
    }

    /// Enters a batch's reports in the ledger; returns the tasks to be tried again.
    async fn take_reports(
        &self,
        batch: &Batch,
        result: Result<Vec<Report>, Error>,
        pace: &mut Pace,
    ) -> Vec<Task> {
        let (reports, missing) = match result {
            Ok(reports) => {
                let error =
                    Error::new(ErrorKind::Lost, "its worker answered without a report on it");
                (reports, error)
            }
            Err(error) => (Vec::new(), error),
        };
        let mut again = Vec::new();
        let mut left: BTreeSet<usize> = (0..batch.tasks.len()).collect();
        // Reports mostly come in the order of the tasks.
        for (guess, report) in reports.into_iter().enumerate() {
            let is_its = |&at: &usize| batch.tasks[at].index == report.index;
            let in_order = Some(guess).filter(|at| *at < batch.tasks.len()).filter(is_its);
            let at = in_order.or_else(|| (0..batch.tasks.len()).find(is_its));
            let Some(at) = at.filter(|at| left.remove(at)) else { continue };
            pace.observe(report.stats.wall);
            again.extend(self.take_report(&batch.tasks[at], report).await);
        }
        for at in left {
            again.extend(self.retry_or_fail(&batch.tasks[at], missing.clone(), Vec::new()));
        }
        again
    }

    async fn take_report(&self, task: &Task, report: Report) -> Option<Task> {
        let Report { outcome, log, log_dropped, stats, .. } = report;
        self.forward(task, &log, log_dropped);
        self.summary.update(|summary| {
            summary.bytes_read += stats.bytes_read;
            summary.task_time += stats.wall;
            summary.memory_peak = summary.memory_peak.max(stats.memory_peak);
        });
        let cause = match outcome {
            Outcome::Success(output) => match self.fetch(task.index, output).await {
                Ok(bytes) => {
                    self.end(task, Ok(bytes));
                    return None;
                }
                Err(error) => return self.retry_or_fail(task, error, log),
            },
            Outcome::Failed(error) => Cause::Failed(error),
            Outcome::Trapped(trap) => Cause::Trapped(trap),
            Outcome::LimitExceeded(exceeded) => Cause::LimitExceeded(exceeded),
            Outcome::Platform(error) => return self.retry_or_fail(task, error, log),
            _ => Cause::Platform(Error::new(
                ErrorKind::Internal,
                "its worker is newer than this driver and reports an outcome unknown here",
            )),
        };
        self.fail(task, cause, log);
        None
    }

    /// Brings a stored output here.
    async fn fetch(&self, index: u64, output: Output) -> Result<Bytes, Error> {
        if let Output::Inline(bytes) = output {
            return Ok(bytes);
        }
        let location = self.store.join(&layout::output(&self.template.job, index));
        let failed = |error: samara_store::Error| {
            let retry = if error.retry() { Retry::Later } else { Retry::Never };
            Error::new(ErrorKind::Store, format!("fetching its output: {}", error.in_full()))
                .with_retry(retry)
        };
        let bytes = location.store.read(&location.key).await.map_err(failed)?;
        if self.ephemeral {
            location.store.delete(&location.key).await.map_err(failed)?;
        }
        Ok(bytes)
    }

    fn retry_or_fail(
        &self,
        task: &Task,
        error: Error,
        log: Vec<samara_core::LogLine>,
    ) -> Option<Task> {
        let may = error.retry == Retry::Later && task.attempt + 1 < ATTEMPTS_MAX;
        if may && !self.is_cancelled() {
            tracing::warn!(job = %self.template.job, task = task.index, "trying again: {error}");
            self.summary.update(|summary| summary.retries += 1);
            return Some(Task { attempt: task.attempt + 1, ..task.clone() });
        }
        self.fail(task, Cause::Platform(error), log);
        None
    }

    fn fail(&self, task: &Task, cause: Cause, log: Vec<samara_core::LogLine>) {
        let name = TaskName {
            job: self.template.job,
            function: self.template.function.clone(),
            index: task.index,
            partition: task.partition.clone(),
        };
        self.end(task, Err(TaskError::new(name, task.attempt + 1, cause, log)));
    }

    fn end(&self, task: &Task, result: Result<Bytes, TaskError>) {
        self.summary.update(|summary| match result {
            Ok(_) => summary.succeeded += 1,
            Err(_) => summary.failed += 1,
        });
        self.progress.step();
        let index = usize::try_from(task.index).unwrap_or(usize::MAX);
        self.ledger.end(index, result);
    }

    /// Hands a task's log to the driver's own.
    fn forward(&self, task: &Task, log: &[samara_core::LogLine], dropped: u64) {
        let (job, task) = (self.template.job, task.index);
        for line in log {
            tracing::debug!(target: "samara::guest", %job, task, level = ?line.level, "{}", line.message);
        }
        if dropped > 0 {
            tracing::warn!(%job, task, "{dropped} log lines were dropped: limit log_bytes");
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

// === impl Pace ===

impl Pace {
    /// Weight of the newest task in the running mean: the pace follows within some ten tasks.
    const WEIGHT: u32 = 8;

    fn observe(&mut self, wall: Duration) {
        self.mean = Some(match self.mean {
            Some(mean) => (mean * (Self::WEIGHT - 1) + wall) / Self::WEIGHT,
            None => wall,
        });
    }

    /// Tasks that take about [`BATCH_TIME`]. One while nothing is known: long tasks go alone.
    fn batch_size(&self) -> usize {
        let Some(mean) = self.mean else { return 1 };
        let tasks = BATCH_TIME.as_nanos() / mean.as_nanos().max(1);
        usize::try_from(tasks).unwrap_or(usize::MAX).max(1)
    }
}

async fn next_fed(mut feed: mpsc::UnboundedReceiver<Task>) -> Event {
    let task = feed.recv().await;
    Event::Fed(feed, task)
}

fn cancelled() -> Cause {
    Cause::Platform(Error::new(ErrorKind::Cancelled, "the job was cancelled"))
}

/// Exponential, with up to half of it taken off at random so that retries do not come together.
fn backoff(attempt: u32) -> Duration {
    let full = BACKOFF * 2_u32.saturating_pow(attempt.saturating_sub(1));
    let mut random = [0_u8; 1];
    // Without random bytes the waits are merely in step.
    let _in_step = getrandom::fill(&mut random);
    full - full / 2 * u32::from(random[0]) / 255
}

#[cfg(test)]
mod tests;
