//! Reaches for another tenant's objects, under every name that might be theirs.

use samara_guest::function;
use samara_guest::storage::{self, Writer};

use crate::Loot;

/// What each of the URLs gives, by every way to read.
#[function]
pub fn reads_by_every_way(urls: Vec<String>, own: String) -> Vec<Loot> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let mut loot = Vec::new();
    for url in &urls {
        loot.push(storage::get(url).map(text).into());
        loot.push(storage::get_range(url, 0, 1000).map(text).into());
        loot.push(storage::head(url).into());
        let copied = storage::copy(url, &own).and_then(|_| storage::get(&own));
        loot.push(copied.map(text).into());
    }
    loot
}

/// What the listings of the prefixes give.
#[function]
pub fn lists_each(prefixes: Vec<String>) -> Vec<Loot> {
    let list = |prefix: &String| {
        storage::list(prefix).map(|entry| entry.map(|it| it.url)).collect::<Result<Vec<_>, _>>()
    };
    prefixes.iter().map(|prefix| list(prefix).into()).collect()
}

/// What it comes to to write to each of the URLs, and to remove what is there.
#[function]
pub fn writes_by_every_way(urls: Vec<String>, own: String) -> Vec<Loot> {
    let mut loot = Vec::new();
    for url in &urls {
        loot.push(storage::put(url, b"mine").into());
        loot.push(storage::put_if_absent(url, b"mine").into());
        loot.push(Writer::create(url).and_then(Writer::finish).into());
        loot.push(storage::copy(&own, url).into());
        loot.push(storage::delete(url).into());
    }
    loot
}
