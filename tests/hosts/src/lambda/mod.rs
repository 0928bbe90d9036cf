//! A small fake of AWS Lambda, in this process, with the real host as its functions: what its
//! documentation says of errors, sizes, concurrency, time-outs and events, and emulators leave out.
//!
//! | file | does |
//! |---|---|
//! | `api.rs` | Invoke, as drivers and functions call it |
//! | `here.rs` | environments that are no processes, for thousands at once |
//! | `instance.rs` | an execution environment: a process, its runtime API, its end |
//!
//! It is strict where AWS is: a payload is JSON and has 6 MiB at most (256 KiB where it is an
//! event), an environment takes one event after the other and is frozen in between, one that takes
//! too long is killed, and a function that fails answers 200. Signatures are not checked.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

mod api;
mod here;
mod instance;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;

pub use self::here::{Handed, Here, Take};
use self::instance::Instance;

/// What the function is, and how Lambda behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program that is the function's runtime.
    pub program: PathBuf,
    /// Variables that its configuration sets.
    pub variables: Vec<(String, String)>,
    /// Its memory.
    pub memory_mib: u32,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// Invocations at the same moment.
    pub concurrency: usize,
    /// What happens to each invocation, by its number.
    pub plan: fn(u64) -> Act,
    /// What stands in the program's place, in this process.
    pub here: Option<Here>,
    /// Where Invoke listens: some port of this machine, where nothing is said.
    pub address: SocketAddr,
}

/// What happens to an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// What should.
    Pass,
    /// There are too many.
    Throttle,
    /// Trouble at AWS.
    Break,
    /// The function's key is not to be had, which Amazon says with 502.
    Keyless,
    /// It runs, and the connection ends before the answer.
    LoseAnswer,
    /// It runs twice, where it is an event.
    Twice,
    /// The environment ends half way.
    Kill,
}

/// The fake on loopback; it and its functions end when it is dropped.
#[derive(Debug)]
pub struct Lambda {
    address: SocketAddr,
    state: Arc<State>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// How it went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Invocations whose caller waited.
    pub waited: u64,
    /// Events.
    pub queued: u64,
    /// Refusals, of any kind.
    pub refused: u64,
    /// Environments that were started.
    pub started: u64,
    /// Invocations at the same moment at most.
    pub peak: usize,
}

#[derive(Debug)]
struct State {
    settings: Settings,
    address: SocketAddr,
    number: AtomicU64,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Arc<Instance>>,
    /// The same of those that are no processes.
    idle_here: Vec<Take>,
    /// All that live, for their end.
    all: Vec<Arc<Instance>>,
    running: usize,
    counts: Counts,
    /// What functions wrote to their log streams.
    logs: Vec<String>,
}

/// The name of the function.
pub const NAME: &str = "samara-test";

// === impl Settings ===

impl Settings {
    /// A function of this program, with two processors.
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            variables: Vec::new(),
            memory_mib: 3008,
            timeout: Duration::from_mins(5),
            concurrency: 1000,
            plan: |_| Act::Pass,
            here: None,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }
}

// === impl Lambda ===

impl Lambda {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// Where no port is to be had.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let listener = std::net::TcpListener::bind(settings.address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (number, pool) = (AtomicU64::new(0), Mutex::default());
        let state = Arc::new(State { settings, address, number, pool });
        runtime.spawn(api::serve(listener, Arc::clone(&state)));
        Ok(Self { address, state, runtime: Some(runtime) })
    }

    /// Where Invoke is called.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The function, as a runtime's URL.
    pub fn url(&self) -> String {
        format!("lambda://{NAME}?region=us-east-1&endpoint={}", self.endpoint())
    }

    /// How it went so far.
    pub fn counts(&self) -> Counts {
        self.state.pool().counts
    }

    /// Ends the environments that wait for an event, as Lambda does at any time: the next one finds a
    /// new environment.
    pub fn retire(&self) {
        let (idle, here) = {
            let mut pool = self.state.pool();
            let idle = std::mem::take(&mut pool.idle);
            pool.all.retain(|one| !idle.iter().any(|other| Arc::ptr_eq(one, other)));
            (idle, std::mem::take(&mut pool.idle_here))
        };
        idle.iter().for_each(|instance| instance.kill());
        drop(here);
    }

    /// What the functions logged.
    pub fn logs(&self) -> String {
        self.state.pool().logs.join("\n")
    }
}

impl Drop for Lambda {
    /// May be dropped within another runtime, where nothing may be waited for.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let all = std::mem::take(&mut self.state.pool().all);
        all.iter().for_each(|instance| instance.kill());
    }
}

// === impl State ===

impl State {
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    /// A place for an invocation, where there is one.
    fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut pool = self.pool();
        if pool.running >= self.settings.concurrency {
            return None;
        }
        pool.running += 1;
        pool.counts.peak = pool.counts.peak.max(pool.running);
        Some(Place(Arc::clone(self)))
    }

    /// Runs an event in an environment that is warm, or a new one.
    async fn run(self: &Arc<Self>, payload: Bytes, kills: bool) -> Ran {
        if let Some(here) = &self.settings.here {
            return self.run_here(here, payload).await;
        }
        let warm = self.pool().idle.pop();
        let instance = match warm {
            Some(instance) => instance,
            None => match Instance::start(self).await {
                Ok(instance) => {
                    let mut pool = self.pool();
                    pool.counts.started += 1;
                    pool.all.push(Arc::clone(&instance));
                    instance
                }
                Err(error) => return Ran::failed("Runtime.InvalidEntrypoint", &error.to_string()),
            },
        };
        let (ran, lives) = instance.run(self, payload, kills).await;
        let mut pool = self.pool();
        match lives {
            true => pool.idle.push(instance),
            false => pool.all.retain(|other| !Arc::ptr_eq(other, &instance)),
        }
        ran
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("counts", &self.counts).finish_non_exhaustive()
    }
}

/// A place for an invocation; dropping it gives it back.
#[derive(Debug)]
struct Place(Arc<State>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.pool().running -= 1;
    }
}

/// What an invocation came to.
#[derive(Debug)]
struct Ran {
    payload: Bytes,
    failed: bool,
}

// === impl Ran ===

impl Ran {
    fn failed(kind: &str, message: &str) -> Self {
        let said = serde_json::json!({ "errorType": kind, "errorMessage": message });
        Self { payload: said.to_string().into(), failed: true }
    }
}

/// Starts this program anew with credentials of AWS in the environment, which is where its SDK looks
/// for them, and with what else is said.
///
/// # Panics
///
/// Where the program cannot be started.
#[allow(clippy::disallowed_methods, reason = "the edge of this program")]
pub fn with_credentials(more: &[(&str, String)]) {
    use std::os::unix::process::CommandExt;
    const ID: (&str, &str) = ("AWS_ACCESS_KEY_ID", "AKIATESTS");
    if std::env::var(ID.0).is_ok_and(|said| said == ID.1) {
        return;
    }
    let mut command = std::process::Command::new(std::env::current_exe().expect("this program"));
    command.args(std::env::args_os().skip(1)).envs([ID, ("AWS_SECRET_ACCESS_KEY", "of-tests")]);
    command.envs(more.iter().map(|(name, said)| (name, said)));
    panic!("{}", command.exec());
}
