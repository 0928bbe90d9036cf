//! A suite that is open on a runtime and a store, and how it runs a case.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use samara::{Builder, Component, Error, Executor, Reach};
use samara_core::{Clock, SystemClock};
use ulid::Ulid;

use crate::place::Place;
use crate::{Case, Context, Needs};

/// How long a case may take. The longest takes half a minute on one slow core; a runtime that has
/// to start machines needs some more.
const TIME_MAX: Duration = Duration::from_secs(300);

/// Threads for the cases' own requests to the store.
const IO_THREADS: usize = 2;

/// Where a suite runs, and with what.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The guests of `tests/programs`.
    pub programs: Component,
    /// The runtime and whatever else executors shall have; its store is replaced.
    pub builder: Builder,
    /// URL of the place below which the suite makes one of its own.
    pub store: String,
    /// How long a case may take; 300 s by default. One that takes longer has failed, and goes on
    /// in the background.
    pub time_max: Duration,
}

/// The cases' common ground: an executor, and a place in the store that is its own.
#[derive(Debug)]
pub struct Suite(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) programs: Component,
    pub(crate) builder: Builder,
    pub(crate) executor: Executor,
    place: Place,
    time_max: Duration,
    clock: SystemClock,
}

/// What a case came to, and how long it took.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Ended {
    /// What it came to.
    pub verdict: Verdict,
    /// How long it took, its cleaning up included.
    pub elapsed: Duration,
}

/// What a case came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// What it says holds.
    Passed,
    /// It does not, and this is what the case said.
    Failed(String),
    /// The case did not run; what it needs is not there.
    Skipped(String),
}

// === impl Settings ===

impl Settings {
    /// Settings with the defaults.
    pub fn new(programs: Component, builder: Builder, store: impl Into<String>) -> Self {
        Self { programs, builder, store: store.into(), time_max: TIME_MAX }
    }
}

// === impl Ended ===

impl Ended {
    /// A verdict that took so long.
    pub fn new(verdict: Verdict, elapsed: Duration) -> Self {
        Self { verdict, elapsed }
    }
}

// === impl Suite ===

impl Suite {
    /// Opens the runtime and the store, and sees that the store can be written.
    ///
    /// # Errors
    ///
    /// Where the runtime or the store cannot be opened, or an object cannot be written and removed.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        listen_to_panics();
        let io = start_io()?;
        let name = format!("samara-test-{}", Ulid::generate());
        let location = settings.builder.locator().open(&settings.store)?.join(&name);
        let place = Place::new(location, Arc::new(io));
        let builder = settings.builder.store(place.join("store").url());
        let executor = builder.clone().build()?;
        place.join("probe").put(Bytes::from_static(b"samara test was here"))?;
        place.clear()?;
        Ok(Self(Arc::new(Inner {
            programs: settings.programs,
            builder,
            executor,
            place,
            time_max: settings.time_max,
            clock: SystemClock::new(),
        })))
    }

    /// The runtime, as its canonical URL.
    pub fn runtime(&self) -> String {
        self.0.executor.runtime()
    }

    /// How far from this program the tasks run.
    pub fn reach(&self) -> Reach {
        self.0.executor.reach()
    }

    /// The suite's own place in the store, as its canonical URL.
    pub fn store(&self) -> String {
        self.0.place.url()
    }

    /// Runs a case on a thread of its own, then removes what it wrote.
    pub fn run(&self, case: &Case) -> Ended {
        let started = self.0.clock.monotonic();
        let verdict = match self.lacks(case.needs) {
            Some(lack) => Verdict::Skipped(lack),
            None => self.run_and_clear(*case),
        };
        Ended::new(verdict, self.0.clock.monotonic().saturating_sub(started))
    }

    /// Removes all that the suite wrote: the components and the jobs, and what cases that did not
    /// end in time have left.
    ///
    /// # Errors
    ///
    /// Where the store does not allow it; what is left lies below [`store`](Self::store).
    pub fn clean(&self) -> Result<(), Error> {
        Ok(self.0.place.clear()?)
    }

    /// What of a case's needs is not there.
    fn lacks(&self, needs: Needs) -> Option<String> {
        match needs {
            Needs::Nothing => None,
            Needs::Within(wanted) => {
                let lack = || format!("its tasks may not run further away than in the {wanted:?}");
                (self.0.executor.reach() > wanted).then(lack)
            }
            Needs::Slots(wanted) => {
                let runtime = self.0.builder.clone().slots(wanted).build().ok()?.runtime();
                // The canonical URL of a runtime with a number of slots ends with it.
                let slots = runtime.rsplit_once(':')?.1.parse::<usize>().ok()?;
                let lack = || format!("it needs {wanted} slots, and {runtime} has {slots}");
                (slots < wanted).then(lack)
            }
        }
    }

    fn run_and_clear(&self, case: Case) -> Verdict {
        let place = self.0.place.join(case.room).join(case.name);
        let verdict = self.run_in_time(case, &place);
        match (verdict, place.clear()) {
            (Verdict::Passed, Err(error)) => Verdict::Failed(format!("cannot clean up: {error}")),
            (verdict, _) => verdict,
        }
    }

    fn run_in_time(&self, case: Case, place: &Place) -> Verdict {
        let context = Context::new(Arc::clone(&self.0), place.clone());
        let (reply, verdict) = sync_channel(1);
        let work = move || drop(reply.send(run_caught(case, &context)));
        if let Err(error) = thread::Builder::new().name(case.to_string()).spawn(work) {
            return Verdict::Failed(format!("cannot start a thread: {error}"));
        }
        match verdict.recv_timeout(self.0.time_max) {
            Ok(verdict) => verdict,
            Err(RecvTimeoutError::Timeout) => {
                Verdict::Failed(format!("it did not end within {:?}", self.0.time_max))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Verdict::Failed("its thread ended without a word".to_owned())
            }
        }
    }
}

fn start_io() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .thread_name("samara-test-io")
        .enable_all()
        .build()
        .map_err(|error| Error::Invalid(format!("cannot start threads for I/O: {error}")))
}

thread_local! {
    /// What the case on this thread said when it panicked; none where no case runs.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn run_caught(case: Case, context: &Context) -> Verdict {
    SAID.set(Some(String::new()));
    match panic::catch_unwind(AssertUnwindSafe(|| (case.run)(context))) {
        Ok(()) => Verdict::Passed,
        Err(_) => Verdict::Failed(SAID.take().unwrap_or_default()),
    }
}

/// Keeps what a case says when it panics, instead of printing it; other panics go the old way.
fn listen_to_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_case = SAID.with_borrow_mut(|said| said.as_mut().map(|said| *said = text(info)));
            if is_case.is_none() {
                before(info);
            }
        }));
    });
}

/// The message and place of a panic.
fn text(info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("it panicked with something that is no text");
    match info.location() {
        Some(location) => format!("{message}\n(at {location})"),
        None => message.to_owned(),
    }
}
