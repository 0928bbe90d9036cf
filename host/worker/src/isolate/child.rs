//! The process that runs one tenant's tasks.

use std::io::Write as _;
use std::os::fd::{AsFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use samara_core::link::{FromWorker, Question};
use samara_core::{Error, ErrorKind, Runtime, SystemClock};
use samara_engine::{CacheKey, Compile, Config};
use samara_runtimes::local::apart::Line;
use samara_store::{Locator, Settings};
use tracing_subscriber::EnvFilter;

use super::memory::{self, Meter};
use super::plan::Told;
use super::restrict::restrict;
use crate::service::{Nests, run_here};

/// How a process ends that cannot do what it should. sysexits.h, EX_OSERR.
const CODE_FAILED: u8 = 71;

/// Threads for requests and for I/O, as the host has them.
const IO_THREADS: usize = 2;

/// Why a store that needs a program is not to be had here, and what to do.
const NO_PROGRAMS: &str = "a tenant's own process (--isolate tenant), which starts none: put these \
                           objects behind another scheme, or use a host without isolation";

/// Has components compiled by the host: this process starts no programs.
#[derive(Debug)]
struct ByTheHost(Arc<Line>);

/// Runs the tasks of whoever the host says, until the host closes the link.
pub(crate) fn run() -> ExitCode {
    match try_run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _nobody_reads = writeln!(std::io::stderr(), "ERROR {}", error.message);
            ExitCode::from(CODE_FAILED)
        }
    }
}

fn try_run() -> Result<(), Error> {
    let failed = |what: &str, error: std::io::Error| {
        Error::new(ErrorKind::Internal, format!("{what}: {error}"))
    };
    close_what_is_not_ours().map_err(|error| failed("open files of others stay", error))?;
    let link = link().map_err(|error| failed("there is no link to the host", error))?;
    let told: Told = serde_json::from_slice(&Line::first(&link)?)
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    let parent = rustix::process::getppid().map(|id| id.as_raw_nonzero().get().unsigned_abs());
    if parent != Some(told.parent) {
        return Err(Error::new(ErrorKind::Lost, "the host is gone"));
    }
    log(&told.log);
    let meter = Meter::open();
    let mut protections = restrict(&told.bounds);
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .thread_name("samara-io")
        .enable_all()
        .build()
        .map_err(|error| failed("cannot start threads", error))?;
    let (line, outgoing) = Line::new();
    let runtime = match runtime(&told, &line, io.handle()) {
        Ok(runtime) => runtime,
        Err(error) => return Line::say_now(&link, &FromWorker::Unfit(error)),
    };
    // Once there is all that is there for any task, and before there is one.
    protections.push(meter.bound(told.memory));
    if let Some(trials) = &told.trials {
        protections.extend(trials.run());
        return Line::say_now(&link, &FromWorker::Ready(protections));
    }
    Line::say_now(&link, &FromWorker::Ready(protections))?;
    let served = io.block_on(line.serve(link, outgoing, (&told.tenant, runtime)));
    // Nobody is there any more for whom something is done.
    io.shutdown_background();
    served
}

/// What runs the tasks.
fn runtime(
    told: &Told,
    line: &Arc<Line>,
    io: &tokio::runtime::Handle,
) -> Result<Arc<dyn Runtime>, Error> {
    let mut config = Config::default();
    config.instances_max = memory::instances(told.slots);
    config.kept_max = u32::try_from(told.slots).ok();
    config.clock = Arc::new(SystemClock::new());
    config.fuel = told.count_fuel;
    config.secrets = Some(Arc::clone(line) as _);
    if let Some((directory, key)) = &told.cache {
        config.cache_dir = Some(directory.clone());
        config.cache_key = Some(CacheKey::new(*key));
    }
    if !told.compiles {
        config.compiler = Some(Arc::new(ByTheHost(Arc::clone(line))));
    }
    let variables = told.variables.iter().map(|(name, value)| (name.clone(), value.clone()));
    let mut stores = Settings::default().with_variables(variables);
    for (place, name, value) in &told.stores {
        stores = stores.with(place, name, value);
    }
    let locator = Locator::default().with_settings(stores).without_programs(NO_PROGRAMS);
    let locator = Arc::new(locator);
    run_here(config, Some(told.slots), Nests::No, (io, &locator))
}

/// Closes files that whoever started the host left open, and that it handed on without knowing: the
/// host's own are closed by the kernel.
fn close_what_is_not_ours() -> std::io::Result<()> {
    let names = std::fs::read_dir("/proc/self/fd")?.map(|entry| entry.map(|it| it.file_name()));
    let names: Vec<_> = names.collect::<Result<_, _>>()?;
    let numbers = names.iter().filter_map(|name| name.to_str()?.parse::<RawFd>().ok());
    for number in numbers.filter(|number| *number > 2) {
        // The one by which they were listed is closed already.
        let _closed_already = nix::unistd::close(number);
    }
    Ok(())
}

/// The link, which is standard input; in its place there is nothing from then on.
fn link() -> std::io::Result<UnixStream> {
    let link = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    nix::unistd::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Ok(link)
}

/// Lines that the host writes to its own log, with time and tenant.
fn log(level: &str) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .init();
}

// === impl ByTheHost ===

impl Compile for ByTheHost {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, Error> {
        let code = self.0.ask(Question::Compile(Bytes::copy_from_slice(component)))?;
        Ok(code.into())
    }
}
