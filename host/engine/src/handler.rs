//! The engine as a [`TaskHandler`]: runs batches, gathers stored arguments, stores large outputs.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use samara_core::{
    Argument, Arguments, Batch, Cancel, ComponentId, Error, ErrorKind, Exceeded, FunctionInfo,
    JobStarter, Limits, Outcome, Output, Report, Reports, Stats, Task, TaskHandler, Waits, layout,
};
use samara_store::{Locator, PutOptions, StoreExt};
use samara_wit::value::ArgumentWriter;

use crate::component::Prepared;
use crate::engine::Engine;
use crate::failure::store_error;
use crate::job::Job;
use crate::loader::Loader;
use crate::shared::{Ended, shareable};

/// Outputs up to this size ride in the reply; larger ones go to the job's store. Well below what
/// any backend's reply may hold (AWS Lambda: 6 MB for a whole batch).
const INLINE_BYTES_MAX: usize = 256 << 10;

/// Bytes of a component's list of functions, as the host keeps it: some thousand functions.
const LIST_BYTES_MAX: u64 = 4 << 20;

/// Runs batches on an engine.
#[derive(Debug)]
pub struct Handler {
    engine: Engine,
    locator: Arc<Locator>,
    loader: Loader,
    jobs: OnceLock<Weak<dyn JobStarter>>,
}

// === impl Handler ===

impl Handler {
    /// A handler that opens stores and objects through `locator`.
    pub fn new(engine: Engine, locator: Arc<Locator>) -> Self {
        let loader = Loader::new(engine.clone(), Arc::clone(&locator));
        Self { engine, locator, loader, jobs: OnceLock::new() }
    }

    /// Lets tasks start jobs through `jobs`. Held weakly, because who starts jobs mostly owns this
    /// handler; where it is gone, or never was, tasks are told that they cannot start any. The
    /// first call counts.
    pub fn set_jobs(&self, jobs: Weak<dyn JobStarter>) {
        let _first_counts = self.jobs.set(jobs);
    }

    /// Lists the functions of a component that is in `store`.
    ///
    /// # Errors
    ///
    /// Where the component is not there, or is none of this world and version.
    pub fn functions(&self, id: ComponentId, store: &str) -> Result<Arc<[FunctionInfo]>, Error> {
        let prepared = self.loader.component(id, store, &())?;
        prepared.functions(|| {
            self.engine.list(&prepared, listing_limits()).map_err(|outcome| {
                Error::new(ErrorKind::Component, format!("cannot list its functions: {outcome:?}"))
            })
        })
    }

    /// Gets a component that is in `store` ready to run; whether its compiled code was cached.
    ///
    /// # Errors
    ///
    /// As [`functions`](Self::functions).
    pub fn prepare(&self, id: ComponentId, store: &str) -> Result<bool, Error> {
        Ok(self.loader.component(id, store, &())?.is_cached())
    }

    /// Whether instances come from a pool; without it a fresh one costs several times as much.
    pub fn is_pooling(&self) -> bool {
        self.engine.is_pooling()
    }

    /// Runs tasks of a batch that may share instances, each instance as many as it may take.
    fn run_shared(
        &self,
        prepared: &Prepared,
        job: &Arc<Job>,
        tasks: &[Task],
        report: &mut dyn FnMut(Reports),
    ) {
        let mut left = tasks;
        while let Some(first) = left.first() {
            if let Err(error) = check_quota(job.batch()) {
                let undone = left.iter().map(|task| ended(task, Outcome::Platform(error.clone())));
                return report(Reports::Each(undone.collect()));
            }
            let (together, rest) = left.split_at(shareable(left).len().max(1));
            left = rest;
            if together.len() == 1 {
                report(Reports::Each(vec![self.run_task(prepared, job, first)]));
                continue;
            }
            let clock = &*self.engine.inner().clock;
            let before = clock.monotonic();
            match self.engine.run_shared(prepared, job, together) {
                Ended::Answered(answers) => {
                    let large = |task: &Task, output| self.large(job, task, output);
                    answers.report(together, inline_max(job.batch()), large, report);
                }
                // One bad input harms no other: each once more, in an instance of its own.
                Ended::Spoilt => {
                    for task in together {
                        report(Reports::Each(vec![self.run_task(prepared, job, task)]));
                    }
                }
                Ended::All(outcome) => {
                    // The instance's time is that of each: which of them took it is not known.
                    let wall = clock.monotonic().saturating_sub(before);
                    let stats = Stats { wall, ..Stats::default() };
                    let reports = together
                        .iter()
                        .map(|task| Report { stats, ..ended(task, outcome.clone()) });
                    report(Reports::Each(reports.collect()));
                }
            }
        }
    }

    fn run_task(&self, prepared: &Prepared, job: &Arc<Job>, task: &Task) -> Report {
        let clock = &*self.engine.inner().clock;
        let before = clock.monotonic();
        let task = match self.gather(job, task) {
            Ok(task) => task,
            Err(error) => return ended(task, Outcome::Platform(error)),
        };
        let gathered = match &task {
            Cow::Borrowed(_) => Duration::ZERO,
            Cow::Owned(_) => clock.monotonic().saturating_sub(before),
        };
        let mut report = self.engine.run(prepared, job, &task);
        let stats = &mut report.stats;
        stats.fetch += gathered;
        stats.wall += gathered;
        stats.started = stats.started.saturating_sub(gathered);
        if let Outcome::Success(Output::Inline(bytes)) = &report.outcome
            && bytes.len() > INLINE_BYTES_MAX
        {
            let (outcome, stored) = self.large(job, &task, bytes.clone());
            (report.outcome, report.stats.store) = (outcome, stored.store);
        }
        report
    }

    /// What a task with a large output comes to, and the part of its statistics that is about that.
    fn large(&self, job: &Job, task: &Task, bytes: Bytes) -> (Outcome, Stats) {
        let (limit, size) = (job.batch().limits.output_bytes, bytes.len() as u64);
        if size > limit {
            let exceeded = Exceeded::Output { limit, size: Some(size) };
            return (Outcome::LimitExceeded(exceeded), Stats::default());
        }
        let clock = &*self.engine.inner().clock;
        let before = clock.monotonic();
        let outcome = match self.store_output(job, task, bytes) {
            Ok(output) => Outcome::Success(output),
            Err(error) => Outcome::Platform(error),
        };
        let store = clock.monotonic().saturating_sub(before);
        (outcome, Stats { store, output_bytes: size, ..Stats::default() })
    }

    /// A task with its stored arguments in place.
    fn gather<'a>(&self, job: &Job, task: &'a Task) -> Result<Cow<'a, Task>, Error> {
        let Arguments::Parts(parts) = &task.arguments else { return Ok(Cow::Borrowed(task)) };
        let mut writer = ArgumentWriter::new(parts.len() as u64);
        for part in parts {
            match part {
                Argument::Inline(bytes) => writer.push_encoded(bytes),
                Argument::Stored { job: id, index, content, .. } => {
                    let key = layout::stored_output(id, *index, content.as_deref());
                    let location = self.loader.object(&job.batch().store, &key)?;
                    let read =
                        self.loader.wait(&**job.waits(), location.store.read(&location.key))?;
                    let bytes = read.map_err(|error| {
                        let doing = format_args!("fetching the output of task {index} of {id}");
                        store_error(&error).context(doing)
                    })?;
                    writer.push_encoded(&bytes);
                }
            }
        }
        let arguments = Arguments::Encoded(writer.finish().into());
        Ok(Cow::Owned(Task { arguments, ..task.clone() }))
    }

    /// Stores a large output unless an earlier attempt did: the first stored one is the output.
    fn store_output(&self, job: &Job, task: &Task, bytes: Bytes) -> Result<Output, Error> {
        let batch = job.batch();
        let key = layout::output(&batch.job, task.index);
        let location = self.loader.object(&batch.store, &key)?;
        let options = PutOptions::if_absent();
        let size = bytes.len() as u64;
        let put = location.store.put(&location.key, bytes.clone(), options);
        match self.loader.wait(&**job.waits(), put)? {
            Ok(_) | Err(samara_store::Error::AlreadyExists { .. }) => {
                Ok(Output::Stored { size, content: None })
            }
            Err(samara_store::Error::Unsupported { .. }) => self.store_named(job, task, bytes),
            Err(error) => Err(store_error(&error).context("storing the output")),
        }
    }

    /// Stores a large output where the store keeps no put-if-absent: under a name that has the hash
    /// of its content. So no attempt overwrites another's output with a different one, and which
    /// of them counts is decided where the reports are entered, by one.
    fn store_named(&self, job: &Job, task: &Task, bytes: Bytes) -> Result<Output, Error> {
        let batch = job.batch();
        let (size, content) = (bytes.len() as u64, ComponentId::of(&bytes).hex());
        let key = layout::stored_output(&batch.job, task.index, Some(&content));
        let location = self.loader.object(&batch.store, &key)?;
        let put = location.store.put(&location.key, bytes, PutOptions::default());
        match self.loader.wait(&**job.waits(), put)? {
            Ok(_) => Ok(Output::Stored { size, content: Some(content.into()) }),
            Err(error) => Err(store_error(&error).context("storing the output")),
        }
    }
}

impl TaskHandler for Handler {
    fn look_now(&self) {
        // What ends an epoch is what guests are interrupted by.
        self.engine.inner().engine.increment_epoch();
    }

    fn run(
        &self,
        batch: &Arc<Batch>,
        cancel: &Cancel,
        waits: &Arc<dyn Waits>,
        report: &mut dyn FnMut(Reports),
    ) {
        let jobs = self.jobs.get().cloned();
        let job = Job::new(batch, &self.locator, cancel).with_nested(jobs, waits);
        let job = Arc::new(job);
        match self.loader.component_of(batch, &**waits) {
            Ok(prepared) if batch.reuse => {
                self.run_shared(&prepared, &job, &batch.tasks, report);
            }
            Ok(prepared) => {
                for task in &batch.tasks {
                    let reported = match check_quota(batch) {
                        Ok(()) => self.run_task(&prepared, &job, task),
                        Err(error) => ended(task, Outcome::Platform(error)),
                    };
                    report(Reports::Each(vec![reported]));
                }
            }
            Err(error) => {
                for task in &batch.tasks {
                    report(Reports::Each(vec![ended(task, Outcome::Platform(error.clone()))]));
                }
            }
        }
    }
}

/// What a component may use to list its functions, before any job's limits are known: ample for a
/// list, little for mischief.
fn listing_limits() -> Limits {
    let mut limits = Limits::default();
    limits.time = Duration::from_secs(10);
    limits.memory_bytes = 256 << 20;
    // The list is kept for as long as the component is.
    (limits.output_bytes, limits.host_call_bytes) = (LIST_BYTES_MAX, LIST_BYTES_MAX);
    limits
}

/// Bytes of an output that needs no second look when it comes out of a shared instance.
fn inline_max(batch: &Batch) -> usize {
    let limit = usize::try_from(batch.limits.output_bytes).unwrap_or(usize::MAX);
    INLINE_BYTES_MAX.min(limit)
}

/// Whether the tenant may have another task begin now: a batch has as many tasks as its driver likes,
/// and a quota may be used up by the first.
fn check_quota(batch: &Batch) -> Result<(), Error> {
    match batch.payer.account() {
        Some(account) if !account.may_begin() => {
            let text = format!("the tenant `{}` has used up a quota", account.tenant());
            Err(Error::new(ErrorKind::HandedBack, text))
        }
        _ => Ok(()),
    }
}

/// The report of a task that has nothing to say but what it came to.
fn ended(task: &Task, outcome: Outcome) -> Report {
    Report {
        index: task.index,
        attempt: task.attempt,
        outcome,
        log: Vec::new(),
        log_dropped: 0,
        stats: Stats::default(),
    }
}
