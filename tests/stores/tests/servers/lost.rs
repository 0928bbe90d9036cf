//! What is lost on the way, or must not be: ends of uploads, copies that stall, what is said about
//! objects, and the answers of Redis.
#![allow(clippy::disallowed_methods, reason = "how long it takes is what is tested")]

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use samara_store::{
    Attributes, Error, ListOptions, Locator, Operation, Policy, PutOptions, Settings, Store,
    StoreExt, transfer,
};
use samara_stores::{Fault, Proxy, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Check;

/// Of stores to which objects go in parts, and which keep what is said about them.
pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("lost_ends_of_uploads", |server| Box::pin(ends_of_uploads(server))),
    ("lost_time_of_copies_that_stall", |server| Box::pin(stalled_copies(server))),
    ("lost_attributes_of_copies", |server| Box::pin(attributes_go_along(server))),
];

/// Of Google, where an upload that is given up is a request.
pub(crate) const GIVEN_UP: &[(&str, Check)] =
    &[("lost_uploads_are_given_up_at_once", |server| Box::pin(given_up_at_once(server)))];

/// Of Redis.
pub(crate) const REDIS: &[(&str, Check)] =
    &[("lost_answers_of_redis", |server| Box::pin(answers_of_redis(server)))];

const QUICK: Policy = Policy {
    attempts: 10,
    stall: Duration::from_secs(3),
    wait: Duration::from_millis(2),
    budget: 10_000,
    ..Policy::REMOTE
};

/// The store by way of a proxy.
fn behind(
    server: &Server,
    plan: impl Fn(u64, &str) -> Fault + Send + Sync + 'static,
) -> (Proxy, Locator, Arc<dyn Store>) {
    let proxy = Proxy::start(server.endpoint(), plan).expect("proxy");
    let (url, settings) = server.behind(&proxy);
    let settings = settings.with(url.trim_end_matches('/'), "conditional_writes", "trust");
    let locator = Locator::default().with_settings(settings).with_policy(QUICK);
    let store = locator.open(&url).expect("the store").store;
    (proxy, locator, store)
}

fn bytes(size: usize) -> Bytes {
    (0..size).map(|n| (n / 7 + n % 251).to_le_bytes()[0]).collect()
}

/// The answer to the request that completes an object is lost: the next one finds our own.
async fn ends_of_uploads(server: &Server) {
    let ends = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&ends);
    let plan = move |_, line: &str| {
        let is_end = line.contains("comp=blocklist")
            || line.contains("upload_id=")
            || line.starts_with("POST") && line.contains("uploadId=");
        let is_end = is_end && !line.starts_with("GET") && !line.starts_with("DELETE");
        match is_end && count.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            true => Fault::LostAnswer,
            false => Fault::None,
        }
    };
    let (_proxy, _, store) = behind(server, plan);
    let bytes = bytes(17 << 20);
    for (n, options) in [PutOptions::if_absent(), PutOptions::default()].into_iter().enumerate() {
        let key = format!("lost/end-{n}");
        store.delete(&key).await.expect("delete");
        let mut writer =
            store.writer(&key, options.content_type("text/csv")).await.expect("writer");
        writer.write(bytes.clone()).await.expect("write");
        let written = writer.finish().await.expect("it is ours");
        assert_eq!(store.head(&key).await.expect("head").etag, written.etag);
        assert!(store.read(&key).await.expect("read") == bytes);
        let said = store.attributes(&key).await.expect("attributes");
        assert_eq!(said.content_type.as_deref(), Some("text/csv"));
        assert!(said.user.is_empty(), "{said:?}");
    }
    assert!(ends.load(Ordering::Relaxed) >= 4, "none was lost");
    // What another wrote is not ours.
    let mut writer = store.writer("lost/end-0", PutOptions::if_absent()).await.expect("writer");
    writer.write(bytes).await.expect("write");
    let second = writer.finish().await;
    assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
}

/// A copy within the store whose bytes pass here, and stop coming, goes on where they did.
async fn stalled_copies(server: &Server) {
    let gets = AtomicU64::new(0);
    let plan = move |_, line: &str| {
        // What Google says about an object is a GET too.
        let is_body = !line.contains("/storage/v1/") || line.contains("alt=media");
        let is_read = line.starts_with("GET") && line.contains("stalled") && is_body;
        match is_read && gets.fetch_add(1, Ordering::Relaxed) == 0 {
            true => Fault::Stalled,
            false => Fault::None,
        }
    };
    let (_proxy, _locator, store) = behind(server, plan);
    let bytes = bytes(3 << 20);
    store.put("lost/stalled", bytes.clone(), PutOptions::default()).await.expect("put");
    store.delete("lost/copied").await.expect("delete");
    let begin = Instant::now();
    store.copy("lost/stalled", "lost/copied", PutOptions::if_absent()).await.expect("copy");
    assert!(begin.elapsed() >= QUICK.stall, "it did not stall");
    assert!(begin.elapsed() < Duration::from_secs(90), "{:?}", begin.elapsed());
    assert!(store.read("lost/copied").await.expect("read") == bytes);
}

/// What is said about an object goes with it, to other stores and back, whatever its size.
async fn attributes_go_along(server: &Server) {
    let locator = server.locator();
    let at = |url: &str| locator.open(url).expect("open");
    let user = [("source", "x ~"), ("row-count", "7")];
    let user = user.map(|(name, said)| (name.to_owned(), said.to_owned()));
    let said = Attributes { content_type: Some("text/csv".to_owned()), user: user.into() };
    for (name, size) in [("small", 10), ("large", (17 << 20) + 5)] {
        let (from, back) = (at(&format!("mem://from/{name}")), at(&format!("mem://back/{name}")));
        let there = at(&format!("{}lost/said-{name}", server.url()));
        let options = PutOptions { attributes: said.clone(), ..PutOptions::default() };
        from.store.put(&from.key, bytes(size), options).await.expect("put");
        let options = PutOptions::default;
        transfer::copy(from, there.clone(), options(), |_| {}).await.expect("up");
        assert_eq!(there.store.attributes(&there.key).await.expect("attributes"), said, "{name}");
        transfer::copy(there.clone(), back.clone(), options(), |_| {}).await.expect("down");
        assert_eq!(back.store.attributes(&back.key).await.expect("attributes"), said, "{name}");
        // Who says something else means that.
        let other = options().content_type("text/plain");
        transfer::copy(there, back.clone(), other.clone(), |_| {}).await.expect("down");
        let found = back.store.attributes(&back.key).await.expect("attributes");
        assert_eq!(found, other.attributes, "{name}");
    }
}

/// When `finish` says that it has failed, what was sent is gone: the process may end then.
async fn given_up_at_once(server: &Server) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (seen, puts) = (Arc::clone(&lines), AtomicU64::new(0));
    let plan = move |_, line: &str| {
        seen.lock().expect("lines").push(line.to_owned());
        let is_piece = line.starts_with("PUT") && line.contains("upload_id=");
        match is_piece && puts.fetch_add(1, Ordering::Relaxed) > 0 {
            true => Fault::Status(403),
            false => Fault::None,
        }
    };
    let (_proxy, locator, store) = behind(server, plan);
    let mut writer = store.writer("lost/given-up", PutOptions::default()).await.expect("writer");
    let mut ended = Ok(());
    for _ in 0..3 {
        if ended.is_ok() {
            ended = writer.write(bytes(8 << 20)).await;
        }
    }
    let refused = writer.finish().await;
    let lines = lines.lock().expect("lines").clone();
    assert!(refused.is_err(), "{refused:?}");
    let removed =
        lines.iter().any(|line| line.starts_with("DELETE") && line.contains("upload_id="));
    assert!(removed, "{lines:?}");
    assert!(locator.requests()[server.url()][&Operation::Write] > 0);
}

/// The next request passes, is not sent on, or is done and its answer lost.
const PASSES: u8 = 0;
const RESET: u8 = 1;
const LOST: u8 = 2;

/// Between a client of Redis and its server.
async fn redis_proxy(upstream: String, fate: Arc<AtomicU8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (upstream, fate) = (upstream.clone(), Arc::clone(&fate));
            tokio::spawn(async move { drop(pass(client, &upstream, &fate).await) });
        }
    });
    address
}

async fn pass(mut client: TcpStream, upstream: &str, fate: &AtomicU8) -> std::io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    let (mut asked, mut said) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let request = &asked[..read?];
                let is_script = request.windows(4).any(|four| four == b"EVAL");
                let fate = if is_script { fate.swap(PASSES, Ordering::Relaxed) } else { PASSES };
                if request.is_empty() || fate == RESET {
                    return Ok(());
                }
                server.write_all(request).await?;
                if fate == LOST {
                    return server.read(&mut said).await.map(drop);
                }
            }
            read = server.read(&mut said) => match read? {
                0 => return Ok(()),
                read => client.write_all(&said[..read]).await?,
            },
        }
    }
}

/// Of several that put the same bytes where nothing is one succeeds, whatever is lost.
async fn answers_of_redis(server: &Server) {
    let fate = Arc::new(AtomicU8::new(PASSES));
    let upstream = server.endpoint().trim_start_matches("redis://").to_owned();
    let address = redis_proxy(upstream, Arc::clone(&fate)).await;
    let open = |url: &str| {
        let place = url.trim_end_matches('/');
        let user = Settings::default().with(place, "username", &server.said["USER"]);
        let settings = user.with(place, "password", &server.said["PASSWORD"]);
        let locator = Locator::default().with_settings(settings).with_policy(QUICK);
        locator.open(url).expect("open").store
    };
    let (other, store) = (open(server.url()), open(&format!("redis://{address}/")));
    let put = |store: Arc<dyn Store>| async move {
        store.put("lost/lock", "1".into(), PutOptions::if_absent()).await
    };
    let refused = |ended: Result<_, Error>| matches!(ended, Err(Error::AlreadyExists { .. }));
    store.delete("lost/lock").await.expect("delete");
    put(Arc::clone(&store)).await.expect("nothing is lost");
    for other_is_first in [true, false] {
        store.delete("lost/lock").await.expect("delete");
        if other_is_first {
            put(Arc::clone(&other)).await.expect("it is the first");
            fate.store(RESET, Ordering::Relaxed);
            assert!(refused(put(Arc::clone(&store)).await), "two have won");
        } else {
            fate.store(LOST, Ordering::Relaxed);
            put(Arc::clone(&store)).await.expect("it was written");
            assert!(refused(put(Arc::clone(&other)).await), "two have won");
        }
        assert_eq!(fate.load(Ordering::Relaxed), PASSES, "no request was lost");
        assert!(refused(put(Arc::clone(&store)).await), "it won twice");
    }
    fate.store(LOST, Ordering::Relaxed);
    store.delete("lost/twin").await.expect("delete");
    store.copy("lost/lock", "lost/twin", PutOptions::if_absent()).await.expect("it was copied");
    let listed = store.list("lost/", ListOptions::default()).await.expect("list");
    let listed: Vec<_> = listed.entries.into_iter().map(|entry| entry.key).collect();
    assert_eq!(listed, ["lost/lock", "lost/twin"], "what tells them apart is no object");
}
