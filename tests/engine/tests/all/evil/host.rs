//! The host that hostile guests run on, and what is looked at when they have ended.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use samara_core::{
    Arguments, Batch, Cancel, ComponentId, Error, Exceeded, HttpGrant, Limits, Outcome, Report,
    Reports, TaskHandler, Trap, layout,
};
use samara_engine::{Engine, Prepared};
use serde::de::DeserializeOwned;

use crate::common::{Worker, arguments, value_of};

/// How much later than its deadline a guest may end, on a machine that does much else: one that is
/// not ended goes on for ever. The bench of kills has the figure.
pub(super) const SLACK: Duration = Duration::from_secs(5);

/// How long a guest may take that has no deadline of its own, and to be refused.
const LONG: Duration = Duration::from_secs(60);

/// By how much the process may grow while a guest runs: others run beside it.
const GROWTH_MAX: u64 = 1 << 30;

/// A worker with small limits, and the hostile functions.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) worker: Worker,
    evil: ComponentId,
}

/// What became of a guest, and how long it took.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) report: Report,
    pub(super) took: Duration,
}

/// The bytes of the hostile functions' component, built once.
pub(super) fn evil() -> &'static Bytes {
    static EVIL: OnceLock<Bytes> = OnceLock::new();
    EVIL.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs/evil");
        let built = samara_build::build(path, &samara_build::Options::from_env());
        let built = built.unwrap_or_else(|error| panic!("{error:?}"));
        std::fs::read(built.path).unwrap().into()
    })
}

/// The bytes of a text.
pub(super) fn assembled(text: &str) -> Bytes {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}")).into()
}

/// Limits that are quickly reached.
pub(super) fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.memory_bytes = 64 << 20;
    limits.time = Duration::from_secs(20);
    limits.output_bytes = 1 << 20;
    limits.log_bytes = 64 << 10;
    limits.buffer_bytes = 8 << 20;
    limits.host_call_bytes = 4 << 20;
    limits
}

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// Holds a guest to its test, and the host to going on: a task that means well is run by the same
/// engine after it, and what the guest took is given back.
pub(super) fn survive(name: &str, holds: fn(&Host)) {
    static HOST: OnceLock<Host> = OnceLock::new();
    let host = HOST.get_or_init(|| Host::with(|_| ()));
    let before = resident();
    holds(host);
    host.goes_on();
    let grown = resident().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{name}: the host grew by {grown} bytes");
}

// === impl Host ===

impl Host {
    pub(super) fn with(change: impl FnOnce(&mut samara_engine::Config)) -> Self {
        let worker = Worker::with(change);
        let evil = ComponentId::of(evil());
        worker.put(&layout::component(&evil), evil_bytes());
        Self { worker, evil }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.worker.engine
    }

    /// A task that means well has its result.
    pub(super) fn goes_on(&self) {
        assert_eq!(self.worker.call::<u64>("adds_one", arguments((41_u64,))), 42);
    }

    /// A batch of one task of a hostile function.
    pub(super) fn batch(&self, function: &str, arguments: Arguments) -> Batch {
        let batch = self.worker.batch(function, vec![arguments]);
        Batch { component: self.evil, limits: limits(), ..batch }
    }

    /// A batch of one task of another component.
    pub(super) fn batch_of(&self, component: &Bytes) -> Batch {
        let id = ComponentId::of(component);
        self.worker.put(&layout::component(&id), component.clone());
        let batch = self.worker.batch("f", vec![Arguments::default()]);
        Batch { component: id, limits: limits(), ..batch }
    }

    /// Runs a batch to its end, and holds it to its deadline.
    #[track_caller]
    pub(super) fn all(&self, batch: Batch) -> (Vec<Reports>, Duration) {
        let (limit, tasks) = (batch.limits.time, u32::try_from(batch.tasks.len()).unwrap());
        // Compiled and linked before, as for all but a component's first task.
        let _refused_later = self.worker.handler.prepare(batch.component, &batch.store);
        let started = Instant::now();
        let reports = self.worker.run(batch);
        let took = started.elapsed();
        assert!(took < limit * tasks + 2 * SLACK, "it took {took:?}, not {limit:?}");
        (reports, took)
    }

    #[track_caller]
    pub(super) fn run(&self, batch: Batch) -> Ended {
        let (reports, took) = self.all(batch);
        let [Reports::Each(each)] = &reports[..] else { panic!("{reports:?}") };
        let [report] = &each[..] else { panic!("{each:?}") };
        let report = report.clone();
        assert_small(&report);
        Ended { report, took }
    }

    /// Runs a hostile function.
    #[track_caller]
    pub(super) fn one(&self, function: &str, arguments: Arguments) -> Ended {
        self.run(self.batch(function, arguments))
    }

    /// Runs a hostile function within changed limits.
    #[track_caller]
    pub(super) fn within(
        &self,
        function: &str,
        arguments: Arguments,
        change: impl FnOnce(&mut Limits),
    ) -> Ended {
        let mut batch = self.batch(function, arguments);
        change(&mut batch.limits);
        self.run(batch)
    }

    /// Runs a hostile function that may ask servers, and returns its value.
    #[track_caller]
    pub(super) fn asking<T: DeserializeOwned>(
        &self,
        grants: &[&str],
        function: &str,
        arguments: Arguments,
    ) -> T {
        value_of(&self.run(self.asking_batch(grants, function, arguments)).report)
    }

    pub(super) fn asking_batch(
        &self,
        grants: &[&str],
        function: &str,
        arguments: Arguments,
    ) -> Batch {
        let mut batch = self.batch(function, arguments);
        batch.grants.http = grants.iter().map(|it| it.parse::<HttpGrant>().unwrap()).collect();
        batch
    }

    /// Runs the guest of a text.
    #[track_caller]
    pub(super) fn text(&self, name: &str) -> Ended {
        self.text_within(name, |_| ())
    }

    #[track_caller]
    pub(super) fn text_within(&self, name: &str, change: impl FnOnce(&mut Limits)) -> Ended {
        let mut batch = self.batch_of(&assembled(&samara_evil::component(name)));
        change(&mut batch.limits);
        self.run(batch)
    }

    /// Runs a batch that is cancelled after a while; how long it went on then.
    #[track_caller]
    pub(super) fn cancelled(&self, batch: Batch) -> (Report, Duration) {
        let _compiled = self.worker.handler.prepare(batch.component, &batch.store);
        let (cancel, mut ended) = (Cancel::default(), Vec::new());
        let at = std::thread::scope(|scope| {
            let canceller = scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(200));
                cancel.cancel();
                Instant::now()
            });
            let waits = Arc::new(()) as _;
            self.worker.handler.run(&Arc::new(batch), &cancel, &waits, &mut |reports| {
                ended.push(reports);
            });
            let end = Instant::now();
            end.saturating_duration_since(canceller.join().unwrap())
        });
        let [Reports::Each(each)] = &ended[..] else { panic!("{ended:?}") };
        (each[0].clone(), at)
    }

    /// What it comes to to compile and link a component, in a time that somebody would wait.
    #[track_caller]
    pub(super) fn prepare(&self, component: &[u8]) -> Result<Prepared, Error> {
        let started = Instant::now();
        let prepared = self.engine().prepare(component);
        let took = started.elapsed();
        assert!(took < LONG, "it took {took:?}");
        prepared
    }

    /// Why a component is refused.
    #[track_caller]
    pub(super) fn refusal(&self, component: &[u8]) -> String {
        let error = self.prepare(component).unwrap_err();
        assert_eq!(error.kind, samara_core::ErrorKind::Component, "{error}");
        assert!(error.message.len() < 4096, "{} bytes of message", error.message.len());
        error.message
    }
}

fn evil_bytes() -> Bytes {
    evil().clone()
}

/// A report has to fit a reply, whatever the guest says.
#[track_caller]
fn assert_small(report: &Report) {
    let text = match &report.outcome {
        Outcome::Failed(error) => {
            error.message.len() + error.causes.iter().map(|cause| cause.len() + 24).sum::<usize>()
        }
        Outcome::Trapped(Trap { message, location, backtrace }) => {
            let place = location.as_ref().map_or(0, String::len);
            message.len() + place + backtrace.iter().map(String::len).sum::<usize>()
        }
        Outcome::Platform(error) => error.message.len(),
        _ => 0,
    };
    assert!(text < 256 << 10, "{text} bytes of words");
    let log: usize = report.log.iter().map(|line| line.message.len()).sum();
    assert!(log <= 64 << 10, "{log} bytes of log");
}

// === impl Ended ===

impl Ended {
    #[track_caller]
    pub(super) fn value<T: DeserializeOwned>(&self) -> T {
        value_of(&self.report)
    }

    #[track_caller]
    pub(super) fn exceeded(&self, limit: Exceeded) {
        assert_eq!(self.report.outcome, Outcome::LimitExceeded(limit), "{:?}", self.report.log);
    }

    /// It ran out of memory, of which it had no more than it may.
    #[track_caller]
    pub(super) fn out_of_memory(&self) {
        let limit = limits().memory_bytes;
        self.exceeded(Exceeded::Memory { limit });
        assert!(self.report.stats.memory_peak <= limit, "{:?}", self.report.stats);
    }

    /// It was ended at its deadline, not before, and not much later.
    #[track_caller]
    pub(super) fn out_of_time(&self, limit: Duration) {
        self.exceeded(Exceeded::Time { limit });
        let Self { took, .. } = *self;
        assert!(took >= limit && took < limit + SLACK, "{took:?} for {limit:?}");
    }

    /// It trapped, and why.
    #[track_caller]
    pub(super) fn trapped(&self) -> &Trap {
        match &self.report.outcome {
            Outcome::Trapped(trap) => trap,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn trapped_with(&self, text: &str) {
        let trap = self.trapped();
        assert!(trap.message.contains(text), "{trap}");
    }
}
