//! A host for plain `cargo test`: storage in memory and a made-up task, one set for each thread.
//!
//! A test runs on a thread of its own, so tests do not see each other's objects.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use crate::partition::Description;
use crate::storage::{Attributes, Entry, Error, Metadata, Page, PutMode, PutOptions};
use crate::task::{Identity, Level};

/// How many entries a page of a listing holds where the caller leaves it to the host. Small, so
/// that tests meet more than one page.
const PAGE_ENTRIES: usize = 100;

/// What a thread's host knows.
pub(crate) struct World {
    objects: BTreeMap<String, Object>,
    /// Objects written so far, from which etags are made.
    writes: u64,
    identity: Identity,
    pub(crate) log: Vec<(Level, String)>,
    pub(crate) progress: Option<(u64, u64)>,
    pub(crate) cancelled: bool,
    /// The attempts' objects that were begun.
    claimed: BTreeSet<(Identity, String)>,
    /// Nested jobs started so far, for their names.
    jobs: u64,
}

struct Object {
    bytes: Vec<u8>,
    attributes: Attributes,
    write: u64,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

/// Looks at this thread's host, or changes it.
pub(crate) fn with<T>(look: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(look)
}

// === impl World ===

impl World {
    pub(crate) fn new() -> Self {
        Self {
            objects: BTreeMap::new(),
            writes: 0,
            identity: Identity { job: "test".to_owned(), index: 0, attempt: 0 },
            log: Vec::new(),
            progress: None,
            cancelled: false,
            claimed: BTreeSet::new(),
            jobs: 0,
        }
    }

    pub(crate) fn set_task(&mut self, identity: Identity) {
        self.identity = identity;
    }

    fn object(&self, url: &str) -> Result<&Object, Error> {
        self.objects.get(url).ok_or_else(|| Error::NotFound(url.to_owned()))
    }

    fn put(&mut self, url: &str, bytes: Vec<u8>, options: PutOptions) -> Result<Metadata, Error> {
        let there = self.objects.get(url).map(|object| object.metadata().etag);
        match &options.mode {
            PutMode::IfAbsent if there.is_some() => {
                return Err(Error::AlreadyExists(url.to_owned()));
            }
            PutMode::IfMatch(etag) if there.as_ref() != Some(etag) => {
                return Err(Error::PreconditionFailed(format!("{url} is another version")));
            }
            _ => {}
        }
        if !url.contains("://") {
            return Err(Error::Invalid(format!("{url} is not a URL")));
        }
        self.writes += 1;
        let object = Object { bytes, attributes: options.attributes, write: self.writes };
        let metadata = object.metadata();
        self.objects.insert(url.to_owned(), object);
        Ok(metadata)
    }
}

impl Object {
    fn metadata(&self) -> Metadata {
        let (size, etag) = (self.bytes.len() as u64, self.write.to_string());
        Metadata { size, etag, modified_ms: None }
    }
}

// === The partition ===

pub(crate) fn describe() -> Description {
    Description::default()
}

pub(crate) fn read(_max: u32) -> Result<Vec<u8>, Error> {
    Ok(Vec::new())
}

// === Storage ===

pub(crate) fn get(url: &str) -> Result<Vec<u8>, Error> {
    with(|world| Ok(world.object(url)?.bytes.clone()))
}

pub(crate) fn get_range(
    url: &str,
    offset: u64,
    length: u64,
    if_match: Option<&str>,
) -> Result<Vec<u8>, Error> {
    with(|world| {
        let object = world.object(url)?;
        if if_match.is_some_and(|etag| etag != object.metadata().etag) {
            return Err(Error::PreconditionFailed(format!("{url} has changed")));
        }
        let bytes = &object.bytes;
        let end_of = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes[end_of(offset)..end_of(offset.saturating_add(length))].to_vec())
    })
}

pub(crate) fn put(url: &str, bytes: &[u8]) -> Result<Metadata, Error> {
    put_with(url, bytes, &PutOptions::default())
}

pub(crate) fn put_if_absent(url: &str, bytes: &[u8]) -> Result<Metadata, Error> {
    put_with(url, bytes, &PutOptions::if_absent())
}

pub(crate) fn put_with(url: &str, bytes: &[u8], options: &PutOptions) -> Result<Metadata, Error> {
    with(|world| world.put(url, bytes.to_vec(), options.clone()))
}

pub(crate) fn attributes(url: &str) -> Result<Attributes, Error> {
    with(|world| Ok(world.object(url)?.attributes.clone()))
}

pub(crate) fn delete(url: &str) -> Result<(), Error> {
    with(|world| world.objects.remove(url));
    Ok(())
}

pub(crate) fn head(url: &str) -> Result<Metadata, Error> {
    with(|world| Ok(world.object(url)?.metadata()))
}

pub(crate) fn list(prefix: &str, after: Option<&str>, limit: u32) -> Result<Page, Error> {
    let limit = if limit == 0 { PAGE_ENTRIES } else { limit as usize };
    let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
    with(|world| {
        let mut found = world
            .objects
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(url, _)| url.starts_with(prefix))
            .map(|(url, object)| Entry { url: url.clone(), metadata: object.metadata() });
        let entries: Vec<Entry> = found.by_ref().take(limit).collect();
        let more = found.next().is_some();
        let next = entries.last().map(|last| last.url.clone()).filter(|_| more);
        Ok(Page { entries, next })
    })
}

pub(crate) fn copy(source: &str, target: &str) -> Result<Metadata, Error> {
    with(|world| {
        let Object { bytes, attributes, .. } = world.object(source)?;
        let (bytes, attributes) = (bytes.clone(), attributes.clone());
        world.put(target, bytes, PutOptions { attributes, ..PutOptions::default() })
    })
}

/// An object that is written in pieces.
pub(crate) struct Writer {
    url: String,
    options: PutOptions,
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn open(url: &str, if_absent: bool) -> Result<Self, Error> {
        let mode = if if_absent { PutMode::IfAbsent } else { PutMode::Overwrite };
        Self::open_with(url, &PutOptions { mode, ..PutOptions::default() })
    }

    pub(crate) fn open_with(url: &str, options: &PutOptions) -> Result<Self, Error> {
        Ok(Self { url: url.to_owned(), options: options.clone(), bytes: Vec::new() })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Metadata, Error> {
        let Self { url, options, bytes } = self;
        with(|world| world.put(&url, bytes, options))
    }
}

// === The task ===

pub(crate) fn current() -> Identity {
    with(|world| world.identity.clone())
}

#[expect(clippy::print_stderr, reason = "where `cargo test` shows what a failed test wrote")]
pub(crate) fn log(level: Level, message: &str) {
    eprintln!("{level}: {message}");
    with(|world| world.log.push((level, message.to_owned())));
}

pub(crate) fn progress(done: u64, total: u64) {
    with(|world| world.progress = Some((done, total)));
}

pub(crate) fn is_cancelled() -> bool {
    with(|world| world.cancelled)
}

pub(crate) fn scratch() -> String {
    with(|world| format!("mem://samara/objects/{}/", world.identity.job))
}

pub(crate) fn kept() -> String {
    with(|world| format!("mem://samara/kept/{}/", world.identity.job))
}

/// Whether this attempt makes an object of that name for the first time.
pub(crate) fn claim(url: &str) -> bool {
    with(|world| world.claimed.insert((world.identity.clone(), url.to_owned())))
}

// === Jobs ===

/// A job whose tasks ran when it was started.
pub(crate) struct Job {
    id: String,
    results: VecDeque<(u64, Result<Vec<u8>, String>)>,
}

impl Job {
    pub(crate) fn start(
        arguments: Vec<Vec<u8>>,
        call: impl Fn(&[u8]) -> Result<Vec<u8>, String>,
    ) -> Result<Self, Error> {
        let outer = current();
        let id = with(|world| {
            world.jobs += 1;
            format!("{}-nested-{}", outer.job, world.jobs)
        });
        let run = |(index, arguments): (u64, Vec<u8>)| {
            let identity = Identity { job: id.clone(), index, attempt: 0 };
            with(|world| world.identity = identity);
            let called = std::panic::AssertUnwindSafe(|| call(&arguments));
            let result = std::panic::catch_unwind(called).unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                Err(format!("it panicked: {}", text.unwrap_or("a value that is not a string")))
            });
            (index, result)
        };
        let results = (0..).zip(arguments).map(run).collect();
        with(|world| world.identity = outer);
        Ok(Self { id, results })
    }

    pub(crate) fn id(&self) -> String {
        self.id.clone()
    }

    pub(crate) fn next(&mut self) -> Option<(u64, Result<Vec<u8>, String>)> {
        self.results.pop_front()
    }

    /// There is nothing left to cancel: all tasks have ended.
    pub(crate) fn cancel(&mut self) {}
}
