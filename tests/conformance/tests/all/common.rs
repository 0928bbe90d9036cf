//! What every test needs: the component under test, an executor, objects.
#![allow(dead_code, unused_macros, reason = "helpers for whichever test needs them")]

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use samara::{Builder, Cause, Component, Error, Executor, Job, TaskError, Value};
use samara_store::{Locator, PutOptions, StoreExt};

/// The guests under test, built once.
pub(crate) fn programs() -> &'static Component {
    static PROGRAMS: OnceLock<Component> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs");
        Component::from_crate(path).unwrap_or_else(|error| panic!("{error:?}"))
    })
}

/// Compiled code that the tests of this process and the next share.
pub(crate) fn cache_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}

/// The key of compiled code, where the driver has it.
fn key_file() -> Option<PathBuf> {
    Some(samara::default_cache_dir()?.with_file_name("keys").join("compiled"))
}

/// Settings for tests: two slots, no bar.
pub(crate) fn builder() -> Builder {
    Executor::builder().slots(2).progress(false).cache_dir(Some(cache_dir()))
}

/// The executor that most tests share.
pub(crate) fn executor() -> &'static Executor {
    static EXECUTOR: OnceLock<Executor> = OnceLock::new();
    EXECUTOR.get_or_init(|| builder().build().unwrap())
}

/// Runs a future to its end.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    samara::block_on(future)
}

/// Calls a function of the programs with the shared executor.
#[macro_export]
macro_rules! call {
    ($function:expr, $arguments:expr) => {
        $crate::common::wait($crate::common::executor().call(
            $crate::common::programs(),
            $function,
            $arguments,
        ))
    };
}

/// The one task's error.
pub(crate) fn task_error<T: std::fmt::Debug>(result: Result<T, Error>) -> TaskError {
    match result {
        Err(Error::Task(error)) => error,
        other => panic!("no task's error: {other:?}"),
    }
}

/// The one task's cause.
pub(crate) fn cause<T: std::fmt::Debug>(result: Result<T, Error>) -> Cause {
    task_error(result).into_cause()
}

/// All results of a job, which must have been submitted.
pub(crate) fn results<T: Value>(job: Result<Job<T>, Error>) -> Vec<Result<T, TaskError>> {
    wait(job.unwrap().results())
}

/// All values of a job, which must have succeeded.
pub(crate) fn values<T: Value>(job: Result<Job<T>, Error>) -> Vec<T> {
    wait(job.unwrap().values()).unwrap()
}

/// Puts an object.
pub(crate) fn put(url: &str, bytes: impl Into<Bytes>) {
    let location = Locator::default().open(url).unwrap();
    let bytes = bytes.into();
    runtime().block_on(location.store.put(&location.key, bytes, PutOptions::default())).unwrap();
}

/// Reads an object, if it is there.
pub(crate) fn read(url: &str) -> Option<Bytes> {
    let location = Locator::default().open(url).unwrap();
    runtime().block_on(location.store.read(&location.key)).ok()
}

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().build().unwrap())
}

/// Runs one task straight on an engine and returns all that it says.
pub(crate) fn report(
    function: &str,
    arguments: Vec<u8>,
    partition: Option<samara_core::Partition>,
) -> samara_core::Report {
    report_of(programs(), function, arguments, partition)
}

/// The same of another component.
pub(crate) fn report_of(
    component: &Component,
    function: &str,
    arguments: Vec<u8>,
    partition: Option<samara_core::Partition>,
) -> samara_core::Report {
    use samara_core::{Batch, Cancel, Grants, JobId, Limits, Task};
    let io = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut config = samara_engine::Config::default();
    config.cache_dir = Some(cache_dir());
    config.cache_key_file = key_file();
    let engine = samara_engine::Engine::new(&config, io.handle().clone()).unwrap();
    let prepared = engine.prepare(component.bytes()).unwrap();
    let batch = Batch {
        job: JobId::new(0, 0),
        component: component.id(),
        function: function.to_owned(),
        store: "mem://x".to_owned(),
        limits: Limits::default(),
        grants: Grants::default(),
        task_count: 1,
        reuse: false,
        depth: 0,
        payer: Default::default(),
        tasks: Vec::new(),
    };
    let task = Task {
        index: 0,
        attempt: 0,
        arguments: arguments.into(),
        partition: partition.map(Box::new),
    };
    let job = samara_engine::Job::new(&Arc::new(batch), &Arc::default(), &Cancel::default());
    engine.run(&prepared, &Arc::new(job), &task)
}
