//! Cases of names: which there are, and that they are taken as they are.

use super::{Area, ODD_NAMES, assert_fails, is_invalid_key};
use crate::{ListOptions, PutOptions};

pub(super) async fn odd_names(area: Area<'_>) {
    let odd = area.possible(ODD_NAMES);
    for name in &odd {
        area.put(name, *name).await;
    }
    for name in &odd {
        assert_eq!(area.read(name).await.expect(name), name);
        let listed = area.list(name, ListOptions::default()).await;
        assert_eq!(listed.entries[0].key, *name);
    }
    let mut names = odd.clone();
    names.sort_unstable();
    assert_eq!(area.names("", 3).await, names);

    for name in &odd {
        let (from, to) = (area.key(name), area.key(&format!("copies/{name}")));
        area.store.copy(&from, &to, PutOptions::default()).await.expect(name);
        area.delete(name).await;
    }
    assert_eq!(area.names("", 100).await.len(), odd.len());
    for name in area.exceptions.names {
        assert!(!holds(area, name).await, "{name:?} is no exception any more");
    }
}

/// Whether a name comes back as it was written.
async fn holds(area: Area<'_>, name: &str) -> bool {
    let name = format!("exceptions/{name}");
    if area.try_put(&name, "1", PutOptions::default()).await.is_err() {
        return false;
    }
    let is_read = area.read(&name).await.is_ok_and(|read| read == "1");
    is_read && area.names("exceptions/", 100).await.contains(&name)
}

/// Keys of 900 bytes: S3 allows 1,024.
pub(super) async fn deep_names(area: Area<'_>) {
    let name = format!("{}end", "segment/".repeat(112));
    area.put(&name, "deep").await;
    assert_eq!(area.read(&name).await.expect("deep"), "deep");
    assert_eq!(area.names("", 10).await, [name]);
}

pub(super) async fn invalid_names(area: Area<'_>) {
    for name in ["", "/", "a/", "/a", "a//b", ".", "..", "a/.", "a/..", "../a", "a/../../b", "\0"] {
        let (store, key) = (area.store, area.key(name));
        let put = PutOptions::default();
        assert_fails(area.try_put(name, "1", put.clone()).await, &key, is_invalid_key);
        assert_fails(area.try_put(name, "1", PutOptions::if_absent()).await, &key, is_invalid_key);
        assert_fails(store.writer(&key, put.clone()).await, &key, is_invalid_key);
        assert_fails(area.head(name).await, &key, is_invalid_key);
        assert_fails(area.read(name).await, &key, is_invalid_key);
        assert_fails(store.delete(&key).await, &key, is_invalid_key);
        assert_fails(store.copy(&key, &area.key("x"), put.clone()).await, &key, is_invalid_key);
    }
    area.put("x", "1").await;
    let (from, to) = (area.key("x"), area.key("../y"));
    assert_fails(area.store.copy(&from, &to, PutOptions::default()).await, &to, is_invalid_key);
    assert_fails(area.store.head("").await, "", is_invalid_key);
    assert_fails(area.store.head("/etc/passwd").await, "/etc/passwd", is_invalid_key);
}
