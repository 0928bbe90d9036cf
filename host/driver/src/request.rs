//! Jobs that are about to be submitted, with their options.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use samara_core::Limits;

use crate::dispatch::Policy;
use crate::executor::Executor;
use crate::{
    Backups, Component, Error, Grouped, Job, MapReduce, OnFailure, Plan, Retries, TaskEnd, Value,
};

/// What one job asks for.
pub(crate) struct Request {
    pub(crate) executor: Executor,
    pub(crate) component: Component,
    pub(crate) function: String,
    pub(crate) plan: Result<Plan, Error>,
    pub(crate) options: Options,
}

/// How a job is run.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) limits: Limits,
    pub(crate) policy: Policy,
    pub(crate) reuse: bool,
    pub(crate) progress: bool,
    /// Whether the job leaves no record where it ends soon and well.
    pub(crate) brief: bool,
}

/// A request, or the submission that was made of it.
enum State<T> {
    Asked(Box<Request>),
    Submitting(BoxFuture<'static, Result<T, Error>>),
    Done,
}

/// A job about to be submitted: set its options, then `.await` it for the [`Job`].
///
/// ```no_run
/// # use samara::{Component, Executor, function::{Function, Given, Kind}};
/// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
/// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
/// use std::time::Duration;
/// use samara::{OnFailure, Retries};
///
/// let job = executor
///     .map(&app, double, 0..1000_u64)
///     .retries(Retries::default().attempts(6).user_errors(true))
///     .on_failure(OnFailure::Tolerate(0.01))
///     .time(Duration::from_secs(60))
///     .job_time(Duration::from_secs(3600))
///     .await?;
/// job.wait().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is submitted unless awaited"]
pub struct Map<O> {
    state: State<Job<O>>,
}

/// A call about to be made: set its options, then `.await` it for the value.
#[must_use = "nothing is called unless awaited"]
pub struct Call<O> {
    state: State<O>,
}

/// A map and reduce about to be submitted: set its options, then `.await` it for the
/// [`MapReduce`].
#[must_use = "nothing is submitted unless awaited"]
pub struct MapThenReduce<O> {
    state: State<MapReduce<O>>,
    reduce: String,
}

/// A map and reduce with one value per object about to be submitted: set its options, then
/// `.await` it for the [`Grouped`].
#[must_use = "nothing is submitted unless awaited"]
pub struct MapThenReduceGroups<O> {
    state: State<Grouped<O>>,
    reduce: String,
}

/// The options that all kinds of jobs have.
macro_rules! options {
    ($name:ident) => {
        impl<O> $name<O> {
            /// What each task may use. Default the executor's.
            pub fn limits(self, limits: Limits) -> Self {
                self.set(|options| options.limits = limits)
            }

            /// The memory of each task in bytes. Default the executor's.
            pub fn memory(self, bytes: u64) -> Self {
                self.set(|options| options.limits.memory_bytes = bytes)
            }

            /// The wall-clock time of each task's attempt. Default the executor's.
            pub fn time(self, time: Duration) -> Self {
                self.set(|options| options.limits.time = time)
            }

            /// The wall-clock time of the whole job, from its submission. When it is over the tasks
            /// that have not ended, or not even started, come to an error that says so. Default
            /// none.
            pub fn job_time(self, time: Duration) -> Self {
                self.set(|options| options.policy.time = Some(time))
            }

            /// Which failed attempts are tried again. Default the executor's.
            pub fn retries(self, retries: Retries) -> Self {
                self.set(|options| options.policy.retries = retries)
            }

            /// When slow tasks get a second attempt beside the first; none: never. Default the
            /// executor's.
            pub fn backups(self, backups: Option<Backups>) -> Self {
                self.set(|options| options.policy.backups = backups)
            }

            /// What becomes of the job when a task fails for good. Default the executor's.
            pub fn on_failure(self, on_failure: OnFailure) -> Self {
                self.set(|options| options.policy.on_failure = on_failure)
            }

            /// Lets the tasks of a batch share one instance. Default no.
            ///
            /// A call then costs some 0.2 µs rather than some 20, which is what jobs of millions of
            /// tiny tasks want. What it costs is the isolation of these tasks from each other: a
            /// task sees what an earlier one of the same job left in `static`s and on the heap.
            /// From other jobs and from the host they are as isolated as ever. Where one of them
            /// traps or exceeds a limit, all of its batch are run again, each alone.
            pub fn reuse(self, reuse: bool) -> Self {
                self.set(|options| options.reuse = reuse)
            }

            /// Whether to draw a progress bar. Default the executor's.
            pub fn progress(self, show: bool) -> Self {
                self.set(|options| options.progress = show)
            }

            /// Calls back for each task as it ends for good, on one of the executor's threads,
            /// which should not be held up.
            pub fn on_task_end(
                self,
                callback: impl Fn(&TaskEnd<'_>) + Send + Sync + 'static,
            ) -> Self {
                self.set(|options| options.policy.on_end = Some(Arc::new(callback)))
            }

            fn set(mut self, change: impl FnOnce(&mut Options)) -> Self {
                if let State::Asked(request) = &mut self.state {
                    change(&mut request.options);
                }
                self
            }
        }

        impl<O> Unpin for $name<O> {}

        impl<O> fmt::Debug for $name<O> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut debug = f.debug_struct(stringify!($name));
                if let State::Asked(request) = &self.state {
                    debug.field("function", &request.function);
                }
                debug.finish_non_exhaustive()
            }
        }
    };
}

options!(Map);
options!(Call);
options!(MapThenReduce);
options!(MapThenReduceGroups);

// === impl Options ===

impl Options {
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.limits.check()?;
        let Policy { retries, backups, on_failure, time, .. } = &self.policy;
        let checks = [
            retries.check(),
            backups.as_ref().map_or(Ok(()), Backups::check),
            on_failure.check(),
            match time {
                Some(time) if time.is_zero() => Err("job-time must be longer than zero".to_owned()),
                _ => Ok(()),
            },
        ];
        checks.into_iter().collect::<Result<Vec<()>, String>>().map_err(Error::Invalid)?;
        Ok(())
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Policy { retries, backups, on_failure, time, .. } = &self.policy;
        f.debug_struct("Options")
            .field("limits", &self.limits)
            .field("retries", retries)
            .field("backups", backups)
            .field("on_failure", on_failure)
            .field("job_time", time)
            .field("reuse", &self.reuse)
            .finish_non_exhaustive()
    }
}

// === impl Map ===

impl<O> Map<O> {
    pub(crate) fn new(request: Request) -> Self {
        Self { state: State::Asked(Box::new(request)) }
    }

    /// The same, to be waited for as a whole: for one input.
    pub(crate) fn into_call(self) -> Call<O> {
        Call { state: self.state.restart() }
    }

    /// The same, and its values combined.
    pub(crate) fn then_reduce(self, reduce: &str) -> MapThenReduce<O> {
        MapThenReduce { state: self.state.restart(), reduce: reduce.to_owned() }
    }
}

impl<O: Value> Future for Map<O> {
    type Output = Result<Job<O>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let submit = |request: Request| {
            async move { Ok(Job::new(request.executor.clone().submit(request).await?)) }.boxed()
        };
        self.state.poll(context, submit)
    }
}

// === impl Call ===

impl<O> Call<O> {
    pub(crate) fn new(request: Request) -> Self {
        Self { state: State::Asked(Box::new(request)) }
    }
}

impl<O: Value + 'static> Future for Call<O> {
    type Output = Result<O, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let submit = |request: Request| {
            async move {
                let executor = request.executor.clone();
                // A callback is called on the executor's threads, and a log ends by itself.
                let alone = executor.is_ephemeral() && request.options.policy.on_end.is_none();
                let begun = executor.begun(request).await?;
                let shared = if alone { begun.here().await } else { begun.spawn() };
                let job = Job::<O>::new(shared);
                job.wait().await;
                Ok(job.task(0).await?)
            }
            .boxed()
        };
        self.state.poll(context, submit)
    }
}

// === impl MapThenReduce ===

impl<O> MapThenReduce<O> {
    pub(crate) fn new(request: Request, reduce: String) -> Self {
        Self { state: State::Asked(Box::new(request)), reduce }
    }

    /// One value for each object rather than one over all: each reducer combines the values of one
    /// object's partitions.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use samara::{Component, Executor, function::{Function, Given, Kind}};
    /// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
    /// # const add: Function<(), (Given<u64>, Given<u64>), u64> =
    /// #     Function::new("add", Kind::Reduce, ());
    /// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
    /// # use samara::function::Pulled;
    /// # const count: Function<(), (Pulled,), u64> = Function::new("count", Kind::Map, ());
    /// let logs = samara::Objects::at("logs/*.log").chunk_bytes(8 << 20);
    /// let counts = executor.map_reduce(&app, count, logs, add).per_object().await?.values().await?;
    /// for (url, lines) in counts {
    ///     println!("{url}: {lines}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn per_object(self) -> MapThenReduceGroups<O> {
        MapThenReduceGroups { state: self.state.restart(), reduce: self.reduce }
    }
}

impl<O: Value> Future for MapThenReduce<O> {
    type Output = Result<MapReduce<O>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let reduce = self.reduce.clone();
        let submit = move |request: Request| {
            async move { Ok(MapReduce::new(crate::reduce::start(request, reduce, false).await?)) }
                .boxed()
        };
        self.state.poll(context, submit)
    }
}

// === impl MapThenReduceGroups ===

impl<O: Value> Future for MapThenReduceGroups<O> {
    type Output = Result<Grouped<O>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let reduce = self.reduce.clone();
        let submit = move |request: Request| {
            async move { Ok(Grouped::new(crate::reduce::start(request, reduce, true).await?)) }
                .boxed()
        };
        self.state.poll(context, submit)
    }
}

// === impl State ===

impl<T> State<T> {
    /// The request for another kind of outcome; a request that was awaited before stays so.
    fn restart<U>(self) -> State<U> {
        match self {
            Self::Asked(request) => State::Asked(request),
            _ => State::Done,
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        submit: impl FnOnce(Request) -> BoxFuture<'static, Result<T, Error>>,
    ) -> Poll<Result<T, Error>> {
        if let Self::Asked(_) = self
            && let Self::Asked(request) = std::mem::replace(self, Self::Done)
        {
            *self = Self::Submitting(submit(*request));
        }
        match self {
            Self::Submitting(submitting) => {
                let polled = submitting.poll_unpin(context);
                if polled.is_ready() {
                    *self = Self::Done;
                }
                polled
            }
            _ => Poll::Ready(Err(Error::Invalid("this request was awaited before".to_owned()))),
        }
    }
}
