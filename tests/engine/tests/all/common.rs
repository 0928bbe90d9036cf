//! A worker: an engine, its handler, a store, the guests under test.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use samara_core::{
    Argument, Arguments, Batch, Cancel, ComponentId, Grants, JobId, Limits, Outcome, Output,
    Report, Reports, Shared, Task, TaskHandler, Waits, layout,
};
use samara_engine::{Config, Engine, Handler};
use samara_store::{Locator, PutOptions, Settings, StoreExt};
use samara_wit::value::{self, ArgumentWriter};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A worker of the tests.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) engine: Engine,
    pub(crate) handler: Arc<Handler>,
    pub(crate) locator: Arc<Locator>,
    pub(crate) component: ComponentId,
    pub(crate) store: String,
    pub(crate) io: tokio::runtime::Runtime,
}

/// The bytes of the guests under test, built once.
pub(crate) fn programs() -> &'static Bytes {
    static PROGRAMS: OnceLock<Bytes> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs");
        let built = samara_build::build(path, &samara_build::Options::from_env());
        let built = built.unwrap_or_else(|error| panic!("{error:?}"));
        std::fs::read(built.path).unwrap().into()
    })
}

/// The key of compiled code, apart from it.
pub(crate) fn key_file() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("keys").join("compiled")
}

/// A number that no other test has.
pub(crate) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

// === impl Worker ===

impl Worker {
    /// With a store of its own in memory.
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::over(Locator::default(), change)
    }

    /// With a store that keeps no condition on what is written.
    pub(crate) fn unconditional() -> Self {
        let settings = Settings::default().with("mem:", "conditional_writes", "never");
        Self::over(Locator::default().with_settings(settings), |_| ())
    }

    fn over(locator: Locator, change: impl FnOnce(&mut Config)) -> Self {
        let mut io = tokio::runtime::Builder::new_multi_thread();
        let io = io.worker_threads(2).enable_all().build().unwrap();
        let mut config = Config::default();
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        config.cache_dir = Some(dir);
        config.cache_key_file = Some(key_file());
        change(&mut config);
        let engine = Engine::new(&config, io.handle().clone()).unwrap();
        let locator = Arc::new(locator);
        let handler = Arc::new(Handler::new(engine.clone(), Arc::clone(&locator)));
        let component = ComponentId::of(programs());
        let store = format!("mem://engine-tests-{}", unique());
        let worker = Self { engine, handler, locator, component, store, io };
        worker.put(&layout::component(&component), programs().clone());
        worker
    }

    /// Puts an object into the store.
    pub(crate) fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        let location = self.locator.open(&self.store).unwrap().join(key);
        let put = location.store.put(&location.key, bytes.into(), PutOptions::default());
        self.io.block_on(put).unwrap();
    }

    /// Reads an object of the store, if it is there.
    pub(crate) fn read(&self, key: &str) -> Option<Bytes> {
        let location = self.locator.open(&self.store).unwrap().join(key);
        self.io.block_on(location.store.read(&location.key)).ok()
    }

    /// A batch with a task for each of `arguments`, numbered from 0.
    pub(crate) fn batch(&self, function: &str, arguments: Vec<Arguments>) -> Batch {
        let tasks = (0..).zip(arguments).map(|(index, arguments)| Task {
            index,
            attempt: 0,
            arguments,
            partition: None,
        });
        Batch {
            job: JobId::new(unique(), 0),
            component: self.component,
            function: function.to_owned(),
            store: self.store.clone(),
            limits: Limits::default(),
            grants: Grants::default(),
            task_count: 0,
            reuse: false,
            depth: 0,
            payer: Default::default(),
            tasks: tasks.collect(),
        }
    }

    /// Runs a batch on this thread.
    pub(crate) fn run(&self, batch: Batch) -> Vec<Reports> {
        self.run_and_tell(batch, &(Arc::new(()) as _))
    }

    /// The same, where somebody is told of waits.
    pub(crate) fn run_and_tell(&self, batch: Batch, waits: &Arc<dyn Waits>) -> Vec<Reports> {
        let mut all = Vec::new();
        let cancel = Cancel::default();
        self.handler.run(&Arc::new(batch), &cancel, waits, &mut |reports| all.push(reports));
        all
    }

    /// Runs a batch, each of whose tasks is reported for itself.
    pub(crate) fn each(&self, batch: Batch) -> Vec<Report> {
        let all = self.run(batch).into_iter().flat_map(|reports| match reports {
            Reports::Each(reports) => reports,
            Reports::Shared(shared) => panic!("shared: {shared:?}"),
        });
        all.collect()
    }

    /// Runs one task and returns its report.
    pub(crate) fn one(&self, function: &str, arguments: Arguments) -> Report {
        self.each(self.batch(function, vec![arguments])).remove(0)
    }

    /// Runs one task and returns its value.
    pub(crate) fn call<T: DeserializeOwned>(&self, function: &str, arguments: Arguments) -> T {
        value_of(&self.one(function, arguments))
    }
}

/// The arguments of one call: a tuple of values, or `()` for none.
pub(crate) fn arguments<T: Serialize>(tuple: T) -> Arguments {
    match size_of::<T>() {
        0 => ArgumentWriter::new(0).finish().into(),
        _ => value::encode(&tuple).unwrap().into(),
    }
}

/// An argument that is a value at hand.
pub(crate) fn inline<T: Serialize>(value: T) -> Argument {
    Argument::Inline(value::encode(&value).unwrap().into())
}

/// The value that a task returned.
pub(crate) fn value_of<T: DeserializeOwned>(report: &Report) -> T {
    match &report.outcome {
        Outcome::Success(Output::Inline(bytes)) => value::decode(bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The tasks' numbers and values in a shared report.
pub(crate) fn shared_values<T: DeserializeOwned>(shared: &Shared) -> Vec<(u64, T)> {
    assert_eq!(shared.indices.len(), shared.ends.len());
    let starts = std::iter::once(0).chain(shared.ends.iter().copied());
    let outputs = starts.zip(&shared.ends).map(|(start, end)| start as usize..*end as usize);
    let values = outputs.map(|range| value::decode(&shared.outputs[range]).unwrap());
    shared.indices.iter().copied().zip(values).collect()
}

/// What shared and single reports say, apart.
pub(crate) fn apart(all: Vec<Reports>) -> (Vec<Shared>, Vec<Report>) {
    let (mut shared, mut each) = (Vec::new(), Vec::new());
    for reports in all {
        match reports {
            Reports::Each(reports) => each.extend(reports),
            Reports::Shared(one) => shared.push(*one),
        }
    }
    (shared, each)
}
