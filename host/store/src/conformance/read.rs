//! Cases of reading: get, head, ranges, versions.

use std::ops::Range;

use futures::TryStreamExt;

use super::{Area, assert_fails, is_not_found, is_precondition, pattern};
use crate::{GetOptions, StoreExt};

pub(super) async fn round_trip(area: Area<'_>) {
    let written = area.put("a", "hello").await;
    assert_eq!(written.size, 5);
    assert_eq!(area.read("a").await.expect("a"), "hello");
    assert_eq!(area.head("a").await.expect("a").etag, written.etag);

    let object = area.get("a", GetOptions::default()).await.expect("a");
    assert_eq!((object.range, object.metadata.size), (0..5, 5));
    assert_eq!(object.metadata.etag, written.etag);

    let bytes = pattern(100_000, 1);
    area.put("dir/binary", bytes.clone()).await;
    assert_eq!(area.read("dir/binary").await.expect("binary"), bytes);
    assert!(area.store.exists(&area.key("dir/binary")).await.expect("exists"));
}

pub(super) async fn empty_object(area: Area<'_>) {
    area.put("empty", "").await;
    assert_eq!(area.head("empty").await.expect("empty").size, 0);
    assert_eq!(area.read("empty").await.expect("empty"), "");
    assert_eq!(area.range("empty", 0..10).await, "");
    assert_eq!(area.names("", 10).await, ["empty"]);

    let object = area.get("empty", GetOptions::default()).await.expect("empty");
    let pieces: Vec<_> = object.body.try_collect().await.expect("empty");
    assert!(pieces.is_empty(), "an empty object has no pieces");
}

pub(super) async fn missing_object(area: Area<'_>) {
    area.put("dir/there", "1").await;
    for name in ["missing", "dir", "dir/missing", "dir/there/below", "no/such/dir"] {
        let key = area.key(name);
        assert_fails(area.head(name).await, &key, is_not_found);
        assert_fails(area.read(name).await, &key, is_not_found);
        let range = area.store.read_range(&key, 0..1, Some("etag")).await;
        assert_fails(range, &key, is_not_found);
        assert!(!area.store.exists(&key).await.expect(name));
    }
}

pub(super) async fn ranges(area: Area<'_>) {
    area.put("a", "0123456789").await;
    for (range, expected) in [
        (0..10, "0123456789"),
        (0..1, "0"),
        (3..7, "3456"),
        (9..10, "9"),
        (8..100, "89"),
        (0..u64::MAX, "0123456789"),
        (4..4, ""),
        (10..10, ""),
        (10..20, ""),
        (99..100, ""),
        (u64::MAX - 1..u64::MAX, ""),
        (Range { start: 7, end: 3 }, ""),
    ] {
        assert_eq!(area.range("a", range.clone()).await, expected, "{range:?}");
        let object = area.get("a", GetOptions::default().range(range.clone())).await.expect("a");
        assert_eq!(object.metadata.size, 10, "{range:?}: the size is the whole object's");
        let length = object.range.end - object.range.start;
        assert_eq!(length, expected.len() as u64, "{range:?}");
    }
}

pub(super) async fn if_match(area: Area<'_>) {
    let old = area.put("a", "old").await;
    let new = area.put("a", "new").await;
    assert_ne!(old.etag, new.etag, "same size, other content");
    let key = area.key("a");

    let read = area.store.read_range(&key, 1..3, Some(&new.etag)).await;
    assert_eq!(read.expect("a"), "ew");
    let read = area.store.read_range(&key, 1..3, Some(&old.etag)).await;
    assert_fails(read, &key, is_precondition);
    let read = area.get("a", GetOptions::default().if_match("nonsense")).await;
    assert_fails(read, &key, is_precondition);
    let read = area.store.read_range(&key, 90..93, Some(&old.etag)).await;
    assert_fails(read, &key, is_precondition);
}

pub(super) async fn large_object(area: Area<'_>) {
    const SIZE: usize = 20 << 20;
    let bytes = pattern(SIZE, 7);
    area.put("large", bytes.clone()).await;

    let object = area.get("large", GetOptions::default()).await.expect("large");
    let pieces: Vec<_> = object.body.try_collect().await.expect("large");
    assert!(pieces.iter().all(|piece| !piece.is_empty()), "a piece is empty");
    assert!(pieces.concat() == bytes, "the pieces are not the object");

    for range in [0..1, 1..SIZE, 12_345..12_345 + (9 << 20), SIZE - 1..SIZE, 5 << 20..6 << 20] {
        let read = area.range("large", range.start as u64..range.end as u64).await;
        assert!(read == bytes[range.clone()], "{range:?}");
    }
}

/// A reader sees one version to the end, or is told.
pub(super) async fn replaced_while_read(area: Area<'_>) {
    const SIZE: usize = 20 << 20;
    let old = pattern(SIZE, 1);
    area.put("a", old.clone()).await;
    let mut object = area.get("a", GetOptions::default()).await.expect("a");
    let first = object.body.try_next().await.expect("a").expect("the object is not empty");
    area.put("a", pattern(SIZE, 2)).await;
    match object.body.try_collect::<Vec<_>>().await {
        Ok(rest) => assert!([first, rest.concat().into()].concat() == old, "versions are mixed"),
        Err(error) => assert!(is_precondition(&error), "{error:?}"),
    }
}
