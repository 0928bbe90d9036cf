//! A store whose server fails, stalls, lies or is overloaded: by a proxy before a real one.
#![allow(clippy::disallowed_methods, reason = "how long it takes is what is tested")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use samara_store::conformance::{CASES, Exceptions};
use samara_store::{Error, GetOptions, Locator, Operation, Policy, PutOptions, Store, StoreExt};
use samara_stores::{Fault, HAPROXY, Proxy, Server};

use crate::Check;
use crate::s3::uploads_end;

/// Those of conditions, where the proxy knows which requests have them.
pub(crate) const CONDITIONS: &[(&str, Check)] = &[
    ("faults_lost_answers", |server| Box::pin(lost_answers(server))),
    ("faults_conditions_ignored", |server| Box::pin(conditions_ignored(server))),
];

/// Those of what each store does that speaks HTTP.
pub(crate) const COMMON: &[(&str, Check)] = &[
    ("faults_everywhere", |server| Box::pin(faults_everywhere(server))),
    ("faults_stalled_bodies", |server| Box::pin(stalled_bodies(server))),
    ("faults_truncated_bodies", |server| Box::pin(truncated_bodies(server))),
    ("faults_changed_while_resumed", |server| Box::pin(changed_while_resumed(server))),
    ("faults_down", |server| Box::pin(down(server))),
    ("faults_throttled", |server| Box::pin(throttled(server))),
];

/// The server's store, by way of a proxy.
fn behind(server: &Server, proxy: &Proxy, policy: Policy) -> (Locator, Arc<dyn Store>) {
    behind_with(server, proxy, policy, &[])
}

/// The same, with further settings of the store.
fn behind_with(
    server: &Server,
    proxy: &Proxy,
    policy: Policy,
    more: &[(&str, &str)],
) -> (Locator, Arc<dyn Store>) {
    let (url, settings) = server.behind(proxy);
    let place = url.trim_end_matches('/');
    let settings = more.iter().fold(settings, |all, &(name, said)| all.with(place, name, said));
    let locator = Locator::default().with_settings(settings).with_policy(policy);
    let store = locator.open(&url).expect("the store").store;
    (locator, store)
}

/// Quick to try again, and in no hurry to take a server on a busy machine for one that stalls.
const QUICK: Policy = Policy {
    attempts: 10,
    stall: Duration::from_secs(10),
    wait: Duration::from_millis(2),
    budget: 10_000,
    ..Policy::REMOTE
};

/// A number for each request that looks random and is the same in each run.
fn dice(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (z ^ (z >> 27)) % 100
}

/// The suite, with a sixth of the requests failing in all ways.
async fn faults_everywhere(server: &Server) {
    // The suite itself runs beside this.
    const BELOW: &str = "faults/everywhere/";
    let unnamed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&unnamed);
    let plan = move |number, line: &str| {
        let fault = match dice(number) {
            0..3 => Fault::Reset,
            3..6 => Fault::LostAnswer,
            6..9 => Fault::Truncated,
            9..12 => Fault::Status(500),
            12..15 => Fault::Twice,
            // Each slows all requests down for a while.
            15 if number.is_multiple_of(7) => Fault::Status(503),
            16 if number.is_multiple_of(7) => Fault::Status(429),
            _ => Fault::None,
        };
        let begins = line.contains(BELOW) && line.contains("?uploads");
        if begins && matches!(fault, Fault::LostAnswer | Fault::Truncated | Fault::Twice) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        fault
    };
    let proxy = Proxy::start(server.endpoint(), plan).expect("proxy");
    let (_, store) = behind(server, &proxy, QUICK);
    // What a request done twice answers is what the second one found; and a name of a hundred
    // directories is as many requests of WebDAV, one of which always fails.
    let may_differ = [
        "put_if_absent",
        "copy_if_absent",
        "put_if_match",
        "random",
        "race",
        "odd",
        "many",
        "deep",
    ];
    for case in CASES.iter().filter(|case| !may_differ.iter().any(|it| case.name.contains(it))) {
        // What a page of many requests has before one of them fails is not thrown away.
        let exceptions = Exceptions { short_pages: true, ..server.spec().exceptions };
        case.run_with(&*store, BELOW, &exceptions).await;
    }
    assert!(proxy.requests() > 500, "{} requests", proxy.requests());
    if server.url().starts_with("s3:") {
        give_up(&*store, BELOW).await;
        // But for those whose names nobody was told.
        uploads_end(server, BELOW, unnamed.load(Ordering::Relaxed)).await;
        let direct = server.locator().open(server.url()).expect("the store").store;
        for unfinished in direct.unfinished(BELOW).await.expect("uploads") {
            direct.discard(&unfinished).await.expect("discarded");
        }
    }
}

/// Begins uploads in parts that come to nothing.
async fn give_up(store: &dyn Store, below: &str) {
    for n in 0..8 {
        let key = format!("{below}given-up/{n}");
        let mut writer = store.writer(&key, PutOptions::default()).await.expect("writer");
        writer.write(vec![7; 9 << 20].into()).await.expect("write");
        match n % 2 {
            0 => drop(writer),
            _ => writer.abort().await.expect("abort"),
        }
        assert!(!store.exists(&key).await.expect("head"), "{key}");
    }
}

/// Whether it is for an object: who logs in reads too.
fn reads(line: &str) -> bool {
    line.starts_with("GET ") && line.contains("faults")
}

async fn write(store: &dyn Store, key: &str, size: usize) -> Bytes {
    let bytes: Bytes = (0..size).map(|n| (n / 7 + n % 251).to_le_bytes()[0]).collect();
    store.put(key, bytes.clone(), PutOptions::default()).await.expect("put");
    bytes
}

/// A body that stops coming is cut, and goes on where it ended.
async fn stalled_bodies(server: &Server) {
    const STALL: Duration = Duration::from_secs(3);
    let gets = AtomicU64::new(0);
    let plan = move |_, line: &str| match reads(line) {
        true if gets.fetch_add(1, Ordering::Relaxed) < 3 => Fault::Stalled,
        _ => Fault::None,
    };
    let proxy = Proxy::start(server.endpoint(), plan).expect("proxy");
    let (locator, store) = behind(server, &proxy, Policy { stall: STALL, ..QUICK });
    let bytes = write(&*store, "faults/stalled", 3 << 20).await;
    let begin = Instant::now();
    assert!(store.read("faults/stalled").await.expect("read") == bytes);
    assert!(begin.elapsed() >= STALL * 3, "{:?}", begin.elapsed());
    // One more for each time that the server itself is as slow.
    let requests = locator.requests()[&store.to_string()][&Operation::Get];
    assert!(requests >= 4, "{requests} requests: each goes on where the last one ended");
}

/// A body that breaks off goes on where it ended: no byte is missing, and none comes twice.
async fn truncated_bodies(server: &Server) {
    let plan = |number: u64, line: &str| match reads(line) && !number.is_multiple_of(4) {
        true => Fault::Truncated,
        false => Fault::None,
    };
    let proxy = Proxy::start(server.endpoint(), plan).expect("proxy");
    let (_, store) = behind(server, &proxy, QUICK);
    let bytes = write(&*store, "faults/truncated", 5 << 20).await;
    for range in [0..5 << 20, 17..4_000_001, (5 << 20) - 3..5 << 20] {
        let read = store.read_range("faults/truncated", range.clone(), None).await.expect("read");
        let at = |to: u64| usize::try_from(to).expect("small");
        let range = at(range.start)..at(range.end);
        assert!(read == bytes[range], "other bytes");
    }
}

/// A conditional write whose answer was lost is not taken for somebody else's, and somebody else's
/// is not taken for ours.
async fn lost_answers(server: &Server) {
    let puts = AtomicU64::new(0);
    let plan = move |_, line: &str| {
        // Google's URLs of uploads do not name the object.
        let is_ours = line.contains("/lost/") || line.contains("upload_id=");
        let is_ours = is_ours && line.starts_with("PUT");
        match is_ours && puts.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            true => Fault::LostAnswer,
            false => Fault::None,
        }
    };
    let proxy = Proxy::start(server.endpoint(), plan).expect("proxy");
    // One writer alone: whether the server is wrong where several write is no matter here, and moto
    // is on a busy machine.
    let trust = [("conditional_writes", "trust")];
    let (_, store) = behind_with(server, &proxy, QUICK, &trust);
    assert!(store.conditions().await.expect("conditions").if_absent);
    for n in 0..4 {
        let key = format!("lost/{n}");
        store.delete(&key).await.expect("delete");
        let put = store.put(&key, n.to_string().into(), PutOptions::if_absent());
        let written = put.await.expect("it was written");
        assert_eq!(store.read(&key).await.expect("read"), n.to_string());
        assert_eq!(store.head(&key).await.expect("head").etag, written.etag);
        let second = store.put(&key, n.to_string().into(), PutOptions::if_absent()).await;
        assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
    }
}

/// What is read on after a break is of the same version, or an error.
async fn changed_while_resumed(server: &Server) {
    let gets = AtomicU64::new(0);
    let plan = move |_, line: &str| match reads(line) {
        true if gets.fetch_add(1, Ordering::Relaxed) == 0 => Fault::Truncated,
        _ => Fault::None,
    };
    let proxy = Proxy::start(server.endpoint(), plan).expect("proxy");
    let (_, store) = behind(server, &proxy, QUICK);
    write(&*store, "faults/changed", 3 << 20).await;
    let mut object = store.get("faults/changed", GetOptions::default()).await.expect("get");
    object.body.try_next().await.expect("the first part");
    let other = Bytes::from(vec![7; 3 << 20]);
    store.put("faults/changed", other, PutOptions::default()).await.expect("put");
    let rest = object.body.try_collect::<Vec<_>>().await;
    assert!(matches!(rest, Err(Error::Precondition { .. })), "versions are mixed");
}

/// A store that ignores conditions in silence is found out before anything is written by them.
async fn conditions_ignored(server: &Server) {
    let proxy = Proxy::start(server.endpoint(), |_, _| Fault::Unconditional).expect("proxy");
    let (_, store) = behind(server, &proxy, QUICK);
    let kept = store.conditions().await.expect("conditions");
    assert!(!kept.if_absent && !kept.if_match, "{kept:?}");
    let put = store.put("faults/ignored", "1".into(), PutOptions::if_absent()).await;
    assert!(matches!(put, Err(Error::Unsupported { .. })), "{put:?}");
    assert!(!store.exists("faults/ignored").await.expect("head"), "it was written");
}

/// A store that is down is said to be, with its place and what was asked, and not asked for ever.
async fn down(server: &Server) {
    let proxy = Proxy::start(server.endpoint(), |_, _| Fault::Reset).expect("proxy");
    let (_, store) = behind(server, &proxy, Policy { attempts: 3, ..QUICK });
    let error = store.head("faults/down").await.expect_err("it is down");
    assert!(matches!(error, Error::Unavailable { .. }) && error.retry(), "{error:?}");
    let url = format!("{store}faults/down");
    assert_eq!((error.location(), error.operation()), (url.as_str(), Some(Operation::Head)));
    assert_eq!(proxy.requests(), 3);
}

/// Many tasks at a store that admits few requests: none fails, and few are refused.
async fn throttled(server: &Server) {
    const ADMITTED: f64 = 40.0;
    let bucket = std::sync::Mutex::new((ADMITTED / 4.0, Instant::now()));
    let refused = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&refused);
    let plan = move |_, _: &str| {
        let mut bucket = bucket.lock().expect("bucket");
        let tokens = bucket.0 + bucket.1.elapsed().as_secs_f64() * ADMITTED;
        *bucket = (tokens.min(ADMITTED / 4.0), Instant::now());
        if bucket.0 >= 1.0 {
            bucket.0 -= 1.0;
            return Fault::None;
        }
        count.fetch_add(1, Ordering::Relaxed);
        Fault::Status(503)
    };
    let proxy = Proxy::start(server.endpoint(), plan).expect("proxy");
    let (_, store) = behind(server, &proxy, Policy { wait: Policy::REMOTE.wait, ..QUICK });
    let puts = stream::iter(0..200_u32).map(|n| {
        let store = Arc::clone(&store);
        async move {
            let key = format!("faults/throttled/{n}");
            store.put(&key, n.to_string().into(), PutOptions::default()).await
        }
    });
    let done: Vec<_> = puts.buffer_unordered(32).try_collect().await.expect("all are written");
    assert_eq!(done.len(), 200);
    let refused = refused.load(Ordering::Relaxed);
    assert!(refused < 150, "{refused} requests were refused for 200 that were served");
}

/// The same at a real balancer that refuses what comes too fast as S3 does.
pub(crate) async fn haproxy(server: &Server) {
    const ADMITTED: u32 = 40;
    const OBJECTS: u32 = 160;
    let port = server.endpoint().rsplit(':').next().expect("a port").trim_end_matches('/');
    let before = HAPROXY.start_with(&[port, &ADMITTED.to_string()]).expect("haproxy");
    // It counts what passes, and what comes back from it.
    let refused = Arc::new(AtomicU64::new(0));
    let proxy =
        Proxy::counting(&before.said["ENDPOINT"], 503, Arc::clone(&refused)).expect("proxy");
    let (_, store) = behind(server, &proxy, Policy::REMOTE);
    let began = Instant::now();
    let passed = stream::iter(0..OBJECTS).map(|n| {
        let store = Arc::clone(&store);
        async move {
            let key = format!("faults/haproxy/{n}");
            store.put(&key, n.to_string().into(), PutOptions::default()).await?;
            Ok::<_, Error>(store.read(&key).await? == n.to_string())
        }
    });
    let same: Vec<bool> = passed.buffer_unordered(32).try_collect().await.expect("none fails");
    assert!(same.len() == OBJECTS as usize && same.iter().all(|same| *same));
    // Two requests each, and one second's worth of them may pass at once.
    let least = f64::from(2 * OBJECTS - ADMITTED) / f64::from(ADMITTED);
    // How much longer it takes is the machine's affair.
    let took = began.elapsed().as_secs_f64();
    assert!(took >= 0.8 * least, "{took} s, and {least} s at least");
    let refused = refused.load(Ordering::Relaxed);
    assert!(refused > 0, "nothing was refused");
    // Of those that try again without sending fewer each would be refused some times.
    let served = u64::from(2 * OBJECTS);
    assert!(refused < served / 2, "{refused} requests were refused for {served} that were served");
}
