//! `http:` against a small server of our own, which answers rightly, in other ways, and wrongly.
#![allow(missing_docs, reason = "a test")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use samara_store::{Error, GetOptions, Locator, Operation, Policy, PutOptions, StoreExt, transfer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const BODY: &str = "0123456789";

/// Bytes of an object that is copied by several ranges.
const LARGE: usize = 40_000_000;

/// What was asked: the method, the path with its query, and the range, both ends included.
struct Asked {
    method: String,
    path: String,
    range: Option<(usize, usize)>,
}

async fn ask(stream: &mut TcpStream) -> Option<Asked> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(text).ok()?;
    let mut words = text.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let range = text.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let (from, to) = value.strip_prefix("bytes=")?.split_once('-')?;
        let to = to.parse::<usize>().unwrap_or(usize::MAX);
        name.eq_ignore_ascii_case("range").then_some((from.parse().ok()?, to))
    });
    Some(Asked { method, path, range })
}

fn whole(headers: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n{BODY}", BODY.len())
}

fn ranged(asked: &Asked, headers: &str) -> String {
    let Some((from, to)) = asked.range else { return whole(headers) };
    if from >= BODY.len() {
        return "HTTP/1.1 416 No\r\nContent-Range: bytes */10\r\nContent-Length: 0\r\n\r\n"
            .to_owned();
    }
    let part = &BODY[from..to.min(BODY.len() - 1) + 1];
    let (end, length) = (from + part.len() - 1, part.len());
    format!(
        "HTTP/1.1 206 Part\r\n{headers}Content-Range: bytes {from}-{end}/10\r\n\
         Content-Length: {length}\r\n\r\n{part}"
    )
}

fn status(line: &str) -> String {
    format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n")
}

/// The answer, and whether the connection is cut after it.
fn answer(asked: &Asked, count: usize) -> (String, bool) {
    const ETAG: &str = "ETag: \"v1\"\r\n";
    const DATE: &str = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let text = match asked.path.as_str() {
        "/ranges" | "/k?sig=a%2Fb&u=1" => ranged(asked, ETAG),
        path if path.starts_with("/stalled") => ranged(asked, ETAG),
        "/whole" => whole(ETAG),
        "/large" => {
            let body = BODY.repeat(LARGE / BODY.len());
            format!("HTTP/1.1 200 OK\r\n{ETAG}Content-Length: {LARGE}\r\n\r\n{body}")
        }
        "/dated" => ranged(asked, DATE),
        "/bare" => ranged(asked, ""),
        "/no-head" if asked.method == "HEAD" => status("405 No"),
        "/signed" if asked.method == "HEAD" => status("403 No"),
        "/no-head" | "/signed" => ranged(asked, ETAG),
        "/counted" => return (format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{BODY}"), true),
        "/short" if asked.method == "GET" => {
            return (format!("HTTP/1.1 200 OK\r\n{ETAG}Content-Length: 10\r\n\r\n01234"), true);
        }
        "/wrong" => {
            "HTTP/1.1 206 Part\r\nContent-Range: bytes 0-9/10\r\nContent-Length: 3\r\n\r\n012"
                .to_owned()
        }
        "/other" => "HTTP/1.1 206 Part\r\nETag: \"v1\"\r\nContent-Range: bytes 0-2/10\r\n\
                     Content-Length: 3\r\n\r\n012"
            .to_owned(),
        "/moved" => "HTTP/1.1 302 On\r\nLocation: /ranges\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "/loop" => "HTTP/1.1 302 On\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "/to-credentials" => {
            "HTTP/1.1 307 On\r\nLocation: http://2852039166/latest\r\nContent-Length: 0\r\n\r\n"
                .to_owned()
        }
        "/to-a-file" => {
            "HTTP/1.1 302 On\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"
                .to_owned()
        }
        "/forbidden" => status("403 No"),
        "/failing" if count < 3 => status("500 No"),
        "/busy" if count < 3 => {
            "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n".to_owned()
        }
        "/failing" | "/busy" | "/short" => ranged(asked, ETAG),
        "/empty" => format!("HTTP/1.1 200 OK\r\n{ETAG}Content-Length: 0\r\n\r\n"),
        _ => status("404 No"),
    };
    match asked.method.as_str() {
        "HEAD" => (text.split_inclusive("\r\n\r\n").next().unwrap_or_default().to_owned(), false),
        _ => (text, false),
    }
}

async fn serve(listener: TcpListener) {
    let count = Arc::new(AtomicUsize::new(0));
    while let Ok((mut stream, _)) = listener.accept().await {
        let count = Arc::clone(&count);
        tokio::spawn(async move {
            while let Some(asked) = ask(&mut stream).await {
                let failing = matches!(asked.path.as_str(), "/failing" | "/busy");
                let count = count.fetch_add(usize::from(failing), Ordering::Relaxed);
                if asked.path.starts_with("/silent") {
                    std::future::pending::<()>().await;
                }
                let (text, is_cut) = answer(&asked, count);
                if asked.path.starts_with("/stalled") && asked.method == "GET" {
                    let half = stream.write_all(&text.as_bytes()[..text.len() - 5]).await;
                    half.expect("the client is there");
                    std::future::pending::<()>().await;
                }
                if stream.write_all(text.as_bytes()).await.is_err() || is_cut {
                    return;
                }
            }
        });
    }
}

fn on_server<F: Future>(test: impl FnOnce(Locator, String) -> F) {
    let io = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    io.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(serve(listener));
        test(Locator::default(), root).await;
        server.abort();
    });
}

#[test]
fn objects_are_read_with_and_without_ranges() {
    on_server(|locator, root| async move {
        for name in [
            "ranges",
            "whole",
            "dated",
            "bare",
            "no-head",
            "signed",
            "counted",
            "moved",
            "k?sig=a%2Fb&u=1",
        ] {
            let location = locator.open(&format!("{root}{name}")).unwrap();
            let (store, key) = (&location.store, &*location.key);
            assert_eq!(store.read(key).await.expect(name), BODY, "{name}");
            let head = store.head(key).await.expect(name);
            assert_eq!(head.size, 10, "{name}");
            for (range, part) in [
                (0..3, "012"),
                (4..6, "45"),
                (8..99, "89"),
                (10..12, ""),
                (50..60, ""),
                (3..3, ""),
                (2..u64::MAX, "23456789"),
            ] {
                let read = store.read_range(key, range.clone(), Some(&head.etag)).await;
                assert_eq!(read.expect(name), part, "{name} {range:?}");
            }
            let read = store.get(key, GetOptions::default().if_match("another")).await;
            assert!(matches!(read, Err(Error::Precondition { .. })), "{name}");
        }
    });
}

/// Each range would be all of it.
#[test]
fn a_server_without_ranges_is_not_asked_for_each() {
    on_server(|locator, root| async move {
        let directory = tempfile::tempdir().unwrap();
        let to = Locator::new(directory.path()).open("copy").unwrap();
        let from = locator.open(&format!("{root}large")).unwrap();
        let mut passed = 0;
        let count = |bytes| passed += bytes;
        transfer::copy(from, to, PutOptions::default(), count).await.unwrap();
        assert_eq!(passed, LARGE as u64);
        let copied = std::fs::read(directory.path().join("copy")).unwrap();
        assert!(copied == BODY.repeat(LARGE / BODY.len()).as_bytes());
        assert_eq!(locator.requests()[&root][&Operation::Get], 2);
    });
}

#[test]
fn etags_come_from_what_the_server_says() {
    on_server(|locator, root| async move {
        for (name, etag, modified) in [
            ("ranges", "v1", None),
            ("dated", "a-2ebc98a1", Some(784_111_777_000)),
            ("bare", "a", None),
            ("counted", "a", None),
        ] {
            let location = locator.open(&format!("{root}{name}")).unwrap();
            let head = location.store.head(&location.key).await.expect(name);
            assert_eq!((&*head.etag, head.modified_ms), (etag, modified), "{name}");
            let object = location.store.get(&location.key, GetOptions::default()).await;
            assert_eq!(object.expect(name).metadata, head, "{name}");
        }
        let location = locator.open(&format!("{root}empty")).unwrap();
        assert_eq!(location.store.head(&location.key).await.expect("empty").size, 0);
        assert_eq!(location.store.read(&location.key).await.expect("empty"), "");
    });
}

#[test]
fn failures_have_classes_and_what_passes_is_tried_again() {
    on_server(|locator, root| async move {
        for name in ["failing", "busy"] {
            let location = locator.open(&format!("{root}{name}")).unwrap();
            assert_eq!(location.store.read(&location.key).await.expect(name), BODY);
        }
        // The rest of a body that broke off comes by a range.
        let location = locator.open(&format!("{root}short")).unwrap();
        let read = location.store.read_range(&location.key, 0..5, None).await;
        assert_eq!(read.expect("short"), "01234");
        for (name, class) in [
            ("missing", "NotFound"),
            ("forbidden", "PermissionDenied"),
            ("wrong", "Generic"),
            ("loop", "Generic"),
        ] {
            let location = locator.open(&format!("{root}{name}")).unwrap();
            let error = location.store.read(&location.key).await.expect_err(name);
            assert!(format!("{error:?}").starts_with(class), "{name}: {error:?}");
            assert_eq!(error.location(), location.url());
        }
        let location = locator.open(&format!("{root}other")).unwrap();
        let read = location.store.read_range(&location.key, 5..8, None).await;
        assert!(matches!(read, Err(Error::Generic { .. })), "another range: {read:?}");
    });
}

/// Neither reading nor looking follows a server to where clouds keep a machine's credentials.
#[test]
fn redirects_to_credentials_are_not_followed() {
    on_server(|locator, root| async move {
        let location = locator.open(&format!("{root}to-credentials")).unwrap();
        let read = location.store.read(&location.key).await.unwrap_err();
        let head = location.store.head(&location.key).await.unwrap_err();
        for error in [read, head] {
            assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
            assert!(error.in_full().contains("leads to http://169.254.169.254"), "{error:?}");
        }
        let location = locator.open(&format!("{root}to-a-file")).unwrap();
        let error = location.store.read(&location.key).await.unwrap_err();
        assert!(error.in_full().contains("no URL of HTTP"), "{error:?}");
    });
}

#[test]
fn one_object_is_found_and_listings_name_the_way_out() {
    on_server(|locator, root| async move {
        let found = locator.discover(&format!("{root}ranges")).await.unwrap();
        assert_eq!((found.len(), found[0].metadata.size), (1, 10));
        let found = locator.discover(&format!("{root}k?sig=a%2Fb&u=1")).await.unwrap();
        assert_eq!(found[0].url, format!("{root}k?sig=a%2Fb&u=1"));
        let error = locator.discover(&format!("{root}missing")).await.unwrap_err();
        assert!(error.to_string().contains("name each object"), "{error}");
    });
}

/// Whatever fails, and wherever: of a signed URL errors show who is asked for what, and no more.
#[test]
fn signatures_of_urls_are_not_in_errors() {
    on_server(|_, root| async move {
        // Each is short of patience with what it is about, and with nothing else.
        let (short, long) = (Duration::from_millis(200), Duration::from_mins(1));
        for (name, reason, answer, stall) in [
            ("silent", "no answer within 200ms", short, long),
            ("stalled", "nothing came for 200ms", long, short),
            ("missing", "not found", long, long),
            ("a//b", "invalid name", long, long),
        ] {
            let policy = Policy { attempts: 2, answer, stall, ..Policy::REMOTE };
            let locator = Locator::default().with_policy(policy);
            let url = format!("{root}{name}?X-Amz-Signature=00ff&sig=a%2Fb&user=1");
            let location = locator.open(&url).unwrap();
            let read = location.store.read(&location.key).await.expect_err(name);
            assert!(read.in_full().contains(reason), "{}", read.in_full());
            let shown = format!("{root}{name}?X-Amz-Signature=…&sig=…&user=1");
            assert!(read.in_full().contains(&shown), "{}", read.in_full());
            let mut all = vec![read.in_full(), format!("{read:?}")];
            all.extend(locator.discover(&url).await.err().map(|error| format!("{error:?}")));
            for said in all {
                assert!(!said.contains("00ff") && !said.contains("a%2Fb"), "{said}");
            }
        }
    });
}
