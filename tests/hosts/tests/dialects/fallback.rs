//! Runtimes in an order: a host, or else this process.

use std::time::Duration;

use samara::{Component, Executor};
use samara_core::{Clock as _, SystemClock};
use samara_programs as programs;

use crate::host::{Host, TOKEN, free_port};
use crate::http::Request;

/// By name.
pub(crate) const CHECKS: &[(&str, fn())] = &[("a_job_does_not_begin_at_a_host_that_is_gone", gone)];

/// What a job may take that finds out at once that nobody is there.
const AT_ONCE: Duration = Duration::from_secs(15);

fn executor(address: &str, store: &tempfile::TempDir) -> Executor {
    let builder = Executor::builder().runtime(format!("http://{address} or local:")).token(TOKEN);
    let store = store.path().to_str().expect("a path of UTF-8");
    builder.store(store).progress(false).build().expect("an executor")
}

/// Runs a few tasks, and says how long it took.
fn adds(executor: &Executor, app: &Component) -> Duration {
    let clock = SystemClock::new();
    let before = clock.monotonic();
    let values = samara::block_on(async {
        let job = executor.map(app, programs::reuse::adds_one, 0..4_u64).await.expect("a job");
        job.values().await.expect("values")
    });
    assert_eq!(values, [1, 2, 3, 4]);
    clock.monotonic() - before
}

fn gone() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs");
    let app = Component::from_crate(path).expect("the component");
    let store = tempfile::tempdir().expect("a directory");
    // One that never was there.
    let nobody = executor(&format!("127.0.0.1:{}", free_port()), &store);
    for _ in 0..2 {
        let took = adds(&nobody, &app);
        assert!(took < AT_ONCE, "{took:?}");
    }
    let host = Host::start(&[
        ("SAMARA_HOST_AS", "http"),
        ("SAMARA_HOST_LISTEN", "127.0.0.1:0"),
        ("SAMARA_HOST_TOKENS", TOKEN),
    ]);
    let executor = executor(&host.address, &store);
    adds(&executor, &app);
    let metrics = Request::new("GET", "/metrics").send(&host.address).expect("an answer").text();
    assert!(metrics.contains("outcome=\"success\"} 4"), "the host did it: {metrics}");
    host.stop();
    // Nobody knows yet: batches wait for a host that is started again, and then go elsewhere.
    let first = adds(&executor, &app);
    let second = adds(&executor, &app);
    assert!(second < AT_ONCE && second < first, "{first:?}, {second:?}");
}
