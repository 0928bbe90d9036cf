//! `mem:` keeps objects in the memory of this process: for tests, and for what need not last.
//!
//! `mem://name/` is the same store everywhere in the process, and lives as long as the process.
//! Nothing bounds what it holds. The time of the last modification is not known. With
//! `conditional_writes` = `never` it refuses them, as stores do that do not keep them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream;

use crate::{
    Attributes, Conditions, Entry, Error, GetOptions, ListOptions, Metadata, Object, Opening,
    Operation, Page, PutMode, PutOptions, Result, Store, Writer, conditional, key,
};

/// Objects in memory.
///
/// The default one is private and has no name: its URLs, `mem:///key`, open nothing.
#[derive(Clone, Default)]
pub struct MemStore {
    name: Arc<str>,
    /// Whether conditional writes are refused, which it could keep.
    refuses: bool,
    objects: Arc<RwLock<BTreeMap<String, Stored>>>,
}

#[derive(Clone)]
struct Stored {
    bytes: Bytes,
    metadata: Metadata,
    attributes: Attributes,
}

#[derive(Debug)]
struct MemWriter {
    store: MemStore,
    key: String,
    options: PutOptions,
    pieces: BytesMut,
}

/// Entries of a page unless the caller asks for fewer.
const PAGE_MAX: usize = 10_000;

const REFUSES: &str = "it refuses conditional writes, as its setting says; write without one";

/// Every named store of the process.
static NAMED: Mutex<BTreeMap<String, MemStore>> = Mutex::new(BTreeMap::new());

/// The etag of the next version of whichever object.
static VERSION: AtomicU64 = AtomicU64::new(1);

/// Opens `mem://authority/`.
pub(crate) fn open(opening: &Opening<'_>) -> Result<Arc<dyn Store>, String> {
    if opening.authority.is_empty() {
        return Err("the name of the store is missing: `mem://name/key`".to_owned());
    }
    let said = opening.options.get(conditional::SETTING.name);
    conditional::check(said)?;
    let refuses = conditional::said(said) == Some(Conditions::new(false, false));
    Ok(Arc::new(MemStore { refuses, ..MemStore::named(opening.authority) }))
}

// === impl MemStore ===

impl MemStore {
    /// The store of this name, which is made when it is first asked for.
    ///
    /// A name with a `/` in it has no URL.
    pub fn named(name: &str) -> Self {
        let mut named: MutexGuard<'_, _> = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Self { name: name.into(), ..Self::default() };
        named.entry(name.to_owned()).or_insert_with(fresh).clone()
    }

    fn stored(&self, key: &str) -> Result<Stored> {
        key::check(self, key)?;
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        objects.get(key).cloned().ok_or_else(|| Error::not_found(format!("{self}{key}")))
    }

    /// Refuses a key that is none, and a condition that is not kept.
    fn check(&self, key: &str, mode: &PutMode) -> Result<()> {
        key::check(self, key)?;
        match (self.refuses, mode) {
            (false, _) | (_, PutMode::Overwrite) => Ok(()),
            _ => Err(Error::unsupported(format!("{self}{key}"), Operation::Put, REFUSES)),
        }
    }

    fn insert(&self, key: &str, bytes: Bytes, options: PutOptions) -> Result<Metadata> {
        self.check(key, &options.mode)?;
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        let there = objects.get(key).map(|stored| stored.metadata.etag.as_str());
        let location = || format!("{self}{key}");
        match &options.mode {
            PutMode::IfAbsent if there.is_some() => {
                return Err(Error::AlreadyExists { location: location() });
            }
            PutMode::IfMatch(etag) if there != Some(etag) => {
                return Err(Error::another_version(location()));
            }
            _ => {}
        }
        let etag = VERSION.fetch_add(1, Ordering::Relaxed).to_string();
        let metadata = Metadata { size: bytes.len() as u64, etag, modified_ms: None };
        let PutOptions { attributes, .. } = options;
        let stored = Stored { bytes, metadata: metadata.clone(), attributes };
        objects.insert(key.to_owned(), stored);
        Ok(metadata)
    }
}

impl fmt::Display for MemStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mem://{}/", self.name)
    }
}

impl fmt::Debug for MemStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemStore").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MemStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<Object> {
        let Stored { bytes, metadata, .. } = self.stored(key)?;
        if options.if_match.as_ref().is_some_and(|etag| *etag != metadata.etag) {
            return Err(Error::another_version(format!("{self}{key}")));
        }
        let range = options.range_within(metadata.size);
        let within = |offset| usize::try_from(offset).unwrap_or(bytes.len());
        let part = bytes.slice(within(range.start)..within(range.end));
        let body = stream::iter((!part.is_empty()).then_some(Ok(part))).boxed();
        Ok(Object { metadata, range, body, sums: None })
    }

    async fn head(&self, key: &str) -> Result<Metadata> {
        Ok(self.stored(key)?.metadata)
    }

    async fn attributes(&self, key: &str) -> Result<Attributes> {
        Ok(self.stored(key)?.attributes)
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<Metadata> {
        self.insert(key, body, options)
    }

    async fn writer(&self, key: &str, options: PutOptions) -> Result<Box<dyn Writer>> {
        self.check(key, &options.mode)?;
        let (store, key) = (self.clone(), key.to_owned());
        Ok(Box::new(MemWriter { store, key, options, pieces: BytesMut::new() }))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        key::check(self, key)?;
        self.objects.write().unwrap_or_else(PoisonError::into_inner).remove(key);
        Ok(())
    }

    async fn list(&self, prefix: &str, options: ListOptions) -> Result<Page> {
        key::check_prefix(self, prefix)?;
        let limit = options.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        let slashes_max = options.slashes.unwrap_or(usize::MAX);
        let from = match &options.after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(prefix),
        };
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        let mut admitted = objects
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| key[prefix.len()..].matches('/').count() <= slashes_max)
            .map(|(key, stored)| Entry { key: key.clone(), metadata: stored.metadata.clone() });
        let entries: Vec<_> = admitted.by_ref().take(limit).collect();
        let more = admitted.next().is_some();
        let next = entries.last().filter(|_| more).map(|entry| entry.key.clone());
        Ok(Page { entries, next })
    }

    async fn copy(&self, from: &str, to: &str, options: PutOptions) -> Result<Metadata> {
        let Stored { bytes, .. } = self.stored(from)?;
        self.insert(to, bytes, options)
    }

    async fn conditions(&self) -> Result<Conditions> {
        Ok(Conditions::new(!self.refuses, !self.refuses))
    }
}

// === impl MemWriter ===

#[async_trait]
impl Writer for MemWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.pieces.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<Metadata> {
        let Self { store, key, options, pieces } = *self;
        store.insert(&key, pieces.freeze(), options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Locator, StoreExt, conformance};

    #[test]
    fn conforms() {
        conformance::tests::run_all(&MemStore::default());
        // As a store that keeps no conditions does.
        conformance::tests::run_all(&MemStore { refuses: true, ..MemStore::default() });
    }

    #[test]
    fn agrees_with_the_model() {
        conformance::tests::run_model(&MemStore::default());
    }

    #[test]
    fn a_name_is_one_store_in_the_whole_process() {
        conformance::tests::block_on(async {
            let one = Locator::default().open("mem://whole-process/a").unwrap();
            let two = Locator::new("/x").open("mem://whole-process/a").unwrap();
            one.store.put(&one.key, "1".into(), PutOptions::default()).await.unwrap();
            assert_eq!(two.store.read(&two.key).await.unwrap(), "1");
            let other = Locator::default().open("mem://another/a").unwrap();
            assert!(!other.store.exists(&other.key).await.unwrap());
        });
    }

    #[test]
    fn an_object_is_read_as_it_was_when_it_was_opened() {
        conformance::tests::block_on(async {
            let store = MemStore::default();
            store.put("a", "old".into(), PutOptions::default()).await.unwrap();
            let mut object = store.get("a", GetOptions::default()).await.unwrap();
            store.put("a", "new".into(), PutOptions::default()).await.unwrap();
            assert_eq!(object.body.next().await.unwrap().unwrap(), "old");
        });
    }
}
