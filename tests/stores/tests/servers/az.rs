//! What is Azure's alone: containers, and signed URLs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use samara_store::{Error, Locator, PutOptions, Settings, Store, StoreExt, Verb};
use samara_stores::{Fault, Proxy, Server};

use crate::Check;
use crate::stranger::{stranger, stranger_says};

/// Every check, by name.
pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("az_containers_are_made_and_removed", |server| Box::pin(containers(server))),
    ("az_signed_urls_do_what_they_are_for", |server| Box::pin(az_signed_urls(server))),
    ("az_urls_are_not_signed_without_a_key", |server| Box::pin(az_unsigned(server))),
    ("az_objects_are_copied_by_azure", |server| Box::pin(az_copied(server))),
];

/// Of what kind an object is, which Azure wants to be told.
const BLOCKS: &str = "x-ms-blob-type: BlockBlob\r\n";

fn store(server: &Server, settings: Settings, url: &str) -> Arc<dyn Store> {
    let settings = server.settings().and(settings);
    Locator::default().with_settings(settings).open(url).expect("the store").store
}

async fn containers(server: &Server) {
    let place = "az://samara-made";
    let settings = [("endpoint", "ENDPOINT"), ("account", "ACCOUNT"), ("key", "KEY")]
        .into_iter()
        .fold(Settings::default(), |settings, (name, said)| {
            settings.with(place, name, &server.said[said])
        });
    let store = store(server, settings, place);
    let put = store.put("a", "1".into(), PutOptions::default()).await.expect_err("no container");
    assert!(put.to_string().contains("`samara storage mb` makes one"), "{put}");
    store.create().await.expect("made");
    store.create().await.expect("it is ours");
    store.put("a", "1".into(), PutOptions::default()).await.expect("put");
    let full = store.remove().await;
    assert!(matches!(full, Err(Error::Precondition { .. })), "{full:?}");
    assert_eq!(store.read("a").await.expect("it is still there"), "1");
    store.delete("a").await.expect("delete");
    store.remove().await.expect("removed");
    let gone = store.remove().await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
}

async fn az_signed_urls(server: &Server) {
    let store = store(server, Settings::default(), server.url());
    let hour = Duration::from_hours(1);
    for key in ["signed/a.txt", "signed/a b+ü%41.txt"] {
        let put = store.presign(key, Verb::Put, hour).await.expect("put");
        assert_eq!(stranger_says("PUT", &put, BLOCKS, "by a stranger").await.0, 201);
        let get = store.presign(key, Verb::Get, hour).await.expect("get");
        let (status, body) = stranger("GET", &get, "").await;
        assert_eq!((status, body.as_str()), (200, "by a stranger"));
        assert_eq!(store.read(key).await.expect("read"), "by a stranger");
        // Each is for one purpose and one object, and for those who have the signature.
        assert_eq!(stranger_says("PUT", &get, BLOCKS, "other").await.0, 403);
        assert_eq!(stranger("GET", &get.replace("signed/", "other/"), "").await.0, 403);
        let signature = get.find("sig=").expect("a signature") + 4;
        let wrong = format!("{}0000{}", &get[..signature], &get[signature + 4..]);
        assert_eq!(stranger("GET", &wrong, "").await.0, 403);
        let delete = store.presign(key, Verb::Delete, hour).await.expect("delete");
        assert_eq!(stranger("DELETE", &delete, "").await.0, 202);
        assert!(!store.exists(key).await.expect("head"));
    }
    store.put("signed/late", "1".into(), PutOptions::default()).await.expect("put");
    let short = store.presign("signed/late", Verb::Get, Duration::from_secs(1)).await.expect("get");
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(stranger("GET", &short, "").await.0, 403, "it holds no longer");
    let long = store.presign("signed/late", Verb::Get, Duration::from_hours(24 * 8)).await;
    assert!(long.is_err(), "a week is the most");
}

/// With a shared access signature its URLs are handed on; without anything the error says so.
async fn az_unsigned(server: &Server) {
    let place = server.url().trim_end_matches('/');
    let owner = store(server, Settings::default(), server.url());
    owner.put("handed/on", "1".into(), PutOptions::default()).await.expect("put");
    let hour = Duration::from_hours(1);
    let url = owner.presign("handed/on", Verb::Get, hour).await.expect("get");
    let (_, token) = url.split_once('?').expect("a signature");
    let settings = |name: &str, value: &str| {
        let endpoint = Settings::default().with(place, "endpoint", server.endpoint());
        let locator = Locator::default().with_settings(endpoint.with(place, name, value));
        locator.open(server.url()).expect("the store").store
    };
    let guest = settings("sas_token", token);
    assert_eq!(guest.read("handed/on").await.expect("read"), "1");
    let handed = guest.presign("handed/on", Verb::Get, hour).await.expect("get");
    assert_eq!(stranger("GET", &handed, "").await, (200, "1".to_owned()));
    let nobody = settings("anonymous", "true");
    let refused = nobody.presign("handed/on", Verb::Get, hour).await.expect_err("no key");
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
    assert!(refused.to_string().contains("needs the account's key"), "{refused}");
}

/// With what is said of them; by us where Azure does not want to.
async fn az_copied(server: &Server) {
    let upstream = server.endpoint().trim_start_matches("http://");
    let (host, path) = upstream.split_once('/').expect("an account");
    for is_refused in [false, true] {
        let reads = Arc::new(AtomicU64::new(0));
        let counts = Arc::clone(&reads);
        let plan = move |_, line: &str| {
            counts.fetch_add(u64::from(line.starts_with("GET ")), Ordering::Relaxed);
            match is_refused && line.starts_with("PUT ") && line.contains("copies/to") {
                // Of the copy alone, which has no parameters, and comes first.
                true if counts.load(Ordering::Relaxed) == 0 => Fault::Status(403),
                _ => Fault::None,
            }
        };
        let proxy = Proxy::start(host, plan).expect("proxy");
        let endpoint = format!("{}/{path}", proxy.endpoint());
        let place = server.url().trim_end_matches('/');
        let store =
            store(server, Settings::default().with(place, "endpoint", endpoint), server.url());
        let bytes = Bytes::from(vec![7; 3 << 20]);
        let from = "copies/a b+ü%41";
        let mut options = PutOptions::default().content_type("text/x-copied");
        options.attributes.user.insert("of-whom".to_owned(), "us".to_owned());
        store.put(from, bytes.clone(), options).await.expect("put");
        for to in ["copies/to", "copies/to/below"] {
            let copied = store.copy(from, to, PutOptions::default()).await.expect("copied");
            assert_eq!(copied.etag, store.head(to).await.expect("head").etag);
            assert_eq!(reads.load(Ordering::Relaxed) == 0, !is_refused);
            let said = store.attributes(to).await.expect("attributes");
            assert_eq!(said, store.attributes(from).await.expect("attributes"));
            assert_eq!(said.user["of-whom"], "us");
            let there = server.locator().open(&format!("{}{to}", server.url())).expect("the store");
            assert!(there.store.read(to).await.expect("read") == bytes);
            store.delete(to).await.expect("delete");
        }
        let none = store.copy("copies/none", "copies/to", PutOptions::default()).await;
        assert!(matches!(none, Err(Error::NotFound { .. })), "{none:?}");
        store.delete(from).await.expect("delete");
    }
}
