//! Settings of an executor, and how one is made of them.

use std::any::Any;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use samara_core::{Access, Clock, Limits, Reach, Runtime, SystemClock};
#[cfg(feature = "local")]
use samara_runtimes::local::SLOTS_MAX;
use samara_store::{Location, Locator};
use tempfile::TempDir;

use crate::allowed::Allowed;
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
    own_runtime: Option<Arc<dyn Runtime>>,
    store: Option<String>,
    slots: Option<usize>,
    token: Option<Secret>,
    door_key: Option<Secret>,
    tls_ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    host_program: Option<PathBuf>,
    limits: Limits,
    policy: Policy,
    allowed: Allowed,
    secrets_dir: Option<PathBuf>,
    stores: samara_store::Settings,
    progress: bool,
    cache_dir: Option<PathBuf>,
    count_fuel: bool,
    environment: Environment,
}

/// What is not shown.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
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
            own_runtime: None,
            store: None,
            slots: None,
            token: None,
            door_key: None,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            host_program: None,
            limits: Limits::default(),
            policy: Policy::default(),
            allowed: Allowed::default(),
            secrets_dir: None,
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
        self.own_runtime = None;
        self
    }

    /// Where tasks run: a runtime of one's own, in the place of a URL.
    ///
    /// It implements [`Runtime`](samara_core::Runtime) of crate `samara-core`, and needs nothing else.
    #[must_use]
    pub fn runtime_of(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.own_runtime = Some(runtime);
        self
    }

    /// Where components and large outputs are kept, by URL or path. Default: in memory, and gone
    /// with the executor.
    #[must_use]
    pub fn store(mut self, url: impl Into<String>) -> Self {
        self.store = Some(url.into());
        self
    }

    /// What lets this driver send tasks to hosts that ask for it. It is sent to them, and shown
    /// nowhere.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Secret(token.into()));
        self
    }

    /// What opens the front door of a platform, where the runtime's URL says `door=bearer` or
    /// `door=azure`. It is sent there, and shown nowhere.
    #[must_use]
    pub fn door_key(mut self, key: impl Into<String>) -> Self {
        self.door_key = Some(Secret(key.into()));
        self
    }

    /// Authorities that may have signed the certificates of `https:` hosts, beside those whom this
    /// machine trusts: a file in PEM, which [`build`](Self::build) reads.
    #[must_use]
    pub fn tls_ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.tls_ca = Some(file.into());
        self
    }

    /// The certificate that is shown to `https:` hosts that want one, with its chain: a file in PEM.
    /// It needs [`tls_key`](Self::tls_key) beside it.
    #[must_use]
    pub fn tls_cert(mut self, file: impl Into<PathBuf>) -> Self {
        self.tls_cert = Some(file.into());
        self
    }

    /// The private key of [`tls_cert`](Self::tls_cert): a file in PEM. What is in it is shown
    /// nowhere.
    #[must_use]
    pub fn tls_key(mut self, file: impl Into<PathBuf>) -> Self {
        self.tls_key = Some(file.into());
        self
    }

    /// The program `samara-host`, for runtimes that start hosts on this machine. Default: the one
    /// beside this program, or else the one that `PATH` finds.
    #[must_use]
    pub fn host_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.host_program = Some(program.into());
        self
    }

    /// The host's program, where it was said.
    pub(crate) fn host_program_said(&self) -> Option<PathBuf> {
        self.host_program.clone()
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
        self.allowed.objects.push((url.into(), access));
        self
    }

    /// Lets functions ask a server by `wasi:http`: `https://api.example.com`,
    /// `https://*.example.com:8443`. Where its name means an address that is not the public
    /// internet's, it is asked only if ` private` stands behind it: `http://db.internal private`.
    /// Default: none.
    #[must_use]
    pub fn grant_http(mut self, origin: impl Into<String>) -> Self {
        self.allowed.http.push(origin.into());
        self
    }

    /// Gives functions a variable of the environment. It travels with the job, and stands in its
    /// record: what nobody else may know is a [`secret`](Self::secret). Default: none.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.allowed.variables.insert(name.into(), value.into());
        self
    }

    /// Gives functions a variable whose value is known where they run: the secret of that name. The
    /// job carries the name alone. Default: none.
    #[must_use]
    pub fn secret(mut self, variable: impl Into<String>, name: impl Into<String>) -> Self {
        self.allowed.secrets.insert(variable.into(), name.into());
        self
    }

    /// Where secrets are for tasks that run on this machine: a directory with a file for each.
    /// Default: none is known.
    #[must_use]
    pub fn secrets_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.secrets_dir = Some(directory.into());
        self
    }

    /// Whether functions have clocks as fine as the machine's. Default no: they tell milliseconds.
    #[must_use]
    pub fn precise_clock(mut self, precise: bool) -> Self {
        self.allowed.precise_clock = precise;
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
    ///
    /// It is used with a key of the user's, in `samara/keys` of the same cache directory; without
    /// such a directory each process compiles anew.
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
            brief: false,
        };
        options.check()?;
        let locator = self.locator();
        let grants = self.allowed.grants(&locator)?;
        #[cfg(feature = "local")]
        self.check_slots()?;
        let io = Io::start()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut context = samara_runtimes::Context::default();
        context.depot = Some(Arc::clone(&locator) as Arc<dyn samara_core::Depot>);
        context.slots = self.slots;
        context.token = self.token.as_ref().map(|token| token.0.clone());
        context.door_key = self.door_key.as_ref().map(|key| key.0.clone());
        context.tls_ca.clone_from(&self.tls_ca);
        context.tls_cert.clone_from(&self.tls_cert);
        context.tls_key.clone_from(&self.tls_key);
        context.variables.clone_from(&self.environment.runtime_variables);
        let program = self.host_program.as_ref().or(self.environment.host_program.as_ref());
        if let Some(program) = program {
            context.host_program.clone_from(program);
        }
        context.host_variables = self.host_variables();
        context.clock = Arc::clone(&clock);
        #[cfg(feature = "local")]
        let handler = self.handler(&locator, &io, &clock)?;
        #[cfg(feature = "local")]
        if let Some(handler) = &handler {
            context.handler = Some(Arc::clone(handler) as _);
        }
        let runtime = match &self.own_runtime {
            Some(own) => Arc::clone(own),
            None => samara_runtimes::open(&self.runtime, &context).map_err(no_runtime)?,
        };
        let (store, scratch) = self.open_store(&locator, &*runtime)?;
        Ok(Executor::of(|starter| Inner {
            runtime,
            ephemeral: self.store.is_none(),
            store,
            scratch,
            locator,
            options,
            grants,
            starter,
            clock,
            known: Mutex::default(),
            newest_job: Mutex::default(),
            #[cfg(feature = "local")]
            handler,
            io,
        }))
    }

    /// What hosts that are started on this machine are told.
    fn host_variables(&self) -> Vec<(String, String)> {
        let mut places = toml::Table::new();
        for (place, name, value) in self.stores.values() {
            let place = places.entry(place).or_insert_with(|| toml::Table::new().into());
            if let Some(place) = place.as_table_mut() {
                place.insert(name.to_owned(), value.into());
            }
        }
        let cache = self.cache_dir.as_ref().map(|dir| dir.display().to_string());
        let secrets = self.secrets_dir.as_ref().map(|dir| dir.display().to_string());
        vec![
            ("SAMARA_HOST_STORES".to_owned(), toml::Value::Table(places).to_string()),
            ("SAMARA_HOST_COUNT_FUEL".to_owned(), self.count_fuel.to_string()),
            ("SAMARA_HOST_CACHE_DIR".to_owned(), cache.unwrap_or_else(|| "none".to_owned())),
            ("SAMARA_HOST_SECRETS".to_owned(), secrets.unwrap_or_default()),
        ]
    }

    /// The store of this executor's jobs, where the runtime can reach it too; one of its own where
    /// none is said, with the directory that it is in.
    fn open_store(
        &self,
        locator: &Arc<Locator>,
        runtime: &dyn Runtime,
    ) -> Result<(Location, Option<TempDir>), Error> {
        let reach = runtime.reach();
        if let Some(url) = &self.store {
            let location = locator.open(url)?;
            return match reach > Reach::Process && location.url().starts_with("mem:") {
                false => Ok((location, None)),
                true => Err(Error::Invalid(format!(
                    "{runtime} runs tasks in other processes, which cannot reach {}, the memory of \
                     this one: use a store that both can reach",
                    location.url()
                ))),
            };
        }
        match reach {
            Reach::Process => {
                Ok((locator.open(&format!("mem://samara-{:032x}", random()?))?, None))
            }
            Reach::Machine => {
                let failed = |error| Error::Invalid(format!("no temporary directory: {error}"));
                let directory = TempDir::with_prefix("samara-").map_err(failed)?;
                let url = directory.path().display().to_string();
                Ok((locator.open(&url)?, Some(directory)))
            }
            Reach::Network => Err(Error::Invalid(format!(
                "{runtime} runs tasks elsewhere, and they need a store that both it and this \
                 program can reach, such as s3://bucket/jobs: say which with `--store`, the setting \
                 `store`, or `Builder::store`"
            ))),
        }
    }

    /// Refuses more slots than `local:` has, before memory is reserved for them.
    #[cfg(feature = "local")]
    fn check_slots(&self) -> Result<(), Error> {
        let is_local = self.own_runtime.is_none() && self.runtime.starts_with("local:");
        match self.slots.filter(|slots| is_local && *slots > SLOTS_MAX) {
            Some(slots) => Err(Error::Invalid(format!(
                "slots = {slots}: `local:` has {SLOTS_MAX} at most; more tasks at the same moment \
                 have hosts (http:, lambda:)"
            ))),
            None => Ok(()),
        }
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
        config.cache_key_file.clone_from(&self.environment.cache_key_file);
        config.clock = Arc::clone(clock);
        config.fuel = self.count_fuel;
        let secrets = self.secrets_dir.as_ref().map(samara_engine::SecretsDir::new);
        config.secrets = secrets.map(|secrets| Arc::new(secrets) as _);
        // Those of other runtimes run nothing here.
        let slots = self.slots.unwrap_or(0).min(SLOTS_MAX);
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        config.instances_max = config.instances_max.max(slots.saturating_add(1));
        let engine = samara_engine::Engine::new(&config, io.handle().clone())?;
        Ok(Some(Arc::new(samara_engine::Handler::new(engine, Arc::clone(locator)))))
    }
}

/// A URL of a runtime that makes no sense is the caller's to correct; all else is the platform's.
fn no_runtime(error: samara_core::Error) -> Error {
    match error.kind {
        samara_core::ErrorKind::Invalid => Error::Invalid(error.message),
        _ => error.into(),
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
