//! Tests with answers that servers give seldom; those with real servers are in `tests/stores`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crc_fast::CrcAlgorithm;
use futures::TryStreamExt;
use ring::digest::{SHA256, digest};

use crate::canned::{Canned, answer};
use crate::{
    Directory, Entry, Error, ListOptions, Location, Locator, Policy, PutOptions, Settings, Store,
    StoreExt, Sums, transfer,
};

/// The bucket `b` of this server.
fn store(server: &Canned) -> Arc<dyn Store> {
    store_with(server, &[])
}

fn store_with(server: &Canned, more: &[(&str, &str)]) -> Arc<dyn Store> {
    let settings = [
        ("endpoint", server.endpoint.as_str()),
        ("region", "us-east-1"),
        ("access_key_id", "id"),
        ("secret_access_key", "key"),
    ];
    let settings = settings
        .iter()
        .chain(more)
        .fold(Settings::default(), |settings, (name, value)| settings.with("s3:", *name, *value));
    let policy = Policy { wait: Duration::from_millis(1), ..Policy::REMOTE };
    let locator = Locator::default().with_settings(settings).with_policy(policy);
    locator.open("s3://b/").unwrap().store
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What stands behind `name=` in the first line of a request, decoded as far as these tests need.
fn said(head: &str, name: &str) -> Option<String> {
    let (_, query) = head.lines().next()?.split_once('?')?;
    let mut pairs = query.split([' ', '&']).filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(found, _)| *found == name)?;
    Some(value.replace("%2F", "/").replace("%F4%8F%BF%BF", "\u{10FFFF}"))
}

/// A server that lists these keys by `ListObjectsV2`, as far as these tests need it.
fn listing(keys: &'static [&'static str]) -> Canned {
    Canned::start(move |head, _| {
        let after = said(head, "start-after").unwrap_or_default();
        let most = said(head, "max-keys").unwrap().parse::<usize>().unwrap();
        let is_delimited = said(head, "delimiter").is_some();
        let mut found = Vec::new();
        for key in keys.iter().filter(|key| ***key > *after) {
            match key.find('/').filter(|_| is_delimited) {
                Some(slash) => found.push(format!(
                    "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>",
                    &key[..=slash]
                )),
                None => found.push(format!(
                    "<Contents><Key>{key}</Key><Size>1</Size><ETag>\"e\"</ETag></Contents>"
                )),
            }
        }
        found.dedup();
        let more = found.len() > most;
        found.truncate(most);
        let found = found.concat();
        answer(
            200,
            "Content-Type: application/xml\r\n",
            &format!(
                "<ListBucketResult><IsTruncated>{more}</IsTruncated>{found}</ListBucketResult>"
            ),
        )
    })
}

/// Some programs make directories by objects without content, of which a page may be full.
#[test]
fn a_page_of_nothing_but_made_directories_is_not_the_end() {
    let server = listing(&["a/", "b/", "c/", "d/", "e/", "e/1", "f"]);
    let store = store(&server);
    block_on(async {
        for limit in [1, 2, 3, 4, 5, 1_000] {
            let options = ListOptions::default().limit(limit);
            let found = store.list_from("", options.clone()).map_ok(|entry| entry.key);
            assert_eq!(found.try_collect::<Vec<_>>().await.unwrap(), ["e/1", "f"], "by {limit}");
            let found = store.list_from("", options.clone().slashes(0)).map_ok(|entry| entry.key);
            assert_eq!(found.try_collect::<Vec<_>>().await.unwrap(), ["f"], "by {limit}");
        }
    });
}

/// Other programs put objects under names that no URL has: listings go on without them, and they can
/// be found and removed.
#[test]
fn names_that_are_no_keys_stop_no_listing_and_are_listed_apart() {
    let server = listing(&["/x", "a", "a//b", "d/", "d/1", "x/../y", "x/./z", "z"]);
    let store = store(&server);
    block_on(async {
        for limit in [1, 2, 3, 1_000] {
            let options = ListOptions::default().limit(limit);
            let found = store.list_from("", options).map_ok(|entry| entry.key);
            assert_eq!(found.try_collect::<Vec<_>>().await.unwrap(), ["a", "d/1", "z"]);
        }
        let page = store.list_directory("", ListOptions::default()).await.unwrap();
        assert_eq!(page.directories, ["a/", "d/", "x/"], "`/` is none");
        let page = store.list_foreign("", ListOptions::default()).await.unwrap();
        let names: Vec<_> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!((names, page.next), (vec!["/x", "a//b", "d/", "x/../y", "x/./z"], None));
    });
}

#[test]
fn directories_are_listed_to_the_end_whatever_the_server_repeats() {
    // The last key of `d/` sorts after the one by which a listing goes on behind it.
    let server = listing(&["a/1", "d/\u{10FFFF}x", "e", "f/1", "g"]);
    let store = store(&server);
    block_on(async {
        for limit in [1, 2, 3, 1_000] {
            let (mut seen, mut options) = (Vec::new(), ListOptions::default().limit(limit));
            loop {
                let Directory { entries, directories, next } =
                    store.list_directory("", options.clone()).await.unwrap();
                seen.extend(entries.into_iter().map(|Entry { key, .. }| key));
                seen.extend(directories);
                assert!(seen.len() < 10, "{seen:?}");
                let Some(next) = next else { break };
                options = options.after(next);
            }
            seen.sort();
            assert_eq!(seen, ["a/", "d/", "e", "f/", "g"], "by {limit}");
        }
    });
}

/// What comes is held against the checksum that the server has of what was written.
#[test]
fn a_body_whose_checksum_does_not_match_is_an_error() {
    let server = Canned::start(|head, _| {
        assert!(head.contains("x-amz-checksum-mode: ENABLED"), "{head}");
        let sum = match head.starts_with("GET /b/right") {
            // The CRC-32 of `123456789` is cbf43926.
            true => "x-amz-checksum-crc32: y/Q5Jg==\r\n",
            false => "x-amz-checksum-crc32: y/Q5Jw==\r\n",
        };
        answer(200, &format!("ETag: \"e\"\r\n{sum}"), "123456789")
    });
    let store = store(&server);
    block_on(async {
        assert_eq!(store.read("right").await.unwrap(), "123456789");
        let error = store.read("wrong").await.unwrap_err();
        assert_eq!(error.location(), "s3://b/wrong");
        assert!(matches!(error, Error::Checksum { .. }) && error.retry(), "{error:?}");
        assert!(error.to_string().contains("the checksum does not match (get)"), "{error}");
    });
    assert_eq!(server.seen().len(), 2, "what was handed on cannot be taken back");
}

/// Where some keys of many are not removed because the store has too much to do, they are asked
/// for again; where they may not be removed, that is said.
#[test]
fn keys_that_were_not_removed_are_told_by_their_codes() {
    let asked = AtomicU32::new(0);
    let server = Canned::start(move |_, body| {
        let failed = |key: &str, code: &str| {
            format!("<Error><Key>{key}</Key><Code>{code}</Code><Message>no</Message></Error>")
        };
        let failed = match asked.fetch_add(1, Ordering::Relaxed) {
            _ if body.contains("<Key>kept</Key>") => {
                failed("a", "SlowDown") + &failed("kept", "AccessDenied")
            }
            0 => failed("a", "InternalError"),
            1 => failed("b", "OperationAborted"),
            _ => String::new(),
        };
        let body = format!("<DeleteResult>{failed}</DeleteResult>");
        answer(200, "Content-Type: application/xml\r\n", &body)
    });
    let store = store(&server);
    block_on(async {
        let keys = ["a", "b"].map(str::to_owned);
        store.delete_many(&keys).await.unwrap();
        assert_eq!(server.seen().len(), 3);
        let keys = ["a", "kept"].map(str::to_owned);
        let error = store.delete_many(&keys).await.unwrap_err();
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
        assert_eq!(error.location(), "s3://b/kept");
        assert_eq!(server.seen().len(), 4, "it is not asked for again");
    });
}

/// A trial of conditions in a bucket that is not there says so, and is no finding about the store.
#[test]
fn a_missing_bucket_is_named_by_a_write_under_conditions_too() {
    let server = Canned::start(|_, _| {
        let body = "<Error><Code>NoSuchBucket</Code><Message>none</Message></Error>";
        answer(404, "Content-Type: application/xml\r\n", body)
    });
    let store = store(&server);
    let error = block_on(store.put("a", "x".into(), PutOptions::if_absent())).unwrap_err();
    let is_bucket = matches!(&error, Error::NotFound { sought, .. } if sought.contains("bucket"));
    assert!(is_bucket, "{error:?}");
}

/// The value of a header.
fn line(head: &str, name: &str) -> Option<String> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.to_owned())
}

const ALGORITHM: &str = "x-amz-checksum-algorithm";

const XML: &str = "Content-Type: application/xml\r\n";

/// One request copies 5 GiB at most.
#[test]
fn large_objects_are_copied_by_the_store_in_parts() {
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let copied = Arc::clone(&ranges);
    let server = Canned::start(move |head, body| {
        let line = |name: &str| line(head, name);
        let xml = XML;
        match head.split([' ', '?']).next() {
            Some("HEAD") => Some(format!(
                "HTTP/1.1 200 Canned\r\nContent-Length: {}\r\nETag: \"v1\"\r\n\
                 x-amz-meta-who: me\r\nConnection: close\r\n\r\n",
                (11_u64 << 29) + 3
            )),
            Some("PUT") => {
                assert_eq!(line("x-amz-copy-source").unwrap(), "b/from");
                assert_eq!(line("x-amz-copy-source-if-match").unwrap(), "\"v1\"");
                copied.lock().unwrap().push(line("x-amz-copy-source-range").unwrap());
                answer(200, xml, "<CopyPartResult><ETag>\"p\"</ETag></CopyPartResult>")
            }
            Some("POST") if head.contains("uploads") => {
                assert_eq!(line("x-amz-meta-who").unwrap(), "me");
                let id = "<UploadId>7</UploadId>";
                let body =
                    format!("<InitiateMultipartUploadResult>{id}</InitiateMultipartUploadResult>");
                answer(200, xml, &body)
            }
            Some("POST") => {
                assert_eq!(body.matches("<PartNumber>").count(), 6, "{body}");
                let etag = "<ETag>\"whole-6\"</ETag>";
                let body = format!(
                    "<CompleteMultipartUploadResult>{etag}</CompleteMultipartUploadResult>"
                );
                answer(200, xml, &body)
            }
            other => panic!("{other:?}"),
        }
    });
    let store = store(&server);
    let written = block_on(store.copy("from", "to", PutOptions::default())).unwrap();
    assert_eq!((written.size, written.etag.as_str()), ((11 << 29) + 3, "whole-6"));
    let mut ranges = ranges.lock().unwrap().clone();
    ranges.sort();
    let gib = 1_u64 << 30;
    let mut expected: Vec<String> =
        (0..5).map(|n| (n * gib, (n + 1) * gib - 1)).map(said_of).collect();
    expected.push(said_of((5 * gib, (11 << 29) + 2)));
    expected.sort();
    assert_eq!(ranges, expected);
    assert!(
        server.seen().iter().all(|line| !line.starts_with("GET")),
        "it does not pass through us"
    );
}

fn said_of((first, last): (u64, u64)) -> String {
    format!("bytes={first}-{last}")
}

/// A part as it came: its number, whether what its headers say of it is so, and that.
type Part = (u32, bool, [Option<String>; 2]);

/// A server that takes an object in parts, and what it was sent. As Amazon and Garage do, it finds no
/// part that has a checksum where none was announced, or none where one was.
fn taking_parts() -> (Canned, Arc<Mutex<Vec<Part>>>) {
    let parts = Arc::new(Mutex::new(Vec::<Part>::new()));
    let (came, announced) = (Arc::clone(&parts), Mutex::new(None));
    let server = Canned::start(move |head, body| match head.split([' ', '?']).next() {
        Some("PUT") => {
            let number = said(head, "partNumber").unwrap().parse().unwrap();
            let sha256 = digest(&SHA256, body.as_bytes());
            let sha256: String = sha256.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            let crc32 = crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, body.as_bytes());
            let crc32 = u32::try_from(crc32).unwrap().to_be_bytes();
            let wanted = [Some(sha256), Some(BASE64_STANDARD.encode(crc32))];
            let found = ["x-amz-content-sha256", "x-amz-checksum-crc32"].map(|it| line(head, it));
            let echo = found[1].as_ref().map(|it| format!("x-amz-checksum-crc32: {it}\r\n"));
            came.lock().unwrap().push((number, found == wanted, found));
            answer(200, &format!("ETag: \"p\"\r\n{}", echo.unwrap_or_default()), "")
        }
        Some("POST") if head.contains("uploads") => {
            *announced.lock().unwrap() = line(head, ALGORITHM);
            let id = "<UploadId>7</UploadId>";
            let body =
                format!("<InitiateMultipartUploadResult>{id}</InitiateMultipartUploadResult>");
            answer(200, XML, &body)
        }
        Some("POST") => {
            let mut parts = came.lock().unwrap().clone();
            parts.sort();
            let has_sums = announced.lock().unwrap().as_deref() == Some("CRC32");
            let kept = |part: &Part| part.2[1].clone().filter(|_| has_sums);
            let said = body.split("</Part>").filter(|part| part.contains("<Part>"));
            let said = said.map(|part| {
                let (_, sum) = part.split_once("<ChecksumCRC32>")?;
                Some(sum.split_once('<')?.0.to_owned())
            });
            if !said.eq(parts.iter().map(kept)) {
                return answer(400, XML, "<Error><Code>InvalidPart</Code></Error>");
            }
            let etag = "<ETag>\"whole\"</ETag>";
            let body =
                format!("<CompleteMultipartUploadResult>{etag}</CompleteMultipartUploadResult>");
            answer(200, XML, &body)
        }
        _ => answer(204, "", ""),
    });
    (server, parts)
}

/// Whether they go with each part or not.
#[test]
fn the_end_has_checksums_of_parts_only_if_they_were_announced() {
    for setting in ["when_supported", "when_required"] {
        let (server, parts) = taking_parts();
        let store = store_with(&server, &[("checksums", setting)]);
        block_on(async {
            let mut writer = store.writer("k", PutOptions::default()).await.unwrap();
            writer.write(vec![b'x'; 17 << 20].into()).await.unwrap();
            writer.finish().await.unwrap();
        });
        let parts = parts.lock().unwrap();
        let have_sums = parts.iter().filter(|part| part.2[1].is_some()).count();
        assert_eq!((parts.len(), have_sums > 0), (3, setting == "when_supported"), "{setting}");
    }
}

/// Those of most parts are made while they are read: the first is read before there is a writer.
#[test]
fn parts_of_a_copied_file_have_their_checksums() {
    let (server, parts) = taking_parts();
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..u32::from(u16::MAX) * 70).map(|n| format!("{n:07}")).collect();
    std::fs::write(dir.path().join("long"), &text).unwrap();
    let from = Locator::new(dir.path()).open("long").unwrap();
    let to = Location { store: store(&server), key: "k".to_owned() };
    block_on(transfer::copy(from, to, PutOptions::default(), |_| {})).unwrap();
    let mut parts = parts.lock().unwrap();
    parts.sort();
    let are_right: Vec<(u32, bool)> = parts.iter().map(|part| (part.0, part.1)).collect();
    let wanted: Vec<(u32, bool)> = (1..=4).map(|number| (number, true)).collect();
    assert_eq!(are_right, wanted, "{parts:?}");
}

/// Else they would be made twice.
#[test]
fn known_checksums_go_with_their_part() {
    let (server, parts) = taking_parts();
    let part = vec![b'x'; 8 << 20];
    let known = Sums { length: part.len(), crc32: Some(0x0102_0304), sha256: Some([0xab; 32]) };
    block_on(async {
        let mut writer = store(&server).writer("k", PutOptions::default()).await.unwrap();
        writer.write_summed(part.clone().into(), known.clone()).await.unwrap();
        // Of what is gathered from several pieces nothing is known.
        writer.write_summed("y".into(), Sums { length: 1, ..known.clone() }).await.unwrap();
        writer.write_summed(part.into(), known).await.unwrap();
        writer.finish().await.unwrap();
    });
    let mut parts = parts.lock().unwrap();
    parts.sort();
    let (_, is_right, said) = &parts[0];
    assert!(!is_right);
    assert_eq!(*said, [Some("ab".repeat(32)), Some("AQIDBA==".to_owned())]);
    assert!(parts.len() == 3 && parts[1].1 && parts[2].1, "{parts:?}");
}
