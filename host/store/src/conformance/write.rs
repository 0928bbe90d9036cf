//! Cases of writing: put, writer, delete, copy, and races between them.

use bytes::Bytes;
use futures::future;

use super::{
    Area, assert_fails, assert_same, is_already_exists, is_not_found, is_precondition,
    is_unsupported, pattern,
};
use crate::{Attributes, Error, Metadata, PutOptions, Result, StoreExt};

/// Writers that race. Far more than there are threads to run them.
const RACERS: usize = 16;

pub(super) async fn put_overwrites(area: Area<'_>) {
    let long = area.put("a", "a long one").await;
    let short = area.put("a", "short").await;
    assert_ne!(long.etag, short.etag);
    assert_eq!(area.read("a").await.expect("a"), "short");
    assert_same(&area.head("a").await.expect("a"), &short);
    assert_eq!(area.names("", 10).await, ["a"]);
}

pub(super) async fn put_if_absent(area: Area<'_>) {
    if !area.keeps.if_absent {
        let put = area.try_put("a", "1", PutOptions::if_absent()).await;
        assert_fails(put, &area.key("a"), is_unsupported);
        return assert!(area.names("", 10).await.is_empty(), "something was written");
    }
    let first = area.try_put("dir/a", "first", PutOptions::if_absent()).await.expect("absent");
    let second = area.try_put("dir/a", "second", PutOptions::if_absent()).await;
    assert_fails(second, &area.key("dir/a"), is_already_exists);
    assert_eq!(area.read("dir/a").await.expect("a"), "first");
    assert_same(&area.head("dir/a").await.expect("a"), &first);

    area.delete("dir/a").await;
    area.try_put("dir/a", "third", PutOptions::if_absent()).await.expect("absent again");
    assert_eq!(area.read("dir/a").await.expect("a"), "third");
    assert_eq!(area.names("", 10).await, ["dir/a"], "something was left behind");
}

pub(super) async fn put_if_absent_race(area: Area<'_>) {
    if !area.keeps.if_absent {
        return;
    }
    for round in 0..8 {
        let name = format!("race {round}");
        let racer = |n| area.try_put(&name, body(n), PutOptions::if_absent());
        let results = future::join_all((0..RACERS).map(racer)).await;
        one_wins(area, &name, results).await;
    }
}

pub(super) async fn put_if_match(area: Area<'_>) {
    let first = area.put("a", "first").await;
    let replace = |etag: &str, body: &'static str| {
        let options = PutOptions::if_match(etag);
        async move { area.try_put("a", body, options).await }
    };
    if !area.keeps.if_match {
        assert_fails(replace(&first.etag, "second").await, &area.key("a"), is_unsupported);
        return assert_eq!(area.read("a").await.expect("a"), "first");
    }
    let second = replace(&first.etag, "second").await.expect("the right version");
    assert_fails(replace(&first.etag, "third").await, &area.key("a"), is_precondition);
    assert_eq!(area.read("a").await.expect("a"), "second");
    assert_same(&area.head("a").await.expect("a"), &second);
    let missing = area.try_put("none", "1", PutOptions::if_match(&second.etag)).await;
    assert_fails(missing, &area.key("none"), is_precondition);
    assert_eq!(area.names("", 10).await, ["a"]);
}

/// Each step is made by one writer, and none is lost.
pub(super) async fn put_if_match_race(area: Area<'_>) {
    if !area.keeps.if_match || area.exceptions.loses_races {
        return;
    }
    let mut version = area.put("race", body(0)).await;
    for _ in 0..4 {
        let racer = |n| area.try_put("race", body(n), PutOptions::if_match(&version.etag));
        let won = future::join_all((1..RACERS).map(racer)).await;
        let won: Vec<_> = won.into_iter().filter_map(Result::ok).collect();
        assert_eq!(won.len(), 1, "writers of the same version that succeeded");
        let [next] = <[_; 1]>::try_from(won).expect("one");
        assert_same(&area.head("race").await.expect("race"), &next);
        version = next;
    }
}

pub(super) async fn writer_race(area: Area<'_>) {
    if !area.keeps.if_absent {
        return;
    }
    let racer = |n| async move {
        let mut writer = area.writer("race", PutOptions::if_absent()).await;
        writer.write(body(n)).await?;
        writer.finish().await
    };
    let results = future::join_all((0..RACERS).map(racer)).await;
    one_wins(area, "race", results).await;
}

/// Every read gives one of the objects written, whole.
pub(super) async fn overwrite_race(area: Area<'_>) {
    area.put("race", body(0)).await;
    let put = |n| async move {
        area.put("race", body(n)).await;
    };
    let read = |_| async move {
        let bytes = loop {
            match area.read("race").await {
                Err(Error::Precondition { .. }) => {} // told that it was replaced: fine
                Err(Error::NotFound { .. }) if area.exceptions.blinks => {}
                read => break read.expect("race"),
            }
        };
        assert!((0..RACERS).any(|n| body(n) == bytes), "not one of the objects");
    };
    let puts = future::join_all((0..RACERS).map(put));
    let reads = future::join_all((0..4 * RACERS).map(read));
    future::join(puts, reads).await;
    assert_eq!(area.names("", 10).await, ["race"]);
}

pub(super) async fn writer(area: Area<'_>) {
    let bytes = pattern(3 << 20, 3);
    let mut writer = area.writer("dir/a", PutOptions::default()).await;
    let mut rest = bytes.clone();
    for length in [0, 1, 10, 100_000, 2 << 20, 3] {
        writer.write(rest.split_to(length)).await.expect("write");
        assert_fails(area.head("dir/a").await, &area.key("dir/a"), is_not_found);
    }
    assert!(area.names("", 10).await.is_empty(), "an unfinished object is listed");
    writer.write(rest).await.expect("write");
    let written = writer.finish().await.expect("finish");
    assert_eq!(written.size, bytes.len() as u64);
    assert_same(&area.head("dir/a").await.expect("a"), &written);
    assert!(area.read("dir/a").await.expect("a") == bytes, "not what was written");

    let empty = area.writer("dir/a", PutOptions::default()).await.finish().await.expect("empty");
    assert_eq!((empty.size, area.read("dir/a").await.expect("a")), (0, Bytes::new()));
}

/// More than any store sends in one request.
pub(super) async fn writer_in_parts(area: Area<'_>) {
    let bytes = pattern(21 << 20, 5);
    for odd in [1 << 20, (3 << 20) + 1, 21 << 20] {
        let mut writer = area.writer("parts", PutOptions::default()).await;
        for start in (0..bytes.len()).step_by(odd) {
            let piece = bytes.slice(start..bytes.len().min(start + odd));
            writer.write(piece).await.expect("write");
        }
        let written = writer.finish().await.expect("finish");
        assert_same(&area.head("parts").await.expect("parts"), &written);
        assert!(area.read("parts").await.expect("parts") == bytes, "not what was written");
    }
}

pub(super) async fn writer_if_absent(area: Area<'_>) {
    if !area.keeps.if_absent {
        let writer = area.store.writer(&area.key("a"), PutOptions::if_absent()).await;
        return assert_fails(writer, &area.key("a"), is_unsupported);
    }
    let mut late = area.writer("a", PutOptions::if_absent()).await;
    late.write("late".into()).await.expect("write");
    area.put("a", "early").await;
    assert_fails(late.finish().await, &area.key("a"), is_already_exists);
    assert_eq!(area.read("a").await.expect("a"), "early");
    assert_eq!(area.names("", 10).await, ["a"], "something was left behind");
}

pub(super) async fn writer_dropped(area: Area<'_>) {
    area.put("a", "before").await;
    for name in ["a", "b", "dir/c"] {
        let mut writer = area.writer(name, PutOptions::default()).await;
        writer.write(pattern(2 << 20, 1)).await.expect("write");
        drop(writer);
    }
    assert_eq!(area.names("", 10).await, ["a"]);
    assert_eq!(area.read("a").await.expect("a"), "before");
}

pub(super) async fn delete(area: Area<'_>) {
    area.put("dir/a", "1").await;
    area.put("dir/ab", "2").await;
    area.delete("dir/a").await;
    area.delete("dir/a").await;
    assert_fails(area.read("dir/a").await, &area.key("dir/a"), is_not_found);
    for missing in ["dir", "none", "none/at/all", "dir/ab/below"] {
        area.delete(missing).await;
    }
    assert_eq!(area.names("", 10).await, ["dir/ab"]);
}

pub(super) async fn delete_many(area: Area<'_>) {
    let names = ["a", "dir/b", "dir/c", "with space", "ü"];
    for name in names.iter().chain(&["dir/d", "stays"]) {
        area.put(name, "1").await;
    }
    let keys: Vec<String> = names.iter().chain(&["none"]).map(|name| area.key(name)).collect();
    area.store.delete_many(&keys).await.expect("delete");
    assert_eq!(area.names("", 10).await, ["dir/d", "stays"]);
    area.store.delete_many(&[]).await.expect("nothing");
}

/// What is said about an object is kept; by a store that does not keep such things, nothing.
pub(super) async fn attributes(area: Area<'_>) {
    let mut options = PutOptions::default().content_type("text/csv");
    options.attributes.user.insert("source".to_owned(), "sensor 7".to_owned());
    area.try_put("a", "1,2", options.clone()).await.expect("put");
    let mut writer = area.writer("b", options.clone()).await;
    writer.write(pattern(9 << 20, 2)).await.expect("write");
    writer.finish().await.expect("finish");
    for name in ["a", "b"] {
        let kept = area.store.attributes(&area.key(name)).await.expect(name);
        match area.exceptions.forgets_attributes {
            true => assert_eq!(kept, Attributes::default(), "{name}"),
            false => assert_eq!(kept, options.attributes, "{name}"),
        }
    }
    let missing = area.store.attributes(&area.key("none")).await;
    assert_fails(missing, &area.key("none"), is_not_found);
}

pub(super) async fn copy(area: Area<'_>) {
    let bytes = pattern(2 << 20, 9);
    area.put("from", bytes.clone()).await;
    area.put("over", "old").await;
    for to in ["dir/to", "over"] {
        let copy = area.store.copy(&area.key("from"), &area.key(to), PutOptions::default()).await;
        assert_same(&area.head(to).await.expect(to), &copy.expect(to));
        assert!(area.read(to).await.expect(to) == bytes, "the copy differs");
    }
    let missing = (area.key("none"), area.key("to"));
    let copy = area.store.copy(&missing.0, &missing.1, PutOptions::default()).await;
    assert_fails(copy, &missing.0, is_not_found);
    assert_eq!(area.names("", 10).await, ["dir/to", "from", "over"]);

    area.put("from", "changed").await;
    assert!(area.read("over").await.expect("over") == bytes, "a copy is an object of its own");
    let onto_itself = (area.key("from"), area.key("from"));
    let copy = area.store.copy(&onto_itself.0, &onto_itself.1, PutOptions::default()).await;
    copy.expect("onto itself");
    assert_eq!(area.read("from").await.expect("from"), "changed");
}

pub(super) async fn copy_if_absent(area: Area<'_>) {
    area.put("from", "new").await;
    area.put("to", "old").await;
    let (from, to) = (area.key("from"), area.key("to"));
    if !area.keeps.if_absent {
        let copy = area.store.copy(&from, &to, PutOptions::if_absent()).await;
        assert_fails(copy, &to, is_unsupported);
        return assert_eq!(area.store.read(&to).await.expect("to"), "old");
    }
    let copy = area.store.copy(&from, &to, PutOptions::if_absent()).await;
    assert_fails(copy, &to, is_already_exists);
    assert_eq!(area.store.read(&to).await.expect("to"), "old");
    area.store.copy(&from, &area.key("to 2"), PutOptions::if_absent()).await.expect("absent");
    assert_eq!(area.names("", 10).await, ["from", "to", "to 2"]);
}

/// What racer `n` writes: each its own length and content.
fn body(n: usize) -> Bytes {
    pattern(50_000 + n, n)
}

/// Exactly one result is a success, and the object is what that racer wrote. Where the server may let
/// several succeed, it is what one of them wrote, and the others are told that they were late.
async fn one_wins(area: Area<'_>, name: &str, results: Vec<Result<Metadata>>) {
    let mut winners = Vec::new();
    for (n, result) in results.into_iter().enumerate() {
        match result {
            Ok(metadata) => winners.push((n, metadata)),
            result => assert_fails(result, &area.key(name), is_already_exists),
        }
    }
    let most = if area.exceptions.loses_creations { RACERS } else { 1 };
    assert!((1..=most).contains(&winners.len()), "{name}: {} racers won", winners.len());
    let bytes = area.read(name).await.expect(name);
    let winner = winners.iter().find(|(n, _)| body(*n) == bytes);
    let (_, metadata) = winner.expect("not what the winner wrote");
    assert_same(&area.head(name).await.expect(name), metadata);
}
