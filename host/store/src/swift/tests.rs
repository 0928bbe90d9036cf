//! Tests with servers that do not answer; those with real ones are in `tests/stores`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::canned::{Canned, answer};
use crate::{Error, Locator, Policy, PutOptions, Result, Settings, Store};

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
    ends(&Canned::start(|_, _| None), "HEAD", 9 << 20);
    let silent = |said: Option<&'static str>| {
        Canned::start(move |head, _| match head.starts_with("HEAD") {
            true => answer(204, "X-Timestamp: 1.0\r\n", ""),
            false => said.map(str::to_owned),
        })
    };
    // It takes no more of the body, or takes all of it and says nothing.
    ends(&silent(None), "PUT", 64 << 20);
    ends(&silent(Some("")), "PUT", 9 << 20);
}
