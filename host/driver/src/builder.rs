//! Settings of an executor, and how one is made of them.

use std::any::Any;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use samara_core::{Access, Clock, Grant, Grants, Limits, SystemClock};
#[cfg(feature = "local")]
use samara_store::Locator;

use crate::dispatch::Policy;
use crate::environment::Environment;
use crate::executor::{Executor, Inner};
use crate::objects::locator;
use crate::request::Options;
use crate::{Backups, Error, OnFailure, Retries, Settings};

/// Threads for I/O: requests to stores and runtimes, not guests.
const IO_THREADS: usize = 2;

/// Settings of an [`Executor`].
///
/// ```
/// use samara::{Executor, Limits, OnFailure, Retries};
///
/// # fn main() -> Result<(), samara::Error> {
/// let mut limits = Limits::default();
/// limits.memory_bytes = 256 << 20;
/// let executor = Executor::builder()
///     .slots(2)
///     .limits(limits)
///     .retries(Retries::default().attempts(6))
///     .on_failure(OnFailure::Stop)
///     .progress(false)
///     .build()?;
/// assert_eq!(executor.runtime(), "local:2");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Builder {
    runtime: String,
    store: Option<String>,
    slots: Option<usize>,
    limits: Limits,
    policy: Policy,
    grants: Vec<(String, Access)>,
    stores: samara_store::Settings,
    progress: bool,
    cache_dir: Option<PathBuf>,
    #[cfg_attr(not(feature = "local"), allow(dead_code, reason = "the engine counts"))]
    count_fuel: bool,
    environment: Environment,
}

/// The executor's own threads. May be dropped anywhere, inside another runtime as well.
#[derive(Debug)]
pub(crate) struct Io {
    runtime: Option<tokio::runtime::Runtime>,
    /// What runs guests, whose calls into the host wait on these threads.
    guests: Option<Weak<dyn Any + Send + Sync>>,
}

/// How long the threads for I/O stay for guests of an executor that was dropped. Those are
/// cancelled, and stop within some 20 ms.
const GUESTS_WAIT: Duration = Duration::from_secs(5);

/// How often it is looked whether they have.
const GUESTS_TICK: Duration = Duration::from_millis(5);

// === impl Builder ===

impl Builder {
    /// The defaults: runtime `local:` with one slot per core; a private store in memory; the limits
    /// of [`Limits::default`]; no grants; a progress bar where standard error is a terminal;
    /// compiled code cached in the user's cache directory.
    pub(crate) fn new() -> Self {
        let environment = Environment::read();
        Self {
            runtime: "local:".to_owned(),
            store: None,
            slots: None,
            limits: Limits::default(),
            policy: Policy::default(),
            grants: Vec::new(),
            stores: samara_store::Settings::default(),
            progress: environment.is_terminal,
            cache_dir: environment.cache_dir.clone(),
            count_fuel: false,
            environment,
        }
    }

    /// The defaults, and what files and variables say instead. Methods called on it say more.
    ///
    /// ```
    /// use samara::{Builder, Settings};
    ///
    /// # fn main() -> Result<(), samara::Error> {
    /// let settings = Settings::from_env()?;
    /// let executor = Builder::from_settings(&settings).slots(1).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_settings(settings: &Settings) -> Self {
        settings.apply(Self::new())
    }

    pub(crate) fn limits_mut(&mut self) -> &mut Limits {
        &mut self.limits
    }

    pub(crate) fn policy_mut(&mut self) -> &mut Policy {
        &mut self.policy
    }

    /// Where tasks run, by URL. Default `local:`.
    #[must_use]
    pub fn runtime(mut self, url: impl Into<String>) -> Self {
        self.runtime = url.into();
        self
    }

    /// Where components and large outputs are kept, by URL or path. Default: in memory, and gone
    /// with the executor.
    #[must_use]
    pub fn store(mut self, url: impl Into<String>) -> Self {
        self.store = Some(url.into());
        self
    }

    /// Tasks that run at the same moment. Default: what the runtime allows.
    #[must_use]
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = Some(slots);
        self
    }

    /// What each task may use. Default [`Limits::default`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Which failed attempts are tried again. Default [`Retries::default`]: those that the platform
    /// failed.
    #[must_use]
    pub fn retries(mut self, retries: Retries) -> Self {
        self.policy.retries = retries;
        self
    }

    /// When slow tasks get a second attempt beside the first; none: never. Default
    /// [`Backups::default`].
    #[must_use]
    pub fn backups(mut self, backups: Option<Backups>) -> Self {
        self.policy.backups = backups;
        self
    }

    /// What becomes of a job when a task fails for good. Default: the other tasks go on.
    #[must_use]
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.policy.on_failure = on_failure;
        self
    }

    /// The wall-clock time of each job, from its submission. Default none.
    #[must_use]
    pub fn job_time(mut self, time: Duration) -> Self {
        self.policy.time = Some(time);
        self
    }

    /// Lets functions use the objects at and below a URL or path, through `samara_guest::storage`.
    /// Partitions need no grant. Default: nothing.
    #[must_use]
    pub fn grant(mut self, url: impl Into<String>, access: Access) -> Self {
        self.grants.push((url.into(), access));
        self
    }

    /// Whether to draw a progress bar. Default: where standard error is a terminal.
    #[must_use]
    pub fn progress(mut self, show: bool) -> Self {
        self.progress = show;
        self
    }

    /// Says how a store is reached. The place is the URL of a store (`s3://bucket`), or a scheme
    /// with its colon (`s3:`) for all of its stores; the settings of each are listed in the guide.
    /// Default: what the environment says, as in the tools of the store's vendor.
    ///
    /// ```
    /// # fn main() -> Result<(), samara::Error> {
    /// let executor = samara::Executor::builder()
    ///     .store_setting("mem:", "none", "x")
    ///     .store("mem://scratch/jobs")
    ///     .build();
    /// let error = executor.unwrap_err().to_string();
    /// assert!(error.contains("it has no setting `none`"), "{error}");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn store_setting(
        mut self,
        place: impl Into<String>,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        self.stores = self.stores.with(place, name, value);
        self
    }

    /// What opens the stores of such an executor: for programs that reach them by the crate
    /// `samara-store` themselves.
    pub fn locator(&self) -> Arc<samara_store::Locator> {
        locator(&self.environment, self.stores.clone())
    }

    /// Where compiled code is kept between processes; none compiles anew in each. Default
    /// `samara/compiled` in the user's cache directory.
    #[must_use]
    pub fn cache_dir(mut self, dir: Option<PathBuf>) -> Self {
        self.cache_dir = dir;
        self
    }

    /// Whether to count the WebAssembly instructions that each task executes, for
    /// [`AttemptStats::fuel`](crate::AttemptStats::fuel): a measure that is the same on every run.
    /// Functions are then compiled anew, and slower by a third or so. Default no.
    #[must_use]
    pub fn count_fuel(mut self, count: bool) -> Self {
        self.count_fuel = count;
        self
    }

    /// Opens the runtime and the store.
    ///
    /// # Errors
    ///
    /// Where a URL is malformed or its scheme unknown, a limit makes no sense, or the machine can
    /// run no WebAssembly.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = samara::Executor::builder().runtime("moon:").build().unwrap_err();
    /// assert!(error.to_string().contains("moon"), "{error}");
    /// ```
    pub fn build(self) -> Result<Executor, Error> {
        let options = Options {
            limits: self.limits,
            policy: self.policy.clone(),
            reuse: false,
            progress: self.progress,
        };
        options.check()?;
        let locator = self.locator();
        let store = match &self.store {
            Some(url) => locator.open(url)?,
            None => locator.open(&format!("mem://samara-{:032x}", random()?))?,
        };
        let grants = self
            .grants
            .iter()
            .map(|(url, access)| Ok(Grant { prefix: locator.open(url)?.url(), access: *access }));
        let grants = Grants(grants.collect::<Result<_, Error>>()?);
        let io = Io::start()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut context = samara_runtimes::Context::default();
        context.slots = self.slots;
        context.clock = Arc::clone(&clock);
        #[cfg(feature = "local")]
        let handler = self.handler(&locator, &io, &clock)?;
        #[cfg(feature = "local")]
        if let Some(handler) = &handler {
            context.handler = Some(Arc::clone(handler) as _);
        }
        let runtime = samara_runtimes::open(&self.runtime, &context)?;
        Ok(Executor::of(|starter| Inner {
            runtime,
            ephemeral: self.store.is_none(),
            store,
            locator,
            options,
            grants,
            starter,
            clock,
            known: Mutex::default(),
            #[cfg(feature = "local")]
            handler,
            io,
        }))
    }

    /// The engine, which also inspects components for the runtimes that are elsewhere.
    #[cfg(feature = "local")]
    fn handler(
        &self,
        locator: &Arc<Locator>,
        io: &Io,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Arc<samara_engine::Handler>>, Error> {
        let mut config = samara_engine::Config::default();
        config.cache_dir.clone_from(&self.cache_dir);
        config.clock = Arc::clone(clock);
        config.fuel = self.count_fuel;
        let slots = self.slots.and_then(|slots| u32::try_from(slots).ok()).unwrap_or(0);
        config.instances_max = config.instances_max.max(slots.saturating_add(1));
        let engine = samara_engine::Engine::new(&config, io.handle().clone())?;
        Ok(Some(Arc::new(samara_engine::Handler::new(engine, Arc::clone(locator)))))
    }
}

// === impl Io ===

impl Io {
    pub(crate) fn start() -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(IO_THREADS)
            .thread_name("samara-io")
            .enable_all()
            .build()
            .map_err(|error| Error::Invalid(format!("cannot start threads for I/O: {error}")))?;
        Ok(Self { runtime: Some(runtime), guests: None })
    }

    /// Stays, once dropped, until nothing runs guests any more: one that waits in a call into the
    /// host would else see its clock vanish.
    #[cfg(feature = "local")]
    pub(crate) fn stay_for(&mut self, guests: Weak<dyn Any + Send + Sync>) {
        self.guests = Some(guests);
    }

    pub(crate) fn handle(&self) -> &tokio::runtime::Handle {
        self.runtime.as_ref().expect("there until dropped").handle()
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let guests = self.guests.take().filter(|guests| guests.strong_count() > 0);
        let Some(guests) = guests else { return runtime.shutdown_background() };
        // Waiting here would hold up, or panic, async code that drops an executor.
        let name = std::thread::Builder::new().name("samara-io-end".to_owned());
        let waiting = name.spawn(move || {
            let mut left = GUESTS_WAIT;
            while guests.strong_count() > 0 && !left.is_zero() {
                std::thread::sleep(GUESTS_TICK);
                left = left.saturating_sub(GUESTS_TICK);
            }
            runtime.shutdown_background();
        });
        if let Err(error) = waiting {
            tracing::warn!("threads for I/O ended before their guests: {error}");
        }
    }
}

pub(crate) fn random() -> Result<u128, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Invalid(format!("the machine gives no random numbers: {error}")))?;
    Ok(u128::from_le_bytes(bytes))
}
