//! Runs what `cargo test --target wasm32-wasip2` built, inside the sandbox that tasks have.
//!
//! A crate's tests are one program. Here each of them has an instance of its own, as a task has: a
//! panic ends its instance, and what a test leaves behind is gone with it. Storage is private to the
//! test, the task is a made-up one, and there is no partition.
//!
//! A program that is no test binary is run as it is.

mod libtest;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use samara_core::{
    Batch, Cancel, Clock, ComponentId, Error as Platform, Grants, JobId, Limits, SystemClock,
};
use samara_engine::{Command, Config, Engine, Exit, Job, Ran, Setting};
use samara_store::Locator;

/// The exit code of tests that failed, which is libtest's.
const FAILED: i32 = 101;

/// The exit code of a program that its sandbox ended: what a shell says of one that was aborted.
const ABORTED: i32 = 134;

/// What a run is made with.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// Where compiled code is kept between runs; none compiles anew each time.
    pub cache_dir: Option<PathBuf>,
    /// A file with the key for it, elsewhere; it is made if it is not there. Without one nothing is
    /// kept.
    pub cache_key_file: Option<PathBuf>,
    /// What each test, or the program, may use.
    pub limits: Limits,
}

/// Why nothing was run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no program for this sandbox, or the machine can run none.
    #[error("{}: {source}", path.display())]
    Platform {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Platform,
    },
    /// What is said cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// A program, and what it is run with.
struct Program {
    name: String,
    engine: Engine,
    command: Command,
    limits: Limits,
    clock: SystemClock,
    /// Instances so far, for the names of their stores.
    instances: std::cell::Cell<u64>,
    /// Drives the requests of host calls.
    _io: tokio::runtime::Runtime,
}

/// Runs a program with `arguments`; of tests, each in an instance of its own. What tests come to is
/// written to `out`. Returns the exit code.
///
/// # Errors
///
/// Where nothing was run.
///
/// # Examples
///
/// ```no_run
/// let arguments = ["--nocapture".to_owned()];
/// let (file, options) = ("tests.wasm".as_ref(), samara_runner::Options::default());
/// let code = samara_runner::run(file, &arguments, &options, &mut std::io::stdout())?;
/// # Ok::<(), samara_runner::Error>(())
/// ```
pub fn run(
    file: &Path,
    arguments: &[String],
    options: &Options,
    out: &mut dyn Write,
) -> Result<i32, Error> {
    let path = || file.to_owned();
    let bytes = std::fs::read(file).map_err(|source| Error::Read { path: path(), source })?;
    let name = file.to_string_lossy().into_owned();
    let program = Program::new(name, &bytes, options)
        .map_err(|source| Error::Platform { path: path(), source })?;
    match libtest::Selection::of(&bytes, arguments) {
        Some(selection) => Ok(libtest::run(&program, &selection, out)?),
        None => Ok(program.run_through(arguments)),
    }
}

// === impl Program ===

impl Program {
    fn new(name: String, bytes: &[u8], options: &Options) -> Result<Self, Platform> {
        let mut io = tokio::runtime::Builder::new_multi_thread();
        let io = io.worker_threads(1).enable_all().build().map_err(|error| {
            let text = format!("cannot start a thread: {error}");
            Platform::new(samara_core::ErrorKind::Internal, text)
        })?;
        let mut config = Config::default();
        config.cache_dir.clone_from(&options.cache_dir);
        config.cache_key_file.clone_from(&options.cache_key_file);
        // One at a time, so the pool would only be made in vain.
        config.pooling = false;
        let engine = Engine::new(&config, io.handle().clone())?;
        let command = engine.prepare_command(bytes)?;
        let (limits, clock) = (options.limits, SystemClock::new());
        let instances = std::cell::Cell::new(0);
        Ok(Self { name, engine, command, limits, clock, instances, _io: io })
    }

    /// Runs it once, in an instance and with a storage of its own.
    fn run(&self, arguments: &[String], inherit: bool) -> Ran {
        let mut setting = Setting::default();
        setting.arguments = [&self.name].into_iter().chain(arguments).cloned().collect();
        setting.inherit = inherit;
        self.engine.run_command(&self.command, &Arc::new(self.job()), &setting)
    }

    /// Runs it with this process's output, and turns its end into an exit code.
    fn run_through(&self, arguments: &[String]) -> i32 {
        match self.run(arguments, true).exit {
            Exit::Code(code) => code,
            ended @ Exit::Ended(_) => {
                let _nobody_reads = writeln!(io::stderr(), "{}: {ended}", self.name);
                ABORTED
            }
        }
    }

    /// A made-up job, the only one of its store.
    fn job(&self) -> Job {
        let instance = self.instances.get();
        self.instances.set(instance + 1);
        let unix_ms = u64::try_from(self.clock.unix().as_millis()).unwrap_or(u64::MAX);
        let (store, locator) = (format!("mem://tests-{instance}"), Arc::new(Locator::default()));
        let private = locator.open(&store).expect("a name for a store in memory");
        let batch = Batch {
            job: JobId::new(unix_ms, u128::from(instance)),
            component: ComponentId::of(self.name.as_bytes()),
            function: String::new(),
            store,
            limits: self.limits,
            grants: Grants::default(),
            task_count: 1,
            reuse: false,
            depth: 0,
            payer: Default::default(),
            tasks: Vec::new(),
        };
        Job::new(&Arc::new(batch), &locator, &Cancel::default()).with_private_storage(private)
    }
}
