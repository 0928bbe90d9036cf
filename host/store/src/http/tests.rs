//! Tests of what needs no server; those with one are in `tests/stores`.

use super::read::{content_range, seconds, unquoted};
use super::*;
use crate::Locator;
use crate::conformance::tests::block_on;

fn store(authority: &str) -> HttpStore {
    HttpStore { root: format!("https://{authority}/"), clients: Clients::new().unwrap() }
}

#[test]
fn names_are_sent_as_they_are() {
    let store = store("h");
    for (key, url) in [
        ("a/b.csv", "https://h/a/b.csv"),
        ("a%20b", "https://h/a%20b"),
        ("a b", "https://h/a%20b"),
        ("k?sig=a%2Fb&x=http://y", "https://h/k?sig=a%2Fb&x=http://y"),
        ("a#b", "https://h/a%23b"),
        ("ü", "https://h/%C3%BC"),
        ("a'b\"<{|}>^`\\", "https://h/a%27b%22%3C%7B%7C%7D%3E%5E%60%5C"),
        ("[x]$*~", "https://h/[x]$*~"),
    ] {
        assert_eq!(store.url(key).unwrap().as_str(), url, "{key}");
    }
    for key in ["", "a//b", "a/", "../a", "%2e%2e/a", "a/%2E", "?q", "a\0"] {
        let error = store.url(key).unwrap_err();
        assert!(matches!(error, Error::InvalidKey { .. }), "{key}: {error}");
    }
    let error = store.url("a//b?sig=00ff&u=1").unwrap_err();
    assert_eq!(error.location(), "https://h/a//b?sig=…&u=1");
}

#[test]
fn headers_are_read() {
    assert_eq!(content_range("bytes 5-9/20"), Some((5..10, 20)));
    for not in ["bytes */20", "bytes 5-9/*", "bytes 9-5/20", "bytes 5-20/20", "5-9/20"] {
        assert_eq!(content_range(not), None, "{not}");
    }
    assert_eq!((unquoted("W/\"a\""), unquoted("\"\"")), ("a", ""));
    assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
    assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
    assert_eq!(seconds("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
    for not in ["", "yesterday", "Sun, 06 Nev 1994 08:49:37 GMT", "Sun, 06 Nov 1894 08:49:37 GMT"] {
        assert_eq!(seconds(not), None, "{not}");
    }
}

#[test]
fn there_are_no_writes_and_no_listings() {
    let (store, key) = (store("h"), "k?X-Amz-Signature=00ff");
    block_on(async {
        let put = store.put(key, "x".into(), PutOptions::default()).await.unwrap_err();
        assert!(put.to_string().contains("write to another store"), "{put}");
        assert!(!put.to_string().contains("00ff"), "{put}");
        let list = store.list("", ListOptions::default()).await.unwrap_err();
        assert!(list.to_string().contains("name each object by its URL"), "{list}");
        assert!(store.delete(key).await.is_err());
        assert!(!store.conditions().await.unwrap().if_absent);
    });
    assert!(Locator::default().open("https://").is_err());
}
