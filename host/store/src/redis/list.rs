//! Listing: all names are read and sorted, and kept for the page that follows.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{RedisStore, failed, scripts};
use crate::adapters::now;
use crate::{Directory, Entry, Error, ListOptions, Page, Result, directory};

/// Keys of one request.
pub(super) const KEYS_AT_ONCE: usize = 100;

/// Keys of a page unless the caller asks for fewer.
const PAGE_MAX: usize = 1_000;

/// Names that are held and sorted.
const NAMES_MAX: usize = 1_000_000;

/// Listings that are kept, and how long: what is written elsewhere meanwhile is not in them.
const KEPT_MAX: usize = 4;
const KEPT_FOR: Duration = Duration::from_secs(10);

/// Listings that are not at their end: by prefix and the last name of the page before.
#[derive(Default)]
pub(super) struct Kept(Mutex<VecDeque<Rest>>);

struct Rest {
    prefix: String,
    after: String,
    names: VecDeque<String>,
    since: Instant,
}

// === impl Kept ===

impl Kept {
    /// What is written from now on, the next listing must show.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn take(&self, prefix: &str, after: &str) -> Option<VecDeque<String>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|rest| rest.since.elapsed() < KEPT_FOR);
        let at = kept.iter().position(|rest| rest.prefix == prefix && rest.after == after)?;
        Some(kept.remove(at)?.names)
    }

    fn keep(&self, prefix: &str, after: &str, names: VecDeque<String>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        kept.push_back(Rest { prefix, after, names, since: now() });
    }
}

pub(super) async fn page(store: &RedisStore, prefix: &str, options: &ListOptions) -> Result<Page> {
    let limit = options.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let slashes = options.slashes.unwrap_or(usize::MAX);
    let mut names = names(store, prefix, options.after.as_deref().unwrap_or_default()).await?;
    names.retain(|name| name[prefix.len()..].matches('/').count() <= slashes);
    let mut page = Page::default();
    while page.entries.len() < limit && !names.is_empty() {
        let many = (limit - page.entries.len()).min(KEYS_AT_ONCE).min(names.len());
        let chunk: Vec<String> = names.drain(..many).collect();
        page.next = chunk.last().cloned();
        page.entries.extend(entries(store, chunk).await?);
    }
    match &page.next {
        Some(last) if !names.is_empty() => {
            // Those that lie too deep are not among them any more.
            if options.slashes.is_none() {
                store.0.kept.keep(prefix, last, names);
            }
        }
        _ => page.next = None,
    }
    Ok(page)
}

pub(super) async fn directory(
    store: &RedisStore,
    prefix: &str,
    options: &ListOptions,
) -> Result<Directory> {
    let limit = options.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let after = options.after.as_deref().unwrap_or_default();
    let mut names = names(store, prefix, after).await?;
    let mut page = Directory::default();
    let mut objects = Vec::new();
    let mut said = directory::of(prefix, after).map(str::to_owned);
    while objects.len() + page.directories.len() < limit
        && let Some(name) = names.pop_front()
    {
        match directory::of(prefix, &name) {
            None => {
                page.next = Some(name.clone());
                objects.push(name);
            }
            Some(found) if said.as_deref() == Some(found) => {}
            Some(found) => {
                page.next = Some(format!("{found}{}", char::MAX));
                page.directories.push(found.to_owned());
                said = Some(found.to_owned());
            }
        }
    }
    let is_said = |name: &String| said.as_deref().is_some_and(|said| name.starts_with(said));
    if names.iter().all(is_said) {
        page.next = None;
    }
    for chunk in objects.chunks(KEYS_AT_ONCE) {
        page.entries.extend(entries(store, chunk.to_vec()).await?);
    }
    Ok(page)
}

/// What is known of these, but for those that are gone meanwhile.
async fn entries(store: &RedisStore, keys: Vec<String>) -> Result<Vec<Entry>> {
    let found = scripts::heads(store, &keys).await;
    let found = found.map_err(|error| failed(&store.url(&keys[0]), &error))?;
    let entry = |(key, metadata): (String, Option<_>)| Some(Entry { key, metadata: metadata? });
    Ok(keys.into_iter().zip(found).filter_map(entry).collect())
}

/// The names that start so and sort after this one, in order.
async fn names(store: &RedisStore, prefix: &str, after: &str) -> Result<VecDeque<String>> {
    if let Some(names) = store.0.kept.take(prefix, after) {
        return Ok(names);
    }
    let mut names = BTreeSet::new();
    let pattern = format!("{}*", literal(prefix));
    let mut cursor = 0;
    loop {
        let step = scripts::scan(store, cursor, &pattern).await;
        let (next, found) = step.map_err(|error| failed(&store.url(prefix), &error))?;
        // Of names that are not text none is a key.
        let found = found.into_iter().filter_map(|name| String::from_utf8(name).ok());
        names.extend(found.filter(|name| name.as_str() > after && name.starts_with(prefix)));
        if names.len() > NAMES_MAX {
            let reason = "more than a million names are not sorted in memory; list them by a \
                          longer prefix";
            return Err(Error::generic(store.url(prefix), reason));
        }
        if next == 0 {
            return Ok(names.into_iter().collect());
        }
        cursor = next;
    }
}

/// A text as a pattern of Redis that matches itself alone.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if "*?[]\\^-".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_no_patterns() {
        assert_eq!(literal("a*b?[c]\\d/ü"), "a\\*b\\?\\[c\\]\\\\d/ü");
    }
}
