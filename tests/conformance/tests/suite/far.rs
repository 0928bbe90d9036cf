//! Jobs over a store behind a network that fails, or keeps no conditions; and what they cost it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::TryStreamExt;
use samara::{Builder, Component, Executor, Objects};
use samara_conformance::Settings;
use samara_programs as programs;
use samara_stores::{Fault, Proxy, Server};

use crate::hosts::{Host, functions};

/// A job that is checked: the settings of an executor, and the server.
pub(crate) type Check = fn(&Settings, &Server);

/// Every check, by name.
pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("a_word_count_over_a_store_that_fails_has_the_same_words", same_words),
    ("outputs_are_named_by_content_where_no_condition_is_kept", named_by_content),
    ("a_partition_of_up_to_4_mib_is_one_read", one_read),
    ("tiny_tasks_make_few_requests", few_requests),
    ("tiny_tasks_on_a_host_make_few_requests", few_requests_of_hosts),
    ("a_stored_batch_that_its_function_cannot_read_for_now_is_run_again", stored_batch),
    ("no_credential_reaches_the_store", no_credentials),
];

/// Requests for each task, at most.
const REQUESTS_PER_TASK: f64 = 0.05;

/// The executor's settings, with the server behind a proxy.
fn behind(settings: &Settings, server: &Server, proxy: &Proxy) -> Builder {
    let place = server.url().trim_end_matches('/');
    settings.builder.clone().store_setting(place, "endpoint", proxy.endpoint())
}

/// How a host reaches the server, by way of this endpoint.
pub(crate) fn for_hosts(server: &Server, endpoint: &str) -> String {
    let settings = server.settings().of("s3", "samara");
    let said = settings.said().filter(|(name, _)| *name != "endpoint");
    let said: String = said.map(|(name, value)| format!(", {name} = {value:?}")).collect();
    format!("{{ \"s3:\" = {{ endpoint = {endpoint:?}{said} }} }}")
}

/// Bytes of the text: quick, but for who wants to see more.
#[allow(clippy::disallowed_methods, reason = "the edge of this program")]
fn text_mib() -> usize {
    let said = std::env::var("SAMARA_FAULTY_MIB").ok();
    said.and_then(|said| said.parse().ok()).unwrap_or(48)
}

/// Lines of words, some rare and some not.
pub(crate) fn text(mib: usize) -> Bytes {
    let mut text = String::with_capacity(mib << 20);
    let mut n = 1_u64;
    while text.len() < mib << 20 {
        n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (common, rare) = (n >> 61, (n >> 33) % 4_001);
        let end = if n.is_multiple_of(11) { '\n' } else { ' ' };
        write!(text, "w{common} x{rare}{end}").expect("a string takes all");
    }
    text.into()
}

pub(crate) fn count(
    executor: &Executor,
    programs: &Component,
    objects: Objects,
) -> BTreeMap<String, u64> {
    let reduction = executor.map_reduce(
        programs,
        programs::input::count_words,
        objects,
        programs::reduce::add_counts,
    );
    let value = samara::block_on(async { reduction.await?.value().await });
    value.expect("counted").expect("words")
}

fn same_words(settings: &Settings, server: &Server) {
    let text = text(text_mib());
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("text").to_str().expect("UTF-8").to_owned();
    let calm = settings.builder.clone().store("mem://samara-far-calm/").build().expect("executor");
    let url = format!("{}far/text", server.url());
    samara::block_on(async {
        calm.storage().put(&file, text.clone()).await.expect("file");
        calm.storage().put(&url, text).await.expect("object");
    });
    let cut = |url: &str| Objects::at(url).chunk_bytes(3 << 20);
    let expected = count(&calm, &settings.programs, cut(&file));

    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let plan = move |number: u64, line: &str| {
        let is_read = line.starts_with("GET ") && line.contains("/far/text");
        // One is enough: it takes as long as everybody's patience.
        if is_read && counted.fetch_add(1, Ordering::Relaxed) == 3 {
            return Fault::Stalled;
        }
        match (number, number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) {
            // All at once are asked to come less often, and one later on.
            (12..20, _) => Fault::Status(503),
            (24, _) => Fault::Status(429),
            (_, 0..8) => Fault::Reset,
            (_, 8..14) => Fault::LostAnswer,
            (_, 14..26) => Fault::Truncated,
            (_, 26..32) => Fault::Status(500),
            (_, 32) => Fault::Status(503),
            (_, 33..40) => Fault::Twice,
            _ => Fault::None,
        }
    };
    let proxy = Proxy::start(server.endpoint(), plan).expect("proxy");
    let store = format!("{}far/jobs", server.url());
    // What stalls is waited out: no second attempt takes its place.
    let failing = behind(settings, server, &proxy).store(store).backups(None);
    let failing = failing.build().expect("executor");
    assert!(count(&failing, &settings.programs, cut(&url)) == expected, "other words");
    assert!(proxy.requests() > 24, "{} requests", proxy.requests());
    assert!(reads.load(Ordering::Relaxed) > 3, "{reads:?} reads: none stalled");
}

fn named_by_content(settings: &Settings, server: &Server) {
    let proxy = Proxy::start(server.endpoint(), |_, _| Fault::Unconditional).expect("proxy");
    let store = format!("{}far/unconditional", server.url());
    // It is found out, and not said.
    let place = server.url().trim_end_matches('/');
    let builder =
        behind(settings, server, &proxy).store_setting(place, "conditional_writes", "probe");
    let executor = builder.store(&store).build().expect("executor");
    let sizes = [300_000_usize, 400_000, 10];
    samara::block_on(async {
        let map = executor.map(&settings.programs, programs::ends::output_of, sizes);
        let job = map.await.expect("job");
        let reference = job.reference().expect("a reference");
        let results = job.results().await;
        let lengths: Vec<usize> =
            results.iter().map(|it| it.as_ref().expect("bytes").len()).collect();
        assert_eq!(lengths, sizes);
        let outputs: Vec<_> =
            executor.storage().list(&store).expect("list").try_collect().await.expect("list");
        let named = outputs.iter().filter_map(|found| found.url.split_once("/outputs/"));
        let hashes: Vec<_> = named.filter_map(|(_, name)| name.split_once('.')).collect();
        assert_eq!(hashes.len(), 2, "{outputs:?}");
        assert!(hashes.iter().all(|(_, hash)| hash.len() == 64), "{hashes:?}");
        // Another process finds them by the same names.
        let again = executor.collect::<Bytes>(&reference).await.expect("collected").results().await;
        assert!(again.iter().zip(&results).all(|(one, other)| {
            one.as_ref().expect("bytes")[..] == other.as_ref().expect("bytes")[..]
        }));
    });
}

/// Reads of objects; larger partitions are read in blocks, several of which are on their way at once.
fn one_read(settings: &Settings, server: &Server) {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let plan = move |_, line: &str| {
        let is_read = line.starts_with("GET ") && line.contains("/far/parts");
        counted.fetch_add(usize::from(is_read), Ordering::Relaxed);
        Fault::None
    };
    let proxy = Proxy::start(server.endpoint(), plan).expect("proxy");
    let store = format!("{}far/reads", server.url());
    let executor = behind(settings, server, &proxy).store(store).backups(None);
    let executor = executor.build().expect("executor");
    let url = format!("{}far/parts", server.url());
    let text = text(12);
    let size = text.len();
    samara::block_on(executor.storage().put(&url, text)).expect("object");
    // A larger one has a short block first, and then one for each 4 MiB.
    for (bytes, each) in [(4 << 20, 1), (6 << 20, 3)] {
        reads.store(0, Ordering::Relaxed);
        let objects = Objects::at(&url).chunk_bytes(bytes as u64);
        assert!(count(&executor, &settings.programs, objects).len() > 1000);
        let (reads, most) = (reads.load(Ordering::Relaxed), size.div_ceil(bytes) * each);
        assert!(reads <= most, "{reads} reads of {size} bytes in partitions of {bytes}");
    }
}

fn few_requests(settings: &Settings, server: &Server) {
    const TASKS: u32 = 10_000;
    let store = format!("{}far/tiny", server.url());
    let executor = settings.builder.clone().store(store).build().expect("executor");
    let inputs = 0..u64::from(TASKS);
    let sum: u64 = samara::block_on(async {
        let job = executor.map(&settings.programs, programs::reuse::adds_one, inputs).await;
        let results = job.expect("job").results().await;
        results.into_iter().map(|n| n.expect("a number")).sum()
    });
    assert_eq!(sum, u64::from(TASKS) * u64::from(TASKS + 1) / 2);
    let requests = executor.storage().requests()[server.url()];
    #[allow(clippy::cast_precision_loss, reason = "some hundreds")]
    let each = requests as f64 / f64::from(TASKS);
    assert!(each <= REQUESTS_PER_TASK, "{requests} requests, {each} for each task");
}

/// By the count of the server's side: the driver's and the host's together.
#[allow(clippy::print_stdout, reason = "the figure, for `benches/RESULTS.md`")]
fn few_requests_of_hosts(settings: &Settings, server: &Server) {
    const TASKS: u32 = 10_000;
    let proxy = Proxy::start(server.endpoint(), |_, _| Fault::None).expect("proxy");
    let stores = for_hosts(server, &proxy.endpoint());
    // Nothing is compiled there yet.
    let variables = [("SAMARA_HOST_STORES", stores.as_str()), ("SAMARA_HOST_CACHE_DIR", "none")];
    let host = Host::start_at("127.0.0.1:0", 2, &variables);
    let store = format!("{}far/hosts", server.url());
    let builder = behind(settings, server, &proxy).store(store).runtime(&host.url);
    let executor = builder.build().expect("executor");
    let sum: u64 = samara::block_on(async {
        let inputs = 0..u64::from(TASKS);
        let job = executor.map(&settings.programs, programs::reuse::adds_one, inputs).await;
        let results = job.expect("job").results().await;
        results.into_iter().map(|n| n.expect("a number")).sum()
    });
    assert_eq!(sum, u64::from(TASKS) * u64::from(TASKS + 1) / 2);
    let (all, drivers) = (proxy.requests(), executor.storage().requests()[server.url()]);
    println!("{all} requests for {TASKS} tasks on a host, {drivers} of them the driver's");
    assert!(all > drivers, "the host reads the component");
    #[allow(clippy::cast_precision_loss, reason = "some hundreds")]
    let each = all as f64 / f64::from(TASKS);
    assert!(each <= REQUESTS_PER_TASK, "{all} requests, {each} for each task");
}

/// A batch that is too large for a payload goes by the store, which fails for longer than a function
/// is patient.
fn stored_batch(settings: &Settings, server: &Server) {
    const FAILURES: usize = 8;
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let plan = move |_, line: &str| match line.starts_with("GET ") && line.contains("/batch") {
        true if counted.fetch_add(1, Ordering::Relaxed) < FAILURES => Fault::Status(500),
        _ => Fault::None,
    };
    let proxy = Proxy::start(server.endpoint(), plan).expect("proxy");
    let functions = functions(&[("SAMARA_HOST_STORES", &for_hosts(server, &proxy.endpoint()))]);
    let store = format!("{}far/stored", server.url());
    let builder = settings.builder.clone().store(store).runtime(functions.url());
    let executor = builder.build().expect("executor");
    let bytes: Vec<u8> = (0..=250).cycle().take(5_000_000).collect();
    let sent = samara_guest::Bytes::from(bytes.clone());
    let back =
        samara::block_on(executor.call(&settings.programs, programs::values::echo_bytes, sent));
    assert!(back.expect("bytes").as_ref() == bytes);
    assert!(reads.load(Ordering::Relaxed) > FAILURES, "{reads:?} reads");
}

fn no_credentials(settings: &Settings, server: &Server) {
    let store = format!("{}far/secret", server.url());
    let executor = settings.builder.clone().store(&store).build().expect("executor");
    let secret = &server.said["ENV_AWS_SECRET_ACCESS_KEY"];
    samara::block_on(async {
        let failing = ["a", "b"].map(str::to_owned);
        let job = executor.map(&settings.programs, programs::ends::panics, failing).await;
        let errors = job.expect("job").results().await;
        let said: String = errors.iter().map(|error| format!("{error:?}")).collect();
        assert!(!said.contains(secret.as_str()), "{said}");
        let missing = executor.storage().get(&format!("{store}/none")).await.expect_err("missing");
        assert!(!format!("{missing} {missing:?}").contains(secret.as_str()));
        let storage = executor.storage();
        let all: Vec<_> = storage.list(&store).expect("list").try_collect().await.expect("list");
        assert!(all.iter().any(|found| found.url.ends_with("/manifest.json")), "{all:?}");
        for found in all.iter().filter(|found| !found.url.ends_with(".wasm")) {
            let bytes = storage.get(&found.url).await.expect("get");
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(secret.as_str()), "{}", found.url);
        }
    });
    assert!(!format!("{executor:?} {:?}", settings.builder).contains(secret.as_str()));
}
