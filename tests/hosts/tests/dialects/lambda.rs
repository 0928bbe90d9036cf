//! AWS Lambda: the real host in the environments of a fake that follows AWS's documentation, and a
//! driver that invokes it.

use std::time::Duration;

use samara::{Cause, Component, Executor, Retries};
use samara_core::{Clock as _, Exceeded, Limits, SystemClock};
use samara_guest::Bytes;
use samara_hosts::lambda::{Act, Lambda, Settings};
use samara_programs as programs;

use crate::host::{binary, cache};

/// By name.
pub(crate) const CHECKS: &[(&str, fn())] = &[
    ("a_driver_maps", maps),
    ("throttling_and_trouble_use_up_no_attempt", refusals),
    ("answers_and_environments_that_are_lost_lose_nothing", lost),
    ("what_does_not_fit_into_a_payload_goes_by_the_store", large),
    ("many_batches_are_started_by_functions", tree),
    ("events_that_are_delivered_twice_count_once", twice),
    ("a_task_that_takes_longer_than_the_function_may_says_so", time),
    ("tasks_that_a_function_has_no_time_for_use_up_no_attempt", cut),
    ("a_task_gets_no_more_memory_than_the_function_has", memory),
    ("a_function_that_takes_minutes_answers_by_the_store", long),
    ("a_job_that_is_cancelled_ends_at_once", cancelled),
    ("what_is_no_function_of_ours_is_told_so", strangers),
];

/// Lambda with this plan, a store, and an executor of both.
struct Ground {
    lambda: Lambda,
    store: tempfile::TempDir,
    app: Component,
}

// === impl Ground ===

impl Ground {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::new(binary());
        let cache = cache().to_str().expect("a path of UTF-8").to_owned();
        settings.variables.push(("SAMARA_HOST_CACHE_DIR".to_owned(), cache));
        let user_cache = env!("CARGO_TARGET_TMPDIR").to_owned();
        settings.variables.push(("XDG_CACHE_HOME".to_owned(), user_cache));
        change(&mut settings);
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs");
        Self {
            lambda: Lambda::start(settings).expect("a port"),
            store: tempfile::tempdir().expect("a directory"),
            app: Component::from_crate(path).expect("the component"),
        }
    }

    fn executor(&self, slots: usize) -> Executor {
        let builder = Executor::builder()
            .runtime(format!("{}&slots={slots}", self.lambda.url()))
            .store(self.store.path().to_str().expect("a path of UTF-8"))
            .progress(false);
        builder.build().expect("an executor")
    }

    /// Maps over so many numbers, of which each must come back.
    fn all_are_done(&self, executor: &Executor, tasks: u64, retries: Retries) {
        samara::block_on(async {
            let map = executor.map(&self.app, programs::reuse::adds_one, 0..tasks);
            // What an attempt that lost against another writes goes with the job alone.
            let job = map.retries(retries).backups(None).await.expect("a job");
            let results = job.results().await;
            let numbers = results.into_iter().map(|n| n.unwrap_or_else(|error| panic!("{error}")));
            assert!(numbers.eq(1..=tasks), "{}", self.lambda.logs());
        });
    }

    /// Maps over so many tasks that take longer than it does to hand them over, on any machine.
    fn all_are_slept(&self, executor: &Executor, tasks: usize) {
        samara::block_on(async {
            let sleeps = vec![50; tasks];
            let map = executor.map(&self.app, programs::sandbox::sleeps, sleeps);
            let job = map.retries(once()).backups(None).await.expect("a job");
            let slept = job.values().await;
            assert_eq!(slept.map(|slept| slept.len()).ok(), Some(tasks), "{}", self.lambda.logs());
        });
    }

    /// Objects of batches that are still in the store.
    fn left(&self) -> Vec<std::path::PathBuf> {
        let jobs = std::fs::read_dir(self.store.path().join("jobs")).expect("jobs");
        let calls = jobs.flatten().map(|job| job.path().join("calls"));
        let files = calls.flat_map(|calls| walk(&calls));
        files.collect()
    }
}

fn none() -> Vec<std::path::PathBuf> {
    Vec::new()
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let each = |entry: std::fs::DirEntry| match entry.path().is_dir() {
        true => walk(&entry.path()),
        false => vec![entry.path()],
    };
    entries.flatten().flat_map(each).collect()
}

/// No second attempt at anything.
fn once() -> Retries {
    Retries::default().attempts(1)
}

fn maps() {
    let ground = Ground::new(|_| {});
    let executor = ground.executor(4);
    ground.all_are_done(&executor, 500, once());
    samara::block_on(async {
        // Every byte there is, both ways.
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| ((n * 7) >> 3).to_le_bytes()[0]).collect();
        let echo = executor.call(&ground.app, programs::values::echo_numbers, bytes.clone()).await;
        assert!(echo.expect("bytes") == bytes);
        let failed = executor.call(&ground.app, programs::ends::fails, ()).await;
        assert!(failed.expect_err("an error").to_string().contains("cannot"));
    });
    let counts = ground.lambda.counts();
    assert!(counts.started <= 4 && counts.peak <= 4 && counts.queued == 0, "{counts:?}");
    assert_eq!(ground.left(), none(), "what fits goes by no store");
}

fn refusals() {
    let ground = Ground::new(|settings| {
        settings.concurrency = 2;
        settings.plan = |number| match number % 7 {
            2 | 3 => Act::Throttle,
            5 => Act::Break,
            _ => Act::Pass,
        };
    });
    ground.all_are_done(&ground.executor(8), 200, once());
    let counts = ground.lambda.counts();
    assert!(counts.refused > 0 && counts.peak <= 2, "{counts:?}");
}

fn lost() {
    let ground = Ground::new(|settings| {
        settings.plan = |number| match number % 9 {
            4 => Act::LoseAnswer,
            8 => Act::Kill,
            _ => Act::Pass,
        };
    });
    ground.all_are_done(&ground.executor(4), 200, Retries::default().attempts(12).budget(10.0));
}

fn large() {
    let ground = Ground::new(|_| {});
    let executor = ground.executor(2);
    samara::block_on(async {
        for size in [4_300_000, 4_500_000, 20_000_000] {
            let bytes: Vec<u8> = (0..=250).cycle().take(size).collect();
            let sent = Bytes::from(bytes.clone());
            let back = executor.call(&ground.app, programs::values::echo_bytes, sent).await;
            assert!(back.expect("bytes").as_ref() == bytes, "{size} bytes");
        }
        // Values that ride in reports, and are together more than a payload holds.
        let sizes = [200_000_usize; 60];
        let job = executor.map(&ground.app, programs::ends::output_of, sizes).await.expect("a job");
        let values = job.values().await.expect("values");
        assert!(values.iter().all(|value| value.len() == 200_000) && values.len() == 60);
    });
    assert_eq!(ground.left(), none());
}

fn tree() {
    let ground = Ground::new(|settings| settings.concurrency = 12);
    let executor = ground.executor(600);
    ground.all_are_slept(&executor, 600);
    let counts = ground.lambda.counts();
    // The driver starts a few, and those the others.
    assert!(counts.queued >= 100 && counts.started <= 12, "{counts:?}");
    let clock = SystemClock::new();
    while !ground.left().is_empty() && clock.monotonic() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(ground.left(), none(), "what went by the store is removed");
}

fn twice() {
    let ground = Ground::new(|settings| {
        settings.concurrency = 12;
        settings.plan = |_| Act::Twice;
    });
    ground.all_are_slept(&ground.executor(600), 600);
    assert!(ground.lambda.counts().queued >= 100);
}

fn time() {
    // What is compiled is kept: it would take the time of the task.
    let patient = Ground::new(|_| {});
    patient.all_are_done(&patient.executor(1), 1, once());
    let ground = Ground::new(|settings| settings.timeout = Duration::from_secs(6));
    let executor = ground.executor(2);
    let slept = samara::block_on(executor.call(&ground.app, programs::sandbox::sleeps, 60_000));
    let samara::Error::Task(error) = slept.expect_err("a limit") else { panic!("of the task") };
    let limit = Duration::from_secs(3);
    assert!(
        matches!(error.cause, Cause::LimitExceeded(Exceeded::Time { limit: it }) if it == limit),
        "{error}"
    );
}

/// Tasks that take a thousand times as long as those before them: they share batches that no function
/// gets through in its time.
fn cut() {
    const SHORT: usize = 300;
    const LONG: usize = 16;
    // What is compiled is kept: it would take the time of the tasks.
    let patient = Ground::new(|_| {});
    patient.all_are_done(&patient.executor(1), 1, once());
    let ground = Ground::new(|settings| settings.timeout = Duration::from_secs(6));
    let executor = ground.executor(1);
    samara::block_on(async {
        let sleeps = [1; SHORT].into_iter().chain([1_800; LONG]);
        let map = executor.map(&ground.app, programs::sandbox::sleeps, sleeps);
        let job = map.retries(once()).backups(None).await.expect("a job");
        job.wait().await;
        let attempts = job.stats().attempts.len();
        let results = job.results().await;
        let slept =
            results.into_iter().map(|slept| slept.unwrap_or_else(|error| panic!("{error}")));
        assert_eq!(slept.count(), SHORT + LONG);
        // Of those that were cut off there is no report.
        assert_eq!(attempts, SHORT + LONG);
    });
}

fn memory() {
    let ground = Ground::new(|settings| settings.memory_mib = 256);
    let executor = ground.executor(1);
    let taken = executor.call(&ground.app, programs::ends::allocates, 200 << 20);
    let samara::Error::Task(error) = samara::block_on(taken).expect_err("a limit") else {
        panic!("of the task")
    };
    assert!(
        matches!(error.cause, Cause::LimitExceeded(Exceeded::Memory { limit }) if limit == 160 << 20),
        "{error}"
    );
    assert!(Limits::default().memory_bytes > 256 << 20, "else nothing was tried");
}

fn long() {
    let ground = Ground::new(|_| {});
    let executor = ground.executor(2);
    let slept = samara::block_on(executor.call(&ground.app, programs::sandbox::sleeps, 66_000));
    assert!(slept.expect("a value") >= 66_000);
    assert_eq!(ground.lambda.counts().waited, 2, "one to ask what it is, one to sleep");
}

fn cancelled() {
    let ground = Ground::new(|_| {});
    let executor = ground.executor(2);
    ground.all_are_done(&executor, 1, once());
    let clock = SystemClock::new();
    samara::block_on(async {
        let map = executor.map(&ground.app, programs::sandbox::sleeps, [60_000; 4]);
        let job = map.await.expect("a job");
        std::thread::sleep(Duration::from_millis(500));
        job.cancel();
        assert!(job.results().await.iter().all(Result::is_err));
    });
    // None of them slept to its end.
    assert!(clock.monotonic() < Duration::from_secs(40));
}

fn strangers() {
    let ground = Ground::new(|_| {});
    let refusal = |runtime: String| {
        let store = ground.store.path().to_str().expect("a path of UTF-8");
        let builder = Executor::builder().runtime(runtime).store(store).progress(false);
        let executor = builder.build().expect("an executor");
        let called = executor.call(&ground.app, programs::values::answer, ());
        samara::block_on(called).expect_err("a refusal").to_string()
    };
    let keyless = Ground::new(|settings| settings.plan = |_| Act::Keyless);
    let said = refusal(keyless.lambda.url());
    assert!(said.contains("cannot start") && said.contains("KMSAccessDenied"), "{said}");
    let other = ground.lambda.url().replace("samara-test", "somebody-elses");
    let said = refusal(other);
    assert!(said.contains("somebody-elses") && said.contains("samara deploy"), "{said}");
}
