//! What is Swift's alone: tokens that run out, containers, signed URLs, removals of many. Objects in
//! segments are `segments.rs`'s, Keystone is `keystone.rs`'s.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future;
use samara_store::conformance::ODD_NAMES;
use samara_store::{Error, ListOptions, Locator, PutOptions, Settings, Store, StoreExt, Verb};
use samara_stores::{Fault, Proxy, Server};

use crate::Check;
use crate::stranger::stranger;

/// Every check, by name.
pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("swift_a_token_that_ran_out_is_renewed_once", |server| Box::pin(renewed_tokens(server))),
    ("swift_uploads_begin_with_a_token_that_holds", |server| Box::pin(renewed_for_uploads(server))),
    ("swift_a_wrong_password_is_said_at_once", |server| Box::pin(wrong_password(server))),
    ("swift_a_token_that_nobody_renews_is_refused", |server| Box::pin(refused_tokens(server))),
    ("swift_containers_are_made_and_removed", |server| Box::pin(swift_containers(server))),
    ("swift_signed_urls_do_what_they_are_for", |server| Box::pin(swift_signed_urls(server))),
    ("swift_many_are_removed_by_one_request", |server| Box::pin(removed_together(server))),
];

const RAN_OUT: &str = "AUTH_tk0123456789abcdef0123456789abcdef";

/// The server behind a proxy, which counts the log-ins, and answers 401 to all else where it is
/// told to.
fn counted(server: &Server, refuses: bool) -> (Proxy, Arc<AtomicU64>) {
    let upstream = server.endpoint().trim_start_matches("http://");
    let upstream = upstream.split('/').next().expect("a host");
    let log_ins = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&log_ins);
    let plan = move |_, line: &str| match line.contains("/auth/") {
        true => {
            counts.fetch_add(1, Ordering::Relaxed);
            Fault::None
        }
        false if refuses => Fault::Status(401),
        false => Fault::None,
    };
    (Proxy::start(upstream, plan).expect("proxy"), log_ins)
}

/// The store of this account, spoken to at this host.
pub(crate) fn store(server: &Server, host: &str, further: &[(&str, &str)]) -> Arc<dyn Store> {
    let place = server.url().trim_end_matches('/');
    let settings = Settings::default().with(
        place,
        "endpoint",
        format!("{host}/v1/{}", server.said["ACCOUNT"]),
    );
    let settings = further
        .iter()
        .fold(settings, |settings, (name, value)| settings.with(place, *name, *value));
    Locator::default().with_settings(settings).open(server.url()).expect("the store").store
}

/// A container of this account, whatever its name.
pub(crate) fn container(server: &Server, name: &str, further: &[(&str, &str)]) -> Arc<dyn Store> {
    let log_in = log_in(server, &server.said["AUTH_URL"], &server.said["PASSWORD"]);
    let settings = log_in
        .iter()
        .chain(further)
        .fold(Settings::default(), |settings, (n, value)| settings.with("swift:", *n, *value));
    let locator = Locator::default().with_settings(settings);
    locator.open(&format!("swift://{name}/")).expect("the store").store
}

/// How to log in at a host, with this password.
fn log_in<'a>(server: &'a Server, url: &'a str, password: &'a str) -> [(&'a str, &'a str); 3] {
    [("auth_url", url), ("user", &server.said["USER"]), ("key", password)]
}

/// Many requests find out together that the token has run out; one of them fetches another.
async fn renewed_tokens(server: &Server) {
    let (proxy, log_ins) = counted(server, false);
    let url = format!("{}/auth/v1.0", proxy.endpoint());
    let mut further = log_in(server, &url, &server.said["PASSWORD"]).to_vec();
    further.push(("token", RAN_OUT));
    let store = store(server, &proxy.endpoint(), &further);
    let keys: Vec<_> = (0..8).map(|n| format!("renewed/{n}")).collect();
    let puts = keys.iter().map(|key| store.put(key, "1".into(), PutOptions::default()));
    future::try_join_all(puts).await.expect("all are written");
    assert_eq!(log_ins.load(Ordering::Relaxed), 1, "one log-in for all");
    assert_eq!(store.read(&keys[7]).await.expect("read"), "1");
    assert_eq!(log_ins.load(Ordering::Relaxed), 1, "the token holds");
    store.delete_many(&keys).await.expect("removed");
}

/// What is streamed cannot begin anew.
async fn renewed_for_uploads(server: &Server) {
    let host = server.said["AUTH_URL"].trim_end_matches("/auth/v1.0");
    let url = &server.said["AUTH_URL"];
    let mut further = log_in(server, url, &server.said["PASSWORD"]).to_vec();
    further.push(("token", RAN_OUT));
    let store = store(server, host, &further);
    let mut writer = store.writer("renewed/pieces", PutOptions::default()).await.expect("writer");
    for _ in 0..3 {
        writer.write(vec![7; 5 << 20].into()).await.expect("write");
    }
    assert_eq!(writer.finish().await.expect("finish").size, 15 << 20);
    store.delete("renewed/pieces").await.expect("delete");
}

async fn wrong_password(server: &Server) {
    let (proxy, log_ins) = counted(server, false);
    let url = format!("{}/auth/v1.0", proxy.endpoint());
    let secret = "hush-hush-hush-hush";
    let wrong = store(server, &proxy.endpoint(), &log_in(server, &url, secret));
    let error = wrong.put("a", "1".into(), PutOptions::default()).await.expect_err("refused");
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    let said = format!("{} {error:?} {wrong:?}", error.in_full());
    assert!(said.contains("swift://samara/a") && said.contains("log-in"), "{said}");
    for secret in [secret, &server.said["PASSWORD"]] {
        assert!(!said.contains(secret), "{said}");
    }
    assert_eq!((log_ins.load(Ordering::Relaxed), proxy.requests()), (1, 1), "it is asked once");
    // What is not there is the place to log in, not the object.
    let nowhere = format!("{}/auth/none", proxy.endpoint());
    let nowhere = store(server, &proxy.endpoint(), &log_in(server, &nowhere, secret));
    let error = nowhere.exists("a").await.expect_err("nobody is there");
    assert!(!matches!(error, Error::NotFound { .. }), "{error:?}");
    assert!(error.in_full().contains("log-in"), "{}", error.in_full());
}

/// A server that takes no token at all is asked twice, and a token of which nobody says how to
/// come by another one is tried once.
async fn refused_tokens(server: &Server) {
    let (proxy, log_ins) = counted(server, true);
    let url = format!("{}/auth/v1.0", proxy.endpoint());
    let renewed = log_in(server, &url, &server.said["PASSWORD"]);
    let refused = store(server, &proxy.endpoint(), &renewed).head("a").await.expect_err("refused");
    assert!(matches!(refused, Error::PermissionDenied { .. }), "{refused:?}");
    assert_eq!(refused.location(), "swift://samara/a");
    assert_eq!((log_ins.load(Ordering::Relaxed), proxy.requests()), (2, 4));

    let (proxy, log_ins) = counted(server, false);
    let fixed = store(server, &proxy.endpoint(), &[("token", RAN_OUT)]);
    let refused = fixed.head("a").await.expect_err("refused");
    assert!(matches!(refused, Error::PermissionDenied { .. }), "{refused:?}");
    assert!(!refused.in_full().contains(RAN_OUT), "{}", refused.in_full());
    assert_eq!((log_ins.load(Ordering::Relaxed), proxy.requests()), (0, 1));
}

/// The container of segments comes and goes with its own.
async fn swift_containers(server: &Server) {
    let store = container(server, "samara-made", &[("segment_size", "1MiB")]);
    let put = || store.put("a", "1".into(), PutOptions::default());
    let large = async || {
        let mut writer = store.writer("large", PutOptions::default()).await?;
        writer.write(vec![7; 3 << 20].into()).await?;
        writer.finish().await
    };
    for error in [put().await, large().await].map(|ended| ended.expect_err("no container")) {
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
        assert!(error.to_string().contains("`samara storage mb` makes one"), "{error}");
    }
    for _ in 0..2 {
        store.create().await.expect("made");
        store.create().await.expect("it is ours");
        put().await.expect("put");
        large().await.expect("written");
        let full = store.remove().await;
        assert!(matches!(full, Err(Error::Precondition { .. })), "{full:?}");
        assert_eq!(store.read("a").await.expect("it is still there"), "1");
        store.delete_many(&["a".to_owned(), "large".to_owned()]).await.expect("delete");
        store.remove().await.expect("removed");
        let gone = store.remove().await.expect_err("it is gone");
        assert!(matches!(gone, Error::NotFound { .. }), "{gone:?}");
        assert!(gone.to_string().contains("its container"), "{gone}");
        let segments = container(server, "samara-made_segments", &[]);
        let gone = segments.list("", ListOptions::default()).await;
        assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    }
}

async fn swift_signed_urls(server: &Server) {
    let unsigned = container(server, "samara", &[]);
    let hour = Duration::from_hours(1);
    let refused = unsigned.presign("a", Verb::Get, hour).await.expect_err("no key");
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
    assert!(refused.to_string().contains("`temp_url_key`"), "{refused}");
    let key = server.said["TEMP_URL_SECRET"].as_str();
    let store = container(server, "samara", &[("temp_url_key", key)]);
    for key in ["signed/a.txt", "signed/a b+ü%41?.txt"] {
        let put = store.presign(key, Verb::Put, hour).await.expect("put");
        assert_eq!(stranger("PUT", &put, "by a stranger").await.0, 201);
        let get = store.presign(key, Verb::Get, hour).await.expect("get");
        let (status, body) = stranger("GET", &get, "").await;
        assert_eq!((status, body.as_str()), (200, "by a stranger"));
        assert_eq!(store.read(key).await.expect("read"), "by a stranger");
        // Each is for one purpose and one object, and for those who have the signature.
        assert_eq!(stranger("PUT", &get, "other").await.0, 401);
        assert_eq!(stranger("GET", &get.replace("signed/", "other/"), "").await.0, 401);
        let signature = get.find("temp_url_sig=").expect("a signature") + 13;
        let (before, after) = get.split_at(signature);
        let other = if after.starts_with('0') { "1" } else { "0" };
        let wrong = format!("{before}{other}{}", &after[1..]);
        assert_eq!(stranger("GET", &wrong, "").await.0, 401);
        let delete = store.presign(key, Verb::Delete, hour).await.expect("delete");
        assert_eq!(stranger("DELETE", &delete, "").await.0, 204);
        assert!(!store.exists(key).await.expect("head"));
    }
    store.put("signed/late", "1".into(), PutOptions::default()).await.expect("put");
    let short = store.presign("signed/late", Verb::Get, Duration::from_secs(1)).await.expect("get");
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(stranger("GET", &short, "").await.0, 401, "it holds no longer");
    let long = store.presign("signed/late", Verb::Get, Duration::from_hours(24 * 8)).await;
    assert!(long.is_err(), "a week is the most");
    store.delete("signed/late").await.expect("delete");
}

/// Whatever their names; those that are not there are no fault.
async fn removed_together(server: &Server) {
    let (proxy, _) = counted(server, false);
    let url = format!("{}/auth/v1.0", proxy.endpoint());
    // Nobody has segments beside these.
    let mut further = log_in(server, &url, &server.said["PASSWORD"]).to_vec();
    further.push(("segments_container", "samara-no-segments"));
    let store = store(server, &proxy.endpoint(), &further);
    let keys: Vec<_> = ODD_NAMES.iter().map(|name| format!("together/{name}")).collect();
    for key in &keys[1..] {
        store.put(key, "1".into(), PutOptions::default()).await.expect(key);
    }
    store.put("together-not", "1".into(), PutOptions::default()).await.expect("put");
    let before = proxy.requests();
    store.delete_many(&keys).await.expect("removed");
    // What it can do, and whether there are segments, may have to be asked for.
    let requests = proxy.requests() - before;
    assert!(requests <= 3, "{requests} requests");
    let left = store.list("together", ListOptions::default()).await.expect("list").entries;
    assert_eq!(left.iter().map(|entry| &*entry.key).collect::<Vec<_>>(), ["together-not"]);
    store.delete("together-not").await.expect("delete");
}
