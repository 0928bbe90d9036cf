//! Combining a job's values in trees, as they come.

mod forest;

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use samara_core::{Argument, Arguments, JobId, Task, layout};
use samara_store::StoreExt;
use tokio::sync::{mpsc, oneshot};

use crate::executor::Executor;
use crate::feed::{Fed, Feed, argument};
use crate::inputs::Plan;
use crate::job::Shared;
use crate::ledger::TaskResult;
use crate::policy::OnFailure;
use crate::reduce::forest::{Forest, Place};
use crate::request::Request;
use crate::{Cause, Error, JobStats, Summary, TaskError, Value};

/// Combining tasks on their way to the dispatcher.
const FEED_MAX: usize = 64;

/// Results that are looked at together.
const RESULTS_AT_ONCE: usize = 256;

/// A submitted job whose values are combined to one.
///
/// Dropping it cancels what has not ended.
///
/// ```no_run
/// # use samara::{Component, Executor, function::{Function, Given, Kind}};
/// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
/// # const add: Function<(), (Given<u64>, Given<u64>), u64> =
/// #     Function::new("add", Kind::Reduce, ());
/// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
/// let sum = executor.map_reduce(&app, double, 1..=100_u64, add).await?;
/// println!("{} maps", sum.summary().tasks);
/// assert_eq!(sum.value().await?, Some(10_100));
/// # Ok(())
/// # }
/// ```
pub struct MapReduce<T> {
    started: Started,
    value: PhantomData<fn() -> T>,
}

/// A submitted job whose values are combined to one for each object.
///
/// Dropping it cancels what has not ended.
pub struct Grouped<T> {
    started: Started,
    value: PhantomData<fn() -> T>,
}

/// A map-reduce on its way, whatever its type.
pub(crate) struct Started {
    map: Arc<Shared>,
    reduce: Arc<Shared>,
    /// What each value is of, where there is one for each object.
    names: Vec<String>,
    values: oneshot::Receiver<Combined>,
    /// The values once `wait` has seen them.
    waited: Option<Combined>,
}

/// The combined values; none of a group without inputs.
type Combined = Result<Vec<Option<Argument>>, TaskError>;

/// Feeds the combining job.
struct Combiner {
    forest: Forest,
    map: Arc<Shared>,
    reduce: Arc<Shared>,
    feed: mpsc::Sender<Fed>,
    /// Where the value of each combining task belongs, and what it combines.
    places: BTreeMap<usize, (Place, Vec<Argument>)>,
    next_task: usize,
    /// Whether values of tasks that failed are left out, and how many may be.
    on_failure: OnFailure,
}

// === impl MapReduce ===

impl<T: Value> MapReduce<T> {
    pub(crate) fn new(started: Started) -> Self {
        Self { started, value: PhantomData }
    }

    /// Waits for the combined value; none where the job has no inputs.
    ///
    /// # Errors
    ///
    /// The first error of a task: without its value there is none of the job's. With
    /// [`OnFailure::Tolerate`](crate::OnFailure::Tolerate) failed tasks are left out.
    pub async fn value(mut self) -> Result<Option<T>, Error> {
        let values = self.started.take().await?;
        let Some(value) = values.into_iter().next().flatten() else { return Ok(None) };
        self.started.decode(value).await.map(Some)
    }

    /// The maps in numbers, as far as they have come.
    pub fn summary(&self) -> Summary {
        self.started.map.numbers.summary(&self.started.map.ledger)
    }

    /// The combining tasks in numbers, as far as they have come.
    pub fn reduce_summary(&self) -> Summary {
        self.started.reduce.numbers.summary(&self.started.reduce.ledger)
    }
}

// === impl Grouped ===

impl<T: Value> Grouped<T> {
    pub(crate) fn new(started: Started) -> Self {
        Self { started, value: PhantomData }
    }

    /// Waits for the combined values: each object's URL and value, in the order of the objects.
    ///
    /// # Errors
    ///
    /// As [`MapReduce::value`].
    pub async fn values(mut self) -> Result<Vec<(String, T)>, Error> {
        let values = self.started.take().await?;
        let mut decoded = Vec::with_capacity(values.len());
        let names = std::mem::take(&mut self.started.names);
        for (name, value) in names.into_iter().zip(values) {
            if let Some(value) = value {
                decoded.push((name, self.started.decode(value).await?));
            }
        }
        Ok(decoded)
    }
}

/// What both kinds have.
macro_rules! handles {
    ($name:ident) => {
        impl<T> $name<T> {
            /// The id of the job that maps.
            pub fn id(&self) -> JobId {
                self.started.map.id
            }

            /// The id of the job that combines.
            pub fn reduce_id(&self) -> JobId {
                self.started.reduce.id
            }

            /// The maps in numbers, attempt by attempt, as far as they have come.
            pub fn stats(&self) -> JobStats {
                self.started.map.stats()
            }

            /// The combining tasks in numbers, attempt by attempt, as far as they have come.
            pub fn reduce_stats(&self) -> JobStats {
                self.started.reduce.stats()
            }

            /// Waits until the values are there, or an error, and keeps them.
            pub async fn wait(&mut self) {
                self.started.wait().await;
            }

            /// Stops what has not ended.
            pub fn cancel(&self) {
                self.started.map.cancel();
                self.started.reduce.cancel();
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("map", &self.started.map.id)
                    .field("reduce", &self.started.reduce.id)
                    .finish_non_exhaustive()
            }
        }
    };
}

handles!(MapReduce);
handles!(Grouped);

// === impl Started ===

impl Started {
    async fn wait(&mut self) {
        // Not the ledgers: after an error, combining tasks that were never submitted never end.
        if self.waited.is_none() {
            let gone = || Err(lost(&self.reduce));
            self.waited = Some((&mut self.values).await.unwrap_or_else(|_| gone()));
            self.map.ended().await;
            self.reduce.ended().await;
        }
    }

    async fn take(&mut self) -> Combined {
        self.wait().await;
        self.waited.take().unwrap_or_else(|| Err(lost(&self.reduce)))
    }

    async fn decode<T: Value>(&self, value: Argument) -> Result<T, Error> {
        let bytes = fetch(&self.reduce.executor, value).await?;
        let last = self.reduce.ledger.counts().tasks.saturating_sub(1);
        Ok(self.reduce.decode(last, Ok(bytes))?)
    }
}

/// For a combiner that is gone, which happens where its threads are.
fn lost(reduce: &Shared) -> TaskError {
    let error = samara_core::Error::new(samara_core::ErrorKind::Lost, "the executor is gone");
    TaskError::new(reduce.task_name(0), 1, Cause::Platform(error), Vec::new())
}

async fn fetch(executor: &Executor, value: Argument) -> Result<Bytes, Error> {
    match value {
        Argument::Inline(bytes) => Ok(bytes),
        Argument::Stored { job, index, content, .. } => {
            let key = layout::stored_output(&job, index, content.as_deref());
            let location = executor.store_location().join(&key);
            let read = async move { Ok(location.store.read(&location.key).await?) };
            executor.clone().on_io(read).await
        }
    }
}

/// Submits the maps and the combining job, and feeds it with their values as they come.
pub(crate) async fn start(
    request: Request,
    reduce: String,
    per_object: bool,
) -> Result<Started, Error> {
    let (executor, component) = (request.executor.clone(), request.component.clone());
    let options = request.options.clone();
    executor.check_function(&component, &reduce).await?;
    let map = executor.submit(request).await?;
    let groups = match (&map.partitions, per_object) {
        (Some(plan), true) => plan.groups(),
        (None, true) => {
            map.cancel();
            return Err(Error::Invalid(
                "one value per object takes objects as inputs: these are values".to_owned(),
            ));
        }
        _ => Vec::new(),
    };
    let (names, sizes): (Vec<String>, Vec<usize>) = groups.into_iter().unzip();
    let forest = if per_object { Forest::of(&sizes) } else { Forest::one() };
    let (feed, fed) = mpsc::channel(FEED_MAX);
    let mut reduce_options = options.clone();
    reduce_options.reuse = false;
    reduce_options.progress = false;
    let on_failure = options.policy.on_failure;
    let plan = Ok(Plan::values([]));
    let request = Request {
        executor: executor.clone(),
        component,
        function: reduce,
        plan,
        options: reduce_options,
    };
    let reduce = executor.submit_fed(request, Feed::Channel(fed)).await?;
    let (done, values) = oneshot::channel();
    map.ledger.stream();
    let combiner = Combiner {
        forest,
        map: Arc::clone(&map),
        reduce: Arc::clone(&reduce),
        feed,
        places: BTreeMap::new(),
        next_task: 0,
        on_failure,
    };
    executor.spawn(combiner.run(done));
    Ok(Started { map, reduce, names, values, waited: None })
}

/// What the combiner sees next.
enum Seen {
    Maps(Vec<(usize, TaskResult)>),
    MapsEnded,
    Combined(Vec<(usize, TaskResult)>),
    NobodyWaits,
}

// === impl Combiner ===

impl Combiner {
    /// Moves values up the trees until one is left of each, or nobody wants it.
    async fn run(mut self, mut done: oneshot::Sender<Combined>) {
        let mut maps_ended = false;
        let result = loop {
            if let Some(values) = self.forest.roots() {
                break self.judged(values);
            }
            let result = match self.see(&mut done, maps_ended).await {
                Seen::Maps(results) => self.take_maps(results),
                Seen::MapsEnded => {
                    maps_ended = true;
                    self.forest.close();
                    Ok(())
                }
                Seen::Combined(results) => self.take_combined(results),
                Seen::NobodyWaits => break Ok(Vec::new()),
            };
            if let Err(error) = result {
                break Err(error);
            }
            self.feed_ready().await;
        };
        if result.is_err() {
            self.map.cancel();
            self.reduce.cancel();
        }
        drop(self.feed);
        let _nobody_waits = done.send(result);
    }

    /// The values, unless more tasks failed than may be left out: then they are those of a job that
    /// was stopped.
    fn judged(&self, values: Vec<Option<Argument>>) -> Combined {
        let counts = self.map.ledger.counts();
        match self.on_failure.verdict(counts.failed as u64, counts.tasks as u64) {
            None => Ok(values),
            Some(why) => {
                let (name, cause) = (self.map.task_name(0), Cause::Platform(why));
                Err(TaskError::new(name, 1, cause, Vec::new()))
            }
        }
    }

    async fn see(&self, done: &mut oneshot::Sender<Combined>, maps_ended: bool) -> Seen {
        poll_fn(|context| {
            if done.poll_closed(context).is_ready() {
                return Poll::Ready(Seen::NobodyWaits);
            }
            if !maps_ended {
                match self.map.ledger.poll_next(context.waker(), RESULTS_AT_ONCE) {
                    Poll::Ready(Some(results)) => return Poll::Ready(Seen::Maps(results)),
                    Poll::Ready(None) => return Poll::Ready(Seen::MapsEnded),
                    Poll::Pending => {}
                }
            }
            let combined = self.reduce.ledger.poll_next(context.waker(), RESULTS_AT_ONCE);
            match combined {
                Poll::Ready(Some(results)) => Poll::Ready(Seen::Combined(results)),
                // The combining job ends before this only where it was cancelled.
                Poll::Ready(None) => Poll::Ready(Seen::NobodyWaits),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn take_maps(&mut self, results: Vec<(usize, TaskResult)>) -> Result<(), TaskError> {
        for (index, result) in results {
            let value = match result {
                Ok(output) => Some(argument(&self.map, index as u64, output)),
                Err(_) if matches!(self.on_failure, OnFailure::Tolerate(_)) => None,
                Err(error) => return Err(error),
            };
            self.forest.put_leaf(index, value);
        }
        Ok(())
    }

    fn take_combined(&mut self, results: Vec<(usize, TaskResult)>) -> Result<(), TaskError> {
        for (task, result) in results {
            let value = argument(&self.reduce, task as u64, result?);
            if let Some((place, used)) = self.places.remove(&task) {
                self.forest.put(place, Some(value));
                self.free(used);
            }
        }
        Ok(())
    }

    /// Submits the tasks whose values are all there.
    async fn feed_ready(&mut self) {
        let ready = self.forest.take_ready();
        if ready.is_empty() {
            return;
        }
        let mut fed = Fed::default();
        for (place, values) in ready {
            let stored: Vec<Argument> = values
                .iter()
                .filter(|value| matches!(value, Argument::Stored { .. }))
                .cloned()
                .collect();
            let (index, arguments) = (self.next_task as u64, Arguments::Parts(values));
            fed.tasks.push(Task { index, attempt: 0, arguments, partition: None });
            self.places.insert(self.next_task, (place, stored));
            self.next_task += 1;
        }
        // The dispatcher is gone only where nobody waits any more.
        let _gone = self.feed.send(fed).await;
    }

    /// Removes stored values that were combined, where nobody else could read them.
    fn free(&self, used: Vec<Argument>) {
        let executor = &self.reduce.executor;
        if used.is_empty() || !executor.is_ephemeral() {
            return;
        }
        let store = executor.store_location().clone();
        executor.spawn(async move {
            for argument in used {
                let Argument::Stored { job, index, content, .. } = argument else { continue };
                let key = layout::stored_output(&job, index, content.as_deref());
                let location = store.join(&key);
                if let Err(error) = location.store.delete(&location.key).await {
                    tracing::warn!("removing an output that was used: {}", error.in_full());
                }
            }
        });
    }
}
