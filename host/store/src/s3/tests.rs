//! Tests with answers that servers give seldom; those with real servers are in `tests/stores`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::TryStreamExt;

use crate::canned::{Canned, answer};
use crate::{
    Directory, Entry, Error, ListOptions, Locator, Policy, PutOptions, Settings, Store, StoreExt,
};

/// The bucket `b` of this server.
fn store(server: &Canned) -> Arc<dyn Store> {
    let settings = [
        ("endpoint", server.endpoint.as_str()),
        ("region", "us-east-1"),
        ("access_key_id", "id"),
        ("secret_access_key", "key"),
    ];
    let settings = settings
        .iter()
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

/// One request copies 5 GiB at most.
#[test]
fn large_objects_are_copied_by_the_store_in_parts() {
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let copied = Arc::clone(&ranges);
    let server = Canned::start(move |head, body| {
        let line = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_owned())
        };
        let xml = "Content-Type: application/xml\r\n";
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
