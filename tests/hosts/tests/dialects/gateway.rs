//! What stands before a host, and answers in its place: that it does not know what became of a batch
//! loses no task, and runs none for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use samara::{Component, Executor, Retries};
use samara_core::{Clock as _, SystemClock};
use samara_programs::reuse::adds_one;

use crate::host::{Host, TOKEN};
use crate::http::{Answer, Request, front_door};
use crate::platform::Platform;
use crate::pushed::start;

/// By name.
pub(crate) const CHECKS: &[(&str, fn())] = &[
    ("a_task_whose_host_dies_each_time_is_given_up", given_up),
    ("an_answer_that_a_gateway_lost_is_noticed_and_the_task_runs_again", lost_once),
    ("a_host_that_is_started_again_behind_a_gateway_costs_one_attempt", started_again),
    ("a_gateway_that_asks_to_come_again_costs_none", comes_again),
];

/// How long a job with lost answers may take: each is noticed at once, and the wait before the next
/// attempt is a tenth of a second. The first may have to wait until the component is compiled, beside
/// other tests; where a loss is not noticed, it is waited for minutes.
const SOON: Duration = Duration::from_secs(60);

/// What a gateway does with a request, by its number among those with batches, or among the others.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Passes,
    /// The host does as it is asked, and its answer is lost.
    Runs(u16),
    /// The host does not hear of it.
    Dropped(u16),
    /// The same, and it is said when to come again.
    Later(u16),
}

/// A host behind a gateway.
struct Ground {
    _host: Host,
    _ground: crate::platform::Ground,
    store: tempfile::TempDir,
    url: String,
    /// Batches that came to the gateway.
    batches: Arc<AtomicUsize>,
}

// === impl Ground ===

impl Ground {
    fn new(of_batch: fn(usize) -> Fate, of_other: fn(usize) -> Fate) -> Self {
        let platform = Platform::of("knative");
        let (host, ground) = start(&platform, &[]);
        let (address, others) = (host.address.clone(), AtomicUsize::new(0));
        let batches = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&batches);
        let port = front_door(Box::new(move |request: Request| {
            let fate = match request.method == "POST" {
                true => of_batch(counted.fetch_add(1, Ordering::Relaxed)),
                false => of_other(others.fetch_add(1, Ordering::Relaxed)),
            };
            let said = |status| Answer { status, body: b"upstream".to_vec(), ..Answer::default() };
            match fate {
                Fate::Passes => platform.ask(&address, &request),
                Fate::Runs(status) => {
                    platform.ask(&address, &request);
                    said(status)
                }
                Fate::Dropped(status) => said(status),
                Fate::Later(status) => {
                    let headers = vec![("retry-after".to_owned(), "0".to_owned())];
                    Answer { headers, ..said(status) }
                }
            }
        }));
        let store = tempfile::tempdir().expect("a directory");
        let url = format!("http://127.0.0.1:{port}");
        Self { _host: host, _ground: ground, store, url, batches }
    }

    /// Calls with so many attempts; what came of it, and how long it took.
    fn call(&self, attempts: u32) -> (Result<u64, String>, Duration) {
        let executor = Executor::builder()
            .runtime(&self.url)
            .token(TOKEN)
            .store(self.store.path().to_str().expect("a path of UTF-8"))
            .retries(Retries::default().attempts(attempts))
            .progress(false)
            .build()
            .expect("an executor");
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs");
        let app = Component::from_crate(path).expect("the component");
        let clock = SystemClock::new();
        let before = clock.monotonic();
        let called = samara::block_on(executor.call(&app, adds_one, 41_u64));
        (called.map_err(|error| error.to_string()), clock.monotonic().saturating_sub(before))
    }

    fn batches(&self) -> usize {
        self.batches.load(Ordering::Relaxed)
    }
}

fn given_up() {
    for of_batch in [|_| Fate::Runs(502), |_| Fate::Runs(503), |_| Fate::Runs(504)] {
        let ground = Ground::new(of_batch, |_| Fate::Passes);
        let (called, took) = ground.call(4);
        let error = called.expect_err("no answer ever came");
        assert!(error.contains("50") && error.contains("the host ended"), "{error}");
        assert_eq!(ground.batches(), 4, "each is an attempt");
        assert!(took < SOON, "{took:?}");
    }
}

fn lost_once() {
    let fate = |number| if number == 0 { Fate::Runs(504) } else { Fate::Passes };
    let ground = Ground::new(fate, |_| Fate::Passes);
    let (called, took) = ground.call(4);
    assert_eq!((called, ground.batches()), (Ok(42), 2));
    assert!(took < SOON, "{took:?}");
}

fn started_again() {
    let of_batch = |number| if number == 0 { Fate::Runs(502) } else { Fate::Passes };
    // The first is the job's own question; behind the gateway nobody is there for a while.
    let of_other = |number| match number {
        1..4 => Fate::Dropped(503),
        4..6 => Fate::Dropped(502),
        _ => Fate::Passes,
    };
    let ground = Ground::new(of_batch, of_other);
    let (called, _) = ground.call(2);
    assert_eq!((called, ground.batches()), (Ok(42), 2));
}

fn comes_again() {
    let of_batch = |number| match number {
        0..3 => Fate::Later(503),
        3..6 => Fate::Later(429),
        _ => Fate::Passes,
    };
    let ground = Ground::new(of_batch, |_| Fate::Passes);
    let (called, _) = ground.call(1);
    assert_eq!((called, ground.batches()), (Ok(42), 7));
}
