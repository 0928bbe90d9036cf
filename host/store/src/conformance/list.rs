//! Cases of listing: order, pages, prefixes.

use futures::future;

use super::{Area, assert_fails, assert_same, is_invalid_key};
use crate::ListOptions;

/// Names in order. `.` sorts before `/`, `/` before `0`: a directory is no unit of sorting.
const NAMES: &[&str] = &[
    "a-b/c",
    "a.b",
    "a.b.c/d",
    "a/b",
    "a/b.c",
    "a/b0",
    "a/c/d/e",
    "a/c/f",
    "a0",
    "aa/b",
    "b",
    "ba",
    "z",
    "ü",
    "日本/語",
    "😀",
];

pub(super) async fn order(area: Area<'_>) {
    write(area).await;
    assert_eq!(area.names("", 1_000).await, NAMES);
    assert!(NAMES.is_sorted());
}

pub(super) async fn pages(area: Area<'_>) {
    write(area).await;
    for limit in 0..=NAMES.len() + 1 {
        assert_eq!(area.names("", limit).await, NAMES, "pages of {limit}");
        let page = area.list("", ListOptions::default().limit(limit)).await;
        assert_eq!(page.entries.len(), limit.clamp(1, NAMES.len()));
        assert_eq!(page.next.is_some(), limit < NAMES.len(), "pages of {limit}");
    }
    assert_eq!(area.names("a/", 2).await, &NAMES[3..8]);
}

pub(super) async fn prefixes(area: Area<'_>) {
    write(area).await;
    for prefix in [
        "", "a", "a.", "a.b", "a.b.c/", "a/", "a/b", "a/b.", "a/c", "a/c/", "a/c/d", "a/c/d/",
        "a/c/d/e", "a0", "aa", "b", "c", "a/x", "x/y/z", "a/b/", "a0/", "ü", "日", "日本/", ".",
        "..",
    ] {
        let expected = NAMES.iter().copied().filter(|name| name.starts_with(prefix));
        assert_eq!(area.names(prefix, 3).await, expected.collect::<Vec<_>>(), "prefix {prefix:?}");
    }
    for prefix in ["/", "a//", "../", "a/./", "a/../b", "a\0"] {
        let key = area.key(prefix);
        let list = area.store.list(&key, ListOptions::default()).await;
        assert_fails(list, &key, is_invalid_key);
    }
}

pub(super) async fn after(area: Area<'_>) {
    write(area).await;
    let odd =
        ["", "!", "a", "a/", "a/b/", "a/c", "a/c/d", "a/c/z", "a//", "az", "zz", "\u{10ffff}"];
    for after in NAMES.iter().copied().chain(odd) {
        for prefix in ["", "a", "a/", "a/c/", "z"] {
            let page = area.list(prefix, ListOptions::default().after(after)).await;
            let found: Vec<_> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
            let expected =
                NAMES.iter().copied().filter(|name| name.starts_with(prefix) && *name > after);
            assert_eq!(found, expected.collect::<Vec<_>>(), "prefix {prefix:?} after {after:?}");
        }
    }
}

pub(super) async fn slashes(area: Area<'_>) {
    write(area).await;
    for prefix in ["", "a", "a/", "a/c", "aa/b"] {
        for most in 0..4 {
            let page = area.list(prefix, ListOptions::default().slashes(most)).await;
            let found: Vec<_> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
            let expected = NAMES.iter().copied().filter(|name| {
                name.strip_prefix(prefix).is_some_and(|rest| rest.matches('/').count() <= most)
            });
            assert_eq!(found, expected.collect::<Vec<_>>(), "prefix {prefix:?}, {most} slashes");
        }
    }
}

/// What lies directly below, page by page, whatever the pages' size.
pub(super) async fn directories(area: Area<'_>) {
    write(area).await;
    for prefix in ["", "a", "a/", "a/c", "a/c/", "日本/", "none/"] {
        let (mut objects, mut directories) = (Vec::new(), Vec::new());
        for name in NAMES.iter().filter_map(|name| name.strip_prefix(prefix)) {
            match name.split_once('/') {
                None => objects.push(format!("{prefix}{name}")),
                Some((first, _)) => directories.push(format!("{prefix}{first}/")),
            }
        }
        directories.dedup();
        for limit in [1, 2, 3, 1_000] {
            let mut found = (Vec::new(), Vec::new());
            let mut options = ListOptions::default().limit(limit);
            loop {
                let page = area.store.list_directory(&area.key(prefix), options.clone()).await;
                let page = page.expect(prefix);
                found.0.extend(page.entries.iter().map(|entry| area.strip(&entry.key)));
                found.1.extend(page.directories.iter().map(|key| area.strip(key)));
                let Some(next) = page.next else { break };
                options = options.after(next);
            }
            assert_eq!(found, (objects.clone(), directories.clone()), "{prefix:?} by {limit}");
        }
    }
}

pub(super) async fn metadata_in_lists(area: Area<'_>) {
    for (name, body) in [("a", "1"), ("b/c", "22"), ("d", "")] {
        let written = area.put(name, body).await;
        let page = area.list(name, ListOptions::default()).await;
        assert_eq!(page.entries.len(), 1, "{name}");
        assert_same(&page.entries[0].metadata, &written);
        assert_same(&area.head(name).await.expect(name), &written);
    }
}

pub(super) async fn many_objects(area: Area<'_>) {
    let name = |n: usize| format!("{:02}/{n:04}", n % 7);
    let put = |n| async move {
        area.put(&name(n), "").await;
    };
    for start in (0..1_200).step_by(20) {
        future::join_all((start..start + 20).map(put)).await;
    }
    let mut expected: Vec<_> = (0..1_200).map(name).collect();
    expected.sort();
    for limit in [77, 1_000, usize::MAX] {
        assert_eq!(area.names("", limit).await, expected, "pages of {limit}");
    }
}

async fn write(area: Area<'_>) {
    for name in NAMES {
        area.put(name, *name).await;
    }
}
