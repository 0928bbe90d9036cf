//! Keys in the order of their bytes, one at a time, whatever the order of the service.

use std::collections::{BTreeMap, VecDeque};

use opendal_core::options;
use opendal_core::raw::OpList;
use opendal_core::raw::oio;

use super::{DalStore, Layout, read, write};
use crate::{Entry, Error, Result};

/// Which keys are walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) prefix: String,
    /// Only those that sort after this one.
    pub(super) after: String,
    /// Only those with at most so many `/` after the prefix.
    pub(super) slashes: usize,
}

/// Keys on their way.
pub(super) enum Walk {
    Flat(Flat),
    Tree(Tree),
}

/// Keys of a service that lists all of them together.
pub(super) struct Flat {
    span: Span,
    lister: oio::Lister,
    order: Order,
    last: String,
    /// Keys that lay too deep, one after the other.
    too_deep: usize,
}

/// From the order of UTF-16, in which some services list, to that of UTF-8. They differ in that
/// UTF-16 has characters beyond U+FFFF before those from U+E000 on: keys with such characters are
/// held back until no key can come that sorts before them.
#[derive(Default)]
struct Order {
    held: BTreeMap<String, Entry>,
    ready: VecDeque<Entry>,
    has_ended: bool,
}

/// Keys of a service that lists directories.
pub(super) struct Tree {
    span: Span,
    /// What is left of the directories above, the innermost last.
    stack: Vec<std::vec::IntoIter<Child>>,
}

/// What is in a directory.
pub(super) struct Child {
    /// The whole key; that of a directory ends with `/`.
    pub(super) key: String,
    /// Of an object.
    pub(super) entry: Option<Entry>,
}

/// Entries of one directory. They are held, and sorted, before the first of them is given.
pub(super) const DIRECTORY_ENTRIES_MAX: usize = 1_000_000;

/// Keys with characters beyond U+FFFF that are held back at once.
const HELD_MAX: usize = 100_000;

/// Keys too deep after which a service that can is asked for what follows.
const TOO_DEEP_MAX: usize = 1_000;

/// Keys that one request asks for.
const ASKED_MAX: usize = 1_000;

// === impl Span ===

impl Span {
    pub(super) fn has(&self, key: &str) -> bool {
        key.strip_prefix(&self.prefix).is_some_and(|rest| rest.matches('/').count() <= self.slashes)
            && *key > *self.after
    }

    /// Whether a key of this directory may be in the span.
    fn may_have(&self, directory: &str) -> bool {
        let within = match directory.strip_prefix(&self.prefix) {
            Some(rest) => rest.matches('/').count() <= self.slashes,
            None => self.prefix.starts_with(directory),
        };
        within && (*directory > *self.after || self.after.starts_with(directory))
    }
}

// === impl Walk ===

impl Walk {
    pub(super) async fn open(store: &DalStore, span: Span, limit: usize) -> Result<Self> {
        if store.plan().layout != Layout::Tree {
            return Ok(Self::Flat(Flat::open(store, span, limit).await?));
        }
        let directory = span.prefix.rfind('/').map_or("", |slash| &span.prefix[..=slash]);
        let first = sorted(children(store, directory).await?);
        Ok(Self::Tree(Tree { span, stack: vec![first.into_iter()] }))
    }

    pub(super) async fn next(&mut self, store: &DalStore) -> Result<Option<Entry>> {
        match self {
            Self::Flat(flat) => flat.next(store).await,
            Self::Tree(tree) => tree.next(store).await,
        }
    }
}

// === impl Flat ===

impl Flat {
    async fn open(store: &DalStore, span: Span, limit: usize) -> Result<Self> {
        let sorted = store.plan().layout == Layout::Sorted;
        let asked = options::ListOptions {
            recursive: true,
            start_after: Some(span.after.clone()).filter(|after| sorted && !after.is_empty()),
            limit: sorted.then(|| limit.saturating_add(1).clamp(2, ASKED_MAX)),
            ..options::ListOptions::default()
        };
        let lister = lister(store, &span.prefix, asked).await?;
        Ok(Self { span, lister, order: Order::default(), last: String::new(), too_deep: 0 })
    }

    async fn next(&mut self, store: &DalStore) -> Result<Option<Entry>> {
        loop {
            let Some(entry) = self.order.next() else {
                if self.order.has_ended {
                    return Ok(None);
                }
                match next_of(store, &self.span.prefix, &mut self.lister).await? {
                    Some(entry) => self.order.add(store, entry)?,
                    None => self.order.end(),
                }
                continue;
            };
            if entry.key <= self.last {
                let reason = "the service does not list in the order of keys";
                return Err(Error::generic(store.url(&entry.key), reason));
            }
            self.last.clone_from(&entry.key);
            if self.span.has(&entry.key) {
                self.too_deep = 0;
                return Ok(Some(entry));
            }
            self.too_deep += 1;
            if self.too_deep >= TOO_DEEP_MAX && store.plan().layout == Layout::Sorted {
                self.jump(store, &entry.key).await?;
            }
        }
    }

    /// Goes on behind the directory in which this key lies too deep.
    async fn jump(&mut self, store: &DalStore, key: &str) -> Result<()> {
        self.too_deep = 0;
        let Some(rest) = key.strip_prefix(&self.span.prefix) else { return Ok(()) };
        let Some((at, _)) = rest.match_indices('/').nth(self.span.slashes) else { return Ok(()) };
        let directory = &key[..=self.span.prefix.len() + at];
        let span = Span { after: format!("{directory}{}", char::MAX), ..self.span.clone() };
        let last = std::mem::take(&mut self.last);
        *self = Self { last, ..Self::open(store, span, ASKED_MAX).await? };
        Ok(())
    }
}

// === impl Order ===

impl Order {
    fn add(&mut self, store: &DalStore, entry: Entry) -> Result<()> {
        let passed = |held: &String| !entry.key.starts_with(&held[..begin(held).unwrap_or(0)]);
        let passed: Vec<String> = self.held.keys().filter(|held| passed(held)).cloned().collect();
        self.ready.extend(passed.iter().filter_map(|key| self.held.remove(key)));
        if begin(&entry.key).is_none() {
            self.ready.push_back(entry);
            return Ok(());
        }
        if self.held.len() >= HELD_MAX {
            let reason = "too many keys have characters beyond U+FFFF to be sorted; list them by \
                          a longer prefix";
            return Err(Error::generic(store.url(&entry.key), reason));
        }
        self.held.insert(entry.key.clone(), entry);
        Ok(())
    }

    fn end(&mut self) {
        self.has_ended = true;
        self.ready.extend(std::mem::take(&mut self.held).into_values());
    }

    fn next(&mut self) -> Option<Entry> {
        self.ready.pop_front()
    }
}

/// Where the first character beyond U+FFFF begins.
fn begin(key: &str) -> Option<usize> {
    key.find(|c: char| u32::from(c) > 0xffff)
}

// === impl Tree ===

impl Tree {
    async fn next(&mut self, store: &DalStore) -> Result<Option<Entry>> {
        while let Some(directory) = self.stack.last_mut() {
            let Some(child) = directory.next() else {
                self.stack.pop();
                continue;
            };
            match child.entry {
                Some(entry) if self.span.has(&entry.key) => return Ok(Some(entry)),
                None if self.span.may_have(&child.key) => {
                    let children = sorted(children(store, &child.key).await?);
                    self.stack.push(children.into_iter());
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

/// What a directory has, without those that are deeper. Nothing where there is none.
pub(super) async fn children(store: &DalStore, directory: &str) -> Result<Vec<Child>> {
    let path = if directory.is_empty() { "/" } else { directory };
    let mut children = Vec::new();
    let mut lister = match lister(store, path, options::ListOptions::default()).await {
        Err(Error::NotFound { sought: "an object", .. }) => return Ok(children),
        lister => lister?,
    };
    loop {
        let next = match store.ask(directory, lister.next_dyn()).await {
            Err(Error::NotFound { sought: "an object", .. }) => return Ok(children),
            Err(Error::Generic { .. }) if read::is_below_a_file(store, directory).await? => {
                return Ok(children);
            }
            next => next?,
        };
        let Some(found) = next else { return Ok(children) };
        let Some(name) = found.path().strip_prefix(directory) else { continue };
        let first = name.strip_suffix('/').unwrap_or(name);
        if first.is_empty() || first.contains('/') || first.starts_with(write::STAGE) {
            continue;
        }
        if children.len() >= DIRECTORY_ENTRIES_MAX {
            let reason = "the directory has more entries than are sorted in memory; spread them \
                          over several";
            return Err(Error::generic(store.url(directory), reason));
        }
        let key = found.path().to_owned();
        let entry = (!key.ends_with('/')).then(|| entry_of(store, &found));
        children.push(Child { key, entry });
    }
}

/// By the bytes of keys: a directory counts with its `/`.
pub(super) fn sorted(mut children: Vec<Child>) -> Vec<Child> {
    children.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    children
}

pub(super) async fn lister(
    store: &DalStore,
    path: &str,
    asked: options::ListOptions,
) -> Result<oio::Lister> {
    let opened = store.service().list_dyn(store.context(), path, OpList::from(asked));
    store.ask(path, async { opened }).await
}

/// The next object of a listing. Names that end with `/` are how some programs make a directory;
/// no key of ours is one.
async fn next_of(
    store: &DalStore,
    prefix: &str,
    lister: &mut oio::Lister,
) -> Result<Option<Entry>> {
    loop {
        let Some(found) = store.ask(prefix, lister.next_dyn()).await? else { return Ok(None) };
        if !found.path().ends_with('/') {
            return Ok(Some(entry_of(store, &found)));
        }
    }
}

pub(super) fn entry_of(store: &DalStore, found: &oio::Entry) -> Entry {
    let metadata = found.metadata();
    let metadata = read::metadata(store, metadata, metadata.content_length());
    Entry { key: found.path().to_owned(), metadata }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(prefix: &str, after: &str, slashes: usize) -> Span {
        Span { prefix: prefix.to_owned(), after: after.to_owned(), slashes }
    }

    #[test]
    fn spans_know_their_keys_and_directories() {
        assert!(span("a", "", 9).has("ab/c") && !span("a", "", 0).has("ab/c"));
        assert!(!span("a", "ab", 9).has("ab") && span("a", "ab", 9).has("ab/"));
        for (span, directory, may) in [
            (span("", "", 9), "a/", true),
            (span("a/b", "", 9), "a/", true),
            (span("a/b", "", 9), "a/b/", true),
            (span("a/b", "", 9), "a/c/", false),
            (span("", "a/z", 9), "a/", true),
            (span("", "a0", 9), "a/", false),
            (span("", "", 0), "a/", false),
            (span("a", "", 1), "a/b/", false),
        ] {
            assert_eq!(span.may_have(directory), may, "{span:?} {directory}");
        }
    }

    #[test]
    fn the_order_of_utf_16_becomes_that_of_bytes() {
        let metadata = crate::Metadata { size: 0, etag: String::new(), modified_ms: None };
        let mut keys = [
            "a",
            "a😀",
            "a\u{feff}",
            "b",
            "😀",
            "😀/a",
            "😀\u{e000}",
            "😀😀",
            "\u{feff}bom",
            "\u{10ffff}",
            "日",
            "z😀z",
            "z",
        ];
        let expected = {
            let mut keys = keys;
            keys.sort_unstable();
            keys
        };
        keys.sort_unstable_by_key(|key| key.encode_utf16().collect::<Vec<_>>());
        assert_ne!(keys, expected);
        let mut order = Order::default();
        for key in keys {
            let entry = Entry { key: key.to_owned(), metadata: metadata.clone() };
            let passed = |held: &String| !entry.key.starts_with(&held[..begin(held).unwrap_or(0)]);
            let passed: Vec<_> = order.held.keys().filter(|held| passed(held)).cloned().collect();
            order.ready.extend(passed.iter().filter_map(|key| order.held.remove(key)));
            match begin(key) {
                None => order.ready.push_back(entry),
                Some(_) => drop(order.held.insert(key.to_owned(), entry)),
            }
        }
        order.end();
        let given: Vec<_> = std::iter::from_fn(|| order.next()).map(|entry| entry.key).collect();
        assert_eq!(given, expected);
    }
}
