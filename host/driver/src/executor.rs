//! The executor: where a driver's program says what is to run, on what, where.

use std::collections::BTreeMap;
use std::iter::{Once, once};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, poll_fn};
use samara_core::{
    Batch, Cancel, Clock, ComponentId, FunctionInfo, Grants, JobId, Reach, Runtime, layout,
};
use samara_store::{ListOptions, Location, Locator, PutOptions, Store};
use samara_wit::Function;
use tokio::sync::watch;

use crate::builder::{Io, random};
use crate::dispatch::Dispatch;
use crate::feed::Feed;
use crate::inputs::Source;
use crate::job::{Numbers, Shared};
use crate::joblog::JobLog;
use crate::ledger::Ledger;
use crate::manifest::Manifest;
use crate::nested::Starter;
use crate::plan::Partitions;
use crate::progress::Progress;
use crate::request::{Options, Request};
use crate::{
    Builder, Call, Component, Encoded, Error, Inputs as IntoInputs, Map, MapThenReduce, Objects,
    Plan, Value, timer,
};

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
    /// Where the private store is, if it is in files; removed with this value, and after the
    /// runtime, which is before it here.
    pub(crate) scratch: Option<tempfile::TempDir>,
    pub(crate) locator: Arc<Locator>,
    /// What jobs ask for unless they say otherwise.
    pub(crate) options: Options,
    pub(crate) grants: Grants,
    /// Starts the jobs that tasks ask for.
    #[cfg_attr(not(feature = "local"), allow(dead_code, reason = "tasks run elsewhere"))]
    pub(crate) starter: Arc<Starter>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Components that are stored and can run, and their functions.
    pub(crate) known: Mutex<BTreeMap<ComponentId, Option<Functions>>>,
    pub(crate) newest_job: Mutex<Option<JobId>>,
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

/// The functions of a component.
pub(crate) type Functions = Arc<[FunctionInfo]>;

/// A job that is ready to run.
pub(crate) struct Begun {
    shared: Arc<Shared>,
    running: BoxFuture<'static, ()>,
}

/// What is known of a job's inputs before any of them is taken.
pub(crate) struct Known {
    pub(crate) expected: Option<usize>,
    pub(crate) partitions: Option<Arc<Partitions>>,
    pub(crate) cancel: Cancel,
}

// === impl Executor ===

impl Executor {
    /// Runs tasks in this process, one slot per core, with every default of [`Builder`].
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), samara::Error> {
    /// let executor = samara::Executor::new()?;
    /// assert!(executor.runtime().starts_with("local:"));
    /// assert!(executor.store().starts_with("mem:"), "private, and gone with the executor");
    /// # Ok(())
    /// # }
    /// ```
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// Makes an executor, whose tasks may start jobs through it.
    pub(crate) fn of(make: impl FnOnce(Arc<Starter>) -> Inner) -> Self {
        let inner =
            Arc::new_cyclic(|inner: &Weak<Inner>| make(Arc::new(Starter(Weak::clone(inner)))));
        #[cfg(feature = "local")]
        if let Some(handler) = &inner.handler {
            let starter: Weak<Starter> = Arc::downgrade(&inner.starter);
            handler.set_jobs(starter);
        }
        Self(inner)
    }

    pub(crate) fn of_arc(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    /// What jobs ask for unless they say otherwise.
    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    /// Settings to build an executor from.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Runs a function once per input.
    ///
    /// The [`Map`] takes options, and is awaited for the [`Job`](crate::Job): then the job is submitted, the
    /// component stored, the objects found and cut.
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
    pub fn map<F, A, O: Value, I: IntoInputs<A>>(
        &self,
        component: &Component,
        function: Function<F, A, O>,
        inputs: I,
    ) -> Map<O> {
        Map::new(self.request(component, function.name(), inputs.into_plan()))
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
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use samara::{Component, Executor, function::{Function, Given, Kind}};
    /// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
    /// # const add: Function<(), (Given<u64>, Given<u64>), u64> =
    /// #     Function::new("add", Kind::Reduce, ());
    /// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
    /// let sum = executor.map_reduce(&app, double, 1..=10_u64, add).await?.value().await?;
    /// assert_eq!(sum, Some(110));
    /// # Ok(())
    /// # }
    /// ```
    pub fn map_reduce<F, G, A, O: Value, I: IntoInputs<A>>(
        &self,
        component: &Component,
        function: Function<F, A, O>,
        inputs: I,
        reduce: Function<G, (samara_wit::Given<O>, samara_wit::Given<O>), O>,
    ) -> MapThenReduce<O> {
        let request = self.request(component, function.name(), inputs.into_plan());
        MapThenReduce::new(request, reduce.name().to_owned())
    }

    /// Runs a function once and waits for its value.
    ///
    /// A call that ends within a second and well leaves no record in the executor's store, and is
    /// not among its [`jobs`](Self::jobs); others are jobs like any.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map), and the task's own error.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use samara::{Component, Executor, function::{Function, Given, Kind}};
    /// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
    /// # const add: Function<(), (Given<u64>, Given<u64>), u64> =
    /// #     Function::new("add", Kind::Reduce, ());
    /// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
    /// assert_eq!(executor.call(&app, double, 21).await?, 42);
    /// # Ok(())
    /// # }
    /// ```
    pub fn call<F, A, O: Value, X>(
        &self,
        component: &Component,
        function: Function<F, A, O>,
        arguments: X,
    ) -> Call<O>
    where
        Once<X>: IntoInputs<A>,
    {
        let mut request = self.request(component, function.name(), once(arguments).into_plan());
        request.options.progress = false;
        request.options.brief = true;
        Call::new(request)
    }

    /// [`map`](Self::map) without the compiler's help: a function by name, encoded inputs, encoded
    /// values.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use samara::{Component, Executor, function::{Function, Given, Kind}};
    /// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
    /// # const add: Function<(), (Given<u64>, Given<u64>), u64> =
    /// #     Function::new("add", Kind::Reduce, ());
    /// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
    /// let one = samara::Plan::values([bytes::Bytes::from_static(&[0x81, 21])]);
    /// for output in executor.map_untyped(&app, "double", one).await?.values().await? {
    ///     assert_eq!(&output.0[..], [0x18, 42], "CBOR for 42");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn map_untyped(&self, component: &Component, function: &str, inputs: Plan) -> Map<Encoded> {
        Map::new(self.request(component, function, Ok(inputs)))
    }

    /// [`map_reduce`](Self::map_reduce) without the compiler's help.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    pub fn map_reduce_untyped(
        &self,
        component: &Component,
        function: &str,
        inputs: Plan,
        reduce: &str,
    ) -> MapThenReduce<Encoded> {
        MapThenReduce::new(self.request(component, function, Ok(inputs)), reduce.to_owned())
    }

    /// Lists the functions of a component.
    ///
    /// # Errors
    ///
    /// [`Error::Component`] where it is none, or of another world or version; [`Error::Invalid`]
    /// where this driver was built without an engine.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use samara::{Component, Executor, function::{Function, Given, Kind}};
    /// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
    /// # const add: Function<(), (Given<u64>, Given<u64>), u64> =
    /// #     Function::new("add", Kind::Reduce, ());
    /// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
    /// for function in executor.functions(&app).await? {
    ///     println!("{}: {}", function.name, function.signature);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn functions(&self, component: &Component) -> Result<Vec<FunctionInfo>, Error> {
        match self.ready(component).await? {
            Some(functions) => Ok(functions.to_vec()),
            None => Err(Error::Invalid("listing functions takes feature `local`".to_owned())),
        }
    }

    /// Gets a component ready to run on this machine: stored, compiled, linked. A job does so by
    /// itself; this tells the cost of it from the cost of the tasks.
    ///
    /// # Errors
    ///
    /// As [`functions`](Self::functions).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use samara::{Component, Executor, function::{Function, Given, Kind}};
    /// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
    /// # const add: Function<(), (Given<u64>, Given<u64>), u64> =
    /// #     Function::new("add", Kind::Reduce, ());
    /// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
    /// println!("compiled: {:?}", executor.prepare(&app).await?);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn prepare(&self, component: &Component) -> Result<CompiledCode, Error> {
        let (this, component) = (self.clone(), component.clone());
        let prepared = self.clone().on_io(async move {
            this.upload(&component).await?;
            this.compile(&component).await
        });
        prepared.await
    }

    /// Finds and cuts objects as a job would: the plan, without the job.
    ///
    /// # Errors
    ///
    /// Where an object is not found, or the cut makes no sense.
    ///
    /// # Examples
    ///
    /// ```
    /// use samara::{Executor, Objects};
    ///
    /// # fn main() -> Result<(), samara::Error> {
    /// let executor = Executor::new()?;
    /// samara::block_on(executor.storage().put("mem://doc-plan/text", "some\nlines\n"))?;
    /// let lines = Objects::at("mem://doc-plan/text").chunk_bytes(6);
    /// assert_eq!(samara::block_on(executor.plan(&lines))?.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn plan(&self, objects: &Objects) -> Result<Partitions, Error> {
        let sources = vec![(objects.clone(), Bytes::new())];
        self.find(sources).await
    }

    /// Finds and cuts the objects of encoded inputs; none where they are no objects.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan).
    ///
    /// # Examples
    ///
    /// ```
    /// use samara::{Executor, Plan};
    ///
    /// # fn main() -> Result<(), samara::Error> {
    /// let values = Plan::values([bytes::Bytes::from_static(&[0x81, 21])]);
    /// let planned = samara::block_on(Executor::new()?.dry_run(&values))?;
    /// assert!(planned.is_none(), "values are no objects");
    /// # Ok(())
    /// # }
    /// ```
    pub fn dry_run(
        &self,
        plan: &Plan,
    ) -> impl Future<Output = Result<Option<Partitions>, Error>> + Send + use<> {
        // Inputs that are made by a closure cannot be looked at from two threads.
        let sources = match &plan.0 {
            Source::Objects(sources) => Some(sources.clone()),
            _ => None,
        };
        let this = self.clone();
        async move {
            match sources {
                Some(sources) => Ok(Some(this.find(sources).await?)),
                None => Ok(None),
            }
        }
    }

    /// The URL of the runtime.
    pub fn runtime(&self) -> String {
        self.0.runtime.to_string()
    }

    /// The URL of the store that holds components and large outputs.
    pub fn store(&self) -> String {
        self.0.store.url()
    }

    async fn find(&self, sources: Vec<(Objects, Bytes)>) -> Result<Partitions, Error> {
        let this = self.clone();
        let found = async move { Partitions::find(sources, &this.0.locator).await };
        self.clone().on_io(found).await
    }

    fn request(&self, component: &Component, function: &str, plan: Result<Plan, Error>) -> Request {
        Request {
            executor: self.clone(),
            component: component.clone(),
            function: function.to_owned(),
            plan,
            options: self.0.options.clone(),
        }
    }

    /// Submits a job.
    pub(crate) async fn submit(&self, request: Request) -> Result<Arc<Shared>, Error> {
        Ok(self.begun(request).await?.spawn())
    }

    /// Makes a job ready to run.
    pub(crate) async fn begun(&self, mut request: Request) -> Result<Begun, Error> {
        let plan = std::mem::replace(&mut request.plan, Ok(Plan::values([])))?;
        request.options.check()?;
        self.runtime_ready().await?;
        self.check_function(&request.component, &request.function).await?;
        let cancel = Cancel::default();
        let (io, mut partitions) = (self.0.io.handle(), None);
        let mut expected = None;
        let feed = match plan.0 {
            Source::Ready(chunk) => {
                expected = Some(chunk.len());
                Feed::ready(&chunk)
            }
            Source::Iterator { next, expected: count } => {
                expected = count;
                Feed::iterator(next, cancel.clone(), io)
            }
            Source::Stream(chunks) => Feed::stream(chunks, io),
            Source::Objects(sources) => {
                let plan = Arc::new(self.find(sources).await?);
                plan.check(request.options.policy.on_failure)?;
                expected = Some(plan.len());
                partitions = Some(Arc::clone(&plan));
                Feed::Planned(plan, 0)
            }
            Source::Outputs { job, further } => {
                if job.executor.store() != self.store() {
                    return Err(Error::Invalid(format!(
                        "the inputs are outputs of a job in {}, and this executor's store is {}; \
                         run both with one store, or give the values themselves",
                        job.executor.store(),
                        self.store()
                    )));
                }
                let counts = job.ledger.counts();
                expected = counts.known.then_some(counts.tasks);
                Feed::outputs(job, further, io)
            }
        };
        self.start(request, feed, Known { expected, partitions, cancel }).await
    }

    /// Finds out whether the runtime is there, so that a job does not begin where it is not.
    async fn runtime_ready(&self) -> Result<(), Error> {
        if self.0.runtime.reach() == Reach::Process {
            return Ok(());
        }
        let runtime = Arc::clone(&self.0.runtime);
        self.clone().on_io(async move { runtime.ready().await.map_err(Error::from) }).await
    }

    /// Submits a job whose tasks come by a feed.
    pub(crate) async fn submit_fed(
        &self,
        request: Request,
        feed: Feed,
    ) -> Result<Arc<Shared>, Error> {
        self.runtime_ready().await?;
        self.check_function(&request.component, &request.function).await?;
        let inputs = Known { expected: None, partitions: None, cancel: Cancel::default() };
        Ok(self.start(request, feed, inputs).await?.spawn())
    }

    /// Writes down what is to be done.
    async fn start(&self, request: Request, feed: Feed, known: Known) -> Result<Begun, Error> {
        let (inner, Request { component, function, options, .. }) = (&self.0, request);
        let tasks = known.expected.map(|tasks| tasks as u64);
        let template = Batch {
            job: self.job_id()?,
            component: component.id(),
            function,
            store: inner.store.url(),
            limits: options.limits,
            grants: inner.grants.clone(),
            task_count: tasks.unwrap_or(0),
            reuse: options.reuse,
            depth: 0,
            payer: samara_core::Payer::default(),
            tasks: Vec::new(),
        };
        if !inner.ephemeral && !options.brief {
            let (manifest, store) = (self.manifest(&template, tasks), inner.store.clone());
            self.clone().on_io(async move { manifest.write(&store).await }).await?;
        }
        Ok(self.begin(template, options, feed, known))
    }

    /// Begins with a job: from here on its handle says what becomes of it.
    pub(crate) fn begin(
        &self,
        template: Batch,
        options: Options,
        feed: Feed,
        known: Known,
    ) -> Begun {
        let (inner, Known { expected, partitions, cancel }) = (&self.0, known);
        let tasks = expected.map(|tasks| tasks as u64);
        // Without a log there is nothing to wait for once the last task has ended.
        let (finish, finished) = watch::channel(inner.ephemeral);
        let progress = match options.progress {
            true => Progress::bar(&template.function, tasks),
            false => Progress::default(),
        };
        let shared = Arc::new(Shared {
            id: template.job,
            function: template.function.clone(),
            partitions,
            ledger: Arc::new(Ledger::new(expected)),
            cancel: cancel.clone(),
            wake: Arc::default(),
            numbers: Arc::new(Numbers::new(Arc::clone(&inner.clock))),
            finished,
            executor: self.clone(),
        });
        let mut dispatch = Dispatch {
            runtime: Arc::clone(&inner.runtime),
            policy: options.policy,
            ledger: Arc::clone(&shared.ledger),
            cancel: cancel.clone(),
            wake: Arc::clone(&shared.wake),
            numbers: Arc::clone(&shared.numbers),
            clock: Arc::clone(&inner.clock),
            progress,
            log: None,
            finished: finish,
            template,
        };
        let store = (!inner.ephemeral).then(|| inner.store.clone());
        // A job that a task started is not waited for until it begins: it writes its own manifest.
        let nested = dispatch.template.depth > 0;
        let late = (nested || options.brief).then(|| self.manifest(&dispatch.template, tasks));
        let wake = Arc::clone(&shared.wake);
        let running = async move {
            let job = dispatch.template.job;
            let mut late = late;
            if let (true, Some(store)) = (nested, &store)
                && let Some(manifest) = late.take()
            {
                manifest.write_late(store).await;
            }
            let clock = Arc::clone(&dispatch.clock);
            dispatch.log = store.map(|s| JobLog::start((job, late), s, cancel, wake, clock));
            dispatch.run(feed).await;
        };
        Begun { shared, running: running.boxed() }
    }

    /// The functions of a component that is stored and can run; none where this driver has no
    /// engine to ask.
    async fn ready(&self, component: &Component) -> Result<Option<Functions>, Error> {
        if let Some(functions) = self.known().get(&component.id()) {
            return Ok(functions.clone());
        }
        let (this, component) = (self.clone(), component.clone());
        let made = self.clone().on_io(async move {
            this.upload(&component).await?;
            let functions = this.inspect(&component).await?;
            this.known().insert(component.id(), functions.clone());
            Ok(functions)
        });
        made.await
    }

    /// Puts the component in the job's store unless it is there: its name is its content. One that
    /// was cut short is written anew; other damage is seen by who reads it.
    async fn upload(&self, component: &Component) -> Result<(), Error> {
        let (id, bytes) = (component.id(), component.bytes().clone());
        let location = self.0.store.join(&layout::component(&id));
        match location.store.head(&location.key).await {
            Ok(found) if found.size == bytes.len() as u64 => return Ok(()),
            Ok(found) => {
                tracing::warn!("{} has {} bytes: uploading {id} again", location.url(), found.size);
            }
            Err(samara_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // Whoever else writes it writes the same.
        location.store.put(&location.key, bytes, PutOptions::default()).await?;
        Ok(())
    }

    fn manifest(&self, batch: &Batch, tasks: Option<u64>) -> Manifest {
        let unix_ms = u64::try_from(self.0.clock.unix().as_millis()).unwrap_or(u64::MAX);
        Manifest::of(batch, tasks, self.runtime(), unix_ms)
    }

    /// Says early and once what every task would say otherwise.
    pub(crate) async fn check_function(
        &self,
        component: &Component,
        function: &str,
    ) -> Result<(), Error> {
        let Some(functions) = self.ready(component).await? else { return Ok(()) };
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
    async fn inspect(&self, component: &Component) -> Result<Option<Functions>, Error> {
        let Some(handler) = self.0.handler.clone() else { return Ok(None) };
        let (id, store) = (component.id(), self.0.store.url());
        let asked = tokio::task::spawn_blocking(move || handler.functions(id, &store)).await;
        let functions = asked.map_err(|error| Error::Invalid(format!("inspecting: {error}")))?;
        let functions = functions.map_err(|error| Error::Component {
            name: component.name().to_owned(),
            message: error.message,
        })?;
        Ok(Some(functions))
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
    async fn inspect(&self, _: &Component) -> Result<Option<Functions>, Error> {
        Ok(None)
    }

    pub(crate) fn job_id(&self) -> Result<JobId, Error> {
        let unix_ms = u64::try_from(self.0.clock.unix().as_millis()).unwrap_or(u64::MAX);
        let named = JobId::new(unix_ms, random()?);
        let mut newest = self.0.newest_job.lock().unwrap_or_else(PoisonError::into_inner);
        let id = newest.map_or(named, |newest| named.behind(newest));
        *newest = Some(id);
        Ok(id)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<ComponentId, Option<Functions>>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn store_location(&self) -> &Location {
        &self.0.store
    }

    /// Whether the store is private to this executor and goes with it.
    pub(crate) fn is_ephemeral(&self) -> bool {
        self.0.ephemeral
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.clock)
    }

    /// Runs a future on the executor's threads, whether or not anybody waits.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.io.handle().spawn(future);
    }

    /// Ends after `time`, whatever async runtime the caller has.
    pub(crate) fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        timer::sleep(self.0.io.handle().clone(), time).boxed()
    }

    /// Runs a future on the executor's threads, so that the caller's runtime does not matter.
    pub(crate) async fn on_io<T: Send + 'static>(
        self,
        future: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let spawned = self.0.io.handle().spawn(future);
        spawned.await.map_err(|error| Error::Invalid(format!("submitting ended: {error}")))?
    }
}

// === impl Begun ===

impl Begun {
    /// Runs it on the executor's threads.
    pub(crate) fn spawn(self) -> Arc<Shared> {
        self.shared.executor.spawn(self.running);
        self.shared
    }

    /// Runs it on the thread that waits for it, which need be woken but once; where the job has no
    /// log, so that nothing of it is to go on when it is dropped.
    pub(crate) async fn here(mut self) -> Arc<Shared> {
        let io = self.shared.executor.0.io.handle().clone();
        poll_fn(|context| {
            let _its_timers = io.enter();
            self.running.poll_unpin(context)
        })
        .await;
        self.shared
    }
}

// === impl Inner ===

impl Drop for Inner {
    /// Frees the private store: nobody else knows its name, but the process keeps named stores.
    fn drop(&mut self) {
        if self.ephemeral && self.scratch.is_none() {
            // Memory answers at once. To wait for it would panic where the executor is dropped
            // inside `block_on`.
            let _cleared = clear(&*self.store.store).now_or_never();
        }
        #[cfg(feature = "local")]
        if let Some(handler) = self.handler.take() {
            let guests: Weak<samara_engine::Handler> = Arc::downgrade(&handler);
            self.io.stay_for(guests);
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
