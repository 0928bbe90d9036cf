//! A function of AWS Lambda whose job is cancelled: it is told by the store, and does not go on at its
//! owner's cost.

use std::time::Duration;

use samara::{Component, Executor};
use samara_core::{Clock as _, SystemClock};
use samara_hosts::lambda::{Lambda, Settings};
use samara_programs as programs;

use crate::host::{binary, cache};

/// By name.
pub(crate) const CHECKS: &[(&str, fn())] = &[("a_function_whose_job_is_cancelled_ends_soon", ends)];

/// What a function may take to notice: far less than its tasks take, and than it takes until it
/// writes anything.
const NOTICED: Duration = Duration::from_secs(30);

fn ends() {
    let mut settings = Settings::new(binary());
    let cache = cache().to_str().expect("a path of UTF-8").to_owned();
    settings.variables.push(("SAMARA_HOST_CACHE_DIR".to_owned(), cache));
    let user_cache = env!("CARGO_TARGET_TMPDIR").to_owned();
    settings.variables.push(("XDG_CACHE_HOME".to_owned(), user_cache));
    settings.variables.push(("SAMARA_HOST_LOG".to_owned(), "info".to_owned()));
    let lambda = Lambda::start(settings).expect("a port");
    let store = tempfile::tempdir().expect("a directory");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs");
    let app = Component::from_crate(path).expect("the component");
    let executor = Executor::builder()
        .runtime(format!("{}&slots=1", lambda.url()))
        .store(store.path().to_str().expect("a path of UTF-8"))
        .progress(false)
        .build()
        .expect("an executor");
    samara::block_on(async {
        let map = executor.map(&app, programs::sandbox::sleeps, [120_000_u64]);
        let job = map.await.expect("a job");
        // Long enough to be under way, whatever has to be compiled.
        std::thread::sleep(Duration::from_secs(2));
        job.cancel();
        assert!(job.results().await.iter().all(Result::is_err));
    });
    let clock = SystemClock::new();
    let before = clock.monotonic();
    while !lambda.logs().contains("it was cancelled") {
        assert!(clock.monotonic() - before < NOTICED, "it goes on: {}", lambda.logs());
        std::thread::sleep(Duration::from_millis(100));
    }
}
