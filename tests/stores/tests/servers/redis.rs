//! Who is let in to Redis, and whom we trust to be it.

use samara_store::{Error, Location, Locator, Policy, PutOptions, Settings, StoreExt};
use samara_stores::{Server, secrets};

use crate::Check;

/// Every check, by name.
pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("redis_wrong_passwords_are_refused_and_not_shown", |server| Box::pin(logged_in(server))),
    ("redis_by_tls_trusts_who_is_to_be_trusted", |server| Box::pin(trusted(server))),
];

/// An error is not waited out.
const ONCE: Policy = Policy { attempts: 1, ..Policy::REMOTE };

/// The store at another address, with further settings.
fn store(server: &Server, url: &str, more: &[(&str, &str)]) -> Result<Location, Error> {
    let place = url.trim_end_matches('/');
    let user = Settings::default().with(place, "username", &server.said["USER"]);
    let user = user.with(place, "password", &server.said["PASSWORD"]);
    let settings = more.iter().fold(user, |all, &(name, said)| all.with(place, name, said));
    Locator::default().with_settings(settings).with_policy(ONCE).open(url)
}

async fn logged_in(server: &Server) {
    let wrong = "a-wrong-password";
    secrets::keep(wrong);
    for more in [("password", wrong), ("username", "nobody")] {
        let at = store(server, server.url(), &[more]).expect("the store");
        let error = at.store.head("a").await.expect_err("refused");
        assert!(matches!(error, Error::PermissionDenied { .. }) && !error.retry(), "{error:?}");
        assert!(!format!("{error:?} {}", error.in_full()).contains(wrong), "{error:?}");
    }
}

async fn trusted(server: &Server) {
    let (url, authority) = (server.said["TLS_URL"].as_str(), server.said["CA_FILE"].as_str());
    let at = store(server, url, &[("tls", "true"), ("ca_file", authority)]).expect("the store");
    at.store.put("tls/a", "by TLS".into(), PutOptions::default()).await.expect("put");
    assert_eq!(at.store.read("tls/a").await.expect("read"), "by TLS");
    let plain = store(server, server.url(), &[]).expect("the store");
    assert_eq!(plain.store.read("tls/a").await.expect("read"), "by TLS", "the same server");

    // The system's authorities do not know it.
    let unknown = store(server, url, &[("tls", "true")]).expect("the store");
    let error = unknown.store.head("tls/a").await.expect_err("not to be trusted");
    assert!(error.in_full().contains("certificate"), "{}", error.in_full());
    // It is of another name.
    let other = url.replace("localhost", "127.0.0.1");
    let other = store(server, &other, &[("tls", "true"), ("ca_file", authority)]);
    let error = other.expect("the store").store.head("tls/a").await.expect_err("another's");
    assert!(error.in_full().contains("certificate"), "{}", error.in_full());

    let missing = store(server, url, &[("tls", "true"), ("ca_file", "/none.pem")]);
    assert!(missing.expect_err("no file").in_full().contains("`ca_file` /none.pem"));
    let useless = store(server, url, &[("ca_file", authority)]).expect_err("no use");
    assert!(useless.in_full().contains("without `tls`"));
}
