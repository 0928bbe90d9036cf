//! Tests of storage for programs.

use super::*;

/// Keys of a directory with all kinds of neighbours.
const KEYS: &[&str] =
    &["d/a", "d/b!", "d/b/1", "d/b/2/3", "d/b/\u{10FFFF}x", "d/b0", "d/c/1", "d0", "e"];

fn storage(name: &str) -> (Storage, String) {
    let storage = Storage::new().unwrap();
    let root = format!("mem://samara storage {name}/");
    for key in KEYS {
        crate::block_on(storage.put(&format!("{root}{key}"), key.to_string())).unwrap();
    }
    (storage, root)
}

#[test]
fn a_directory_is_listed_without_what_lies_deeper() {
    let (storage, root) = storage("entries");
    let listed = |at: &str| {
        let entries = storage.entries(&format!("{root}{at}")).unwrap();
        let entries: Vec<Entry> = crate::block_on(entries.try_collect()).unwrap();
        let name = |entry: Entry| match entry {
            Entry::Object(found) => found.url[root.len()..].to_owned(),
            Entry::Directory(url) => url[root.len()..].to_owned(),
        };
        entries.into_iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(listed("d"), ["d/a", "d/b!", "d/b/", "d/b0", "d/c/"]);
    assert_eq!(listed("d/"), listed("d"));
    assert_eq!(listed(""), ["d/", "d0", "e"]);
    assert!(listed("none").is_empty());
}

#[test]
fn objects_are_read_and_written_in_pieces_and_copied_between_stores() {
    let (storage, root) = storage("pieces");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out/file.bin").to_str().unwrap().to_owned();
    let content: Bytes = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    crate::block_on(async {
        let mut writer = storage.writer(&format!("{root}big")).await?;
        for piece in content.chunks(999_999) {
            writer.write(Bytes::copy_from_slice(piece)).await?;
        }
        assert_eq!(writer.finish().await?.size, 3_000_000);
        storage.copy(&format!("{root}big"), &file).await?;
        let mut reader = storage.reader(&file).await?;
        assert_eq!(reader.metadata.size, 3_000_000);
        let mut read = Vec::new();
        while let Some(piece) = reader.next().await? {
            read.extend_from_slice(&piece);
        }
        assert!(read == content, "{} bytes", read.len());
        assert_eq!(storage.get_range(&file, 2_999_999..9_000_000).await?.len(), 1);
        storage.delete(&file).await
    })
    .unwrap();
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let storage = Storage::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("never").to_str().unwrap().to_owned();
    crate::block_on(async {
        let mut writer = storage.writer(&file).await.unwrap();
        writer.write("half".into()).await.unwrap();
    });
    assert!(matches!(crate::block_on(storage.head(&file)), Err(Error::NotFound { .. })));
    let prefix = format!("{}/", dir.path().display());
    let listed = storage.list(&prefix).unwrap().try_collect::<Vec<_>>();
    assert_eq!(crate::block_on(listed).unwrap(), []);
}

#[test]
fn a_writer_that_is_given_up_has_left_nothing() {
    let storage = Storage::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("never").to_str().unwrap().to_owned();
    crate::block_on(async {
        let mut writer = storage.writer(&file).await.unwrap();
        writer.write("half".into()).await.unwrap();
        writer.abort().await.unwrap();
    });
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_read_that_is_dropped_loses_nothing() {
    let storage = Storage::new().unwrap();
    let late = |part: &'static str| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(Bytes::from(part))
    };
    let body = stream::iter(["one ", "two ", "three"]).then(late).boxed();
    let metadata = Metadata { size: 13, etag: String::new(), modified_ms: None };
    let mut reader = Reader { metadata, body: Body::Idle(body), io: storage.io.clone() };
    let read = crate::block_on(async {
        let mut read = Vec::new();
        let mut dropped = 0;
        loop {
            // Polled once, and dropped before the piece has come.
            if futures::future::poll_immediate(reader.next()).await.is_none() {
                dropped += 1;
            }
            match reader.next().await.unwrap() {
                Some(piece) => read.extend_from_slice(&piece),
                None => break,
            }
        }
        assert!(dropped >= 3, "{dropped}");
        read
    });
    assert_eq!(read, b"one two three");
}

#[test]
fn a_reader_that_failed_does_not_look_ended() {
    let storage = Storage::new().unwrap();
    let body = stream::iter([Err(Error::generic("x", "it broke"))]).boxed();
    let metadata = Metadata { size: 13, etag: String::new(), modified_ms: None };
    let mut reader = Reader { metadata, body: Body::Idle(body), io: storage.io.clone() };
    crate::block_on(async {
        assert!(reader.next().await.unwrap_err().in_full().contains("it broke"));
        assert!(reader.next().await.unwrap_err().in_full().contains("an earlier read failed"));
    });
}

#[test]
fn one_of_many_writers_succeeds_where_nothing_was() {
    let storage = Storage::new().unwrap();
    let url = "mem://samara storage once/x";
    let writers = (0..32).map(|n| storage.put_if_absent(url, n.to_string()));
    let written = crate::block_on(futures::future::join_all(writers));
    assert_eq!(written.iter().filter(|result| result.is_ok()).count(), 1);
    let finished = crate::block_on(async { storage.writer_if_absent(url).await?.finish().await });
    assert!(matches!(finished, Err(Error::AlreadyExists { .. })), "{finished:?}");
}

#[test]
fn an_executors_storage_outlives_the_executor() {
    let storage = Executor::builder().slots(1).progress(false).build().unwrap().storage();
    let url = "mem://samara storage executor/x";
    crate::block_on(storage.put(url, "here")).unwrap();
    assert_eq!(crate::block_on(storage.get(url)).unwrap(), "here");
}
