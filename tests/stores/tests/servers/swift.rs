//! What is Swift's alone: tokens that run out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future;
use samara_store::{Error, Locator, PutOptions, Settings, Store, StoreExt};
use samara_stores::{Fault, Proxy, Server};

use crate::Check;

/// Every check, by name.
pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("swift_a_token_that_ran_out_is_renewed_once", |server| Box::pin(renewed_tokens(server))),
    ("swift_uploads_begin_with_a_token_that_holds", |server| Box::pin(renewed_for_uploads(server))),
    ("swift_a_wrong_password_is_said_at_once", |server| Box::pin(wrong_password(server))),
    ("swift_a_token_that_nobody_renews_is_refused", |server| Box::pin(refused_tokens(server))),
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
fn store(server: &Server, host: &str, further: &[(&str, &str)]) -> Arc<dyn Store> {
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
