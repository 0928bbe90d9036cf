//! Listing: Swift lists in the order of keys, from any of them on.

use reqwest::Url;
use serde_json::Value;

use super::SwiftStore;
use crate::{Directory, Entry, Error, ListOptions, Metadata, Page, Result, directory, http};

/// Swift looks for what follows a prefix that ends so, and fails, as nothing does.
const LAST: char = char::MAX;

/// Keys of one answer.
const PAGE_MAX: usize = 1_000;

/// What a listing has: an object, or what deeper keys begin with.
enum Listed {
    Object(Entry),
    Directory(String),
}

// === impl Listed ===

impl Listed {
    fn name(&self) -> &str {
        match self {
            Self::Object(entry) => &entry.key,
            Self::Directory(name) => name,
        }
    }
}

pub(super) async fn page(store: &SwiftStore, prefix: &str, options: &ListOptions) -> Result<Page> {
    let limit = options.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let mut after = options.after.clone();
    loop {
        let asked = prefix.trim_end_matches(LAST);
        let mut listed = ask(store, (asked, after.as_deref()), limit + 1, false).await?;
        let more = listed.len() > limit;
        if asked != prefix {
            listed.truncate(limit);
            let last = listed.last().map(|last| last.name().to_owned()).filter(|_| more);
            listed.retain(|listed| listed.name().starts_with(prefix));
            if listed.is_empty() && last.is_some() {
                after = last;
                continue;
            }
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(limit);
        let mut next = None;
        for listed in listed.into_iter().take(limit) {
            next = Some(listed.name().to_owned());
            if let Listed::Object(entry) = listed {
                entries.push(entry);
            }
        }
        let mut next = next.filter(|_| more);
        if let Some(slashes) = options.slashes {
            let depth = |key: &str| key[prefix.len()..].matches('/').count();
            // On behind a directory that lies too deep, without reading the rest of it.
            if let Some(last) = next.as_mut().filter(|last| depth(last) > slashes) {
                let above = last[prefix.len()..].match_indices('/').nth(slashes);
                last.truncate(prefix.len() + above.map_or(0, |(at, _)| at + 1));
                last.push(char::MAX);
            }
            entries.retain(|entry| depth(&entry.key) <= slashes);
        }
        // Names that end with `/` are how some programs make a directory; none is a key of ours.
        entries.retain(|entry| !entry.key.ends_with('/'));
        if !entries.is_empty() || next.is_none() {
            return Ok(Page { entries, next });
        }
        after = next;
    }
}

pub(super) async fn directory(
    store: &SwiftStore,
    prefix: &str,
    options: &ListOptions,
) -> Result<Directory> {
    if prefix.ends_with(LAST) {
        return directory::by_jumps(store, prefix, options.clone()).await;
    }
    let limit = options.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let after = options.after.as_deref();
    let listed = ask(store, (prefix, after), limit + 1, true).await?;
    let more = listed.len() > limit;
    let said = after.and_then(|after| directory::of(prefix, after));
    let mut page = Directory::default();
    for listed in listed.into_iter().take(limit) {
        match listed {
            Listed::Object(entry) => {
                page.next = Some(entry.key.clone());
                if !entry.key.ends_with('/') {
                    page.entries.push(entry);
                }
            }
            Listed::Directory(name) => {
                page.next = Some(format!("{name}{}", char::MAX));
                if said.is_none_or(|said| name.as_str() > said) {
                    page.directories.push(name);
                }
            }
        }
    }
    page.next = page.next.filter(|_| more);
    Ok(page)
}

async fn ask(
    store: &SwiftStore,
    (prefix, after): (&str, Option<&str>),
    limit: usize,
    delimited: bool,
) -> Result<Vec<Listed>> {
    let (location, path) = (store.url(prefix), store.path(""));
    let limit = limit.to_string();
    let mut query = vec![("format", "json"), ("prefix", prefix), ("limit", &limit)];
    query.extend(after.filter(|after| !after.is_empty()).map(|after| ("marker", after)));
    query.extend(delimited.then_some(("delimiter", "/")));
    let response = store.0.account.ask(&location, |client, storage| {
        let url = format!("{storage}/{path}");
        match Url::parse_with_params(&url, &query) {
            Ok(url) => client.get(url),
            // The request says what is wrong with it.
            Err(_) => client.get(url),
        }
    });
    let response = http::check(&location, response.await?).await?;
    let bytes = response.bytes().await.map_err(|error| http::unanswered(&location, error))?;
    let listed: Vec<Value> =
        serde_json::from_slice(&bytes).map_err(|error| Error::unavailable(&location, error))?;
    let unknown = || Error::generic(&location, "the listing has an entry that is not understood");
    listed.iter().map(|entry| listed_of(entry).ok_or_else(unknown)).collect()
}

fn listed_of(entry: &Value) -> Option<Listed> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    if let Some(name) = text("subdir") {
        return Some(Listed::Directory(name.to_owned()));
    }
    // Of objects in segments `hash` is that of the list of segments.
    let etag = text("slo_etag").or_else(|| text("hash"))?.trim_matches('"').to_owned();
    let modified_ms = text("last_modified").and_then(millis);
    let metadata = Metadata { size: entry.get("bytes")?.as_u64()?, etag, modified_ms };
    Some(Listed::Object(Entry { key: text("name")?.to_owned(), metadata }))
}

/// `2023-10-28T19:18:11.682610` in milliseconds since the Unix epoch.
pub(super) fn millis(date: &str) -> Option<u64> {
    let (day, time) = date.split_once('T')?;
    let numbers = |text: &str, by: char| -> Option<[u64; 3]> {
        let numbers: Option<Vec<u64>> = text.split(by).map(|part| part.parse().ok()).collect();
        numbers?.try_into().ok()
    };
    let (time, rest) = time.trim_end_matches('Z').split_once('.').unwrap_or((time, "0"));
    let ([year, month, day], [hours, minutes, seconds]) = (numbers(day, '-')?, numbers(time, ':')?);
    let millis = format!("{rest:0<3}").get(..3)?.parse::<u64>().ok()?;
    let seconds = (http::days(year, month, day)? * 24 + hours) * 3600 + minutes * 60 + seconds;
    Some(seconds * 1000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_listings_are_read() {
        assert_eq!(millis("2024-02-29T23:59:59.682610"), Some(1_709_251_199_682));
        assert_eq!(millis("1970-01-01T00:00:00"), Some(0));
        assert_eq!(millis("yesterday"), None);
    }
}
