//! Jobs of other processes: named, and collected.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use samara_core::{Cancel, ErrorKind, JobId, Retry, layout};
use samara_store::{ListOptions, Location};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::error::{Cause, TaskName};
use crate::executor::Executor;
use crate::job::{Numbers, Shared};
use crate::joblog::{self, ALIVE_TIME, Recorded};
use crate::ledger::Ledger;
use crate::manifest::Manifest;
use crate::{Error, Job, TaskError, TaskFuture, Value};

/// How often the store is asked for news of a job: at first, and where there are none.
pub(crate) const ASK_FIRST: Duration = Duration::from_millis(50);
pub(crate) const ASK_LAST: Duration = Duration::from_secs(1);

/// How long a job's log may be silent before its driver counts as lost.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(6 * ALIVE_TIME.as_secs());

/// Names a job for another process, which [collects](Executor::collect) its results.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let text = r#"{"id":"01KAB5N4Y8ZJX3M7Q2R9T6V0WC","store":"s3://bucket/samara/"}"#;
/// let reference: samara::JobRef = serde_json::from_str(text)?;
/// assert_eq!(reference.store, "s3://bucket/samara/");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRef {
    /// The job's id.
    pub id: JobId,
    /// URL of the store that holds its results.
    pub store: String,
}

/// Names one task of a job for another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRef {
    /// The job.
    pub job: JobRef,
    /// The task's number within the job, from 0.
    pub index: usize,
}

/// Follows a job's log.
struct Follower {
    id: JobId,
    function: String,
    store: Location,
    ledger: Arc<Ledger>,
    next_part: u64,
    silent: Duration,
    events_seen: Option<String>,
    /// How long the log may be silent.
    silence_max: Duration,
}

impl fmt::Display for JobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.id, self.store)
    }
}

// === impl Executor ===

impl Executor {
    /// The job that another process, or this one, submitted: its results as they come, those of
    /// tasks that ended before as well. The executor's store must be the job's.
    ///
    /// Results are not used up: every process that collects them gets all. Where the driver that
    /// runs the job is lost, the tasks that it had no results of come to an error that says so.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] where there is no such job in the store; [`Error::Invalid`] where the
    /// reference is to another store.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use samara::{Executor, JobRef};
    ///
    /// let reference: JobRef = serde_json::from_str(&std::fs::read_to_string("job.json")?)?;
    /// let executor = Executor::builder().store(&reference.store).build()?;
    /// let values: Vec<u64> = executor.collect(&reference).await?.values().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn collect<T: Value>(&self, reference: &JobRef) -> Result<Job<T>, Error> {
        self.collect_within(reference, SILENCE_MAX).await
    }

    /// What a job whose driver is gone ([`JobState::Lost`](crate::JobState::Lost)) has left: as
    /// [`collect`](Self::collect), without waiting for a driver that may only be slow. A task of which
    /// nothing is there now comes to an error that says so.
    ///
    /// # Errors
    ///
    /// As [`collect`](Self::collect).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(reference: samara::JobRef) -> Result<(), samara::Error> {
    /// let executor = samara::Executor::builder().store(&reference.store).build()?;
    /// let left = executor.collect_lost::<u64>(&reference).await?.results().await;
    /// println!("{} tasks were done", left.iter().filter(|result| result.is_ok()).count());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn collect_lost<T: Value>(&self, reference: &JobRef) -> Result<Job<T>, Error> {
        self.collect_within(reference, Duration::ZERO).await
    }

    async fn collect_within<T: Value>(
        &self,
        reference: &JobRef,
        silence_max: Duration,
    ) -> Result<Job<T>, Error> {
        if reference.store != self.store() {
            return Err(Error::Invalid(format!(
                "job {reference} is not in this executor's store {}; make an executor with that \
                 store",
                self.store()
            )));
        }
        let (this, id) = (self.clone(), reference.id);
        let shared = self.clone().on_io(async move {
            let manifest = Manifest::read(&id, this.store_location()).await?;
            Ok(follow(&this, manifest, silence_max))
        });
        Ok(Job::new(shared.await?))
    }

    /// One task of such a job.
    ///
    /// # Errors
    ///
    /// As [`collect`](Self::collect).
    pub async fn collect_task<T: Value>(
        &self,
        reference: &TaskRef,
    ) -> Result<TaskFuture<T>, Error> {
        Ok(self.collect(&reference.job).await?.task(reference.index))
    }
}

/// Starts to follow a job's log.
fn follow(executor: &Executor, manifest: Manifest, silence_max: Duration) -> Arc<Shared> {
    let ledger = Arc::new(Ledger::new(manifest.tasks.and_then(|n| usize::try_from(n).ok())));
    let (finished_sender, finished) = watch::channel(false);
    let (cancel, wake) = (Cancel::default(), Arc::new(Notify::new()));
    let follower = Follower {
        id: manifest.job,
        function: manifest.function.clone(),
        store: executor.store_location().clone(),
        ledger: Arc::clone(&ledger),
        next_part: 0,
        silent: Duration::ZERO,
        events_seen: None,
        silence_max,
    };
    let shared = Arc::new(Shared {
        id: manifest.job,
        function: manifest.function,
        partitions: None,
        ledger,
        cancel: cancel.clone(),
        wake: Arc::clone(&wake),
        numbers: Arc::new(Numbers::new(executor.clock())),
        finished,
        executor: executor.clone(),
    });
    executor.spawn(async move {
        tokio::select! {
            () = follower.run() => {}
            () = wake.notified() => {}
        }
        let _nobody_waits = finished_sender.send(true);
    });
    shared
}

// === impl Follower ===

impl Follower {
    async fn run(mut self) {
        let mut pause = ASK_FIRST;
        loop {
            match self.read_on().await {
                Ok(Progress::Ended) => return self.ledger.close(),
                Ok(Progress::News) => pause = ASK_FIRST,
                Ok(Progress::None) => pause = (pause * 2).min(ASK_LAST),
                Err(why) => return self.give_up(&why.to_string()),
            }
            if self.silent > self.silence_max {
                return self.give_up("the driver that ran the job is gone: its log is silent");
            }
            tokio::time::sleep(pause).await;
            self.silent += pause;
        }
    }

    async fn read_on(&mut self) -> Result<Progress, Error> {
        // Before the parts: what is there at the job's end is all.
        let end = joblog::read_end(&self.id, &self.store).await?;
        let mut progress = Progress::None;
        while let Some(results) =
            joblog::read_results(&self.id, &self.store, self.next_part).await?
        {
            self.next_part += 1;
            self.silent = Duration::ZERO;
            progress = Progress::News;
            self.enter(results);
        }
        match end {
            Some(end) if self.next_part >= end.parts => {
                self.ledger.extend(usize::try_from(end.summary.tasks).unwrap_or(usize::MAX));
                Ok(Progress::Ended)
            }
            Some(_) => Ok(progress),
            None => {
                self.listen().await?;
                Ok(progress)
            }
        }
    }

    fn enter(&self, results: Vec<(u64, Recorded)>) {
        let results = results.into_iter().map(|(index, recorded)| {
            let result = recorded.into_result(self.id, &self.function, index);
            (usize::try_from(index).unwrap_or(usize::MAX), result)
        });
        self.ledger.end(results);
    }

    /// Looks whether the driver writes its event log.
    async fn listen(&mut self) -> Result<(), Error> {
        let events = self.store.join(&layout::events(&self.id));
        let mut options = ListOptions::default();
        if let Some(seen) = &self.events_seen {
            options = options.after(seen.clone());
        }
        let page = events.store.list(&events.key, options).await?;
        if let Some(last) = page.entries.last() {
            self.events_seen = Some(last.key.clone());
            self.silent = Duration::ZERO;
        }
        Ok(())
    }

    /// Ends every task that is left with an error.
    fn give_up(&self, why: &str) {
        let tasks = self.ledger.counts().tasks;
        let error = samara_core::Error::new(ErrorKind::Lost, why).with_retry(Retry::Never);
        let lost = |index: usize| {
            let (job, function) = (self.id, self.function.clone());
            let name = TaskName { job, function, index: index as u64, partition: None };
            let cause = Cause::Platform(error.clone());
            (index, Err(TaskError::new(name, 1, cause, Vec::new())))
        };
        let left = (0..tasks).filter(|index| self.ledger.is_waiting(*index));
        let left: Vec<_> = left.map(lost).collect();
        self.ledger.extend(tasks);
        self.ledger.end(left);
        self.ledger.close();
    }
}

/// What a look at a job's log found.
enum Progress {
    None,
    News,
    Ended,
}
