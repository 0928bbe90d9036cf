//! Object storage for programs, by URL: what the executor's jobs read and write.
//!
//! ```
//! use futures::TryStreamExt;
//! use samara::Storage;
//!
//! # fn main() -> Result<(), samara::Error> {
//! # samara::block_on(async {
//! let storage = Storage::new()?;
//! storage.put("mem://example/notes/first.txt", "hello").await?;
//! assert_eq!(storage.get_range("mem://example/notes/first.txt", 1..4).await?, "ell");
//!
//! let again = storage.put_if_absent("mem://example/notes/first.txt", "other").await;
//! assert!(matches!(again, Err(samara::storage::Error::AlreadyExists { .. })));
//!
//! storage.copy("mem://example/notes/first.txt", "mem://example/notes/second.txt").await?;
//! let found: Vec<_> = storage.list("mem://example/notes/")?.try_collect().await?;
//! assert_eq!(found[1].url, "mem://example/notes/second.txt");
//! assert_eq!(found[1].metadata.size, 5);
//! # Ok::<(), samara::Error>(())
//! # })
//! # }
//! ```
//!
//! URLs are taken literally, and what has no scheme is a path. An object appears under its name
//! whole or not at all; a reader sees one version of it.
//!
//! [`BufReader`] and [`BufWriter`] are objects as files, for what knows `tokio::io` or `std::io`;
//! [`Reader`] and [`Writer`] pass pieces as they come.

mod buf_reader;
mod buf_writer;
mod list;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::BoxStream;
pub use samara_store::{
    Attributes, Discovered as Found, Error, GetOptions, Metadata, Operation, Pattern, PutMode,
    PutOptions, Verb,
};
use samara_store::{Location, Locator, StoreExt, transfer};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinSet};

pub use self::buf_reader::BufReader;
pub use self::buf_writer::BufWriter;
pub use self::list::{Entry, ListOptions};
use crate::builder::Io;
use crate::{Builder, Executor, Settings};

/// Result of an operation on storage.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Object storage, by URL. Clones share its threads.
///
/// Its futures may be awaited in any async runtime, or in none.
#[derive(Clone)]
pub struct Storage {
    locator: Arc<Locator>,
    io: Handle,
    /// What keeps the threads alive.
    _owner: Arc<dyn Any + Send + Sync>,
}

/// An object that is read piece by piece, in one version.
pub struct Reader {
    /// What is known of the whole object.
    pub metadata: Metadata,
    /// The part of it that is read: what was asked for, cut at the object's end.
    pub range: Range<u64>,
    body: Body,
    io: Handle,
}

/// Pieces that are still to come.
type Pieces = BoxStream<'static, Result<Bytes>>;

/// The rest of an object that is read.
enum Body {
    Idle(Pieces),
    /// The next piece is on its way, whether somebody waits for it or not.
    Busy(JoinSet<(Result<Option<Bytes>>, Pieces)>),
    /// What follows is not known.
    Failed,
}

/// An object that is written piece by piece. It appears when [`finish`](Self::finish) succeeds; one
/// that is dropped before leaves nothing.
pub struct Writer {
    inner: Option<Box<dyn samara_store::Writer>>,
    failed: bool,
    url: String,
    io: Handle,
}

// === impl Storage ===

impl Storage {
    /// Storage for a program that needs no executor. Relative paths start at the working directory.
    ///
    /// # Errors
    ///
    /// Where the machine starts no threads.
    pub fn new() -> Result<Self, crate::Error> {
        Self::from_builder(&Builder::new())
    }

    /// Storage whose stores are reached as settings say.
    ///
    /// # Errors
    ///
    /// Where the machine starts no threads.
    pub fn from_settings(settings: &Settings) -> Result<Self, crate::Error> {
        Self::from_builder(&Builder::from_settings(settings))
    }

    fn from_builder(builder: &Builder) -> Result<Self, crate::Error> {
        let io = Arc::new(Io::start()?);
        let handle = io.handle().clone();
        Ok(Self { locator: builder.locator(), io: handle, _owner: io })
    }

    /// The canonical URL of a URL or path. Does not look whether anything is there.
    ///
    /// # Errors
    ///
    /// `InvalidUrl`, `UnknownScheme`.
    pub fn url(&self, url: &str) -> Result<String> {
        self.locator.canonical(url)
    }

    /// Reads a whole object into memory.
    ///
    /// # Errors
    ///
    /// `NotFound`, and what else the store says; so for all that follow.
    pub async fn get(&self, url: &str) -> Result<Bytes> {
        let at = self.locator.open(url)?;
        self.run(async move { at.store.read(&at.key).await }).await
    }

    /// Reads an object, or a part of it, into memory; in one version, where that is asked for.
    ///
    /// ```
    /// use samara::Storage;
    /// use samara::blocking::Wait;
    /// use samara::storage::{Error, GetOptions};
    ///
    /// # fn main() -> Result<(), samara::Error> {
    /// let (storage, url) = (Storage::new()?, "mem://example/version");
    /// let etag = storage.put(url, "the first").wait()?.etag;
    /// let first = GetOptions::default().range(4..7).if_match(etag);
    /// assert_eq!(storage.get_with(url, first.clone()).wait()?, "fir");
    ///
    /// storage.put(url, "another").wait()?;
    /// let stale = storage.get_with(url, first).wait();
    /// assert!(matches!(stale, Err(Error::Precondition { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `NotFound`; `Precondition` where it is not the version that was asked for.
    pub async fn get_with(&self, url: &str, options: GetOptions) -> Result<Bytes> {
        let at = self.locator.open(url)?;
        self.run(async move { at.store.get(&at.key, options).await?.bytes().await }).await
    }

    /// Reads a range of an object; fewer bytes where the object ends earlier.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn get_range(&self, url: &str, range: Range<u64>) -> Result<Bytes> {
        let at = self.locator.open(url)?;
        self.run(async move { at.store.read_range(&at.key, range, None).await }).await
    }

    /// Opens an object to read it piece by piece.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn reader(&self, url: &str) -> Result<Reader> {
        self.reader_with(url, GetOptions::default()).await
    }

    /// Opens an object, or a part of it, to read it piece by piece; in one version, where that is
    /// asked for.
    ///
    /// # Errors
    ///
    /// As for [`get_with`](Self::get_with).
    pub async fn reader_with(&self, url: &str, options: GetOptions) -> Result<Reader> {
        let at = self.locator.open(url)?;
        let object = self.run(async move { at.store.get(&at.key, options).await }).await?;
        let (metadata, range) = (object.metadata, object.range);
        Ok(Reader { metadata, range, body: Body::Idle(object.body), io: self.io.clone() })
    }

    /// Writes an object, in place of one that is there.
    ///
    /// # Errors
    ///
    /// `OutOfSpace`, `PermissionDenied` and the like.
    pub async fn put(&self, url: &str, bytes: impl Into<Bytes>) -> Result<Metadata> {
        self.put_with(url, bytes, PutOptions::default()).await
    }

    /// Writes an object unless there is one: of any number of writers, exactly one succeeds.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`; else as [`put`](Self::put).
    pub async fn put_if_absent(&self, url: &str, bytes: impl Into<Bytes>) -> Result<Metadata> {
        self.put_with(url, bytes, PutOptions::if_absent()).await
    }

    /// Starts to write an object piece by piece, in place of one that is there.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub async fn writer(&self, url: &str) -> Result<Writer> {
        self.writer_with(url, PutOptions::default()).await
    }

    /// Starts to write an object piece by piece, unless there is one; [`Writer::finish`] says so.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub async fn writer_if_absent(&self, url: &str) -> Result<Writer> {
        self.writer_with(url, PutOptions::if_absent()).await
    }

    /// Starts to write an object piece by piece, on conditions, and says something about it. Whether
    /// the condition holds is seen by [`Writer::finish`].
    ///
    /// ```
    /// use samara::Storage;
    /// use samara::blocking::Wait;
    /// use samara::storage::{Error, PutOptions};
    ///
    /// # fn main() -> Result<(), samara::Error> {
    /// let (storage, url) = (Storage::new()?, "mem://example/table");
    /// let first = storage.put(url, "a,1\n").wait()?;
    /// let options = PutOptions::if_match(first.etag).content_type("text/csv");
    /// let mut writer = storage.writer_with(url, options.clone()).wait()?;
    /// writer.write("a,1\nb,2\n".into()).wait()?;
    /// writer.finish().wait()?;
    /// assert_eq!(storage.attributes(url).wait()?.content_type.as_deref(), Some("text/csv"));
    ///
    /// let late = storage.writer_with(url, options).wait()?.finish().wait();
    /// assert!(matches!(late, Err(Error::Precondition { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `Unsupported` where the store does not keep the condition; else as [`put`](Self::put).
    pub async fn writer_with(&self, url: &str, options: PutOptions) -> Result<Writer> {
        let at = self.locator.open(url)?;
        let url = at.url();
        let inner = self.run(async move { at.store.writer(&at.key, options).await }).await?;
        Ok(Writer { inner: Some(inner), failed: false, url, io: self.io.clone() })
    }

    /// Removes an object. Removing one that is not there succeeds.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` and the like.
    pub async fn delete(&self, url: &str) -> Result<()> {
        let at = self.locator.open(url)?;
        self.run(async move { at.store.delete(&at.key).await }).await
    }

    /// Removes an object if it is the version of this etag, as its store says it just before: one
    /// that is written in that moment goes too. Removing one that is not there succeeds.
    ///
    /// # Errors
    ///
    /// `Precondition` where it is another version, which is left; else as [`delete`](Self::delete).
    pub async fn delete_if_match(&self, url: &str, etag: &str) -> Result<()> {
        let (at, etag) = (self.locator.open(url)?, etag.to_owned());
        let delete = async move {
            match at.store.head(&at.key).await {
                Ok(metadata) if metadata.etag == etag => at.store.delete(&at.key).await,
                Ok(_) => Err(Error::another_version(at.url())),
                Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        };
        self.run(delete).await
    }

    /// Describes an object without reading it.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn head(&self, url: &str) -> Result<Metadata> {
        let at = self.locator.open(url)?;
        self.run(async move { at.store.head(&at.key).await }).await
    }

    /// Copies an object, within a store or between two. Within one the store copies it itself;
    /// between two it passes through this process, piece by piece.
    ///
    /// # Errors
    ///
    /// `NotFound` for `from`; for `to` as [`put`](Self::put).
    pub async fn copy(&self, from: &str, to: &str) -> Result<Metadata> {
        self.copy_with(from, to, PutOptions::default()).await
    }

    /// Copies an object, unless there is one already.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`; else as [`copy`](Self::copy).
    pub async fn copy_if_absent(&self, from: &str, to: &str) -> Result<Metadata> {
        self.copy_with(from, to, PutOptions::if_absent()).await
    }

    /// Copies an object on conditions, and says something about the copy.
    ///
    /// # Errors
    ///
    /// By the condition as for [`put_with`](Self::put_with); else as [`copy`](Self::copy).
    pub async fn copy_with(&self, from: &str, to: &str, options: PutOptions) -> Result<Metadata> {
        let (source, target) = (self.locator.open(from)?, self.locator.open(to)?);
        self.run(transfer::copy(source, target, options, |_| {})).await
    }

    /// Copies an object as [`copy`](Self::copy) does, and says of the bytes that pass through this
    /// process as they come; those that a store copies itself are said at the end.
    ///
    /// # Errors
    ///
    /// As for `copy`.
    pub async fn copy_watched(
        &self,
        from: &str,
        to: &str,
        passed: impl FnMut(u64) + Send + 'static,
    ) -> Result<Metadata> {
        let (source, target) = (self.locator.open(from)?, self.locator.open(to)?);
        self.run(transfer::copy(source, target, PutOptions::default(), passed)).await
    }

    /// Copies an object on conditions as [`copy_watched`](Self::copy_watched) does, until `passed`
    /// says that it is to be given up. Then it waits until what was written is removed.
    ///
    /// # Errors
    ///
    /// As for `copy`; `Generic` where it was given up.
    pub async fn copy_while(
        &self,
        from: &str,
        to: &str,
        options: PutOptions,
        passed: impl FnMut(u64) -> bool + Send + 'static,
    ) -> Result<Metadata> {
        let (source, target) = (self.locator.open(from)?, self.locator.open(to)?);
        self.run(transfer::copy_while(source, target, options, passed)).await
    }

    /// Moves an object: copies it, and removes the first once the copy is there whole, if it was not
    /// replaced meanwhile.
    ///
    /// # Errors
    ///
    /// As for [`copy`](Self::copy); then the first is still there. Where removing it fails, both
    /// are; `Precondition` where it is another version by then.
    pub async fn rename(&self, from: &str, to: &str) -> Result<Metadata> {
        if self.url(from)? == self.url(to)? {
            return self.head(from).await;
        }
        let before = self.head(from).await?;
        let copied = self.copy(from, to).await?;
        self.delete_if_match(from, &before.etag).await?;
        Ok(copied)
    }

    /// Removes objects, in as few requests as their stores can.
    ///
    /// # Errors
    ///
    /// The first one; others may be removed.
    pub async fn delete_many(&self, urls: &[String]) -> Result<()> {
        let removed = self.by_store(urls)?.into_iter();
        let removed =
            removed.map(|(at, keys)| self.run(async move { at.store.delete_many(&keys).await }));
        futures::future::try_join_all(removed).await.map(drop)
    }

    /// The stores of these URLs, and the keys in each.
    fn by_store(&self, urls: &[String]) -> Result<Vec<(Location, Vec<String>)>> {
        let mut by_store: Vec<(Location, Vec<String>)> = Vec::new();
        for url in urls {
            let Location { store, key } = self.locator.open(url)?;
            match by_store.iter_mut().find(|(at, _)| Arc::ptr_eq(&at.store, &store)) {
                Some((_, keys)) => keys.push(key),
                None => by_store.push((Location { store, key: String::new() }, vec![key])),
            }
        }
        Ok(by_store)
    }

    /// What the writer of an object said about it: its media type and the like; nothing where the
    /// store keeps no such things.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn attributes(&self, url: &str) -> Result<Attributes> {
        let at = self.locator.open(url)?;
        self.run(async move { at.store.attributes(&at.key).await }).await
    }

    /// Writes an object on conditions, and says something about it.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, `Precondition`, by the condition; `Unsupported` where the store does not
    /// keep it; else as [`put`](Self::put).
    pub async fn put_with(
        &self,
        url: &str,
        bytes: impl Into<Bytes>,
        options: PutOptions,
    ) -> Result<Metadata> {
        let at = self.locator.open(url)?;
        let bytes = bytes.into();
        self.run(async move { at.store.put(&at.key, bytes, options).await }).await
    }

    /// Reads several ranges of one version of an object: near ones in one request, far ones side by
    /// side.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Precondition` where the object is replaced meanwhile.
    pub async fn get_ranges(&self, url: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (at, ranges) = (self.locator.open(url)?, ranges.to_vec());
        self.run(async move { at.store.read_ranges(&at.key, &ranges, None).await }).await
    }

    /// A URL with which anybody may do this to an object without credentials, for so long.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the store has no such thing.
    pub async fn presign(&self, url: &str, verb: Verb, expires: Duration) -> Result<String> {
        let at = self.locator.open(url)?;
        self.run(async move { at.store.presign(&at.key, verb, expires).await }).await
    }

    /// Makes a bucket, container, or what else the store of this URL is. One of ours that is there
    /// already is fine.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where it is somebody else's; `Unsupported` where there is nothing to make.
    pub async fn create_bucket(&self, url: &str) -> Result<()> {
        let at = self.bucket(url, Operation::CreateBucket)?;
        self.run(async move { at.store.create().await }).await
    }

    /// Removes an empty bucket.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Precondition` where it is not empty; `Unsupported` where there is none.
    pub async fn remove_bucket(&self, url: &str) -> Result<()> {
        let at = self.bucket(url, Operation::RemoveBucket)?;
        self.run(async move { at.store.remove().await }).await
    }

    /// How many requests each store that is behind a network was sent, by its URL.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        let requests = self.locator.requests().into_iter();
        requests.map(|(store, by)| (store, by.values().sum())).collect()
    }

    /// A store as a whole.
    fn bucket(&self, url: &str, operation: Operation) -> Result<Location> {
        let at = self.locator.open(url)?;
        match at.key.is_empty() {
            true => Ok(at),
            false => {
                let reason = "a bucket's URL ends with its name: `s3://bucket`";
                Err(Error::unsupported(at.url(), operation, reason))
            }
        }
    }

    /// Runs a request on our threads, so that the caller's runtime does not matter.
    async fn run<T: Send + 'static>(
        &self,
        request: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        on(&self.io, request).await
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").finish_non_exhaustive()
    }
}

impl Executor {
    /// The object storage that this executor's jobs read and write, for the program itself.
    pub fn storage(&self) -> Storage {
        let (locator, io) = (Arc::clone(&self.0.locator), self.0.io.handle().clone());
        Storage { locator, io, _owner: Arc::new(self.clone()) }
    }
}

// === impl Reader ===

impl Reader {
    /// The next piece, none of them empty; none at the end.
    ///
    /// Its future may be dropped before it ends: the next call has what that one would have had.
    ///
    /// # Errors
    ///
    /// `Precondition` where the object changes while it is read; every call after one that failed.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        self.body = match std::mem::replace(&mut self.body, Body::Failed) {
            Body::Idle(mut body) => {
                let mut under_way = JoinSet::new();
                under_way.spawn_on(async move { (body.try_next().await, body) }, &self.io);
                Body::Busy(under_way)
            }
            other => other,
        };
        let joined = match &mut self.body {
            Body::Busy(under_way) => under_way.join_next().await,
            _ => None,
        };
        self.body = Body::Failed;
        let Some(joined) = joined else {
            return Err(Error::generic("a reader of an object", "an earlier read failed"));
        };
        let (next, body) = ended(joined)?;
        let next = next?;
        self.body = Body::Idle(body);
        Ok(next)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

// === impl Writer ===

impl Writer {
    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// `OutOfSpace` and the like; the writer is of no more use then.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let inner = if self.failed { None } else { self.inner.take() };
        let Some(mut inner) = inner else { return Err(self.spent()) };
        // Also where the future is dropped half way.
        self.failed = true;
        let write = async move { Ok((inner.write(bytes).await, inner)) };
        let (written, inner) = on(&self.io, write).await?;
        self.inner = Some(inner);
        self.failed = written.is_err();
        written
    }

    /// Completes the object.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` for one of [`Storage::writer_if_absent`]; else as [`write`](Self::write).
    pub async fn finish(mut self) -> Result<Metadata> {
        let inner = if self.failed { None } else { self.inner.take() };
        let Some(inner) = inner else { return Err(self.spent()) };
        on(&self.io, inner.finish()).await
    }

    /// Gives the object up, and waits until the store has removed what was sent. Dropping the
    /// writer does the same in the background, which the end of the process may cut short.
    ///
    /// # Errors
    ///
    /// Where something may have been left.
    pub async fn abort(mut self) -> Result<()> {
        let Some(inner) = self.inner.take() else { return Ok(()) };
        on(&self.io, inner.abort()).await
    }

    fn spent(&self) -> Error {
        Error::generic(&self.url, "an earlier write failed, and nothing was written")
    }
}

impl Drop for Writer {
    /// What a store does to give up may need its threads.
    fn drop(&mut self) {
        let _entered = self.io.enter();
        drop(self.inner.take());
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Runs a request on these threads.
async fn on<T: Send + 'static>(
    io: &Handle,
    request: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    ended(io.spawn(request).await)?
}

/// What a task came to. It ends early only by a panic, which goes on where it was awaited, or
/// because its threads are gone.
fn ended<T>(joined: Result<T, JoinError>) -> Result<T> {
    joined.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => Error::generic("a request to a store", error),
    })
}
