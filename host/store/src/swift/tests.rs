//! Tests with servers that do not answer; those with real ones are in `tests/stores`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::canned::{Canned, answer};
use crate::{Error, Locator, Policy, PutOptions, Result, Settings, Store, StoreExt};

/// The container `c` of this server.
fn store(server: &Canned) -> Arc<dyn Store> {
    let endpoint = format!("{}/v1/a", server.endpoint);
    let settings =
        Settings::default().with("swift:", "endpoint", endpoint).with("swift:", "token", "t");
    let policy = Policy { attempts: 1, answer: Duration::from_secs(1), ..Policy::REMOTE };
    let locator = Locator::default().with_settings(settings).with_policy(policy);
    locator.open("swift://c/").unwrap().store
}

/// Writes an object in pieces, which together are more than one request takes. The clock runs fast
/// once a request of this method has come.
fn written(server: &Canned, method: &str, size: usize) -> Result<()> {
    let store = store(server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let write = tokio::spawn(async move {
            let mut writer = store.writer("k", PutOptions::default()).await?;
            for _ in 0..size / (1 << 20) {
                writer.write(Bytes::from(vec![7; 1 << 20])).await?;
            }
            writer.finish().await.map(drop)
        });
        while !server.seen().iter().any(|line| line.starts_with(method)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::pause();
        write.await.unwrap()
    })
}

/// As `written`, which must end, and with the error of a store that cannot be reached.
#[track_caller]
fn ends(server: &Canned, method: &str, size: usize) {
    let error = written(server, method, size).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(error.in_full().contains("no answer within"), "{}", error.in_full());
    assert_eq!(error.location(), "swift://c/k");
}

#[test]
fn an_upload_to_a_server_that_falls_silent_ends() {
    // It says nothing to the first request.
    ends(&Canned::start(|_, _| None), "GET", 9 << 20);
    let silent = |said: Option<&'static str>, info: &'static str| {
        Canned::start(move |head, _| match head.split(' ').next() {
            Some("GET") => answer(200, "", info),
            // The containers are there, and no object yet.
            Some("HEAD") if head.contains("/c/k ") => answer(404, "", ""),
            Some("HEAD") => answer(204, "X-Timestamp: 1.0\r\n", ""),
            _ => said.map(str::to_owned),
        })
    };
    // It takes no more of the body, or takes all of it and says nothing.
    ends(&silent(None, "{}"), "PUT", 64 << 20);
    ends(&silent(Some(""), "{}"), "PUT", 9 << 20);
    // The same of segments.
    ends(&silent(None, "{\"slo\": {}}"), "PUT", 64 << 20);
    ends(&silent(Some(""), "{\"slo\": {}}"), "PUT", 9 << 20);
}

/// The etag of a plain object is its MD5; that of one in segments is of theirs.
#[test]
fn the_etag_of_a_plain_object_is_its_checksum() {
    const RIGHT: &str = "25f9e794323b453885f5181f1b624d0b";
    let server = Canned::start(|head, _| {
        let wrong = RIGHT.replace('2', "3");
        if head.starts_with("PUT") {
            // What is sent says what it is.
            assert!(head.contains(&format!("etag: {RIGHT}\r\n")), "{head}");
            return answer(422, "", "");
        }
        let said = match head.split(' ').nth(1).unwrap_or_default() {
            "/v1/a/c/right" => format!("Etag: {RIGHT}\r\n"),
            "/v1/a/c/segments" => format!("Etag: \"{wrong}\"\r\nX-Static-Large-Object: True\r\n"),
            "/v1/a/c/list" => format!("Etag: \"{wrong}\"\r\nX-Object-Manifest: c/s\r\n"),
            _ => format!("Etag: {wrong}\r\n"),
        };
        answer(200, &said, "123456789")
    });
    let store = store(&server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for key in ["right", "segments", "list"] {
            assert_eq!(store.read(key).await.unwrap(), "123456789");
        }
        let read = store.read("wrong").await.unwrap_err();
        let put = store.put("put", "123456789".into(), PutOptions::default()).await.unwrap_err();
        for (error, key) in [(read, "swift://c/wrong"), (put, "swift://c/put")] {
            assert!(matches!(error, Error::Checksum { .. }) && error.retry(), "{error:?}");
            assert_eq!(error.location(), key);
        }
    });
}
