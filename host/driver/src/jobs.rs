//! Jobs of a named store: listed, looked at, cancelled and removed, by any process.
//!
//! All of it is read from the objects that a job's driver writes ([`crate::joblog`]); the driver
//! itself is never asked. For the results of another process's job see [`crate::reference`].

use std::collections::VecDeque;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use samara_core::{ComponentId, JobId, Level, LogLine, layout};
use samara_store::{ListOptions, Location, StoreExt};
use serde::Serialize;

use crate::joblog::{self, End, Line};
use crate::manifest::Manifest;
use crate::reference::{ASK_FIRST, ASK_LAST, SILENCE_MAX};
use crate::summary::{Attempts, seconds};
use crate::{AttemptStats, Error, Executor, JobStats, Summary};

/// Jobs that are looked at side by side: enough to hide a store's latency.
const LOOKS: usize = 8;

/// Objects of a job that are removed side by side, for the same reason.
const REMOVED_AT_ONCE: usize = 16;

/// What is known of a job from its store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobStatus {
    /// The job.
    pub id: JobId,
    /// The function.
    pub function: String,
    /// The component.
    pub component: ComponentId,
    /// URL of the runtime it was submitted to.
    pub runtime: String,
    /// When it was submitted, since the Unix epoch, by its driver's clock.
    #[serde(with = "seconds", rename = "submitted_s")]
    pub submitted: Duration,
    /// Number of its tasks, where that is known.
    pub tasks: Option<u64>,
    /// Whether it goes on.
    #[serde(flatten)]
    pub state: JobState,
    /// Tasks that came to a value so far.
    pub succeeded: u64,
    /// Tasks that came to an error so far, but for those that were cancelled.
    pub failed: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// The job in numbers, once it has ended.
    pub summary: Option<Summary>,
}

/// Whether a job goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum JobState {
    /// Its driver is at work.
    Running,
    /// All its tasks have ended.
    Ended,
    /// It ended before all of it was done, and why.
    Stopped(String),
    /// Its driver is gone: it wrote no end, and nothing for 30 seconds.
    Lost,
}

/// A line that a task logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobLine {
    /// The task's number, from 0.
    pub task: u64,
    /// The attempt's number, from 0.
    pub attempt: u32,
    /// Its weight.
    pub level: Level,
    /// Its text.
    pub message: String,
}

/// The lines that a job's tasks logged, as they come.
pub type JobLines = BoxStream<'static, Result<JobLine, Error>>;

/// Which lines of a job's log, and whether to wait for more. The default is all that are there.
///
/// ```
/// use samara::LogOptions;
///
/// let live = LogOptions::default().task(7).follow(true);
/// assert_ne!(live, LogOptions::default());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogOptions {
    task: Option<u64>,
    follow: bool,
}

/// Reads a job's event log, part after part.
struct Parts {
    executor: Executor,
    id: JobId,
    after: Option<String>,
    keys: VecDeque<String>,
    /// When the newest part was written, in milliseconds since the Unix epoch, where the store
    /// says.
    newest_ms: Option<u64>,
    /// Whether there is any part.
    any: bool,
}

/// What a job's event log says in all.
#[derive(Default)]
struct Seen {
    succeeded: u64,
    failed: u64,
    cancelled: u64,
    retries: u64,
    summary: Summary,
    attempts: Attempts,
    last: Duration,
}

// === impl LogOptions ===

impl LogOptions {
    /// Only the lines of one task.
    #[must_use]
    pub fn task(self, task: u64) -> Self {
        Self { task: Some(task), ..self }
    }

    /// Waits for further lines until the job has ended.
    #[must_use]
    pub fn follow(self, follow: bool) -> Self {
        Self { follow, ..self }
    }
}

// === impl JobStatus ===

impl JobStatus {
    /// Enters how many tasks succeeded, failed and were cancelled.
    fn count(&mut self, (succeeded, failed, cancelled): (u64, u64, u64)) {
        (self.succeeded, self.failed, self.cancelled) = (succeeded, failed, cancelled);
    }
}

// === impl JobState ===

impl JobState {
    /// The word for it in JSON and the command: `running`, `ended`, `stopped` or `lost`.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(samara::JobState::Lost.name(), "lost");
    /// ```
    pub fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Stopped(_) => "stopped",
            Self::Lost => "lost",
        }
    }
}

// === impl Executor ===

impl Executor {
    /// The jobs in the executor's store, the newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the store is private to this executor; [`Error::Store`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), samara::Error> {
    /// let executor = samara::Executor::builder().store("/data/samara").build()?;
    /// let newest = executor.job_ids().await?.into_iter().next();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn job_ids(&self) -> Result<Vec<JobId>, Error> {
        self.check_named()?;
        let this = self.clone();
        let listed = async move {
            let jobs = this.store_location().join(layout::JOBS);
            let options = ListOptions { slashes: Some(1), ..ListOptions::default() };
            let mut entries = jobs.store.list_from(&jobs.key, options);
            let mut ids = Vec::new();
            while let Some(entry) = entries.try_next().await? {
                let name = entry.key.strip_prefix(&jobs.key).and_then(|key| key.split_once('/'));
                if let Some((id, "manifest.json")) = name {
                    // What is no job's is somebody else's object.
                    ids.extend(id.parse::<JobId>().ok());
                }
            }
            ids.sort_unstable_by(|a, b| b.cmp(a));
            Ok(ids)
        };
        self.clone().on_io(listed).await
    }

    /// At most `limit` jobs in the executor's store, the newest first. Of those that have not ended
    /// the event log is read.
    ///
    /// # Errors
    ///
    /// As [`job_ids`](Self::job_ids). A job whose objects are damaged is left out, with a warning.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), samara::Error> {
    /// let executor = samara::Executor::builder().store("/data/samara").build()?;
    /// for job in executor.jobs(10).await? {
    ///     println!("{} {} {}", job.id, job.function, job.state.name());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn jobs(&self, limit: usize) -> Result<Vec<JobStatus>, Error> {
        let ids = self.job_ids().await?;
        let looks = ids.into_iter().take(limit).map(|id| async move {
            let status = self.job_status(id).await;
            if let Err(error) = &status {
                // Removed meanwhile, or damaged: no reason to show none of the others.
                tracing::warn!(job = %id, "leaving out job {id}: {error}");
            }
            status.ok()
        });
        let looks = stream::iter(looks).buffered(LOOKS);
        Ok(looks.filter_map(|status| async { status }).collect().await)
    }

    /// What a job has come to. The clock of this machine and that of the store should agree to a
    /// few seconds: they tell a job that is running from one whose driver is lost. In a store that
    /// knows no time of modification, no job counts as lost.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] where there is no such job; [`Error::Invalid`] where the store is private
    /// to this executor, or the job's objects are damaged.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(executor: samara::Executor, id: samara::JobId)
    /// #     -> Result<(), samara::Error> {
    /// let status = executor.job_status(id).await?;
    /// println!("{} succeeded, {} failed", status.succeeded, status.failed);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn job_status(&self, id: JobId) -> Result<JobStatus, Error> {
        self.check_named()?;
        let this = self.clone();
        self.clone().on_io(async move { look(&this, id).await }).await
    }

    /// What a job's tasks logged: each attempt's lines once it has ended, in the order of the ends.
    ///
    /// # Errors
    ///
    /// As [`job_status`](Self::job_status). A line is [`Error::Platform`] where a log that is
    /// followed ends because the job's driver is lost.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use futures::TryStreamExt;
    /// use samara::LogOptions;
    ///
    /// # async fn example(executor: samara::Executor, id: samara::JobId)
    /// #     -> Result<(), samara::Error> {
    /// let mut lines = executor.job_log(id, LogOptions::default().task(3).follow(true)).await?;
    /// while let Some(line) = lines.try_next().await? {
    ///     println!("{}", line.message);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn job_log(&self, id: JobId, options: LogOptions) -> Result<JobLines, Error> {
        let lines = self.lines(id, options.follow).await?;
        let logged = lines.try_filter_map(move |line| async move {
            Ok(match line {
                Line::Log { task, attempt, line: LogLine { level, message } }
                    if options.task.is_none_or(|wanted| wanted == task) =>
                {
                    Some(JobLine { task, attempt, level, message })
                }
                _ => None,
            })
        });
        Ok(logged.boxed())
    }

    /// The attempts of a job's tasks as its event log has them, in the order in which they ended:
    /// all of them, however many.
    ///
    /// # Errors
    ///
    /// As [`job_status`](Self::job_status).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use futures::TryStreamExt;
    ///
    /// # async fn example(executor: samara::Executor, id: samara::JobId)
    /// #     -> Result<(), samara::Error> {
    /// let attempts = executor.job_attempts(id).await?;
    /// let most = attempts.try_fold(0, |most, row| async move { Ok(row.memory_peak.max(most)) });
    /// println!("{} bytes", most.await?);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn job_attempts(
        &self,
        id: JobId,
    ) -> Result<BoxStream<'static, Result<AttemptStats, Error>>, Error> {
        let attempts = self.lines(id, false).await?.try_filter_map(|line| async move {
            Ok(match line {
                Line::Attempt(attempt) => Some(*attempt),
                _ => None,
            })
        });
        Ok(attempts.boxed())
    }

    /// A job in numbers, attempt by attempt, as its event log has it.
    ///
    /// Of a job that has not ended, the summary is made of the log so far: backups count as
    /// retries, and bytes of objects count with those of partitions and outputs.
    ///
    /// # Errors
    ///
    /// As [`job_status`](Self::job_status).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(executor: samara::Executor, id: samara::JobId)
    /// #     -> Result<(), Box<dyn std::error::Error>> {
    /// std::fs::write("job.csv", executor.job_stats(id).await?.to_csv())?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn job_stats(&self, id: JobId) -> Result<JobStats, Error> {
        self.check_named()?;
        let this = self.clone();
        let read = async move {
            let manifest = manifest(&this, id).await?;
            let end = joblog::read_end(&id, this.store_location()).await?;
            let seen = Seen::of(&mut Parts::new(this, id)).await?;
            Ok(seen.into_stats(manifest, end))
        };
        self.clone().on_io(read).await
    }

    /// Asks a job's driver, wherever it is, to cancel the job: it looks once a second.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the job has ended; else as [`job_status`](Self::job_status).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(id: samara::JobId) -> Result<(), samara::Error> {
    /// let executor = samara::Executor::builder().store("/data/samara").build()?;
    /// executor.cancel_job(id).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn cancel_job(&self, id: JobId) -> Result<(), Error> {
        self.check_named()?;
        let this = self.clone();
        let asked = async move {
            manifest(&this, id).await?;
            if joblog::read_end(&id, this.store_location()).await?.is_some() {
                return Err(Error::Invalid(format!("job {id} has ended: nothing to cancel")));
            }
            let marker = this.store_location().join(&layout::cancel(&id));
            marker.store.put(&marker.key, "".into(), samara_store::PutOptions::default()).await?;
            Ok(())
        };
        self.clone().on_io(asked).await
    }

    /// Removes all that belongs to a job, its outputs and the objects that its tasks made, and says
    /// how many objects that were. What its tasks made to be kept stays.
    ///
    /// With `force` a running job's objects are removed too, and what is left of one whose removal
    /// was interrupted; the driver of a running job goes on to write.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the job is running and there is no `force`; else as
    /// [`job_status`](Self::job_status).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(id: samara::JobId) -> Result<(), samara::Error> {
    /// let executor = samara::Executor::builder().store("/data/samara").build()?;
    /// let objects = executor.clean_job(id, false).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn clean_job(&self, id: JobId, force: bool) -> Result<u64, Error> {
        self.check_named()?;
        let this = self.clone();
        let removed = async move {
            if !force && look(&this, id).await?.state == JobState::Running {
                return Err(Error::Invalid(format!(
                    "job {id} is running; cancel it first, or force its removal"
                )));
            }
            let store = this.store_location();
            let manifest = store.join(&layout::manifest(&id));
            // The manifest last: until then the job is found, and its removal can be taken up.
            let mut removed = remove_below(&store.join(&layout::objects(&id)), None).await?;
            let own = store.join(&layout::job(&id));
            removed += remove_below(&own, Some(&manifest.key)).await?;
            removed += u64::from(manifest.store.exists(&manifest.key).await?);
            manifest.store.delete(&manifest.key).await?;
            match removed {
                0 => Err(no_such_job(&this, id)),
                removed => Ok(removed),
            }
        };
        self.clone().on_io(removed).await
    }

    /// The lines of a job's event log.
    async fn lines(
        &self,
        id: JobId,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<Line, Error>>, Error> {
        self.check_named()?;
        let this = self.clone();
        self.clone().on_io(async move { manifest(&this, id).await.map(drop) }).await?;
        let parts = Parts::new(self.clone(), id);
        let lines = stream::try_unfold(parts, move |mut parts| {
            let executor = parts.executor.clone();
            executor.on_io(async move {
                let lines = match follow {
                    true => parts.follow().await?,
                    false => parts.next().await?,
                };
                Ok(lines.map(|lines| (stream::iter(lines.into_iter().map(Ok)), parts)))
            })
        });
        Ok(lines.try_flatten().boxed())
    }

    fn check_named(&self) -> Result<(), Error> {
        match self.is_ephemeral() {
            false => Ok(()),
            true => Err(Error::Invalid(
                "this executor's store is private to it and gone with it; jobs are found again in \
                 a store that has a name: set `store`"
                    .to_owned(),
            )),
        }
    }
}

fn no_such_job(executor: &Executor, id: JobId) -> Error {
    let location = executor.store_location().join(&layout::job(&id)).url();
    samara_store::Error::NotFound { location, sought: "a job" }.into()
}

async fn manifest(executor: &Executor, id: JobId) -> Result<Manifest, Error> {
    match Manifest::read(&id, executor.store_location()).await {
        Err(Error::Store(samara_store::Error::NotFound { .. })) => Err(no_such_job(executor, id)),
        read => read,
    }
}

async fn look(executor: &Executor, id: JobId) -> Result<JobStatus, Error> {
    let manifest = manifest(executor, id).await?;
    let mut end = joblog::read_end(&id, executor.store_location()).await?;
    let mut status = JobStatus {
        id,
        function: manifest.function,
        component: manifest.component,
        runtime: manifest.runtime,
        submitted: Duration::from_millis(manifest.submitted_unix_ms),
        tasks: manifest.tasks,
        state: JobState::Running,
        succeeded: 0,
        failed: 0,
        cancelled: 0,
        summary: None,
    };
    if end.is_none() {
        let mut parts = Parts::new(executor.clone(), id);
        let seen = Seen::of(&mut parts).await?;
        status.count((seen.succeeded, seen.failed, seen.cancelled));
        // It may have ended while its log was read.
        end = joblog::read_end(&id, executor.store_location()).await?;
        if parts.silence(status.submitted).is_some_and(|silence| silence > SILENCE_MAX) {
            status.state = JobState::Lost;
        }
    }
    if let Some(End { summary, stopped, .. }) = end {
        status.state = stopped.map_or(JobState::Ended, JobState::Stopped);
        status.tasks = Some(summary.tasks);
        status.count((summary.succeeded, summary.failed, summary.cancelled));
        status.summary = Some(summary);
    }
    Ok(status)
}

/// Removes all objects below a prefix but one, and says how many.
async fn remove_below(at: &Location, but: Option<&str>) -> Result<u64, Error> {
    let (mut removed, mut options) = (0, ListOptions::default());
    loop {
        let page = at.store.list(&at.key, options.clone()).await?;
        let keys: Vec<String> = page.entries.into_iter().map(|entry| entry.key).collect();
        let keys = keys.into_iter().filter(|key| Some(key.as_str()) != but);
        let deleted = keys.map(|key| async move { at.store.delete(&key).await });
        let mut deleted = stream::iter(deleted).buffer_unordered(REMOVED_AT_ONCE);
        while let Some(()) = deleted.try_next().await? {
            removed += 1;
        }
        match page.next {
            Some(next) => options = options.after(next),
            None => return Ok(removed),
        }
    }
}

// === impl Parts ===

impl Parts {
    fn new(executor: Executor, id: JobId) -> Self {
        Self { executor, id, after: None, keys: VecDeque::new(), newest_ms: None, any: false }
    }

    /// The lines of the next part; none where no more is there now.
    async fn next(&mut self) -> Result<Option<Vec<Line>>, Error> {
        let events = self.executor.store_location().join(&layout::events(&self.id));
        if self.keys.is_empty() {
            let mut after = self.after.clone();
            loop {
                let options = ListOptions { after, ..ListOptions::default() };
                let page = events.store.list(&events.key, options).await?;
                self.any |= !page.entries.is_empty();
                for entry in page.entries {
                    self.newest_ms = entry.metadata.modified_ms.or(self.newest_ms);
                    self.keys.push_back(entry.key);
                }
                after = page.next;
                if !self.keys.is_empty() || after.is_none() {
                    break;
                }
            }
        }
        let Some(key) = self.keys.pop_front() else { return Ok(None) };
        let part = Location { store: events.store, key };
        let bytes = part.store.read(&part.key).await?;
        let lines = serde_json::Deserializer::from_slice(&bytes).into_iter();
        let lines = lines
            .collect::<Result<_, _>>()
            .map_err(|error| Error::Invalid(format!("{} is damaged: {error}", part.url())))?;
        self.after = Some(part.key);
        Ok(Some(lines))
    }

    /// The lines of the next part that has some, once it is there; none where the job has ended.
    async fn follow(&mut self) -> Result<Option<Vec<Line>>, Error> {
        let mut pause = ASK_FIRST;
        loop {
            // Before the log: what is there at the job's end is all.
            let store = self.executor.store_location().clone();
            let ended = joblog::read_end(&self.id, &store).await?.is_some();
            while let Some(lines) = self.next().await? {
                if !lines.is_empty() {
                    return Ok(Some(lines));
                }
            }
            if ended {
                return Ok(None);
            }
            let submitted = manifest(&self.executor, self.id).await?.submitted_unix_ms;
            let silence = self.silence(Duration::from_millis(submitted));
            if silence.is_some_and(|silence| silence > SILENCE_MAX) {
                let why = "the driver that ran the job is gone: its log is silent";
                return Err(samara_core::Error::new(samara_core::ErrorKind::Lost, why).into());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(ASK_LAST);
        }
    }

    /// How long the job's driver has written nothing, as far as the store says.
    fn silence(&self, submitted: Duration) -> Option<Duration> {
        let heard = match (self.newest_ms, self.any) {
            (Some(newest_ms), _) => Duration::from_millis(newest_ms),
            (None, false) => submitted,
            (None, true) => return None,
        };
        Some(self.executor.clock().unix().saturating_sub(heard))
    }
}

// === impl Seen ===

impl Seen {
    async fn of(parts: &mut Parts) -> Result<Self, Error> {
        let mut seen = Self::default();
        while let Some(lines) = parts.next().await? {
            lines.into_iter().for_each(|line| seen.add(line));
        }
        Ok(seen)
    }

    fn add(&mut self, line: Line) {
        match line {
            Line::End { error: None, .. } => self.succeeded += 1,
            Line::End { cancelled: true, .. } => self.cancelled += 1,
            Line::End { error: Some(_), .. } => self.failed += 1,
            Line::Attempt(attempt) => {
                let summary = &mut self.summary;
                self.retries += u64::from(attempt.attempt > 0);
                let times = (attempt.wall, attempt.cpu);
                summary.add_attempt(attempt.bytes_in, attempt.bytes_out, times);
                summary.memory_peak = summary.memory_peak.max(attempt.memory_peak);
                self.last = self.last.max(attempt.collected);
                self.attempts.add(std::slice::from_ref(&*attempt));
            }
            Line::Log { .. } => {}
        }
    }

    fn into_stats(self, manifest: Manifest, end: Option<End>) -> JobStats {
        let submitted = Duration::from_millis(manifest.submitted_unix_ms);
        let so_far = Summary {
            tasks: manifest.tasks.unwrap_or(self.succeeded + self.failed + self.cancelled),
            succeeded: self.succeeded,
            failed: self.failed,
            cancelled: self.cancelled,
            retries: self.retries,
            elapsed: self.last.saturating_sub(submitted),
            ..self.summary
        };
        JobStats {
            job: manifest.job,
            function: manifest.function,
            summary: end.map_or(so_far, |end| end.summary),
            attempts: self.attempts.kept,
            attempts_dropped: self.attempts.dropped,
        }
    }
}

#[cfg(test)]
mod tests;
