//! A submitted job, and the futures of its tasks.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use samara_core::{Cancel, Clock, JobId, Partition};
use samara_wit::value;
use serde::de::DeserializeOwned;

use crate::error::{Cause, TaskName};
use crate::ledger::{Ledger, TaskResult};
use crate::{Summary, TaskError};

/// A submitted job whose tasks come to values of type `T`.
///
/// Its tasks run whether or not anybody waits. Dropping the job and every future and stream made
/// of it cancels the tasks that have not ended: a running guest is stopped within some 10 ms, and
/// its memory freed.
pub struct Job<T> {
    pub(crate) shared: Arc<Shared>,
    value: PhantomData<fn() -> T>,
}

/// The future of one task's value.
#[must_use = "futures do nothing unless awaited"]
pub struct TaskFuture<T> {
    shared: Arc<Shared>,
    index: usize,
    value: PhantomData<fn() -> T>,
}

/// A stream of results in the order in which tasks end, each with its task's number.
#[must_use = "streams do nothing unless polled"]
pub struct Completed<T> {
    shared: Arc<Shared>,
    value: PhantomData<fn() -> T>,
}

/// A type that a task's output decodes to: every serde type, and [`Encoded`].
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

/// What a job's handles share with its dispatcher.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: JobId,
    pub(crate) function: String,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) cancel: Cancel,
    pub(crate) summary: Arc<SharedSummary>,
}

/// A summary that grows.
#[derive(Debug)]
pub(crate) struct SharedSummary {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started: Duration,
    pub(crate) summary: Mutex<Summary>,
}

// === impl Job ===

impl<T: Value> Job<T> {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, value: PhantomData }
    }

    /// The job's id.
    pub fn id(&self) -> JobId {
        self.shared.id
    }

    /// Number of tasks.
    pub fn len(&self) -> usize {
        self.shared.ledger.len()
    }

    /// Whether the job has no tasks, because it has no inputs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The future of one task's value. Each result is handed out once: to this future, to
    /// [`as_completed`](Self::as_completed), or to [`results`](Self::results).
    ///
    /// # Panics
    ///
    /// Where the job has no such task.
    pub fn task(&self, index: usize) -> TaskFuture<T> {
        assert!(index < self.len(), "job {} has {} tasks, not {index}", self.id(), self.len());
        TaskFuture { shared: Arc::clone(&self.shared), index, value: PhantomData }
    }

    /// Each task's future, in the order of the inputs.
    pub fn into_futures(self) -> Vec<TaskFuture<T>> {
        (0..self.len()).map(|index| self.task(index)).collect()
    }

    /// Results as tasks end, each with its task's number.
    pub fn as_completed(self) -> Completed<T> {
        Completed { shared: self.shared, value: PhantomData }
    }

    /// Waits for every task; their results in the order of the inputs.
    pub async fn results(self) -> Vec<Result<T, TaskError>> {
        self.wait().await;
        let shared = &self.shared;
        let taken = (0..self.len()).filter_map(|index| Some((index, shared.ledger.take(index)?)));
        taken.map(|(index, result)| shared.decode(index, result)).collect()
    }

    /// Waits for every task; their values in the order of the inputs.
    ///
    /// # Errors
    ///
    /// The error of the first task, in the order of the inputs, that came to none.
    pub async fn values(self) -> Result<Vec<T>, TaskError> {
        self.results().await.into_iter().collect()
    }

    /// Waits until every task has ended; takes no result.
    pub async fn wait(&self) {
        poll_fn(|context| self.shared.ledger.poll_all(context.waker())).await;
    }

    /// Stops the tasks that have not ended. They come to a [`Cause::Platform`] that says so.
    pub fn cancel(&self) {
        self.shared.cancel.cancel();
    }

    /// The job in numbers, as far as it has come.
    pub fn summary(&self) -> Summary {
        self.shared.summary.get()
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.shared.id)
            .field("function", &self.shared.function)
            .field("tasks", &self.shared.ledger.len())
            .field("left", &self.shared.ledger.left())
            .finish()
    }
}

// === impl TaskFuture ===

impl<T: Value> Future for TaskFuture<T> {
    type Output = Result<T, TaskError>;

    /// Ready once. A result that was taken elsewhere is an error.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.shared.ledger.poll_one(self.index, context.waker()) {
            Poll::Ready(Some(result)) => Poll::Ready(self.shared.decode(self.index, result)),
            Poll::Ready(None) => {
                let taken = "the result was taken elsewhere; each is handed out once".to_owned();
                Poll::Ready(Err(self.shared.error(self.index, Cause::Output(taken))))
            }
            Poll::Pending => Poll::Pending,
        }
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

impl<T: Value> Stream for Completed<T> {
    type Item = (usize, Result<T, TaskError>);

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.shared.ledger.poll_next(context.waker());
        next.map(|next| next.map(|(index, result)| (index, self.shared.decode(index, result))))
    }
}

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

// === impl Shared ===

impl Shared {
    pub(crate) fn decode<T: Value>(
        &self,
        index: usize,
        result: TaskResult,
    ) -> Result<T, TaskError> {
        T::decode(result?).map_err(|error| self.output_error(index, &error))
    }

    pub(crate) fn output_error(&self, index: usize, error: &value::Error) -> TaskError {
        self.error(index, Cause::Output(error.to_string()))
    }

    fn error(&self, index: usize, cause: Cause) -> TaskError {
        TaskError::new(self.task_name(index), 1, cause, Vec::new())
    }

    pub(crate) fn task_name(&self, index: usize) -> TaskName {
        TaskName {
            job: self.id,
            function: self.function.clone(),
            index: index as u64,
            partition: self.partitions.get(index).cloned(),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

// === impl SharedSummary ===

impl SharedSummary {
    pub(crate) fn get(&self) -> Summary {
        let mut summary = *self.lock();
        if summary.succeeded + summary.failed < summary.tasks {
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
