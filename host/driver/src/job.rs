//! A submitted job, and the futures of its tasks.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt};
use samara_core::{Cancel, Clock, ErrorKind, JobId, Output, Retry, layout};
use samara_store::StoreExt;
use samara_wit::value;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};

use crate::error::{Cause, TaskName};
use crate::executor::Executor;
use crate::inputs::Chained;
use crate::ledger::{Counts, Ledger, TaskResult};
use crate::plan::Partitions;
use crate::reference::{JobRef, TaskRef};
use crate::summary::Attempts;
use crate::{Error, JobStats, Summary, TaskError};

/// Outputs that are brought here from the store at the same moment.
const FETCHES_MAX: usize = 16;

/// Attempts to bring an output here, with growing waits between them.
const FETCH_ATTEMPTS: u32 = 4;

/// A submitted job whose tasks come to values of type `T`.
///
/// Its tasks run whether or not anybody waits. Dropping the job and every future and stream made
/// of it cancels the tasks that have not ended: a running guest is stopped within some 10 ms, and
/// its memory freed. [`detach`](Self::detach) lets them run on.
///
/// ```no_run
/// # use samara::{Component, Executor, function::{Function, Given, Kind}};
/// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
/// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
/// let job = executor.map(&app, double, [1, 2, 3]).await?;
/// println!("job {} has {} tasks", job.id(), job.len());
/// assert_eq!(job.task(0).await?, 2);
/// job.wait().await;
/// println!("{} failed", job.summary().failed);
/// let again = executor.map(&app, double, [1, 2, 3]).await?;
/// assert_eq!(again.values().await?, [2, 4, 6]);
/// # Ok(())
/// # }
/// ```
pub struct Job<T> {
    pub(crate) shared: Arc<Shared>,
    value: PhantomData<fn() -> T>,
}

/// The future of one task's value.
#[must_use = "futures do nothing unless awaited"]
pub struct TaskFuture<T> {
    shared: Arc<Shared>,
    index: usize,
    fetching: Option<BoxFuture<'static, Result<Bytes, TaskError>>>,
    value: PhantomData<fn() -> T>,
}

/// A stream of results in the order in which tasks end, each with its task's number.
///
/// The job takes further inputs only as this stream is read, so any number of tasks takes little
/// memory.
#[must_use = "streams do nothing unless polled"]
pub struct Completed<T> {
    shared: Arc<Shared>,
    ready: std::vec::IntoIter<(usize, TaskResult)>,
    fetching: FuturesUnordered<BoxFuture<'static, (usize, Result<Bytes, TaskError>)>>,
    /// Set at the end: the wait for the job's log.
    closing: Option<BoxFuture<'static, ()>>,
    value: PhantomData<fn() -> T>,
}

/// What an output decodes to: every serde type, and [`Encoded`].
pub trait Value: Sized {
    /// Decodes one CBOR data item.
    ///
    /// # Errors
    ///
    /// Where the output is of another type.
    fn decode(bytes: Bytes) -> Result<Self, value::Error>;
}

/// An output left as it is: one CBOR data item (RFC 8949).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded(pub Bytes);

/// How far a job is to have come.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Until {
    /// As far as it is.
    Now,
    /// One task has ended.
    Any,
    /// Every task has ended.
    All,
    /// This part of the tasks has ended: 0 to 1. Of inputs that come one by one the number of
    /// tasks is known at their end.
    Fraction(f64),
}

/// How far a job had come when a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waited {
    /// Tasks that had ended.
    pub done: usize,
    /// Those of them that came to an error.
    pub failed: usize,
    /// Tasks of the job; of inputs that come one by one, those so far.
    pub tasks: usize,
    /// Whether it came as far as was waited for; else the time was over.
    pub reached: bool,
}

/// What a job's handles share with its dispatcher.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: JobId,
    pub(crate) function: String,
    pub(crate) partitions: Option<Arc<Partitions>>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) cancel: Cancel,
    /// Told when `cancel` was set.
    pub(crate) wake: Arc<Notify>,
    pub(crate) numbers: Arc<Numbers>,
    /// True once the job's log is complete.
    pub(crate) finished: watch::Receiver<bool>,
    /// Keeps the threads that run the job.
    pub(crate) executor: Executor,
}

/// A job's numbers, as they grow.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started: Duration,
    pub(crate) summary: Mutex<Summary>,
    pub(crate) attempts: Mutex<Attempts>,
}

// === impl Job ===

impl<T> Job<T> {
    /// Gives each task of the next job further arguments beside this job's output: a tuple, in the
    /// order of the signature.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use samara::{Component, Executor, function::{Function, Given, Kind}};
    /// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
    /// # const add: Function<(), (Given<u64>, Given<u64>), u64> =
    /// #     Function::new("add", Kind::Reduce, ());
    /// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
    /// let doubled = executor.map(&app, double, 1..=3_u64).await?;
    /// let sums = executor.map(&app, add, doubled.with((100_u64,))).await?.values().await?;
    /// assert_eq!(sums, [102, 104, 106]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with<X>(self, further: X) -> Chained<T, X> {
        Chained { job: self, further }
    }
}

impl<T: Value> Job<T> {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, value: PhantomData }
    }

    /// The job's id.
    pub fn id(&self) -> JobId {
        self.shared.id
    }

    /// Number of tasks; of inputs that come one by one, those so far.
    pub fn len(&self) -> usize {
        self.shared.ledger.counts().tasks
    }

    /// Whether the job has no tasks, because it has no inputs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The future of one task's value. Each result is handed out once: to this future, to
    /// [`as_completed`](Self::as_completed), or to [`results`](Self::results). Where the job has no
    /// such task, the future is an error that says so.
    pub fn task(&self, index: usize) -> TaskFuture<T> {
        let (shared, value) = (Arc::clone(&self.shared), PhantomData);
        TaskFuture { shared, index, fetching: None, value }
    }

    /// Each task's future, in the order of the inputs; of inputs that come one by one, those so
    /// far.
    pub fn into_futures(self) -> Vec<TaskFuture<T>> {
        (0..self.len()).map(|index| self.task(index)).collect()
    }

    /// Results as tasks end, each with its task's number.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use futures::StreamExt;
    /// # use samara::{Component, Executor, function::{Function, Given, Kind}};
    /// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
    /// # const add: Function<(), (Given<u64>, Given<u64>), u64> =
    /// #     Function::new("add", Kind::Reduce, ());
    /// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
    /// let mut results = executor.map(&app, double, 0..10_000_000_u64).await?.as_completed();
    /// while let Some((index, result)) = results.next().await {
    ///     println!("{index}: {}", result?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn as_completed(self) -> Completed<T> {
        self.shared.ledger.stream();
        Completed {
            shared: self.shared,
            ready: Vec::new().into_iter(),
            fetching: FuturesUnordered::new(),
            closing: None,
            value: PhantomData,
        }
    }

    /// Waits for every task; their results in the order of the inputs.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use samara::{Component, Executor, function::{Function, Given, Kind}};
    /// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
    /// # const add: Function<(), (Given<u64>, Given<u64>), u64> =
    /// #     Function::new("add", Kind::Reduce, ());
    /// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
    /// for (index, result) in executor.map(&app, double, [1, 2]).await?.results().await.iter().enumerate() {
    ///     match result {
    ///         Ok(value) => println!("{index}: {value}"),
    ///         Err(error) => println!("{index}: {} ({})", error, error.code()),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn results(self) -> Vec<Result<T, TaskError>> {
        self.wait().await;
        let shared = &self.shared;
        let mut results: Vec<Option<Result<T, TaskError>>> = Vec::new();
        let mut stored = Vec::new();
        for index in 0..self.len() {
            let Some(result) = shared.ledger.take(index) else { continue };
            match result {
                Ok(Output::Stored { content, .. }) => {
                    stored.push(shared.bring(index, content.as_deref()).map({
                        let position = results.len();
                        move |bytes| (position, index, bytes)
                    }));
                    results.push(None);
                }
                Ok(Output::Inline(bytes)) => results.push(Some(shared.decode(index, Ok(bytes)))),
                Err(error) => results.push(Some(Err(error))),
            }
        }
        let mut brought = futures::stream::iter(stored).buffer_unordered(FETCHES_MAX);
        while let Some((position, index, bytes)) = brought.next().await {
            results[position] = Some(shared.decode(index, bytes));
        }
        results.into_iter().flatten().collect()
    }

    /// Waits for every task; their values in the order of the inputs.
    ///
    /// # Errors
    ///
    /// The error of the first task, in the order of the inputs, that came to none.
    pub async fn values(self) -> Result<Vec<T>, TaskError> {
        self.results().await.into_iter().collect()
    }

    /// Waits until every task has ended, and the job's log is complete; takes no result.
    pub async fn wait(&self) {
        self.shared.ended().await;
    }

    /// Waits until the job has come so far, or for so long; takes no result.
    ///
    /// ```no_run
    /// # async fn example(job: samara::Job<u64>) {
    /// use std::time::Duration;
    /// use samara::Until;
    ///
    /// let waited = job.wait_until(Until::Fraction(0.5), Some(Duration::from_secs(10))).await;
    /// if !waited.reached {
    ///     println!("{} of {} tasks after 10 s", waited.done, waited.tasks);
    /// }
    /// # }
    /// ```
    pub async fn wait_until(&self, until: Until, at_most: Option<Duration>) -> Waited {
        let ledger = &self.shared.ledger;
        let enough = |counts: &Counts, complete: bool| complete || until.is_reached(counts);
        let reached = poll_fn(|context| ledger.poll_until(context.waker(), enough));
        let (counts, reached) = match at_most {
            None => (reached.await, true),
            Some(time) => {
                let over = self.shared.executor.sleep(time);
                match futures::future::select(Box::pin(reached), over).await {
                    futures::future::Either::Left((counts, _)) => (counts, true),
                    futures::future::Either::Right(((), _)) => (ledger.counts(), false),
                }
            }
        };
        let Counts { tasks, done, failed, .. } = counts;
        Waited { done, failed, tasks, reached }
    }

    /// Stops the tasks that have not ended. They come to a [`Cause::Platform`] that says so.
    pub fn cancel(&self) {
        self.shared.cancel();
    }

    /// Lets the job run on without this handle, until it ends or the process does.
    pub fn detach(self) {
        self.shared.detach();
    }

    /// What another process needs to [collect](Executor::collect) this job's results.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the executor's store is private to this process.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use samara::{Component, Executor, function::{Function, Given, Kind}};
    /// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
    /// # const add: Function<(), (Given<u64>, Given<u64>), u64> =
    /// #     Function::new("add", Kind::Reduce, ());
    /// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
    /// let job = executor.map(&app, double, [1, 2]).await?;
    /// println!("{}", serde_json::to_string(&job.reference()?).unwrap());
    /// job.wait().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn reference(&self) -> Result<JobRef, Error> {
        self.shared.reference()
    }

    /// The job in numbers, as far as it has come.
    pub fn summary(&self) -> Summary {
        self.shared.numbers.summary(&self.shared.ledger)
    }

    /// The job in numbers, attempt by attempt, as far as it has come.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use samara::{Component, Executor, function::{Function, Given, Kind}};
    /// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
    /// # const add: Function<(), (Given<u64>, Given<u64>), u64> =
    /// #     Function::new("add", Kind::Reduce, ());
    /// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
    /// let job = executor.map(&app, double, [1, 2]).await?;
    /// job.wait().await;
    /// println!("{}", job.stats().to_csv());
    /// # Ok(())
    /// # }
    /// ```
    pub fn stats(&self) -> JobStats {
        self.shared.stats()
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.shared.ledger.counts();
        f.debug_struct("Job")
            .field("id", &self.shared.id)
            .field("function", &self.shared.function)
            .field("tasks", &counts.tasks)
            .field("done", &counts.done)
            .finish()
    }
}

// === impl TaskFuture ===

impl<T> TaskFuture<T> {
    /// The task's number.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Stops the job that the task belongs to.
    pub fn cancel_job(&self) {
        self.shared.cancel();
    }

    /// What another process needs to [collect](Executor::collect_task) this task's result.
    ///
    /// # Errors
    ///
    /// As [`Job::reference`].
    pub fn reference(&self) -> Result<TaskRef, Error> {
        Ok(TaskRef { job: self.shared.reference()?, index: self.index })
    }
}

impl<T: Value + Send + 'static> TaskFuture<T> {
    /// Calls back with the result, on one of the executor's threads, whether or not anybody waits.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use samara::{Component, Executor, function::{Function, Given, Kind}};
    /// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
    /// # const add: Function<(), (Given<u64>, Given<u64>), u64> =
    /// #     Function::new("add", Kind::Reduce, ());
    /// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
    /// let job = executor.map(&app, double, [1, 2]).await?;
    /// job.task(0).on_end(|result| println!("{result:?}"));
    /// job.wait().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_end(self, callback: impl FnOnce(Result<T, TaskError>) + Send + 'static) {
        let executor = self.shared.executor.clone();
        executor.spawn(async move { callback(self.await) });
    }
}

impl<T: Value> Future for TaskFuture<T> {
    type Output = Result<T, TaskError>;

    /// Ready once. A result that was taken elsewhere is an error.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let index = self.index;
        if self.fetching.is_none() {
            let polled = self.shared.ledger.poll_one(index, context.waker());
            let Poll::Ready(result) = polled else { return Poll::Pending };
            match result {
                Some(Ok(Output::Inline(bytes))) => {
                    return Poll::Ready(self.shared.decode(index, Ok(bytes)));
                }
                Some(Ok(Output::Stored { content, .. })) => {
                    self.fetching = Some(self.shared.bring(index, content.as_deref()).boxed());
                }
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Err(self.shared.missing(index))),
            }
        }
        let Some(fetching) = &mut self.fetching else { return Poll::Pending };
        fetching.poll_unpin(context).map(|bytes| self.shared.decode(index, bytes))
    }
}

impl<T> fmt::Debug for TaskFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskFuture")
            .field("job", &self.shared.id)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

// === impl Completed ===

impl<T> Completed<T> {
    /// Results that are taken from the ledger at once.
    const AT_ONCE: usize = 256;

    /// Stops the tasks that have not ended; their results still come, as errors.
    pub fn cancel(&self) {
        self.shared.cancel();
    }
}

impl<T: Value> Stream for Completed<T> {
    type Item = (usize, Result<T, TaskError>);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Poll::Ready(Some((index, bytes))) = self.fetching.poll_next_unpin(context) {
                return Poll::Ready(Some((index, self.shared.decode(index, bytes))));
            }
            if self.fetching.len() >= FETCHES_MAX {
                return Poll::Pending;
            }
            match self.ready.next() {
                Some((index, Ok(Output::Inline(bytes)))) => {
                    return Poll::Ready(Some((index, self.shared.decode(index, Ok(bytes)))));
                }
                Some((index, Err(error))) => return Poll::Ready(Some((index, Err(error)))),
                Some((index, Ok(Output::Stored { content, .. }))) => {
                    let bring = self.shared.bring(index, content.as_deref());
                    let bring = bring.map(move |bytes| (index, bytes));
                    self.fetching.push(bring.boxed());
                    continue;
                }
                None => {}
            }
            // What is on its way wakes whoever waits; and what has ended must not be asked once more.
            if self.closing.is_some() && !self.fetching.is_empty() {
                return Poll::Pending;
            }
            if let Some(closing) = &mut self.closing {
                std::task::ready!(closing.poll_unpin(context));
                self.closing = Some(std::future::poll_fn(|_| Poll::Ready(())).boxed());
                return Poll::Ready(None);
            }
            match self.shared.ledger.poll_next(context.waker(), Self::AT_ONCE) {
                Poll::Ready(Some(results)) => self.ready = results.into_iter(),
                Poll::Ready(None) => {
                    let shared = Arc::clone(&self.shared);
                    self.closing = Some(async move { shared.ended().await }.boxed());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<T> Unpin for Completed<T> {}

impl<T> fmt::Debug for Completed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completed").field("job", &self.shared.id).finish_non_exhaustive()
    }
}

// === impl Value ===

impl<T: DeserializeOwned> Value for T {
    fn decode(bytes: Bytes) -> Result<Self, value::Error> {
        value::decode(&bytes)
    }
}

impl Value for Encoded {
    fn decode(bytes: Bytes) -> Result<Self, value::Error> {
        Ok(Self(bytes))
    }
}

// === impl Until ===

impl Until {
    #[allow(clippy::cast_precision_loss, reason = "a part of the tasks need not be exact")]
    fn is_reached(self, counts: &Counts) -> bool {
        match self {
            Self::Now => true,
            Self::Any => counts.done > 0,
            Self::All => false,
            Self::Fraction(part) => {
                counts.known && counts.done as f64 >= part * counts.tasks as f64
            }
        }
    }
}

// === impl Shared ===

impl Shared {
    pub(crate) fn decode<T: Value>(
        &self,
        index: usize,
        bytes: Result<Bytes, TaskError>,
    ) -> Result<T, TaskError> {
        T::decode(bytes?).map_err(|error| self.error(index, Cause::Output(error.to_string())))
    }

    /// Brings a stored output here.
    pub(crate) fn bring(
        self: &Arc<Self>,
        index: usize,
        content: Option<&str>,
    ) -> impl Future<Output = Result<Bytes, TaskError>> + Send + 'static + use<> {
        let shared = Arc::clone(self);
        let store = self.executor.store_location().join(&layout::stored_output(
            &self.id,
            index as u64,
            content,
        ));
        let ephemeral = self.executor.is_ephemeral();
        let reading = self.executor.clone().on_io(async move {
            let mut attempt = 1;
            let bytes = loop {
                match store.store.read(&store.key).await {
                    Err(error) if error.retry() && attempt < FETCH_ATTEMPTS => {
                        tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
                        attempt += 1;
                    }
                    read => break read?,
                }
            };
            if ephemeral {
                store.store.delete(&store.key).await?;
            }
            Ok(bytes)
        });
        reading.map(move |read| {
            read.map_err(|error| {
                let text = format!("fetching its output: {error}");
                let error = samara_core::Error::new(ErrorKind::Store, text);
                shared.error(index, Cause::Platform(error.with_retry(Retry::Never)))
            })
        })
    }

    /// Why a task has no result to hand out.
    fn missing(&self, index: usize) -> TaskError {
        let tasks = self.ledger.counts().tasks;
        self.error(
            index,
            Cause::Output(match index < tasks {
                true => "the result was taken elsewhere; each is handed out once".to_owned(),
                false => format!("the job has {tasks} tasks, numbered from 0"),
            }),
        )
    }

    fn error(&self, index: usize, cause: Cause) -> TaskError {
        TaskError::new(self.task_name(index), 1, cause, Vec::new())
    }

    pub(crate) fn task_name(&self, index: usize) -> TaskName {
        TaskName {
            job: self.id,
            function: self.function.clone(),
            index: index as u64,
            partition: self.partitions.as_ref().and_then(|plan| plan.get(index)),
        }
    }

    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
        self.wake.notify_one();
    }

    /// Waits for the last task and the job's log.
    pub(crate) async fn ended(&self) {
        poll_fn(|context| {
            let ended = self.ledger.poll_until(context.waker(), |_, complete| complete);
            ended.map(|_| ())
        })
        .await;
        let mut finished = self.finished.clone();
        // An error says that the dispatcher is gone, which is as final.
        let _gone = finished.wait_for(|finished| *finished).await;
    }

    pub(crate) fn detach(self: Arc<Self>) {
        let executor = self.executor.clone();
        executor.spawn(async move { self.ended().await });
    }

    pub(crate) fn reference(&self) -> Result<JobRef, Error> {
        if self.executor.is_ephemeral() {
            return Err(Error::Invalid(
                "the executor's store is private to this process, so nobody else could collect the \
                 job; give it one with `Builder::store`"
                    .to_owned(),
            ));
        }
        Ok(JobRef { id: self.id, store: self.executor.store() })
    }

    pub(crate) fn stats(&self) -> JobStats {
        let attempts = self.numbers.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        JobStats {
            job: self.id,
            function: self.function.clone(),
            summary: self.numbers.summary(&self.ledger),
            attempts: attempts.kept.clone(),
            attempts_dropped: attempts.dropped,
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.cancel();
    }
}

// === impl Numbers ===

impl Numbers {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let started = clock.monotonic();
        Self { clock, started, summary: Mutex::default(), attempts: Mutex::default() }
    }

    pub(crate) fn summary(&self, ledger: &Ledger) -> Summary {
        let mut summary = *self.lock();
        let counts = ledger.counts();
        summary.tasks = counts.tasks as u64;
        if !ledger.is_complete() {
            summary.elapsed = self.clock.monotonic().saturating_sub(self.started);
        }
        summary
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Summary)) {
        let mut summary = self.lock();
        change(&mut summary);
        summary.elapsed = self.clock.monotonic().saturating_sub(self.started);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
