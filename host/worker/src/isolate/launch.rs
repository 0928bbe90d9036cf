//! Starts processes for tenants, and answers what they ask.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use nix::sys::signal::{self, SigSet};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use samara_core::link::{Protection, Question};
use samara_core::{Clock, Error, ErrorKind, Limits, Runtime, Secrets as _, SystemClock};
use samara_engine::{Compile, SecretsDir};
use samara_runtimes::local::apart::{Exit, Launch, Orders, Process, Terms, Workers};
use samara_tenants::Tenants;

use super::plan::{Common, Plan};
use super::{Isolation, memory, probe};
use crate::service::Failed;
use crate::settings::{Settings, Where};

/// How long a process may take to end by itself, and how often it is looked.
const END_LOOKS: u32 = 400;
const END_LOOK_EVERY: Duration = Duration::from_millis(5);

/// What `/proc` counts processor time in: so many in a second, on every Linux that we build for.
const TICKS: u64 = 100;

/// Bytes of a line of its log.
const LINE_BYTES_MAX: u64 = 4 << 10;

/// Starts processes.
struct Launcher {
    tenants: Arc<Tenants>,
    common: Common,
    secrets: Option<SecretsDir>,
    compiler: Option<Arc<dyn Compile>>,
    strict: bool,
    /// Memory of each process, where the operator said how much.
    memory_max: Option<u64>,
    /// What was planned for each tenant.
    plans: Mutex<BTreeMap<String, Plan>>,
}

/// A process, with the thread that started it and stays for as long as it lives: the kernel ends the
/// process with that thread.
pub(super) struct Spawned {
    /// Closed to have it ended.
    wanted: mpsc::Sender<()>,
    keeper: JoinHandle<Exit>,
}

/// Runs each tenant's tasks in a process of its own.
pub(crate) fn runtime(
    settings: &Settings,
    isolation: Isolation,
    tenants: &Arc<Tenants>,
    io: &tokio::runtime::Handle,
) -> Result<Arc<dyn Runtime>, Failed> {
    for protection in probe::check(settings, isolation).map_err(Failed::Settings)? {
        let Protection { name, holds, detail } = protection;
        match holds {
            true => tracing::info!(protection = name, applied = true, "{detail}"),
            false => tracing::warn!(protection = name, applied = false, "{detail}"),
        }
    }
    // Other processes of the same user must not look into the one that has all keys.
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        tracing::warn!("the host's own memory can be looked into: {error}");
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let common = common(settings);
    if common.cache.is_none() && settings.cache_dir.is_some() {
        tracing::warn!(
            "no cache of compiled code: there is no key for it (SAMARA_HOST_CACHE_KEY_FILE)"
        );
    }
    let terms = Terms { slots: common.slots, idle_max: isolation.idle_max };
    let launcher = Launcher {
        tenants: Arc::clone(tenants),
        common,
        secrets: settings.secrets.as_ref().map(SecretsDir::new),
        compiler: settings.compiler(&clock),
        strict: isolation.strict,
        memory_max: isolation.memory_max,
        plans: Mutex::default(),
    };
    Ok(Arc::new(Workers::new(Arc::new(launcher), terms, clock, io)))
}

/// What is the same for all tenants.
pub(super) fn common(settings: &Settings) -> Common {
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    Common {
        log: settings.log.clone(),
        slots: settings.slots.unwrap_or_else(cores),
        count_fuel: settings.count_fuel,
        compiles: settings.compile == Where::Here,
        cache: settings.cache_dir.clone().zip(settings.cache_key.clone()),
        stores: settings.stores.clone(),
        variables: settings.variables.clone(),
    }
}

// === impl Launcher ===

impl Launch for Launcher {
    fn orders(&self, tenant: &str) -> Result<Arc<Orders>, Error> {
        let grants = self.tenants.grants(tenant).ok_or_else(|| {
            let text = format!("there is no tenant `{tenant}` any more");
            Error::new(ErrorKind::Denied, text)
        })?;
        let memory = self.memory_max.unwrap_or_else(|| {
            let (limits, quota) =
                self.tenants.limits(tenant).unwrap_or_else(|| (Limits::default(), u64::MAX));
            memory::of(&limits, quota, self.common.slots)
        });
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(tenant).filter(|plan| plan.holds(&grants, memory)) {
            return Ok(Arc::clone(&plan.orders));
        }
        let plan = Plan::new(&self.common, tenant, (grants, memory))
            .map_err(|why| Error::new(ErrorKind::Internal, why))?;
        let orders = Arc::clone(&plan.orders);
        plans.insert(tenant.to_owned(), plan);
        Ok(orders)
    }

    fn start(&self, orders: &Orders, link: UnixStream) -> Result<Box<dyn Process>, Error> {
        Ok(Box::new(Spawned::start(orders, link)?))
    }

    fn accept(&self, tenant: &str, protections: &[Protection]) -> Result<(), Error> {
        for missing in protections.iter().filter(|protection| !protection.holds) {
            if self.strict {
                let text = format!("SAMARA_HOST_ISOLATE is strict, and it lacks {missing}");
                return Err(Error::new(ErrorKind::Internal, text));
            }
            tracing::debug!(tenant, "a tenant's process lacks {missing}");
        }
        Ok(())
    }

    fn answer(&self, tenant: &str, question: Question) -> Result<Bytes, Error> {
        match question {
            Question::Compile(component) => match &self.compiler {
                Some(compiler) => Ok(compiler.compile(&component)?.into()),
                None => Err(denied("this host compiles nothing for others")),
            },
            Question::Secret(name) => {
                let grants = self.tenants.grants(tenant);
                let is_granted = grants.is_some_and(|it| it.secrets.values().any(|it| *it == name));
                let known = self.secrets.as_ref().filter(|_| is_granted);
                let secret = known.and_then(|known| known.secret(tenant, &name));
                let secret = secret.ok_or_else(|| denied("there is no such secret"))?;
                Ok(Bytes::copy_from_slice(secret.reveal().as_bytes()))
            }
        }
    }
}

fn denied(why: &str) -> Error {
    Error::new(ErrorKind::Denied, why)
}

impl fmt::Debug for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launcher").field("strict", &self.strict).finish_non_exhaustive()
    }
}

// === impl Spawned ===

impl Spawned {
    /// Starts a process that has `link` as its standard input.
    pub(super) fn start(orders: &Orders, link: UnixStream) -> Result<Self, Error> {
        let failed = |error: std::io::Error| {
            let text = format!("no process can be started: {error}");
            Error::new(ErrorKind::Lost, text)
        };
        // The link leads to this very program, also where another one was put in its place.
        let mut command = Command::new("/proc/self/exe");
        command.arg("--isolated").env_clear().current_dir("/").process_group(0);
        command.envs(orders.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::from(OwnedFd::from(link)));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let (wanted, unwanted) = mpsc::channel();
        let (told, started) = mpsc::channel();
        let tenant = orders.tenant.clone();
        let keeper = thread::Builder::new().name("samara-keeper".to_owned());
        let keeper = keeper.spawn(move || {
            let child = hold_signals().and_then(|()| command.spawn());
            // The other end of the link is the child's alone.
            drop(command);
            match child {
                Ok(child) => {
                    let _somebody_waits = told.send(Ok(()));
                    keep(child, &tenant, &unwanted)
                }
                Err(error) => {
                    let exit = Exit { status: error.to_string(), cpu: None };
                    let _somebody_waits = told.send(Err(error));
                    exit
                }
            }
        });
        let keeper = keeper.map_err(failed)?;
        match started.recv() {
            Ok(Ok(())) => Ok(Self { wanted, keeper }),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(failed(std::io::Error::other("its thread ended"))),
        }
    }
}

impl Process for Spawned {
    fn end(self: Box<Self>) -> Exit {
        let Self { wanted, keeper } = *self;
        drop(wanted);
        keeper.join().unwrap_or_else(|_| Exit { status: "its thread panicked".into(), cpu: None })
    }
}

/// Keeps signals to end from this thread, and from the processes that it starts, from their first
/// moment on: the host says when these end, also where a whole session is told to.
fn hold_signals() -> std::io::Result<()> {
    let mut held = SigSet::empty();
    for one in [signal::SIGTERM, signal::SIGINT, signal::SIGHUP] {
        held.add(one);
    }
    Ok(held.thread_block()?)
}

/// Stays with a process until it has ended.
fn keep(mut child: Child, tenant: &str, unwanted: &mpsc::Receiver<()>) -> Exit {
    let said = child.stderr.take();
    let name = tenant.to_owned();
    let listener = thread::Builder::new().name("samara-says".to_owned());
    if let Err(error) = listener.spawn(move || said.map(|said| pass_on(said, &name))) {
        tracing::warn!(tenant, "what a tenant's process says is not heard: {error}");
    }
    let _closed_when_it_is_to_end = unwanted.recv();
    let id = Pid::from_child(&child);
    let _by_itself = ends(id);
    // With whatever it has made of itself: the group is its own, as long as it is not waited for.
    let _it_may_have_ended = kill_process_group(id, Signal::KILL);
    let _ended = waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    let cpu = cpu_of(id);
    let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
    Exit { status, cpu }
}

/// Whether a process ends by itself, in a while.
fn ends(id: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    for _ in 0..END_LOOKS {
        match waitid(WaitId::Pid(id), look) {
            Ok(None) => thread::sleep(END_LOOK_EVERY),
            Ok(Some(_)) | Err(_) => return true,
        }
    }
    false
}

/// Processor time that all threads of a process have used.
fn cpu_of(id: Pid) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero())).ok()?;
    // The name, in brackets, may have any character in it.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(user.saturating_add(system).saturating_mul(1000) / TICKS))
}

/// Writes what a process says into this log, with the tenant's name, so that no line of it passes for
/// the host's own.
fn pass_on(said: ChildStderr, tenant: &str) {
    let mut said = BufReader::new(said);
    let mut line = Vec::new();
    while let Ok(1..) = (&mut said).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        let (level, rest) = text.split_once(' ').unwrap_or(("", text));
        let rest = rest.escape_debug();
        match level {
            "ERROR" => tracing::error!(tenant, "a tenant's process: {rest}"),
            "INFO" => tracing::info!(tenant, "a tenant's process: {rest}"),
            "DEBUG" | "TRACE" => tracing::debug!(tenant, "a tenant's process: {rest}"),
            "WARN" => tracing::warn!(tenant, "a tenant's process: {rest}"),
            // A panic, or what the C library has to say.
            _ => tracing::warn!(tenant, "a tenant's process: {}", text.escape_debug()),
        }
        line.clear();
    }
}
