//! What every store does, as cases that run against any of them.
//!
//! ```
//! use samara_store::{MemStore, conformance::CASES};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let store = MemStore::default();
//! for case in CASES {
//!     case.run(&store).await; // panics where the store does not conform
//! }
//! # });
//! ```
//!
//! Each case keeps to keys of its own below `samara-conformance/`, removes what an earlier run
//! left there before it starts, and what it wrote when it is done. So the cases may run side by
//! side, and against a store that holds other objects; but not twice at the same time.

mod list;
mod model;
mod names;
mod read;
mod write;

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::BoxFuture;

pub use self::model::model;
use crate::{
    Conditions, Entry, Error, GetOptions, ListOptions, Metadata, Object, Page, PutOptions, Result,
    Store, StoreExt, Writer,
};

/// One thing that every store does.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name, in snake case.
    pub name: &'static str,
    run: for<'a> fn(Area<'a>) -> BoxFuture<'a, ()>,
}

/// What one server does not do, although its store does all that it can. Each has its reason where
/// it is said, and is checked to be still needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exceptions {
    /// Names, as of [`ODD_NAMES`], that it cannot hold: the store refuses them, or the server
    /// changes them.
    pub names: &'static [&'static str],
    /// Names that break the server for good, so that not even this is tried.
    pub breaks: &'static [&'static str],
    /// Whether it lets several writers of one version succeed, by chance: a trial may not find out.
    pub loses_races: bool,
    /// Whether it lets several that write one new object succeed, by chance: a trial may not find out.
    pub loses_creations: bool,
    /// Whether an object is not there for a moment, by chance, while it is replaced.
    pub blinks: bool,
    /// Whether it does not keep what is said about an object: its type and its attributes.
    pub forgets_attributes: bool,
    /// Whether pages of listings may be shorter than they could be: where requests fail.
    pub short_pages: bool,
}

/// Keys that need care: none may be escaped, decoded, normalised or cut.
pub const ODD_NAMES: &[&str] = &[
    "with space",
    " leading and trailing ",
    "100%",
    "%2F",
    "%2e%2e",
    "a+b",
    "#fragment",
    "query?a=b&c",
    "q'uo\"tes`",
    "back\\slash",
    "co:lon;semi,colon",
    "[set]{a,b}*",
    "~tilde",
    "$HOME",
    "<tag>|pipe",
    ".hidden",
    "...",
    "trailing.",
    "-dash",
    "new\nline\ttab",
    "über",
    "u\u{308}ber decomposed",
    "日本/語.txt",
    "😀 emoji",
    "\u{10ffff}",
    "\u{feff}bom",
    "نص عربي",
    LONG_NAME,
];

const NO_EXCEPTIONS: Exceptions = Exceptions {
    names: &[],
    breaks: &[],
    loses_races: false,
    loses_creations: false,
    blinks: false,
    forgets_attributes: false,
    short_pages: false,
};

/// A segment of 250 bytes: most file systems take 255.
const LONG_NAME: &str = concat!(
    "long 01234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "01234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234",
);

macro_rules! cases {
    ($($module:ident: $($name:ident)*;)*) => {
        /// Every case.
        pub const CASES: &[Case] = &[$($(
            Case { name: stringify!($name), run: |area| Box::pin($module::$name(area)) },
        )*)*];
    };
}

cases! {
    read: round_trip empty_object missing_object ranges if_match large_object replaced_while_read;
    write: put_overwrites put_if_absent put_if_absent_race put_if_match put_if_match_race
        overwrite_race writer writer_in_parts writer_if_absent writer_race writer_dropped delete
        delete_many copy copy_if_absent attributes;
    list: order pages prefixes after slashes directories metadata_in_lists many_objects;
    names: odd_names deep_names invalid_names;
    model: random_steps;
}

/// The keys of one case.
#[derive(Clone, Copy)]
struct Area<'a> {
    store: &'a dyn Store,
    prefix: &'a str,
    keeps: Conditions,
    exceptions: &'a Exceptions,
}

// === impl Case ===

impl Case {
    /// Runs the case.
    ///
    /// # Panics
    ///
    /// Where the store does not conform.
    pub async fn run(&self, store: &dyn Store) {
        self.run_with(store, "", &Exceptions::default()).await;
    }

    /// Runs the case on keys that begin with `below`, which is empty or ends with `/`, against a
    /// server that does not do all of it.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run); and where an exception is not needed any more.
    pub async fn run_with(&self, store: &dyn Store, below: &str, exceptions: &Exceptions) {
        let prefix = format!("{below}samara-conformance/{}/", self.name);
        let area = Area { exceptions, ..Area::new(store, &prefix).await };
        area.clear().await;
        (self.run)(area).await;
        area.clear().await;
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

// === impl Area ===

impl<'a> Area<'a> {
    async fn new(store: &'a dyn Store, prefix: &'a str) -> Self {
        let keeps = store.conditions().await.expect("conditions");
        Self { store, prefix, keeps, exceptions: &NO_EXCEPTIONS }
    }

    /// Those of these names that the server can hold.
    fn possible(&self, names: &[&'static str]) -> Vec<&'static str> {
        let Exceptions { names: none, breaks, .. } = self.exceptions;
        let can = |name: &&str| !none.contains(name) && !breaks.contains(name);
        names.iter().copied().filter(can).collect()
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn put(&self, name: &str, body: impl Into<Bytes>) -> Metadata {
        self.try_put(name, body, PutOptions::default()).await.expect(name)
    }

    async fn try_put(
        &self,
        name: &str,
        body: impl Into<Bytes>,
        options: PutOptions,
    ) -> Result<Metadata> {
        self.store.put(&self.key(name), body.into(), options).await
    }

    async fn writer(&self, name: &str, options: PutOptions) -> Box<dyn Writer> {
        self.store.writer(&self.key(name), options).await.expect(name)
    }

    async fn get(&self, name: &str, options: GetOptions) -> Result<Object> {
        self.store.get(&self.key(name), options).await
    }

    async fn read(&self, name: &str) -> Result<Bytes> {
        self.store.read(&self.key(name)).await
    }

    async fn range(&self, name: &str, range: Range<u64>) -> Bytes {
        self.store.read_range(&self.key(name), range, None).await.expect(name)
    }

    async fn head(&self, name: &str) -> Result<Metadata> {
        self.store.head(&self.key(name)).await
    }

    async fn delete(&self, name: &str) {
        self.store.delete(&self.key(name)).await.expect(name);
    }

    async fn list(&self, prefix: &str, mut options: ListOptions) -> Page {
        options.after = options.after.map(|after| self.key(&after));
        let wanted = options.limit.unwrap_or(usize::MAX);
        let mut page = self.store.list(&self.key(prefix), options.clone()).await.expect(prefix);
        while self.exceptions.short_pages && page.entries.len() < wanted {
            let Some(next) = page.next else { break };
            let rest = ListOptions {
                after: Some(next),
                limit: options.limit.map(|limit| limit - page.entries.len()),
                ..options
            };
            let rest = self.store.list(&self.key(prefix), rest).await.expect(prefix);
            page.entries.extend(rest.entries);
            page.next = rest.next;
        }
        for entry in &mut page.entries {
            entry.key = self.strip(&entry.key);
        }
        page.next = page.next.map(|next| self.strip(&next));
        page
    }

    /// The names of all objects that start with `prefix`, by pages of `limit`.
    async fn names(&self, prefix: &str, limit: usize) -> Vec<String> {
        let options = ListOptions::default().limit(limit);
        let entries: Vec<Entry> =
            self.store.list_from(&self.key(prefix), options).try_collect().await.expect(prefix);
        entries.iter().map(|entry| self.strip(&entry.key)).collect()
    }

    fn strip(&self, key: &str) -> String {
        key.strip_prefix(self.prefix).expect("the key is outside of the area").to_owned()
    }

    async fn clear(&self) {
        for name in self.names("", usize::MAX).await {
            self.delete(&name).await;
        }
    }
}

/// Bytes that differ from place to place and from `salt` to `salt`.
fn pattern(length: usize, salt: usize) -> Bytes {
    let period: Vec<u8> = (0..251).chain(0..251).collect();
    let rows = (0..=length / 251).map(|row| &period[(row + salt) % 251..][..251]);
    let mut bytes = Vec::with_capacity(length + 251);
    rows.for_each(|row| bytes.extend_from_slice(row));
    bytes.truncate(length);
    bytes.into()
}

/// Fails unless both are about the same version; times count where both know them.
#[track_caller]
fn assert_same(one: &Metadata, other: &Metadata) {
    assert_eq!((one.size, &one.etag), (other.size, &other.etag));
    if let (Some(one), Some(other)) = (one.modified_ms, other.modified_ms) {
        assert_eq!(one, other, "times of modification");
    }
}

/// Fails unless `result` is an error of the class `is`, which names the place.
#[track_caller]
fn assert_fails<T: fmt::Debug>(result: Result<T>, key: &str, is: fn(&Error) -> bool) {
    let error = result.expect_err(key);
    assert!(is(&error), "another class of error was due: {error:?}");
    assert!(error.location().ends_with(key), "{error} does not name {key}");
    assert!(!error.retry(), "{error} would be retried");
}

fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. })
}

fn is_already_exists(error: &Error) -> bool {
    matches!(error, Error::AlreadyExists { .. })
}

fn is_precondition(error: &Error) -> bool {
    matches!(error, Error::Precondition { .. })
}

fn is_invalid_key(error: &Error) -> bool {
    matches!(error, Error::InvalidKey { .. })
}

fn is_unsupported(error: &Error) -> bool {
    matches!(error, Error::Unsupported { .. })
}

#[cfg(test)]
pub(crate) mod tests {
    //! Runners for the tests of this crate's own stores.

    use std::hash::{BuildHasher, Hasher, RandomState};

    use super::*;

    /// Runs a future on a runtime of its own.
    pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    /// Runs every case on one store.
    pub(crate) fn run_all(store: &dyn Store) {
        run_all_with(store, &NO_EXCEPTIONS);
    }

    /// The same, on one that does not do all of it.
    pub(crate) fn run_all_with(store: &dyn Store, exceptions: &Exceptions) {
        block_on(async {
            for case in CASES {
                println!("{}", case.name);
                case.run_with(store, "", exceptions).await;
            }
        });
        let names: std::collections::BTreeSet<_> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
    }

    /// Runs the model by fixed seeds and a random one.
    pub(crate) fn run_model(store: &dyn Store) {
        let random = RandomState::new().build_hasher().finish();
        for seed in [1, 2, 3, random] {
            block_on(model(store, "model/", seed, 2_000));
        }
    }

    #[test]
    fn odd_names_are_distinct_and_as_long_as_said() {
        let names: std::collections::BTreeSet<_> = ODD_NAMES.iter().collect();
        assert_eq!(names.len(), ODD_NAMES.len());
        assert_eq!(LONG_NAME.len(), 250);
    }
}
