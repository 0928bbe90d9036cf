//! Tests of storage for programs.

use std::io::{self, BufRead as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use futures::{StreamExt, stream};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::*;
use crate::blocking::Wait;

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
    let mut reader =
        Reader { metadata, range: 0..13, body: Body::Idle(body), io: storage.io.clone() };
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
    let mut reader =
        Reader { metadata, range: 0..13, body: Body::Idle(body), io: storage.io.clone() };
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

/// Bytes that are different everywhere, so that one that is missing or comes twice is seen.
fn content(length: usize) -> Bytes {
    (0..length).map(|n| (n / 7 + n / 1_000_003 + n % 251).to_le_bytes()[0]).collect()
}

/// Waits until nothing is in a directory.
fn is_empty_soon(directory: &Path) -> bool {
    (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        directory.read_dir().unwrap().count() == 0
    })
}

#[test]
fn an_object_is_read_as_a_file() {
    let (storage, root) = storage("file read");
    let (url, all) = (format!("{root}big"), content(21_000_017));
    storage.put(&url, all.clone()).wait().unwrap();
    let mut reader = storage.buf_reader(&url).wait().unwrap().blocking();
    assert_eq!(reader.metadata().size, 21_000_017);
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert!(read == all, "{} bytes", read.len());
    assert_eq!(reader.read(&mut [0; 4]).unwrap(), 0);
    for (to, at) in [
        (SeekFrom::Start(5), 5),
        (SeekFrom::End(-3_000_000), 18_000_017),
        (SeekFrom::Current(-9_999_999), 10_500_018),
        (SeekFrom::Start(20_999_999), 20_999_999),
    ] {
        assert_eq!(reader.seek(to).unwrap(), at as u64);
        let mut part = vec![0; 2_500_000.min(all.len() - at)];
        reader.read_exact(&mut part).unwrap();
        assert!(part == all[at..at + part.len()], "other bytes at {at}");
    }
    assert_eq!(reader.seek(SeekFrom::End(9)).unwrap(), 21_000_026);
    assert_eq!(reader.read(&mut [0; 4]).unwrap(), 0);
    assert_eq!(reader.seek(SeekFrom::Start(0)).unwrap(), 0);
    assert!(reader.seek(SeekFrom::Current(-1)).is_err());
    assert_eq!(reader.fill_buf().unwrap()[..9], all[..9], "it is where it was");
}

#[test]
fn an_object_is_read_and_written_as_a_file_of_an_async_runtime() {
    let (storage, root) = storage("file async");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (from, to) = (format!("{root}from"), format!("{root}to"));
        let all = content(9_000_001);
        storage.put(&from, all.clone()).await.unwrap();
        let mut reader = storage.buf_reader(&from).await.unwrap();
        let mut writer = storage.buf_writer(&to).await.unwrap();
        assert_eq!(tokio::io::copy(&mut reader, &mut writer).await.unwrap(), 9_000_001);
        assert!(matches!(storage.head(&to).await, Err(Error::NotFound { .. })));
        assert_eq!(writer.finish().await.unwrap().size, 9_000_001);
        assert!(storage.get(&to).await.unwrap() == all);

        let mut writer = storage.buf_writer(&to).await.unwrap();
        writer.write_all(b"one\ntwo").await.unwrap();
        writer.shutdown().await.unwrap();
        writer.shutdown().await.unwrap();
        writer.flush().await.unwrap();
        assert_eq!(writer.metadata().unwrap().size, 7);
        assert!(writer.write(b"more").await.is_err());
        drop(writer);
        let lines = storage.buf_reader(&to).await.unwrap().lines();
        let lines = stream::unfold(lines, |mut lines| async {
            Some((lines.next_line().await.unwrap()?, lines))
        });
        assert_eq!(lines.collect::<Vec<_>>().await, ["one", "two"]);
        let mut reader = storage.buf_reader(&to).await.unwrap();
        reader.seek(SeekFrom::End(-2)).await.unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "wo");
    });
}

#[test]
fn a_file_that_is_replaced_while_it_is_read_is_an_error() {
    let (storage, root) = storage("file changed");
    let url = format!("{root}big");
    storage.put(&url, content(9_000_000)).wait().unwrap();
    let mut reader = storage.buf_reader(&url).wait().unwrap().blocking();
    reader.read_exact(&mut [0; 1_000]).unwrap();
    storage.put(&url, content(9_000_000)).wait().unwrap();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    let source = error.get_ref().and_then(|source| source.downcast_ref::<Error>());
    assert!(matches!(source, Some(Error::Precondition { .. })), "{error:?}");
    assert!(error.to_string().contains("big: the object"), "{error}");
    assert!(reader.read(&mut [0; 9]).is_err(), "that version does not come back");
    let missing = storage.buf_reader(&format!("{root}none")).wait();
    assert_eq!(io::Error::from(missing.unwrap_err()).kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_file_that_is_not_finished_leaves_nothing() {
    let storage = Storage::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("never").to_str().unwrap().to_owned();
    let begun = || {
        let mut writer = storage.buf_writer(&file).wait().unwrap();
        crate::block_on(writer.write_all(&content(5_000_000))).unwrap();
        writer
    };
    // In the background.
    drop(begun());
    assert!(is_empty_soon(dir.path()));
    crate::block_on(begun().abort()).unwrap();
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    // Of a program that waits, the end may be near.
    drop(begun().blocking());
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    begun().blocking().abort().unwrap();
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    // Also where it is all that keeps the threads.
    let mut last = begun();
    drop(storage);
    crate::block_on(last.flush()).unwrap();
    drop(last);
    assert!(is_empty_soon(dir.path()));
}

#[test]
fn a_file_appears_when_it_is_finished_on_its_condition() {
    let (storage, root) = storage("file written");
    let (url, all) = (format!("{root}new"), content(3_500_000));
    let begin = |options| storage.buf_writer_with(&url, options).wait().unwrap().blocking();
    let options = PutOptions::if_absent().content_type("text/plain");
    let (mut one, mut other) = (begin(options), begin(PutOptions::if_absent()));
    for piece in all.chunks(999) {
        one.write_all(piece).unwrap();
    }
    other.write_all(b"late").unwrap();
    one.flush().unwrap();
    assert!(storage.head(&url).wait().is_err(), "flushing is not finishing");
    let written = one.finish().unwrap();
    assert!(matches!(other.finish(), Err(Error::AlreadyExists { .. })));
    assert!(storage.get(&url).wait().unwrap() == all);
    let said = storage.attributes(&url).wait().unwrap().content_type;
    assert_eq!(said.as_deref(), Some("text/plain"));
    let next = begin(PutOptions::if_match(&written.etag));
    next.finish().unwrap();
    let stale = begin(PutOptions::if_match(&written.etag)).finish();
    assert!(matches!(stale, Err(Error::Precondition { .. })), "{stale:?}");
}

/// A store's writer that fails at its second piece.
#[derive(Debug)]
struct Full(u32);

#[async_trait::async_trait]
impl samara_store::Writer for Full {
    async fn write(&mut self, _: Bytes) -> Result<()> {
        self.0 += 1;
        if self.0 < 2 { Ok(()) } else { Err(Error::generic("x", "it is full")) }
    }

    async fn finish(self: Box<Self>) -> Result<Metadata> {
        unreachable!("it has failed")
    }
}

#[test]
fn a_file_whose_write_failed_does_not_look_written() {
    let storage = Storage::new().unwrap();
    let mut writer = storage.buf_writer("mem://samara storage full/x").wait().unwrap();
    writer.replace(Box::new(Full(0)));
    let mut writer = writer.blocking();
    let written = (0..8).try_for_each(|_| writer.write_all(&[7; 1 << 20]));
    assert!(written.unwrap_err().get_ref().unwrap().source().unwrap().to_string().contains("full"));
    assert!(writer.write(b"more").is_err() && writer.flush().is_err());
    let finished = writer.finish().unwrap_err();
    assert!(finished.in_full().contains("an earlier write failed"), "{finished:?}");
}

#[test]
fn a_listing_begins_and_ends_where_it_is_told() {
    let (storage, root) = storage("some");
    let listed = |prefix: &str, options: ListOptions| {
        let found = storage.list_with(&format!("{root}{prefix}"), options).unwrap();
        let found: Vec<Found> = found.try_collect().wait().unwrap();
        found.into_iter().map(|found| found.url[root.len()..].to_owned()).collect::<Vec<_>>()
    };
    let all = ListOptions::default();
    assert_eq!(listed("", all.clone()), KEYS);
    for limit in 0..=KEYS.len() + 1 {
        let first = &KEYS[..limit.min(KEYS.len())];
        assert_eq!(listed("", all.clone().limit(limit)), first, "{limit}");
    }
    let after = |name: &str| all.clone().after(format!("{root}{name}"));
    assert_eq!(listed("", after("d/b0")), KEYS[6..]);
    assert_eq!(listed("", after("d/b0x").limit(1)), KEYS[6..7]);
    assert_eq!(listed("d/", all.clone().slashes(0)), ["d/a", "d/b!", "d/b0"]);
    assert_eq!(listed("d/", after("e")), [""; 0]);
    let elsewhere = storage.list_with(&root, all.after("mem://elsewhere/x"));
    assert!(matches!(elsewhere.err(), Some(Error::InvalidUrl { .. })));
}

#[test]
fn patterns_are_listed_as_they_are_found() {
    let (storage, root) = storage("matching");
    for pattern in ["**", "d/*", "d/**", "?", "d{/c/*,0}", "none*"] {
        let url = format!("{root}{pattern}");
        let listed: Vec<Found> = storage.matching(&url).unwrap().try_collect().wait().unwrap();
        assert_eq!(listed, storage.find(&url).wait().unwrap_or_default(), "{pattern}");
    }
    let malformed = storage.matching(&format!("{root}[a"));
    assert!(matches!(malformed.err(), Some(Error::InvalidUrl { .. })));
}

#[test]
fn a_part_of_one_version_is_read_in_pieces() {
    let storage = Storage::new().unwrap();
    let url = "mem://samara storage version/x";
    let first = storage.put(url, "0123456789").wait().unwrap();
    let of_first = GetOptions::default().range(4..90).if_match(&first.etag);
    let mut reader = storage.reader_with(url, of_first.clone()).wait().unwrap();
    assert_eq!((reader.range.clone(), reader.metadata.size), (4..10, 10));
    assert_eq!(reader.next().wait().unwrap().unwrap(), "456789");
    assert_eq!(reader.next().wait().unwrap(), None);
    let ranges = storage.get_ranges(url, &[7..9, 0..2, 9..99, 3..3]).wait().unwrap();
    assert_eq!(ranges, ["78", "01", "9", ""]);

    storage.put(url, "another").wait().unwrap();
    for stale in [
        storage.reader_with(url, of_first.clone()).wait().err(),
        storage.get_with(url, of_first).wait().err(),
        storage.delete_if_match(url, &first.etag).wait().err(),
    ] {
        assert!(matches!(stale, Some(Error::Precondition { .. })), "{stale:?}");
    }
    let now = storage.head(url).wait().unwrap();
    storage.delete_if_match(url, &now.etag).wait().unwrap();
    storage.delete_if_match(url, &now.etag).wait().unwrap();
    assert!(storage.head(url).wait().is_err());
}

#[test]
fn a_writer_keeps_conditions_and_attributes() {
    let storage = Storage::new().unwrap();
    let url = "mem://samara storage said/x";
    let first = storage.put(url, "first").wait().unwrap();
    let mut options = PutOptions::if_match(first.etag).content_type("text/plain");
    options.attributes.user.insert("of".to_owned(), "ours".to_owned());
    let write = || {
        let mut writer = storage.writer_with(url, options.clone()).wait()?;
        writer.write("second".into()).wait()?;
        writer.finish().wait()
    };
    assert_eq!(write().unwrap().size, 6);
    assert_eq!(storage.attributes(url).wait().unwrap(), options.attributes);
    assert!(matches!(write(), Err(Error::Precondition { .. })));
    let copy = "mem://samara storage said/copy";
    let csv = PutOptions::if_absent().content_type("text/csv");
    storage.copy_with(url, copy, csv.clone()).wait().unwrap();
    assert_eq!(storage.attributes(copy).wait().unwrap(), csv.attributes);
    let again = storage.copy_with(url, copy, csv).wait();
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
}
