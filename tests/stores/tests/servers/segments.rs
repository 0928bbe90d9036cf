//! Objects of Swift's in segments: by few MiB, of segments that are as small as may be. Lists of this
//! server have twelve segments, so that most of these are lists of lists.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use samara_store::{Error, GetOptions, ListOptions, Metadata, PutOptions, Result, Store, StoreExt};
use samara_stores::{Fault, Proxy, Server};

use crate::Check;
use crate::swift::{container, store};

/// Every check, by name.
pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("swift_large_objects_go_up_in_segments", |server| Box::pin(in_segments(server))),
    ("swift_segments_go_with_their_object", |server| Box::pin(replaced_segments(server))),
    ("swift_large_objects_are_copied_by_the_store", |server| Box::pin(copied_segments(server))),
    ("swift_uploads_that_fail_leave_no_segments", |server| Box::pin(failed_segments(server))),
    ("swift_a_list_whose_answer_was_lost_is_found", |server| Box::pin(lost_list(server))),
];

/// As the whole of a segment is all that is not one.
const SMALL: &[(&str, &str)] = &[("segment_size", "1MiB"), ("conditional_writes", "trust")];

fn bytes(size: usize, salt: usize) -> Bytes {
    (0..size).map(|n| (n / 7 + n % 251 + salt).to_le_bytes()[0]).collect()
}

async fn written(
    store: &Arc<dyn Store>,
    key: &str,
    bytes: &Bytes,
    options: PutOptions,
) -> Result<Metadata> {
    let mut writer = store.writer(key, options).await?;
    for piece in bytes.chunks(700_001) {
        writer.write(bytes.slice_ref(piece)).await?;
    }
    writer.finish().await
}

/// How many objects lie there for an object's segments, lists among them.
async fn segments(server: &Server, key: &str) -> usize {
    let beside = container(server, "samara_segments", &[]);
    match beside.list_from(&format!("{key}/slo/"), ListOptions::default()).try_collect().await {
        Ok(found) => Vec::<samara_store::Entry>::len(&found),
        Err(Error::NotFound { .. }) => 0,
        Err(error) => panic!("{error}"),
    }
}

async fn in_segments(server: &Server) {
    const KEY: &str = "large/a b+ü%41";
    let store = container(server, "samara", SMALL);
    let plain = bytes(1 << 20, 1);
    let etag = written(&store, KEY, &plain, PutOptions::default()).await.expect("plain").etag;
    assert_eq!((segments(server, KEY).await, etag.len()), (0, 32), "a whole segment is no list");
    let all = bytes((15 << 20) + 77, 2);
    let options = PutOptions::default().content_type("text/x-large");
    let metadata = written(&store, KEY, &all, options).await.expect("written");
    assert_eq!(segments(server, KEY).await, 16 + 2);
    let head = store.head(KEY).await.expect("head");
    assert_eq!((head.size, &head.etag), (all.len() as u64, &metadata.etag));
    let attributes = store.attributes(KEY).await.expect("attributes");
    assert_eq!(attributes.content_type.as_deref(), Some("text/x-large"));
    assert!(attributes.user.is_empty(), "{attributes:?}");
    let listed = store.list("large/", ListOptions::default()).await.expect("list").entries;
    let listed: Vec<_> = listed.into_iter().filter(|entry| entry.key == KEY).collect();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].metadata.size, &listed[0].metadata.etag), (head.size, &head.etag));
    assert!(store.read(KEY).await.expect("read") == all);
    for range in [0..1, (1 << 20) - 3..(3 << 20) + 5, 12_500_000..13_000_000, 15 << 20..u64::MAX] {
        let (start, end) = (range.start, range.end.min(head.size));
        let read = store.read_range(KEY, range, Some(&head.etag)).await.expect("a range");
        let within = |at: u64| usize::try_from(at).expect("it is small");
        assert!(read == all[within(start)..within(end)], "{start}..{end}");
    }
    let other = GetOptions::default().range(5..9).if_match(etag);
    let refused = store.get(KEY, other).await.expect_err("another version");
    assert!(matches!(refused, Error::Precondition { .. }), "{refused:?}");
    // A stream, where that is said: the object's etag is that of its bytes.
    let streams = container(server, "samara", &[("segment_size", "0")]);
    let metadata = written(&streams, KEY, &all, PutOptions::default()).await.expect("streamed");
    assert_eq!((segments(server, KEY).await, metadata.etag.len()), (0, 32));
    assert!(store.read(KEY).await.expect("read") == all);
    store.delete(KEY).await.expect("delete");
}

/// Whatever removes or replaces it.
async fn replaced_segments(server: &Server) {
    const KEY: &str = "large/replaced";
    let store = container(server, "samara", SMALL);
    let write =
        async |size: usize, options| written(&store, KEY, &bytes(size, size), options).await;
    write(14 << 20, PutOptions::default()).await.expect("written");
    write((2 << 20) + 1, PutOptions::default()).await.expect("replaced by a large one");
    assert_eq!(segments(server, KEY).await, 3);
    let absent = write(5 << 20, PutOptions::if_absent()).await.expect_err("it is there");
    assert!(matches!(absent, Error::AlreadyExists { .. }), "{absent:?}");
    assert_eq!(segments(server, KEY).await, 3, "those of the refused one are gone");
    store.put(KEY, "1".into(), PutOptions::default()).await.expect("replaced by a small one");
    assert_eq!(segments(server, KEY).await, 0);
    write(2 << 20, PutOptions::default()).await.expect("written");
    store.put("large/small", "2".into(), PutOptions::default()).await.expect("put");
    store.copy("large/small", KEY, PutOptions::default()).await.expect("replaced by a copy");
    assert_eq!(
        (segments(server, KEY).await, &*store.read(KEY).await.expect("read")),
        (0, &b"2"[..])
    );
    store.delete(KEY).await.expect("delete");
    write(14 << 20, PutOptions::if_absent()).await.expect("nothing is there");
    assert_eq!(segments(server, KEY).await, 14 + 2);
    store.delete(KEY).await.expect("delete");
    assert_eq!(segments(server, KEY).await, 0, "removed");
    store.delete(KEY).await.expect("it is gone");
    write(3 << 20, PutOptions::default()).await.expect("written");
    let keys = ["large/none", "large/small", KEY].map(str::to_owned);
    store.delete_many(&keys).await.expect("removed together");
    assert_eq!(segments(server, KEY).await, 0, "removed together");
    for key in &keys {
        assert!(!store.exists(key).await.expect("head"), "{key}");
    }
}

/// Each has segments of its own.
async fn copied_segments(server: &Server) {
    let [from, to] = ["large/from", "large/to"];
    let store = container(server, "samara", SMALL);
    let all = bytes((13 << 20) + 5, 3);
    let options = PutOptions::default().content_type("text/x-large");
    let source = written(&store, from, &all, options).await.expect("written");
    written(&store, to, &bytes(2 << 20, 4), PutOptions::default()).await.expect("written");
    let copied = store.copy(from, to, PutOptions::default()).await.expect("copied");
    // That of the lists differs, as their names do not count: it is made of the segments' etags.
    assert_eq!((copied.size, &copied.etag), (source.size, &source.etag));
    assert_eq!((segments(server, from).await, segments(server, to).await), (16, 16));
    store.copy(from, from, PutOptions::default()).await.expect("to itself");
    let refused = store.copy(from, to, PutOptions::if_absent()).await.expect_err("it is there");
    assert!(matches!(refused, Error::AlreadyExists { .. }), "{refused:?}");
    assert_eq!((segments(server, from).await, segments(server, to).await), (16, 16));
    store.delete(from).await.expect("delete");
    assert!(store.read(to).await.expect("read") == all, "it is not harmed");
    let attributes = store.attributes(to).await.expect("attributes");
    assert_eq!(attributes.content_type.as_deref(), Some("text/x-large"));
    store.delete(to).await.expect("delete");
    assert_eq!((segments(server, from).await, segments(server, to).await), (0, 0));
}

/// The store behind a proxy that does this to lists of this object while it is told to.
fn faulty(server: &Server, key: &str, fault: Fault) -> (Proxy, Arc<AtomicBool>, Arc<dyn Store>) {
    let upstream = server.endpoint().trim_start_matches("http://");
    let upstream = upstream.split('/').next().expect("a host");
    let is_on = Arc::new(AtomicBool::new(true));
    let (faults, key) = (Arc::clone(&is_on), format!("/samara/{key}?multipart-manifest=put"));
    let plan = move |_, line: &str| match faults.load(Ordering::Relaxed) && line.contains(&key) {
        true => fault,
        false => Fault::None,
    };
    let proxy = Proxy::start(upstream, plan).expect("proxy");
    let token = [("token", &*server.said["TOKEN"])];
    let store = store(server, &proxy.endpoint(), &[SMALL, &token[..]].concat());
    (proxy, is_on, store)
}

async fn failed_segments(server: &Server) {
    const KEY: &str = "large/failed";
    let all = bytes(4 << 20, 5);
    let (_proxy, is_on, store) = faulty(server, KEY, Fault::Status(403));
    let refused = written(&store, KEY, &all, PutOptions::default()).await.expect_err("refused");
    assert!(matches!(refused, Error::PermissionDenied { .. }), "{refused:?}");
    assert_eq!(refused.location(), format!("{}{KEY}", server.url()));
    assert_eq!(segments(server, KEY).await, 0, "a list that was refused");
    assert!(!store.exists(KEY).await.expect("head"));
    is_on.store(false, Ordering::Relaxed);
    let mut writer = store.writer(KEY, PutOptions::default()).await.expect("writer");
    writer.write(all.clone()).await.expect("write");
    writer.abort().await.expect("given up");
    assert_eq!(segments(server, KEY).await, 0, "given up");
    let mut writer = store.writer(KEY, PutOptions::default()).await.expect("writer");
    writer.write(all).await.expect("write");
    drop(writer);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if segments(server, KEY).await == 0 {
            break;
        }
    }
    assert_eq!(segments(server, KEY).await, 0, "dropped");
    assert!(!store.exists(KEY).await.expect("head"));
}

/// An object is not harmed because nobody heard that it is there, and is not taken for another's.
async fn lost_list(server: &Server) {
    const KEY: &str = "large/lost";
    let all = bytes(4 << 20, 6);
    let (_proxy, _, store) = faulty(server, KEY, Fault::LostAnswer);
    for options in [PutOptions::default(), PutOptions::if_absent()] {
        let metadata = written(&store, KEY, &all, options).await.expect("it is there");
        assert_eq!((metadata.size, segments(server, KEY).await), (4 << 20, 4));
        assert!(store.read(KEY).await.expect("read") == all);
        store.delete(KEY).await.expect("delete");
    }
}
