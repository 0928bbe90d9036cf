//! From a job's inputs to its ledger of results: batches, retries, backups, time-outs,
//! cancellation.

mod backups;
mod batch;
mod pace;

use std::collections::{BTreeMap, VecDeque};
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use samara_core::{
    Batch, Cancel, Clock, Error, ErrorKind, LogLine, Outcome, Output, Report, Reports, Retry,
    Runtime, Stats, Task,
};
use tokio::sync::{Notify, mpsc, watch};

use crate::dispatch::backups::{Backed, Times};
use crate::dispatch::batch::{Event, InFlight, Watch};
use crate::dispatch::pace::Pace;
use crate::error::{Cause, TaskName};
use crate::feed::{Fed, Feed};
use crate::job::Numbers;
use crate::joblog::{Entry, JobLog};
use crate::ledger::{Ledger, TaskResult};
use crate::policy::{Backups, OnFailure, Retries};
use crate::progress::Progress;
use crate::summary::AttemptStats;
use crate::{TaskEnd, TaskError, timer};

/// Batches in flight per slot: while one runs the next one waits beside it.
const BATCHES_PER_SLOT: usize = 2;

/// Tasks that wait here at least, while there are more: several batches for every slot.
const QUEUE_MIN: usize = 4096;

/// How often a job with slow tasks is looked over for those that need a backup.
const BACKUP_TICK: Duration = Duration::from_millis(100);

/// How long guests of a cancelled job may take to stop before their tasks are given up. A running
/// one stops within some 10 ms; a worker that was lost, never.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// The last attempts of a task are its batch's alone: so many.
const ALONE_AT_LAST: u32 = 2;

/// How often a task may be given back undone before it counts as failed: hosts come and go, and one
/// that gives back all it gets is out of order.
const HANDED_BACK_MAX: u32 = 16;

/// How often a task may find its tenant's memory taken, or its worker at a bound of the platform's,
/// before that counts as an attempt. With the waits between attempts, which double, that takes minutes.
const THROTTLED_MAX: u32 = 16;

/// Events that are handled before batches are made again.
const EVENTS_AT_ONCE: usize = 256;

/// What the rest of a job comes to whose dispatcher panicked.
const GAVE_UP: &str = "the driver panicked over this job: in its callback for tasks that end, if it \
                       has one, or by a defect of Samara's";

/// Told of each task as it ends for good.
pub(crate) type OnEnd = Arc<dyn Fn(&TaskEnd<'_>) + Send + Sync>;

/// Everything that running one job needs.
pub(crate) struct Dispatch {
    pub(crate) runtime: Arc<dyn Runtime>,
    /// Everything of a batch but its tasks.
    pub(crate) template: Batch,
    pub(crate) policy: Policy,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) cancel: Cancel,
    /// Told when `cancel` was set.
    pub(crate) wake: Arc<Notify>,
    pub(crate) numbers: Arc<Numbers>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) progress: Progress,
    /// Where the job's history is written, where others can read it.
    pub(crate) log: Option<JobLog>,
    pub(crate) finished: watch::Sender<bool>,
}

/// What a job does about failures, stragglers and lost time.
#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) retries: Retries,
    pub(crate) backups: Option<Backups>,
    pub(crate) on_failure: OnFailure,
    pub(crate) time: Option<Duration>,
    pub(crate) on_end: Option<OnEnd>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retries: Retries::default(),
            backups: Some(Backups::default()),
            on_failure: OnFailure::default(),
            time: None,
            on_end: None,
        }
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("retries", &self.retries)
            .field("backups", &self.backups)
            .field("on_failure", &self.on_failure)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// A task that waits for a batch.
#[derive(Debug)]
struct Queued {
    task: Task,
    /// Its memory limit where that is not the job's: it goes alone.
    memory: Option<u64>,
}

/// A job under way.
struct Running {
    dispatch: Dispatch,
    feed: Feed,
    queue: VecDeque<Queued>,
    /// Retries by the time at which they are due.
    waiting: BTreeMap<(Duration, u64), Queued>,
    batches: BTreeMap<u64, InFlight>,
    invoking: FuturesUnordered<BoxFuture<'static, (u64, Result<(), Error>)>>,
    events: mpsc::UnboundedReceiver<Event>,
    sender: mpsc::UnboundedSender<Event>,
    pace: Pace,
    times: Times,
    backed: Backed,
    next_number: u64,
    retries: u64,
    /// How often workers gave tasks back.
    handed_back: BTreeMap<u64, u32>,
    /// Why the rest of the job is not done, and when its guests must have stopped.
    stopped: Option<(Error, Duration)>,
    results: Vec<(usize, TaskResult)>,
    rows: Vec<AttemptStats>,
    entries: Vec<Entry>,
    deadline: Option<Duration>,
    /// Whether the ledger knows that no more inputs come.
    closed: bool,
}

// === impl Dispatch ===

impl Dispatch {
    /// Runs every task of the feed, each to a result in the ledger.
    pub(crate) async fn run(self, feed: Feed) {
        let (ledger, cancel) = (Arc::clone(&self.ledger), self.cancel.clone());
        let (job, function) = (self.template.job, self.template.function.clone());
        if std::panic::AssertUnwindSafe(self.run_on(feed)).catch_unwind().await.is_ok() {
            return;
        }
        // A callback's panic, or a defect of ours. Whoever waits for the job is told.
        cancel.cancel();
        let error = Error::new(ErrorKind::Internal, GAVE_UP);
        let lost = |index: usize| {
            let (function, partition) = (function.clone(), None);
            let name = TaskName { job, function, index: index as u64, partition };
            (index, Err(TaskError::new(name, 1, Cause::Platform(error.clone()), Vec::new())))
        };
        ledger.end((0..ledger.counts().tasks).map(lost));
        ledger.close();
    }

    async fn run_on(self, feed: Feed) {
        let (sender, events) = mpsc::unbounded_channel();
        let deadline = self.policy.time.and_then(|time| timer::after(self.clock.monotonic(), time));
        let running = Running {
            dispatch: self,
            feed,
            queue: VecDeque::new(),
            waiting: BTreeMap::new(),
            batches: BTreeMap::new(),
            invoking: FuturesUnordered::new(),
            events,
            sender,
            pace: Pace::default(),
            times: Times::default(),
            backed: Backed::default(),
            next_number: 0,
            retries: 0,
            handed_back: BTreeMap::new(),
            stopped: None,
            results: Vec::new(),
            rows: Vec::new(),
            entries: Vec::new(),
            deadline,
            closed: false,
        };
        running.run().await;
    }
}

// === impl Running ===

impl Running {
    async fn run(mut self) {
        loop {
            self.take_inputs().await;
            self.check_stop();
            self.close_at_end();
            self.launch();
            self.flush().await;
            if self.is_over() {
                break;
            }
            self.wait().await;
        }
        self.finish().await;
    }

    /// Takes inputs that are there, as far as they are needed.
    async fn take_inputs(&mut self) {
        while self.wants_inputs() {
            let fed = poll_fn(|context| {
                std::task::Poll::Ready(match self.feed.poll_next(context) {
                    std::task::Poll::Ready(fed) => Some(fed),
                    std::task::Poll::Pending => None,
                })
            });
            match fed.await {
                Some(fed) => self.take_fed(fed),
                None => break,
            }
        }
    }

    /// Lets the ledger know when no more inputs come.
    fn close_at_end(&mut self) {
        if matches!(self.feed, Feed::Ended) && !self.closed {
            self.closed = true;
            self.dispatch.ledger.close();
        }
    }

    fn wants_inputs(&self) -> bool {
        let capacity = self.dispatch.runtime.capacity();
        let batch = self.pace.batch_size(capacity.batch_time);
        let enough =
            QUEUE_MIN.max(capacity.slots.saturating_mul(BATCHES_PER_SLOT).saturating_mul(batch));
        let open = !matches!(self.feed, Feed::Ended);
        match &self.stopped {
            Some(_) => open && self.feed.is_here(),
            None => open && self.queue.len() < enough && self.dispatch.ledger.has_room(),
        }
    }

    fn take_fed(&mut self, fed: Option<Fed>) {
        let Some(Fed { tasks, refused }) = fed else {
            self.feed = Feed::Ended;
            return;
        };
        let index = |task: &Task| usize::try_from(task.index).unwrap_or(usize::MAX);
        let last = tasks.iter().map(index).chain(refused.iter().map(|r| r.0));
        if let Some(last) = last.max() {
            self.dispatch.ledger.extend(last + 1);
        }
        self.queue.extend(tasks.into_iter().map(|task| Queued { task, memory: None }));
        for (index, cause) in refused {
            let task = Task {
                index: index as u64,
                attempt: 0,
                arguments: Default::default(),
                partition: None,
            };
            self.fail(&task, cause, Vec::new());
        }
    }

    /// Begins to stop the job where it was cancelled, or its time is over.
    fn check_stop(&mut self) {
        let now = self.dispatch.clock.monotonic();
        if self.stopped.is_none() {
            let why = match self.dispatch.cancel.is_cancelled() {
                true => Some(Error::new(ErrorKind::Cancelled, "the job was cancelled")),
                false => self.deadline.filter(|deadline| *deadline <= now).map(|_| {
                    let time = self.dispatch.policy.time.unwrap_or_default();
                    let text = format!("the job's time of {time:?} was over before it ended");
                    Error::new(ErrorKind::TimedOut, text).with_retry(Retry::Never)
                }),
            };
            why.into_iter().for_each(|why| self.stop(why));
        }
        let Some((why, grace)) = &self.stopped else { return };
        let (why, grace_over) = (why.clone(), *grace <= now);
        let waiting = std::mem::take(&mut self.waiting).into_values();
        let mut left: Vec<Task> = waiting.chain(self.queue.drain(..)).map(|q| q.task).collect();
        if grace_over {
            let batches = std::mem::take(&mut self.batches);
            left.extend(batches.into_values().flat_map(InFlight::into_left));
            self.invoking.clear();
        }
        left.iter().for_each(|task| self.fail(task, Cause::Platform(why.clone()), Vec::new()));
        if !self.feed.is_here() {
            self.feed = Feed::Ended;
        }
    }

    fn stop(&mut self, why: Error) {
        self.dispatch.cancel.cancel();
        let grace = self.dispatch.clock.monotonic().saturating_add(CANCEL_GRACE);
        self.stopped.get_or_insert((why, grace));
    }

    /// Hands batches to the runtime, as many as it takes.
    fn launch(&mut self) {
        let capacity = self.dispatch.runtime.capacity();
        let places = capacity.slots.saturating_mul(BATCHES_PER_SLOT);
        while self.batches.len() < places && self.stopped.is_none() {
            let Some(first) = self.queue.front() else { break };
            let (memory, is_alone) = (first.memory, self.goes_alone(first));
            let share = self.queue.len().div_ceil(places);
            let size = match is_alone {
                true => 1,
                false => {
                    let size = self.pace.batch_size(capacity.batch_time);
                    size.min(share).min(capacity.batch_tasks_max).max(1)
                }
            };
            let ordinary = self.queue.iter().take(size);
            let ordinary = ordinary.take_while(|queued| is_alone || !self.goes_alone(queued));
            let ordinary = together(ordinary.map(|queued| &queued.task), capacity.batch_bytes_max);
            let tasks = self.queue.drain(..ordinary).map(|queued| queued.task).collect();
            self.invoke(tasks, memory);
        }
    }

    /// Whether a task shares no batch: its memory is its own, or it has few attempts left. One that
    /// ends its host takes the others of its batch with it, which so have attempts without it.
    fn goes_alone(&self, queued: &Queued) -> bool {
        let (attempt, attempts) = (queued.task.attempt, self.dispatch.policy.retries.attempts);
        let is_late = attempt > 0 && attempt.saturating_add(ALONE_AT_LAST) >= attempts;
        queued.memory.is_some() || is_late
    }

    fn invoke(&mut self, tasks: Vec<Task>, memory: Option<u64>) {
        let dispatch = &self.dispatch;
        let mut batch = Batch { tasks, ..dispatch.template.clone() };
        let memory = memory.unwrap_or(batch.limits.memory_bytes);
        batch.limits.memory_bytes = memory;
        let capacity = dispatch.runtime.capacity();
        if let Some(time) = capacity.task_time_max {
            batch.limits.time = batch.limits.time.min(time);
        }
        if let Some(bytes) = capacity.task_memory_max {
            batch.limits.memory_bytes = batch.limits.memory_bytes.min(bytes);
        }
        let counts = dispatch.ledger.counts();
        if counts.known {
            batch.task_count = counts.tasks as u64;
        }
        let (batch, cancel) = (Arc::new(batch), dispatch.cancel.child());
        let number = self.number();
        let clock = Arc::clone(&self.dispatch.clock);
        let submitted = clock.unix();
        let watch = Arc::new(Watch::new(number, self.sender.clone(), clock));
        let (sent, cancelled) = ((Arc::clone(&batch), memory), cancel.clone());
        let in_flight = InFlight::new(sent, cancelled, Arc::clone(&watch), submitted);
        self.batches.insert(number, in_flight);
        let runtime = Arc::clone(&self.dispatch.runtime);
        let invoked = async move { (number, runtime.invoke(batch, cancel, watch).await) };
        self.invoking.push(Box::pin(invoked));
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn is_over(&self) -> bool {
        matches!(self.feed, Feed::Ended)
            && self.queue.is_empty()
            && self.waiting.is_empty()
            && self.closed
            && (self.batches.is_empty() || self.dispatch.ledger.is_complete())
    }

    /// Waits for something to happen, and takes note of it.
    async fn wait(&mut self) {
        let wants_inputs = self.wants_inputs();
        let waits_for_room = !wants_inputs && self.stopped.is_none();
        let due = self.next_due();
        let dispatch = &self.dispatch;
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep(due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            Some(event) = self.events.recv() => {
                self.take_event(event);
                self.take_events(EVENTS_AT_ONCE);
            }
            Some((number, result)) = self.invoking.next() => self.invoked(number, result),
            fed = poll_fn(|context| self.feed.poll_next(context)), if wants_inputs => self.take_fed(fed),
            () = dispatch.wake.notified() => {}
            () = dispatch.ledger.room.notified(), if waits_for_room => {}
            () = timer => self.tick(),
        }
    }

    /// How long until something is due by itself.
    fn next_due(&self) -> Option<Duration> {
        let now = self.dispatch.clock.monotonic();
        let retry = self.waiting.keys().next().map(|(due, _)| *due);
        let tasks = || self.dispatch.ledger.counts().tasks as u64;
        let policy = self.dispatch.policy.backups.as_ref();
        let backups = self.queue.is_empty()
            && !self.batches.is_empty()
            && policy.is_some_and(|policy| tasks() >= policy.tasks_min);
        let tick = backups.then(|| now.saturating_add(BACKUP_TICK));
        let grace = self.stopped.as_ref().map(|(_, grace)| *grace);
        let deadline = self.deadline.filter(|_| self.stopped.is_none());
        let due = [retry, tick, grace, deadline].into_iter().flatten().min()?;
        // What is due later is looked at again. The timer counts whole milliseconds: an early wake
        // would spin.
        Some(due.saturating_sub(now).min(timer::SLEEP_MAX) + Duration::from_millis(1))
    }

    /// Queues the retries that are due, and starts the backups that are called for.
    fn tick(&mut self) {
        let now = self.dispatch.clock.monotonic();
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().0 <= now) {
            self.queue.push_back(entry.remove());
        }
        self.start_backups(now);
    }

    fn take_events(&mut self, at_most: usize) {
        for _ in 0..at_most {
            match self.events.try_recv() {
                Ok(event) => self.take_event(event),
                Err(_) => break,
            }
        }
    }

    fn take_event(&mut self, (number, reports): Event) {
        // A batch that was given up: its tasks have their results.
        let Some(mut batch) = self.batches.remove(&number) else { return };
        batch.reported_at = Some(self.dispatch.clock.monotonic());
        match reports {
            Reports::Each(reports) => {
                for report in reports {
                    if let Some(task) = batch.take(report.index) {
                        self.take_report(&batch, &task, report);
                    }
                }
            }
            Reports::Shared(shared) => self.take_shared(&mut batch, *shared),
        }
        self.batches.insert(number, batch);
    }

    /// The runtime is done with a batch: what it did not report on is lost.
    fn invoked(&mut self, number: u64, result: Result<(), Error>) {
        // Reports come before this, by another way.
        self.take_events(usize::MAX);
        let Some(batch) = self.batches.remove(&number) else { return };
        let lost = || Error::new(ErrorKind::Lost, "its worker answered without a report on it");
        let error = result.err().unwrap_or_else(lost);
        let (memory, attempts) = (batch.memory(), batch.into_left());
        for task in attempts {
            self.failed(&task, Cause::Platform(error.clone()), Vec::new(), memory);
        }
    }

    fn take_report(&mut self, batch: &InFlight, task: &Task, report: Report) {
        let now = self.dispatch.clock.unix();
        self.pace.observe(report.stats.wall, 1);
        self.times.add(report.stats.wall);
        self.count(AttemptStats::of(&report, batch.submitted, now), &report.stats);
        self.forward(task, &report.log, report.log_dropped);
        let cause = match report.outcome {
            Outcome::Success(output) => {
                self.backed.end(task.index);
                return self.end(task.index, Ok(output));
            }
            Outcome::Failed(error) => Cause::Failed(error),
            Outcome::Trapped(trap) => Cause::Trapped(trap),
            Outcome::LimitExceeded(exceeded) => Cause::LimitExceeded(exceeded),
            Outcome::Platform(error) => Cause::Platform(error),
            _ => Cause::Platform(Error::new(
                ErrorKind::Internal,
                "its worker is newer than this driver and reports an outcome unknown here",
            )),
        };
        self.failed(task, cause, report.log, batch.memory());
    }

    fn take_shared(&mut self, batch: &mut InFlight, shared: samara_core::Shared) {
        let (Some(first), tasks) = (shared.indices.first(), shared.indices.len() as u64) else {
            return;
        };
        let wall = shared.stats.wall / u32::try_from(tasks).unwrap_or(u32::MAX);
        self.pace.observe(wall, tasks);
        self.times.add(wall);
        let now = self.dispatch.clock.unix();
        let row = AttemptStats::shared(*first, tasks, &shared.stats, batch.submitted, now);
        self.count(row, &shared.stats);
        let mut start = 0;
        for (index, end) in shared.indices.iter().zip(&shared.ends) {
            let end = *end as usize;
            // A task whose output is not there has no report, and so counts as lost.
            let there = start <= end && end <= shared.outputs.len();
            if there && batch.take(*index).is_some() {
                self.backed.end(*index);
                self.end(*index, Ok(Output::Inline(shared.outputs.slice(start..end))));
            }
            start = end;
        }
        for line in &shared.log {
            tracing::debug!(target: "samara::guest", job = %self.dispatch.template.job, level = ?line.level, "{}", line.message);
        }
        if self.dispatch.log.is_some() {
            let lines = shared.log.into_iter();
            self.entries.extend(lines.map(|line| Entry::Log { task: *first, attempt: 0, line }));
        }
    }

    /// Adds an attempt to the job's numbers.
    fn count(&mut self, row: AttemptStats, stats: &Stats) {
        self.dispatch.numbers.update(|summary| summary.add(stats));
        if self.dispatch.log.is_some() {
            self.entries.push(Entry::Attempt(Box::new(row.clone())));
        }
        self.rows.push(row);
    }

    /// An attempt failed: another is made, or the task has failed.
    fn failed(&mut self, task: &Task, cause: Cause, log: Vec<LogLine>, memory: u64) {
        if self.backed.lost_one(task.index) {
            // The other attempt goes on.
            return;
        }
        if let Some((why, _)) = &self.stopped {
            // Whatever the guest came to on being stopped.
            let cause = if cause.is_cancelled() { Cause::Platform(why.clone()) } else { cause };
            return self.fail(task, cause, log);
        }
        if let Some(times) = self.takes_back(task, &cause) {
            let wait = self.dispatch.policy.retries.wait(times, random());
            return self.queue_again(task.clone(), memory, wait);
        }
        let Policy { retries, .. } = &self.dispatch.policy;
        let tasks = self.dispatch.ledger.counts().tasks as u64;
        let admitted = retries.admit(&cause, memory).filter(|_| {
            task.attempt + 1 < retries.attempts && retries.affords(self.retries, tasks)
        });
        let Some(next_memory) = admitted else { return self.fail(task, cause, log) };
        let wait = retries.wait(task.attempt + 1, random());
        tracing::warn!(job = %self.dispatch.template.job, task = task.index, "trying again in {wait:?}: {cause}");
        self.retries += 1;
        self.dispatch.numbers.update(|summary| summary.retries += 1);
        let again = Task { attempt: task.attempt + 1, ..task.clone() };
        self.queue_again(again, next_memory, wait);
    }

    /// Whether a task is merely undone, which is no fault of anybody's: its worker was about to end, or
    /// others of its tenant had what it needs. Says how long to wait, as for that many attempts.
    fn takes_back(&mut self, task: &Task, cause: &Cause) -> Option<u32> {
        let Cause::Platform(Error { kind, .. }) = cause else { return None };
        let most = match kind {
            ErrorKind::HandedBack => HANDED_BACK_MAX,
            ErrorKind::Throttled => THROTTLED_MAX,
            _ => return None,
        };
        let times = self.handed_back.entry(task.index).or_default();
        *times += 1;
        let is_throttled = *kind == ErrorKind::Throttled;
        (*times <= most).then_some(if is_throttled { *times } else { 1 })
    }

    fn queue_again(&mut self, task: Task, memory: u64, wait: Duration) {
        let job_memory = self.dispatch.template.limits.memory_bytes;
        let memory = (memory != job_memory).then_some(memory);
        // One that is never due waits for the job's end.
        let due = timer::after(self.dispatch.clock.monotonic(), wait).unwrap_or(Duration::MAX);
        let due = (due, self.number());
        self.waiting.insert(due, Queued { task, memory });
    }

    fn fail(&mut self, task: &Task, cause: Cause, log: Vec<LogLine>) {
        let name = TaskName {
            job: self.dispatch.template.job,
            function: self.dispatch.template.function.clone(),
            index: task.index,
            partition: task.partition.as_deref().cloned(),
        };
        self.end(task.index, Err(TaskError::new(name, task.attempt + 1, cause, log)));
    }

    fn end(&mut self, index: u64, result: TaskResult) {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.results.push((index, result));
    }

    /// Makes known what happened since the last time.
    async fn flush(&mut self) {
        if !self.results.is_empty() {
            self.publish();
        }
        if !self.rows.is_empty() {
            let attempts = self.dispatch.numbers.attempts.lock();
            attempts.unwrap_or_else(std::sync::PoisonError::into_inner).add(&self.rows);
            self.rows.clear();
        }
        if let Some(log) = &self.dispatch.log
            && !self.entries.is_empty()
        {
            log.write(std::mem::take(&mut self.entries)).await;
        }
    }

    fn publish(&mut self) {
        let mut results = std::mem::take(&mut self.results);
        let ledger = Arc::clone(&self.dispatch.ledger);
        // A task that ran twice has one result: the first.
        let mut seen = std::collections::BTreeSet::new();
        let doubtful = self.backed.ever();
        results
            .retain(|(index, _)| !doubtful || (ledger.is_waiting(*index) && seen.insert(*index)));
        let (all, errors) =
            (results.len() as u64, results.iter().filter_map(|(_, r)| r.as_ref().err()));
        let (cancelled, failed): (Vec<_>, Vec<_>) = errors.partition(|e| e.cause.is_cancelled());
        let (cancelled, failed) = (cancelled.len() as u64, failed.len() as u64);
        self.dispatch.numbers.update(|summary| {
            summary.succeeded += all - failed - cancelled;
            summary.failed += failed;
            summary.cancelled += cancelled;
        });
        self.dispatch.progress.advance(all);
        if let Some(on_end) = &self.dispatch.policy.on_end {
            for (index, result) in &results {
                let end = TaskEnd {
                    job: self.dispatch.template.job,
                    index: *index,
                    error: result.as_ref().err(),
                };
                on_end(&end);
            }
        }
        if self.dispatch.log.is_some() {
            let recorded = results.iter().map(|(index, result)| Entry::result(*index, result));
            self.entries.extend(recorded);
        }
        ledger.end(results);
        self.judge();
    }

    /// Stops the job where too many of its tasks have failed.
    fn judge(&mut self) {
        let (counts, on_failure) = (self.dispatch.ledger.counts(), self.dispatch.policy.on_failure);
        // A part is a part of all, which has to be known.
        let can_tell = counts.known || on_failure == OnFailure::Stop;
        if counts.failed == 0 || self.stopped.is_some() || !can_tell {
            return;
        }
        if let Some(why) = on_failure.verdict(counts.failed as u64, counts.tasks as u64) {
            self.stop(why);
            self.dispatch.wake.notify_one();
        }
    }

    /// Hands a task's log to the driver's own, and to the job's.
    fn forward(&mut self, task: &Task, log: &[LogLine], dropped: u64) {
        let job = self.dispatch.template.job;
        for line in log {
            tracing::debug!(target: "samara::guest", %job, task = task.index, level = ?line.level, "{}", line.message);
        }
        if dropped > 0 {
            tracing::warn!(%job, task = task.index, "{dropped} log lines were dropped: limit log_bytes");
        }
        if self.dispatch.log.is_some() {
            let (task, attempt) = (task.index, task.attempt);
            let lines = log.iter().cloned();
            self.entries.extend(lines.map(|line| Entry::Log { task, attempt, line }));
        }
    }

    async fn finish(mut self) {
        self.flush().await;
        // Attempts that lost against another.
        self.batches.values().for_each(|batch| batch.cancel.cancel());
        self.dispatch.progress.finish();
        if let Some(log) = self.dispatch.log.take() {
            let summary = self.dispatch.numbers.summary(&self.dispatch.ledger);
            log.finish(summary, self.stopped.as_ref().map(|(why, _)| why.message.clone())).await;
        }
        let _nobody_waits = self.dispatch.finished.send(true);
    }
}

/// How many of these tasks travel together: one at least, and no more bytes than allowed.
fn together<'a>(tasks: impl Iterator<Item = &'a Task>, bytes_max: u64) -> usize {
    if bytes_max == u64::MAX {
        return tasks.count();
    }
    let fits = |sum: &mut u64, task: &Task| {
        let first = *sum == 0;
        *sum += task.travel_bytes();
        (first || *sum <= bytes_max).then_some(())
    };
    tasks.scan(0, fits).count()
}

/// A random byte; without one the waits are merely in step.
fn random() -> u8 {
    let mut random = [0_u8; 1];
    let _in_step = getrandom::fill(&mut random);
    random[0]
}

#[cfg(test)]
mod tests;
