//! What comes, or is received, with other bytes than were sent: by a proxy that changes a bit on the
//! way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use samara_store::{
    Error, GetOptions, Location, Locator, Metadata, Operation, Policy, PutOptions, Store, StoreExt,
    transfer,
};
use samara_stores::{Fault, Proxy, Server};

use crate::Check;

/// Every check, by name.
pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("sums_of_what_comes_are_checked", |server| Box::pin(changed_reads(server))),
    ("sums_of_what_is_received_are_checked", |server| Box::pin(changed_writes(server))),
];

/// Of stores that say what they have received of an object in pieces.
pub(crate) const PIECES: &[(&str, Check)] =
    &[("sums_of_uploads_in_pieces_are_checked", |server| Box::pin(changed_pieces(server)))];

/// Of stores that say what they have received of each part of an object.
pub(crate) const PARTS: &[(&str, Check)] =
    &[("sums_of_parts_are_checked", |server| Box::pin(changed_parts(server)))];

/// Of stores whose checksums of whole objects ranges can be held against.
pub(crate) const RANGES: &[(&str, Check)] =
    &[("sums_of_copies_in_ranges_are_checked", |server| Box::pin(changed_ranges(server)))];

const QUICK: Policy = Policy { wait: Duration::from_millis(2), ..Policy::REMOTE };

/// The store by way of a proxy, which changes a bit of so many more bodies, of requests that write
/// or of answers to those that read.
fn behind(server: &Server, fault: Fault) -> (Proxy, Arc<AtomicU64>, Arc<dyn Store>) {
    behind_with(server, fault, &[])
}

fn behind_with(
    server: &Server,
    fault: Fault,
    further: &[(&str, &str)],
) -> (Proxy, Arc<AtomicU64>, Arc<dyn Store>) {
    let changes = Arc::new(AtomicU64::new(0));
    let left = Arc::clone(&changes);
    let plan = move |_, line: &str| {
        // Google's URLs of uploads do not name the object.
        let is_ours = line.contains("sums-") || line.contains("upload_id=");
        let is_asked = match fault {
            // What is said of an object is not it.
            Fault::Flipped => line.starts_with("GET ") && !line.contains("fields="),
            // What begins an upload has no bytes of it.
            _ if line.starts_with("POST ") => !line.contains("uploadType=resumable"),
            _ => !line.starts_with("GET ") && !line.starts_with("HEAD "),
        };
        let take = |left: u64| left.checked_sub(1);
        let order = Ordering::Relaxed;
        match is_ours && is_asked && left.fetch_update(order, order, take).is_ok() {
            true => fault,
            false => Fault::None,
        }
    };
    let proxy = Proxy::start(server.endpoint(), plan).expect("proxy");
    let (url, settings) = server.behind(&proxy);
    let place = server.url().trim_end_matches('/');
    let settings = further
        .iter()
        .fold(settings, |settings, (name, value)| settings.with(place, *name, *value));
    let locator = Locator::default().with_settings(settings).with_policy(QUICK);
    let store = locator.open(&url).expect("the store").store;
    (proxy, changes, store)
}

fn bytes(size: usize) -> Bytes {
    (0..size).map(|n| (n / 7 + n % 251).to_le_bytes()[0]).collect()
}

#[track_caller]
fn is_told<T: std::fmt::Debug>(server: &Server, ended: Result<T, Error>, asked: (&str, Operation)) {
    let error = ended.expect_err("other bytes passed");
    assert!(matches!(error, Error::Checksum { .. }) && error.retry(), "{error:?}");
    let url = format!("{}{}", server.url(), asked.0);
    assert_eq!((error.location(), error.operation()), (url.as_str(), Some(asked.1)));
}

#[track_caller]
fn is_missing<T: std::fmt::Debug>(found: &Result<T, Error>) {
    assert!(matches!(found, Err(Error::NotFound { .. })), "it stayed: {found:?}");
}

async fn changed_reads(server: &Server) {
    const KEY: &str = "sums-read";
    let (_proxy, changes, store) = behind(server, Fault::Flipped);
    let bytes = bytes(3 << 20);
    store.put(KEY, bytes.clone(), PutOptions::default()).await.expect("put");
    changes.store(1, Ordering::Relaxed);
    is_told(server, store.read(KEY).await, (KEY, Operation::Get));
    // In pieces the last one is not handed on: nobody takes what came for all.
    changes.store(1, Ordering::Relaxed);
    let mut body = store.get(KEY, GetOptions::default()).await.expect("get").body;
    let mut read = 0;
    let ended = loop {
        match body.try_next().await {
            Ok(Some(part)) => read += part.len(),
            ended => break ended,
        }
    };
    is_told(server, ended, (KEY, Operation::Get));
    assert!(read < bytes.len(), "{read}");
    assert!(store.read(KEY).await.expect("read again") == bytes);
    assert_eq!(store.read_range(KEY, 5..9, None).await.expect("a range"), bytes[5..9]);
    let empty = store.put("sums-none", Bytes::new(), PutOptions::default()).await;
    assert_eq!(empty.expect("put").size, 0);
    assert_eq!(store.read("sums-none").await.expect("read"), "");
}

/// What comes in ranges, of which no single one has a checksum.
async fn changed_ranges(server: &Server) {
    const KEY: &str = "sums-ranges";
    let (_proxy, changes, store) = behind(server, Fault::Flipped);
    let bytes = bytes((20 << 20) + 777_777);
    let version = store.put(KEY, bytes.clone(), PutOptions::default()).await.expect("put");
    let said = store.checksum(KEY, &version).await.expect("a checksum");
    assert!(said.is_some(), "there is none");
    let other = Metadata { etag: "1".to_owned(), ..version };
    let said = store.checksum(KEY, &other).await;
    assert_eq!(said.expect("another version"), None);
    let from = Location { store, key: KEY.to_owned() };
    let copy = async |name: &str| {
        let to = Locator::default().open(&format!("mem://sums/{name}")).expect("memory");
        let copied = transfer::copy(from.clone(), to.clone(), PutOptions::default(), |_| {}).await;
        (copied, to)
    };
    changes.store(1, Ordering::Relaxed);
    let (copied, to) = copy("changed").await;
    assert_eq!(changes.load(Ordering::Relaxed), 0, "nothing was changed");
    let error = copied.expect_err("other bytes passed");
    assert!(matches!(error, Error::Checksum { .. }) && error.retry(), "{error:?}");
    assert_eq!(error.location(), from.url());
    is_missing(&to.store.head(&to.key).await);
    let (copied, to) = copy("whole").await;
    assert_eq!(copied.expect("copied").size, bytes.len() as u64);
    assert!(to.store.read(&to.key).await.expect("read") == bytes);
    from.store.delete(KEY).await.expect("delete");
}

async fn changed_writes(server: &Server) {
    const KEY: &str = "sums-written";
    let (_proxy, changes, store) = behind(server, Fault::FlippedSent);
    let kept = store.conditions().await.expect("conditions");
    let bytes = bytes(1 << 20);
    let put = |options| store.put(KEY, bytes.clone(), options);
    changes.store(1, Ordering::Relaxed);
    put(PutOptions::default()).await.expect("it is sent again");
    assert_eq!(changes.load(Ordering::Relaxed), 0, "nothing was changed");
    assert!(store.read(KEY).await.expect("read") == bytes);
    store.delete(KEY).await.expect("delete");
    changes.store(u64::MAX, Ordering::Relaxed);
    is_told(server, put(PutOptions::default()).await, (KEY, Operation::Put));
    is_missing(&store.head(KEY).await);
    if kept.if_absent {
        changes.store(1, Ordering::Relaxed);
        is_told(server, put(PutOptions::if_absent()).await, (KEY, Operation::Put));
        changes.store(0, Ordering::Relaxed);
        put(PutOptions::if_absent()).await.expect("nothing is there");
        assert!(store.read(KEY).await.expect("read") == bytes);
    }
    changes.store(0, Ordering::Relaxed);
    store.delete(KEY).await.expect("delete");
}

/// It is seen in the end, and the object does not stay.
async fn changed_pieces(server: &Server) {
    const KEY: &str = "sums-pieces";
    // Swift's own way is segments, unless it is told.
    let stream: &[_] = if server.spec().name == "swift" { &[("segment_size", "0")] } else { &[] };
    let (_proxy, changes, store) = behind_with(server, Fault::FlippedSent, stream);
    // The bit in the middle is none of those that say how long a chunk is.
    let bytes = bytes((20 << 20) + 777_777);
    let mut writer = store.writer(KEY, PutOptions::default()).await.expect("writer");
    changes.store(1, Ordering::Relaxed);
    let written = async {
        for piece in bytes.chunks(3 << 20) {
            writer.write(bytes.slice_ref(piece)).await?;
        }
        writer.finish().await
    };
    let written = written.await;
    assert_eq!(changes.load(Ordering::Relaxed), 0, "nothing was changed");
    is_told(server, written, (KEY, Operation::Write));
    is_missing(&store.head(KEY).await);
}

/// A part that was changed goes up again, and one that is changed each time belongs to no object.
async fn changed_parts(server: &Server) {
    const KEY: &str = "sums-parts";
    let (_proxy, changes, store) = behind(server, Fault::FlippedSent);
    let bytes = bytes((20 << 20) + 777_777);
    let write = async || {
        let mut writer = store.writer(KEY, PutOptions::default()).await?;
        for piece in bytes.chunks(3 << 20) {
            writer.write(bytes.slice_ref(piece)).await?;
        }
        writer.finish().await
    };
    changes.store(2, Ordering::Relaxed);
    assert_eq!(write().await.expect("they are sent again").size, bytes.len() as u64);
    assert_eq!(changes.load(Ordering::Relaxed), 0, "nothing was changed");
    assert!(store.read(KEY).await.expect("read") == bytes);
    store.delete(KEY).await.expect("delete");
    changes.store(u64::MAX, Ordering::Relaxed);
    is_told(server, write().await, (KEY, Operation::Write));
    is_missing(&store.head(KEY).await);
    changes.store(0, Ordering::Relaxed);
}
