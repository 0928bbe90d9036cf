//! Jobs that tasks of a host start. Their driver is elsewhere and hears of the parent alone, so they
//! run here, on the slots of the host itself, and end with their parent.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use samara_core::{
    Arguments, Batch, Cancel, Capacity, Clock, Depot, Error, ErrorKind, JobId, JobStarter, Nested,
    Observer, Outcome, Output, Reach, Report, Reports, Retry, Runtime, StartedJob, Task, layout,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::jitter::jitter;

/// Batches of one job under way per slot: one runs, one waits behind it.
const BATCHES_PER_SLOT: usize = 2;

/// Batches that a job is cut into per place, so that none waits long for the last.
const BATCHES_PER_PLACE: usize = 4;

/// Tasks of a batch at most: there is no way to save where one process is all there is.
const BATCH_TASKS_MAX: usize = 64;

/// How often a task is tried where the platform failed around it: as a driver does unless told.
const ATTEMPTS: u32 = 4;

/// The wait before the second attempt; doubles with each further one.
const AGAIN_FIRST: Duration = Duration::from_millis(100);

/// A runtime whose tasks may start jobs, which run on it too.
pub struct Nesting {
    runtime: Arc<dyn Runtime>,
    starter: Arc<Starter>,
}

/// Starts jobs.
struct Starter {
    runtime: Arc<dyn Runtime>,
    depot: Arc<dyn Depot>,
    clock: Arc<dyn Clock>,
    io: Handle,
    /// Makes names that no other job has.
    random: RandomState,
    count: AtomicU64,
}

/// A task that ended, with its value or why there is none.
type Ended = (u64, Result<Bytes, String>);

/// A job under way, as its parent sees it.
struct Started {
    id: JobId,
    cancel: Cancel,
    /// Tasks that were not handed out.
    left: usize,
    ended: UnboundedReceiver<Ended>,
}

/// A job under way, as it is done.
struct Work {
    runtime: Arc<dyn Runtime>,
    depot: Arc<dyn Depot>,
    /// All of a batch but its tasks.
    template: Batch,
    cancel: Cancel,
    ended: UnboundedSender<Ended>,
}

/// Takes reports of a batch.
struct Told(Mutex<Vec<Report>>, tokio::sync::Notify);

// === impl Nesting ===

impl Nesting {
    /// Jobs of the tasks of `runtime` are run on `io`, and their large outputs read from `depot`.
    pub fn new(
        runtime: Arc<dyn Runtime>,
        depot: Arc<dyn Depot>,
        clock: Arc<dyn Clock>,
        io: Handle,
    ) -> Self {
        let (random, count) = (RandomState::new(), AtomicU64::new(0));
        let starter = Starter { runtime: Arc::clone(&runtime), depot, clock, io, random, count };
        Self { runtime, starter: Arc::new(starter) }
    }

    /// What starts jobs, for whoever runs tasks. It goes with this value.
    pub fn starter(&self) -> Weak<dyn JobStarter> {
        let starter: Weak<Starter> = Arc::downgrade(&self.starter);
        starter
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Runtime for Nesting {
    fn capacity(&self) -> Capacity {
        self.runtime.capacity()
    }

    fn reach(&self) -> Reach {
        self.runtime.reach()
    }

    async fn ready(&self) -> Result<(), Error> {
        self.runtime.ready().await
    }

    async fn invoke(
        &self,
        batch: Arc<Batch>,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        self.runtime.invoke(batch, cancel, observer).await
    }

    fn allot(&self, slots: usize) {
        self.runtime.allot(slots);
    }
}

impl fmt::Display for Nesting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.runtime, f)
    }
}

impl fmt::Debug for Nesting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Nesting").field(&self.runtime).finish()
    }
}

// === impl Starter ===

impl Starter {
    fn name(&self) -> JobId {
        let unix_ms = u64::try_from(self.clock.unix().as_millis()).unwrap_or(u64::MAX);
        let [high, low] = [(); 2].map(|()| {
            let count = self.count.fetch_add(1, Ordering::Relaxed);
            u128::from(self.random.hash_one(count))
        });
        JobId::new(unix_ms, high << 64 | low)
    }
}

impl JobStarter for Starter {
    fn start(&self, nested: Nested<'_>) -> Result<Box<dyn StartedJob>, Error> {
        let (id, cancel) = (self.name(), nested.cancel.child());
        let task = |(index, arguments)| Task {
            index,
            attempt: 0,
            arguments: Arguments::Encoded(arguments),
            partition: None,
        };
        let tasks: Vec<Task> = (0..).zip(nested.arguments).map(task).collect();
        let parent = nested.parent;
        let template = Batch {
            job: id,
            component: parent.component,
            function: nested.function.to_owned(),
            store: parent.store.clone(),
            limits: parent.limits,
            grants: parent.grants.clone(),
            task_count: tasks.len() as u64,
            reuse: false,
            depth: parent.depth + 1,
            payer: parent.payer.clone(),
            tasks: Vec::new(),
        };
        let (sender, ended) = unbounded_channel();
        let started = Started { id, cancel: cancel.clone(), left: tasks.len(), ended };
        let (runtime, depot) = (Arc::clone(&self.runtime), Arc::clone(&self.depot));
        let work = Arc::new(Work { runtime, depot, template, cancel, ended: sender });
        self.io.spawn(work.run(tasks));
        Ok(Box::new(started))
    }
}

impl fmt::Debug for Starter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Starter").field(&self.runtime).finish()
    }
}

// === impl Started ===

impl StartedJob for Started {
    fn id(&self) -> JobId {
        self.id
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ended>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.ended.poll_recv(cx).map(|ended| {
            self.left = if ended.is_some() { self.left - 1 } else { 0 };
            ended
        })
    }

    fn cancel(&mut self) {
        self.cancel.cancel();
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

// === impl Work ===

impl Work {
    async fn run(self: Arc<Self>, tasks: Vec<Task>) {
        let capacity = self.runtime.capacity();
        let places = capacity.slots.saturating_mul(BATCHES_PER_SLOT).max(1);
        let size = tasks.len().div_ceil(places.saturating_mul(BATCHES_PER_PLACE));
        let size = size.clamp(1, BATCH_TASKS_MAX.min(capacity.batch_tasks_max).max(1));
        let batches: Vec<Vec<Task>> = tasks.chunks(size).map(<[Task]>::to_vec).collect();
        let done = stream::iter(batches).map(|tasks| self.batch(tasks));
        done.buffer_unordered(places).collect::<()>().await;
    }

    /// Runs tasks until each has come to something.
    async fn batch(&self, mut tasks: Vec<Task>) {
        for attempt in 1..=ATTEMPTS {
            let is_last = attempt == ATTEMPTS;
            let undone = self.attempt(&tasks, is_last).await;
            tasks.retain(|task| undone.contains(&task.index));
            if tasks.is_empty() {
                return;
            }
            tasks.iter_mut().for_each(|task| task.attempt += 1);
            let wait = AGAIN_FIRST * 2_u32.saturating_pow(attempt - 1);
            tokio::time::sleep(wait.mul_f64(jitter())).await;
        }
    }

    /// Tries tasks once. What the platform failed around is given back, unless this is the last time.
    async fn attempt(&self, tasks: &[Task], is_last: bool) -> Vec<u64> {
        let batch = Batch { tasks: tasks.to_vec(), ..self.template.clone() };
        let told = Arc::new(Told(Mutex::default(), tokio::sync::Notify::new()));
        let observer = Arc::clone(&told);
        let invoked = self.runtime.invoke(Arc::new(batch), self.cancel.clone(), observer);
        tokio::pin!(invoked);
        let mut left: Vec<u64> = tasks.iter().map(|task| task.index).collect();
        let mut undone = Vec::new();
        let error = loop {
            let came = tokio::select! {
                biased;
                () = told.1.notified() => None,
                result = &mut invoked => Some(result),
            };
            // Reports come before the end of their batch.
            for report in told.take() {
                left.retain(|index| *index != report.index);
                undone.extend(self.report(report, is_last).await);
            }
            if let Some(result) = came {
                let lost = || Error::new(ErrorKind::Lost, "nothing was reported of it");
                break result.err().unwrap_or_else(lost);
            }
        };
        undone.extend(left.into_iter().filter_map(|index| self.failed(index, &error, is_last)));
        undone
    }

    /// Hands on what a task came to, or says which is to be run again.
    async fn report(&self, report: Report, is_last: bool) -> Option<u64> {
        let (index, job) = (report.index, &self.template.job);
        for line in &report.log {
            tracing::debug!(target: "samara::guest", %job, task = index, level = ?line.level, "{}", line.message);
        }
        let why = match report.outcome {
            Outcome::Success(Output::Inline(bytes)) => {
                self.end(index, Ok(bytes));
                return None;
            }
            Outcome::Success(Output::Stored { content, .. }) => {
                match self.fetch(index, content.as_deref()).await {
                    Ok(bytes) => self.end(index, Ok(bytes)),
                    Err(error) => return self.failed(index, &error, is_last),
                }
                return None;
            }
            Outcome::Platform(error) => return self.failed(index, &error, is_last),
            Outcome::Failed(error) => format!("failed: {error}"),
            Outcome::Trapped(trap) => trap.to_string(),
            Outcome::LimitExceeded(exceeded) => exceeded.to_string(),
            _ => "came to what is not known here".to_owned(),
        };
        self.end(index, Err(self.text(index, &why)));
        None
    }

    /// A large output, which nobody else asks for.
    async fn fetch(&self, index: u64, content: Option<&str>) -> Result<Bytes, Error> {
        let Batch { job, store, .. } = &self.template;
        let slash = if store.ends_with('/') { "" } else { "/" };
        let url = format!("{store}{slash}{}", layout::stored_output(job, index, content));
        let found = self.depot.get(&url, None).await?;
        let gone = || Error::new(ErrorKind::Lost, format!("its output is not at {url}"));
        let bytes = found.ok_or_else(gone)?;
        if let Err(error) = self.depot.remove(&[url]).await {
            tracing::debug!("an output was not removed: {error}");
        }
        Ok(bytes)
    }

    /// The platform failed around a task: it is to be run again, or has failed.
    fn failed(&self, index: u64, error: &Error, is_last: bool) -> Option<u64> {
        if error.retry == Retry::Later && !is_last && !self.cancel.is_cancelled() {
            tracing::debug!("a task of job {} is tried again: {error}", self.template.job);
            return Some(index);
        }
        self.end(index, Err(self.text(index, &error.message)));
        None
    }

    fn end(&self, index: u64, result: Result<Bytes, String>) {
        // Its parent may have ended.
        let _gone = self.ended.send((index, result));
    }

    fn text(&self, index: u64, why: &str) -> String {
        let Batch { job, function, .. } = &self.template;
        format!("task {index} of job {job} (`{function}`): {why}")
    }
}

// === impl Told ===

impl Told {
    fn lock(&self) -> MutexGuard<'_, Vec<Report>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<Report> {
        std::mem::take(&mut *self.lock())
    }
}

impl Observer for Told {
    fn ended(&self, reports: Reports) {
        // None share an instance, as the batch does not ask for that.
        if let Reports::Each(reports) = reports {
            self.lock().extend(reports);
            self.1.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::future::poll_fn;

    use samara_core::{ComponentId, Grants, Limits, Stats, SystemClock};

    use super::*;
    use crate::testing::Shelf;

    /// Runs tasks by the first byte of their arguments.
    #[derive(Debug, Default)]
    struct Fake {
        attempts: Mutex<BTreeMap<u64, u32>>,
        shelf: Arc<Shelf>,
        batches: Mutex<Vec<(u32, usize)>>,
    }

    impl fmt::Display for Fake {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("fake:")
        }
    }

    impl Fake {
        /// What becomes of a task: nothing is reported of some.
        fn outcome(&self, batch: &Batch, task: &Task) -> Option<Outcome> {
            let Arguments::Encoded(arguments) = &task.arguments else { panic!("they are encoded") };
            *self.attempts.lock().unwrap().entry(task.index).or_default() += 1;
            let lost = Error::new(ErrorKind::Store, "the store is away");
            Some(match arguments[0] {
                b'v' => Outcome::Success(Output::Inline(arguments.slice(1..))),
                b's' => {
                    let url = format!("s/{}", layout::output(&batch.job, task.index));
                    self.shelf.objects.lock().unwrap().insert(url, arguments.slice(1..));
                    Outcome::Success(Output::Stored { size: 1, content: None })
                }
                b'r' if task.attempt == 0 => Outcome::Platform(lost),
                b'r' => Outcome::Success(Output::Inline(Bytes::from_static(b"again"))),
                b'u' if task.attempt == 0 => return None,
                b'u' => Outcome::Success(Output::Inline(Bytes::from_static(b"found"))),
                b'd' => Outcome::Platform(Error::new(ErrorKind::Denied, "no grant")),
                _ => Outcome::Platform(lost),
            })
        }
    }

    #[async_trait]
    impl Runtime for Fake {
        fn capacity(&self) -> Capacity {
            Capacity::new(2, 100)
        }

        fn reach(&self) -> Reach {
            Reach::Process
        }

        async fn invoke(
            &self,
            batch: Arc<Batch>,
            cancel: Cancel,
            observer: Arc<dyn Observer>,
        ) -> Result<(), Error> {
            self.batches.lock().unwrap().push((batch.depth, batch.tasks.len()));
            for task in &batch.tasks {
                if cancel.is_cancelled() {
                    return Err(Error::new(ErrorKind::Cancelled, "the job was cancelled"));
                }
                let Some(outcome) = self.outcome(&batch, task) else { continue };
                let (log, stats) = (Vec::new(), Stats::default());
                let Task { index, attempt, .. } = *task;
                let report = Report { index, attempt, outcome, log, log_dropped: 0, stats };
                observer.ended(Reports::Each(vec![report]));
                tokio::task::yield_now().await;
            }
            Ok(())
        }
    }

    fn parent() -> Batch {
        Batch {
            job: JobId::new(1, 1),
            component: ComponentId::of(b"component"),
            function: "parent".to_owned(),
            store: "s".to_owned(),
            limits: Limits::default(),
            grants: Grants::default(),
            task_count: 1,
            reuse: true,
            depth: 2,
            payer: samara_core::Payer::default(),
            tasks: Vec::new(),
        }
    }

    fn started(
        fake: &Arc<Fake>,
        cancel: &Cancel,
        arguments: &[&'static [u8]],
    ) -> Box<dyn StartedJob> {
        let (runtime, depot) = (Arc::clone(fake), Arc::clone(&fake.shelf));
        let nesting = Nesting::new(runtime, depot, Arc::new(SystemClock::new()), Handle::current());
        let starter = nesting.starter().upgrade().unwrap();
        let arguments = arguments.iter().map(|said| Bytes::from_static(said)).collect();
        let (parent, function) = (parent(), "child");
        starter.start(Nested { parent: &parent, task: 0, cancel, function, arguments }).unwrap()
    }

    async fn all(mut job: Box<dyn StartedJob>) -> BTreeMap<u64, Result<Bytes, String>> {
        let mut ended = BTreeMap::new();
        while let Some((index, result)) = poll_fn(|cx| job.poll_next(cx)).await {
            assert!(ended.insert(index, result).is_none(), "{index} ended twice");
        }
        ended
    }

    #[tokio::test(start_paused = true)]
    async fn jobs_of_tasks_run_on_the_host_itself() {
        let fake = Arc::new(Fake::default());
        let arguments: [&[u8]; 6] = [b"vA", b"sB", b"r", b"u", b"d", b"x"];
        let ended = all(started(&fake, &Cancel::default(), &arguments)).await;
        let value = |index: u64| ended[&index].as_ref().map(|bytes| &bytes[..]);
        assert_eq!((value(0), value(1)), (Ok(&b"A"[..]), Ok(&b"B"[..])));
        assert_eq!((value(2), value(3)), (Ok(&b"again"[..]), Ok(&b"found"[..])));
        assert!(value(4).unwrap_err().ends_with("(`child`): no grant"), "{ended:?}");
        assert!(value(5).unwrap_err().contains("the store is away"), "{ended:?}");
        let attempts = fake.attempts.lock().unwrap().clone();
        assert_eq!(attempts.into_values().collect::<Vec<_>>(), [1, 1, 2, 2, 1, ATTEMPTS]);
        assert!(fake.shelf.objects.lock().unwrap().is_empty(), "what was read is removed");
        assert!(fake.batches.lock().unwrap().iter().all(|(depth, _)| *depth == 3));
    }

    #[tokio::test(start_paused = true)]
    async fn many_tasks_are_cut_into_batches() {
        let fake = Arc::new(Fake::default());
        let arguments = [&b"v"[..]; 1000];
        assert_eq!(all(started(&fake, &Cancel::default(), &arguments)).await.len(), 1000);
        let sizes: Vec<usize> =
            fake.batches.lock().unwrap().iter().map(|(_, size)| *size).collect();
        assert!(
            sizes.len() >= 16 && sizes.iter().all(|size| *size <= BATCH_TASKS_MAX),
            "{sizes:?}"
        );
        assert!(all(started(&fake, &Cancel::default(), &[])).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_ends_with_its_parent() {
        let fake = Arc::new(Fake::default());
        let parent = Cancel::default();
        parent.cancel();
        let ended = all(started(&fake, &parent, &[b"v", b"v"])).await;
        assert!(
            ended.values().all(|it| it.as_ref().unwrap_err().contains("cancelled")),
            "{ended:?}"
        );
        let mut job = started(&fake, &Cancel::default(), &[b"v", b"v"]);
        job.cancel();
        assert!(all(job).await.values().all(Result::is_err));
    }
}
