//! A pool of hosts that pull from a queue: the real binary, a real broker, and a driver that knows
//! nothing of either's troubles.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use samara::{Builder, Component, Error, Executor, Objects, Retries};
use samara_core::{Clock as _, SystemClock};
use samara_guest::Bytes;
use samara_hosts::nats::{LOGIN, Nats};
use samara_programs as programs;

use crate::host::{Host, refused, signal};
use crate::isolate::soon;

/// By name.
pub(crate) const CHECKS: &[(&str, fn())] = &[
    ("a_word_count_over_three_hosts_has_the_words_of_one", words),
    ("what_does_not_fit_into_a_message_goes_by_the_store", large),
    ("a_batch_whose_host_is_killed_is_done_by_another", killed),
    ("a_host_that_is_told_to_end_leaves_its_batch_to_another", drained),
    ("a_broker_that_fails_and_comes_again_loses_nothing", restarted),
    ("a_job_that_is_cancelled_leaves_the_queue_empty", cancelled),
    ("what_is_no_message_does_no_harm_and_is_gone", garbage),
    ("a_question_whose_answer_would_be_an_order_to_the_broker_has_none", order),
    ("a_job_waits_for_hosts_that_start_late", late),
    ("a_password_that_is_not_good_is_said_and_not_shown", password),
];

/// A broker, a store, and guests.
pub(crate) struct Ground {
    pub(crate) nats: Nats,
    store: tempfile::TempDir,
    app: Component,
}

// === impl Ground ===

impl Ground {
    fn new() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs");
        Self {
            nats: Nats::start(),
            store: tempfile::tempdir().expect("a directory"),
            app: Component::from_crate(path).expect("the component"),
        }
    }

    /// A host of the pool.
    fn host(&self, slots: &str, more: &[(&str, &str)]) -> Host {
        host(&self.nats, &[&[("SAMARA_HOST_SLOTS", slots)], more].concat())
    }

    fn builder(&self) -> Builder {
        let store = self.store.path().to_str().expect("a path of UTF-8");
        Executor::builder().runtime(self.nats.url()).store(store).progress(false)
    }

    fn executor(&self) -> Executor {
        self.builder().build().expect("an executor")
    }

    /// Sleeps for so many milliseconds, side by side and with no second attempt, while something
    /// happens.
    fn all_are_slept(&self, sleeps: Vec<u64>, meanwhile: impl FnOnce() + Send) {
        let (executor, tasks) = (self.executor(), sleeps.len());
        std::thread::scope(|scope| {
            scope.spawn(meanwhile);
            let results = samara::block_on(async {
                let map = executor.map(&self.app, programs::sandbox::sleeps, sleeps);
                let job = map.retries(once()).backups(None).await.expect("a job");
                job.results().await
            });
            let slept = results.into_iter().map(|slept| slept.unwrap_or_else(|e| panic!("{e}")));
            assert_eq!(slept.count(), tasks);
        });
    }

    fn adds(&self) -> Result<u64, Error> {
        samara::block_on(self.executor().call(&self.app, programs::reuse::adds_one, 41))
    }
}

/// A host that pulls from a broker.
pub(crate) fn host(nats: &Nats, more: &[(&str, &str)]) -> Host {
    let url = nats.url();
    let host = Host::start(&[&[("SAMARA_HOST_QUEUE", url.as_str())], &LOGIN[..], more].concat());
    assert_eq!(host.address, format!("{url}/samara"));
    host
}

/// No second attempt at anything.
fn once() -> Retries {
    Retries::default().attempts(1)
}

fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

fn words() {
    let ground = Ground::new();
    let _hosts = [(); 3].map(|()| ground.host("2", &[]));
    let mut text = String::new();
    let mut n = 1_u64;
    while text.len() < 8 << 20 {
        n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let end = if n.is_multiple_of(11) { '\n' } else { ' ' };
        write!(text, "w{} x{}{end}", n >> 61, (n >> 33) % 4_001).expect("a string takes all");
    }
    let file = ground.store.path().join("text");
    std::fs::write(&file, text).expect("a text");
    let count = |executor: &Executor| -> BTreeMap<String, u64> {
        let objects = Objects::at(file.to_str().expect("UTF-8")).chunk_bytes(256 << 10);
        let add = programs::reduce::add_counts;
        let counted = executor.map_reduce(&ground.app, programs::input::count_words, objects, add);
        samara::block_on(async { counted.await?.value().await }).expect("counted").expect("words")
    };
    let alone =
        Executor::builder().runtime("local:2").progress(false).build().expect("an executor");
    let (pool, alone) = (count(&ground.executor()), count(&alone));
    assert!(pool == alone && pool.len() > 4_000, "{} words and {}", pool.len(), alone.len());
    assert_eq!(ground.nats.left(), 0);
    assert_eq!(left_below(&ground.store.path().join("jobs")), Vec::<String>::new());
}

/// Parts of answers, and batches, that are still in the store.
fn left_below(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let each = |entry: std::fs::DirEntry| match entry.path().is_dir() {
        true => left_below(&entry.path()),
        false => vec![entry.path().display().to_string()],
    };
    entries.flatten().flat_map(each).filter(|path| path.contains("/calls/")).collect()
}

fn large() {
    let ground = Ground::new();
    let _host = ground.host("2", &[]);
    let executor = ground.executor();
    for size in [60_000, 100_000, 5_000_000] {
        let bytes: Vec<u8> = (0..=250).cycle().take(size).collect();
        let sent = Bytes::from(bytes.clone());
        let back = samara::block_on(executor.call(&ground.app, programs::values::echo_bytes, sent));
        assert!(back.expect("bytes").as_ref() == bytes, "{size} bytes");
    }
    samara::block_on(async {
        let job = executor.map(&ground.app, programs::reuse::adds_one, 0..2_000_u64).await;
        let numbers = job.expect("a job").results().await;
        assert!(numbers.into_iter().map(|n| n.expect("a number")).eq(1..=2_000));
        let failed = executor.call(&ground.app, programs::ends::fails, ()).await;
        assert!(failed.expect_err("an error").to_string().contains("cannot"));
    });
}

fn killed() {
    let ground = Ground::new();
    let first = ground.host("1", &[]);
    ground.adds().expect("what is compiled is kept");
    let second = ground.host("1", &[]);
    // Both have one, and the broker gives the other's when it misses its host.
    ground.all_are_slept(vec![4_000; 4], || {
        pause(2_000);
        signal(first.id(), "KILL");
    });
    assert_eq!(second.stop().code, Some(0));
    assert_eq!(ground.nats.left(), 0);
}

fn drained() {
    let ground = Ground::new();
    let first = ground.host("1", &[("SAMARA_HOST_GRACE", "1s")]);
    assert_eq!(ground.adds().expect("what is compiled is kept"), 42);
    let (clock, mut second) = (SystemClock::new(), None);
    ground.all_are_slept(vec![6_000, 10], || {
        pause(1_500);
        second = Some(ground.host("1", &[]));
        first.terminate();
        let ended = first.ended();
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    });
    assert_eq!(second.map(Host::stop).and_then(|ended| ended.code), Some(0));
    // It went back at once, and not when the broker missed its host.
    assert!(clock.monotonic() < Duration::from_secs(60), "{:?}", clock.monotonic());
}

fn restarted() {
    let mut ground = Ground::new();
    let hosts = [(); 2].map(|()| ground.host("2", &[]));
    ground.adds().expect("what is compiled is kept");
    let executor = ground.executor();
    let app = ground.app.clone();
    let nats = &mut ground.nats;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pause(1_000);
            nats.kill();
            pause(2_000);
            nats.again();
        });
        let results = samara::block_on(async {
            let map = executor.map(&app, programs::sandbox::sleeps, vec![200_u64; 80]);
            map.retries(once()).backups(None).await.expect("a job").results().await
        });
        let slept =
            results.into_iter().map(|slept| slept.unwrap_or_else(|error| panic!("{error}")));
        assert_eq!(slept.count(), 80);
    });
    assert_eq!(ground.adds().expect("it goes on"), 42);
    for host in hosts {
        assert_eq!(host.stop().code, Some(0));
    }
}

fn cancelled() {
    let ground = Ground::new();
    let _host = ground.host("1", &[]);
    let executor = ground.executor();
    let clock = SystemClock::new();
    samara::block_on(async {
        let map = executor.map(&ground.app, programs::sandbox::sleeps, [120_000; 4]);
        let job = map.await.expect("a job");
        pause(2_000);
        job.cancel();
        assert!(job.results().await.iter().all(Result::is_err));
    });
    soon("nothing waits any more", || ground.nats.left() == 0);
    // The host is told by the store.
    assert_eq!(ground.adds().expect("the host is free"), 42);
    assert!(clock.monotonic() < Duration::from_secs(60), "{:?}", clock.monotonic());
}

fn garbage() {
    let ground = Ground::new();
    let host = ground.host("1", &[]);
    assert_eq!(ground.adds().expect("a value"), 42);
    let elsewhere = tempfile::tempdir().expect("a directory");
    let to = format!("file://{}/", elsewhere.path().display());
    let no_batch = format!(r#"{{"samara":1,"batch":{{"inline":"!"}},"to":"{to}none/"}}"#);
    let other = no_batch.replace("\"samara\":1", "\"samara\":7");
    let nowhere = r#"{"samara":1,"batch":{"inline":"YWJj"},"to":null}"#.to_owned();
    for message in [String::new(), "{".to_owned(), "[7]".to_owned(), nowhere, other, no_batch] {
        ground.nats.put(message.as_bytes());
    }
    ground.nats.put(&[b'x'; 500_000]);
    soon("all are gone", || ground.nats.left() == 0);
    assert_eq!(ground.adds().expect("a value"), 42);
    let ended = host.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("thrown away"), "{}", ended.stderr);
}

/// Whoever may ask hosts who is there may not have them speak to the broker.
fn order() {
    let ground = Ground::new();
    let _host = ground.host("1", &[]);
    ground.nats.put(b"no message");
    soon("it is gone", || ground.nats.left() == 0);
    let mut client = ground.nats.client();
    for order in ["$JS.API.STREAM.DELETE.samara", "samara.samara.batches"] {
        client.say("samara.samara.hosts", order, "");
    }
    let host = client.ask("samara.samara.hosts", b"");
    assert!(host.is_null(), "{host}");
    let info = ground.nats.client().ask("$JS.API.STREAM.INFO.samara", b"");
    assert_eq!(info["state"]["last_seq"], 1, "{info}");
    assert_eq!(ground.adds().expect("a value"), 42);
}

fn late() {
    let ground = Ground::new();
    std::thread::scope(|scope| {
        let hosts = scope.spawn(|| {
            pause(3_000);
            ground.host("1", &[])
        });
        assert_eq!(ground.adds().expect("a value"), 42);
        drop(hosts.join());
    });
}

fn password() {
    let nats = Nats::start();
    let url = nats.url();
    let wrong = [
        ("SAMARA_HOST_QUEUE", url.as_str()),
        ("NATS_USER", "samara"),
        ("NATS_PASSWORD", "another-secret"),
    ];
    let (code, said) = refused(&wrong);
    // As who is refused by a host: it is not the settings' form that is wrong.
    assert_eq!(code, Some(77), "{said}");
    assert!(said.contains("NATS_PASSWORD") && !said.contains("another-secret"), "{said}");
    let (code, said) = refused(&[("SAMARA_HOST_QUEUE", "queue://samara:another-secret@b")]);
    assert_eq!(code, Some(78), "{said}");
    assert!(
        said.contains("do not belong into a URL") && !said.contains("another-secret"),
        "{said}"
    );
}
