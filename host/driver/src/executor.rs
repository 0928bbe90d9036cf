//! The executor: where a driver's program says what is to run, on what, where.

use std::collections::{BTreeSet, VecDeque};
use std::iter::{Once, once};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use samara_core::{
    Batch, Cancel, Clock, ComponentId, FunctionInfo, Grants, JobId, Limits, Runtime, Task, layout,
};
use samara_store::{ListOptions, Location, Locator, PutOptions, Store};
use samara_wit::Function;
use tokio::sync::mpsc;

use crate::builder::{Io, random};
use crate::dispatch::Dispatch;
use crate::job::{Shared, SharedSummary};
use crate::ledger::Ledger;
use crate::objects::Objects;
use crate::progress::Progress;
use crate::{Builder, Component, Encoded, Error, Inputs, Job, MapReduce, Plan, Summary, Value};

/// Submits jobs to one runtime and one store. Clones share both.
///
/// ```
/// # fn main() -> Result<(), samara::Error> {
/// use samara::Executor;
///
/// let executor = Executor::builder().slots(1).build()?;
/// assert_eq!(executor.runtime(), "local:1");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Executor(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) store: Location,
    pub(crate) ephemeral: bool,
    pub(crate) locator: Arc<Locator>,
    pub(crate) limits: Limits,
    pub(crate) grants: Grants,
    pub(crate) progress: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) uploaded: Mutex<BTreeSet<ComponentId>>,
    #[cfg(feature = "local")]
    pub(crate) handler: Option<Arc<samara_engine::Handler>>,
    pub(crate) io: Io,
}

/// Where a component's compiled code came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompiledCode {
    /// An earlier process of this user compiled it.
    Cached,
    /// This process compiled it.
    New,
}

/// A job that is ready to be dispatched.
pub(crate) struct Submission {
    pub(crate) shared: Arc<Shared>,
    pub(crate) dispatch: Dispatch,
}

// === impl Executor ===

impl Executor {
    /// Runs tasks in this process, one slot per core, with every default of [`Builder`].
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    pub(crate) fn of(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Settings to build an executor from.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Runs a function once per input.
    ///
    /// Ends when the job is submitted: the component is stored, the objects are found and cut.
    ///
    /// # Errors
    ///
    /// Where the component, the inputs or the store do not allow the job at all. What happens to
    /// its tasks is said by their results.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use samara::{Component, Executor, function::{Function, Given, Kind}};
    /// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
    /// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
    /// let doubled: Vec<u64> = executor.map(&app, double, [1, 2, 3]).await?.values().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Inputs of another type than the function's do not compile:
    ///
    /// ```compile_fail,E0277
    /// # use samara::{Component, Executor, function::{Function, Given, Kind}};
    /// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
    /// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
    /// executor.map(&app, double, ["one", "two"]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Nor do outputs:
    ///
    /// ```compile_fail,E0308
    /// # use samara::{Component, Executor, function::{Function, Given, Kind}};
    /// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
    /// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
    /// let doubled: Vec<String> = executor.map(&app, double, [1, 2, 3]).await?.values().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn map<F, A, O: Value, I: Inputs<A>>(
        &self,
        component: &Component,
        function: Function<F, A, O>,
        inputs: I,
    ) -> Result<Job<O>, Error> {
        let job = self.map_encoded(component, function.name(), inputs.into_plan()).await?;
        Ok(Job::new(job))
    }

    /// Runs a function once per input and combines the values with an associative function.
    ///
    /// Neighbours are combined as soon as they are there, in a tree whose shape depends on the
    /// number of inputs alone: the same inputs give the same value, also with floating-point
    /// numbers and with functions that are not commutative.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    pub async fn map_reduce<F, G, A, O: Value, I: Inputs<A>>(
        &self,
        component: &Component,
        function: Function<F, A, O>,
        inputs: I,
        reduce: Function<G, (samara_wit::Given<O>, samara_wit::Given<O>), O>,
    ) -> Result<MapReduce<O>, Error> {
        let plan = inputs.into_plan();
        self.map_reduce_encoded(component, function.name(), plan, reduce.name()).await
    }

    /// Runs a function once and waits for its value.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map), and the task's own error.
    pub async fn call<F, A, O: Value, X>(
        &self,
        component: &Component,
        function: Function<F, A, O>,
        arguments: X,
    ) -> Result<O, Error>
    where
        Once<X>: Inputs<A>,
    {
        let job = self.map(component, function, once(arguments)).await?;
        Ok(job.task(0).await?)
    }

    /// [`map`](Self::map) without the compiler's help: a function by name, encoded inputs, encoded
    /// values.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    pub async fn map_untyped(
        &self,
        component: &Component,
        function: &str,
        inputs: Plan,
    ) -> Result<Job<Encoded>, Error> {
        Ok(Job::new(self.map_encoded(component, function, Ok(inputs)).await?))
    }

    /// [`map_reduce`](Self::map_reduce) without the compiler's help.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    pub async fn map_reduce_untyped(
        &self,
        component: &Component,
        function: &str,
        inputs: Plan,
        reduce: &str,
    ) -> Result<MapReduce<Encoded>, Error> {
        self.map_reduce_encoded(component, function, Ok(inputs), reduce).await
    }

    /// Lists the functions of a component.
    ///
    /// # Errors
    ///
    /// [`Error::Component`] where it is none, or of another world or version; [`Error::Invalid`]
    /// where this driver was built without an engine.
    pub async fn functions(&self, component: &Component) -> Result<Vec<FunctionInfo>, Error> {
        let (this, component) = (self.clone(), component.clone());
        self.on_io(async move {
            this.upload(&component).await?;
            match this.inspect(&component).await? {
                Some(functions) => Ok(functions),
                None => Err(Error::Invalid("listing functions takes feature `local`".to_owned())),
            }
        })
        .await
    }

    /// Gets a component ready to run on this machine: stored, compiled, linked. A job does so by
    /// itself; this tells the cost of it from the cost of the tasks.
    ///
    /// # Errors
    ///
    /// As [`functions`](Self::functions).
    pub async fn prepare(&self, component: &Component) -> Result<CompiledCode, Error> {
        let (this, component) = (self.clone(), component.clone());
        self.on_io(async move {
            this.upload(&component).await?;
            this.compile(&component).await
        })
        .await
    }

    /// Finds and cuts objects as a job would: the plan, without the job.
    ///
    /// # Errors
    ///
    /// Where an object is not found, or the cut makes no sense.
    pub async fn plan(&self, objects: &Objects) -> Result<Vec<samara_core::Partition>, Error> {
        let (this, objects) = (self.clone(), objects.clone());
        self.on_io(async move { objects.partitions(&this.0.locator).await }).await
    }

    /// The URL of the runtime.
    pub fn runtime(&self) -> String {
        self.0.runtime.to_string()
    }

    /// The URL of the store that holds components and large outputs.
    pub fn store(&self) -> String {
        self.0.store.url()
    }

    async fn map_encoded(
        &self,
        component: &Component,
        function: &str,
        plan: Result<Plan, Error>,
    ) -> Result<Arc<Shared>, Error> {
        let (this, component) = (self.clone(), component.clone());
        let (function, plan) = (function.to_owned(), plan?);
        self.on_io(async move {
            let tasks = this.tasks(plan).await?;
            let partitions = tasks.iter().filter_map(|task| task.partition.clone()).collect();
            let count = tasks.len();
            let mut submission = this.submit(&component, &function, count, partitions).await?;
            if this.0.progress {
                submission.dispatch.progress = Progress::bar(&function, count as u64);
            }
            let (feed, fed) = mpsc::unbounded_channel();
            drop(feed);
            tokio::spawn(submission.dispatch.run(tasks, fed));
            Ok(submission.shared)
        })
        .await
    }

    async fn map_reduce_encoded<O: Value>(
        &self,
        component: &Component,
        function: &str,
        plan: Result<Plan, Error>,
        reduce: &str,
    ) -> Result<MapReduce<O>, Error> {
        let map = self.map_encoded(component, function, plan).await?;
        let (this, component, reduce) = (self.clone(), component.clone(), reduce.to_owned());
        let started = async move { crate::reduce::start(&this, &component, &reduce, map).await };
        Ok(MapReduce::new(self.on_io(started).await?))
    }

    /// Stores what a job needs and makes its ledger.
    pub(crate) async fn submit(
        &self,
        component: &Component,
        function: &str,
        count: usize,
        partitions: Vec<samara_core::Partition>,
    ) -> Result<Submission, Error> {
        self.upload(component).await?;
        self.check_function(component, function).await?;
        let inner = &self.0;
        let template = Batch {
            job: self.job_id()?,
            component: component.id(),
            function: function.to_owned(),
            store: inner.store.url(),
            limits: inner.limits,
            grants: inner.grants.clone(),
            task_count: count as u64,
            tasks: Vec::new(),
        };
        self.write_manifest(&template).await?;
        let ledger = Arc::new(Ledger::new(count));
        let cancel = Cancel::default();
        let summary = Summary { tasks: count as u64, ..Summary::default() };
        let summary = Arc::new(SharedSummary {
            clock: Arc::clone(&inner.clock),
            started: inner.clock.monotonic(),
            summary: Mutex::new(summary),
        });
        let shared = Shared {
            id: template.job,
            function: function.to_owned(),
            partitions,
            ledger: Arc::clone(&ledger),
            cancel: cancel.clone(),
            summary: Arc::clone(&summary),
        };
        let dispatch = Dispatch {
            runtime: Arc::clone(&inner.runtime),
            store: inner.store.clone(),
            ephemeral: inner.ephemeral,
            template,
            ledger,
            cancel,
            summary,
            progress: Progress::default(),
        };
        Ok(Submission { shared: Arc::new(shared), dispatch })
    }

    async fn tasks(&self, plan: Plan) -> Result<VecDeque<Task>, Error> {
        let task = |index, arguments, partition| Task { index, attempt: 0, arguments, partition };
        Ok(match plan {
            Plan::Values(values) => {
                let tasks = (0..).zip(values).map(|(index, value)| task(index, value, None));
                tasks.collect()
            }
            Plan::Objects { objects, arguments } => {
                let partitions = objects.partitions(&self.0.locator).await?;
                let tasks = (0..).zip(partitions);
                tasks.map(|(i, partition)| task(i, arguments.clone(), Some(partition))).collect()
            }
        })
    }

    /// Puts the component in the job's store unless it is there: its name is its content.
    async fn upload(&self, component: &Component) -> Result<(), Error> {
        let id = component.id();
        if self.uploaded().contains(&id) {
            return Ok(());
        }
        let location = self.0.store.join(&layout::component(&id));
        match location.store.head(&location.key).await {
            Ok(_) => {}
            Err(samara_store::Error::NotFound { .. }) => {
                let bytes = component.bytes().clone();
                match location.store.put(&location.key, bytes, PutOptions::if_absent()).await {
                    Ok(_) | Err(samara_store::Error::AlreadyExists { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
        self.uploaded().insert(id);
        Ok(())
    }

    async fn write_manifest(&self, batch: &Batch) -> Result<(), Error> {
        if self.0.ephemeral {
            // Nobody but this process could read it.
            return Ok(());
        }
        let manifest = serde_json::json!({
            "job": batch.job,
            "component": batch.component,
            "function": batch.function,
            "tasks": batch.task_count,
            "limits": batch.limits,
            "grants": batch.grants,
            "submitted_unix_ms": u64::try_from(self.0.clock.unix().as_millis()).unwrap_or(u64::MAX),
        });
        let location = self.0.store.join(&layout::manifest(&batch.job));
        let bytes = Bytes::from(manifest.to_string());
        location.store.put(&location.key, bytes, PutOptions::if_absent()).await?;
        Ok(())
    }

    /// Says early and once what every task would say otherwise.
    async fn check_function(&self, component: &Component, function: &str) -> Result<(), Error> {
        let Some(functions) = self.inspect(component).await? else { return Ok(()) };
        if functions.iter().any(|f| f.name == function) {
            return Ok(());
        }
        let names: Vec<&str> = functions.iter().map(|f| f.name.as_str()).collect();
        let has = match names.is_empty() {
            true => "it has none; mark some with #[function]".to_owned(),
            false => format!("it has {}", names.join(", ")),
        };
        let message = format!("no function is called `{function}`; {has}");
        Err(Error::Component { name: component.name().to_owned(), message })
    }

    #[cfg(feature = "local")]
    async fn inspect(&self, component: &Component) -> Result<Option<Vec<FunctionInfo>>, Error> {
        let Some(handler) = self.0.handler.clone() else { return Ok(None) };
        let (id, store) = (component.id(), self.0.store.url());
        let asked = tokio::task::spawn_blocking(move || handler.functions(id, &store)).await;
        let functions = asked.map_err(|error| Error::Invalid(format!("inspecting: {error}")))?;
        let functions = functions.map_err(|error| Error::Component {
            name: component.name().to_owned(),
            message: error.message,
        })?;
        Ok(Some(functions.to_vec()))
    }

    #[cfg(feature = "local")]
    async fn compile(&self, component: &Component) -> Result<CompiledCode, Error> {
        let Some(handler) = self.0.handler.clone() else { return Ok(CompiledCode::New) };
        let (id, store) = (component.id(), self.0.store.url());
        let asked = tokio::task::spawn_blocking(move || handler.prepare(id, &store)).await;
        let cached = asked.map_err(|error| Error::Invalid(format!("preparing: {error}")))?;
        match cached {
            Ok(true) => Ok(CompiledCode::Cached),
            Ok(false) => Ok(CompiledCode::New),
            Err(error) => {
                Err(Error::Component { name: component.name().to_owned(), message: error.message })
            }
        }
    }

    #[cfg(not(feature = "local"))]
    #[allow(clippy::unused_async, reason = "the same signature with and without an engine")]
    async fn compile(&self, _: &Component) -> Result<CompiledCode, Error> {
        Err(Error::Invalid("compiling a component takes feature `local`".to_owned()))
    }

    #[cfg(not(feature = "local"))]
    #[allow(clippy::unused_async, reason = "the same signature with and without an engine")]
    async fn inspect(&self, _: &Component) -> Result<Option<Vec<FunctionInfo>>, Error> {
        Ok(None)
    }

    fn job_id(&self) -> Result<JobId, Error> {
        let unix_ms = u64::try_from(self.0.clock.unix().as_millis()).unwrap_or(u64::MAX);
        Ok(JobId::new(unix_ms, random()?))
    }

    fn uploaded(&self) -> std::sync::MutexGuard<'_, BTreeSet<ComponentId>> {
        self.0.uploaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a future on the executor's threads, so that the caller's runtime does not matter.
    async fn on_io<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let spawned = self.0.io.handle().spawn(future);
        spawned.await.map_err(|error| Error::Invalid(format!("submitting ended: {error}")))?
    }
}

// === impl Inner ===

impl Drop for Inner {
    /// Frees the private store: nobody else knows its name, but the process keeps named stores.
    fn drop(&mut self) {
        if self.ephemeral {
            // Memory answers at once. To wait for it would panic where the executor is dropped
            // inside `block_on`.
            let _cleared = clear(&*self.store.store).now_or_never();
        }
    }
}

/// Removes every object of a store.
async fn clear(store: &dyn Store) {
    while let Ok(page) = store.list("", ListOptions::default()).await {
        for entry in &page.entries {
            drop(store.delete(&entry.key).await);
        }
        if page.next.is_none() {
            return;
        }
    }
}
