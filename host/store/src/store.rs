//! The trait that every store implements, and its vocabulary.
//!
//! What is common to all stores is written here once, on the trait; what differs is written on
//! the store. `conformance` holds every store to it.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use crate::{Checksum, Error, Operation, Result, Sums, Wanted, directory};

/// Objects under keys.
///
/// A key is one or more segments joined by `/`. A segment is not empty, not `.` or `..`, and has
/// no NUL byte; anything else is taken literally, nothing is decoded. A name should not be both
/// an object and the first segments of another (`a` and `a/b`): some stores refuse the second.
///
/// An object appears under its key whole or not at all, whatever happens to the process that
/// writes it. Reads see the latest complete write. [`Display`](fmt::Display) gives the URL of the
/// store's root with its final `/`: the URL of an object is `format!("{store}{key}")`.
///
/// # Errors
///
/// Beside what each method says, all of them fail with [`InvalidKey`](crate::Error::InvalidKey)
/// for a malformed key, and with `PermissionDenied`, `Throttled`, `Unavailable`, `Unsupported` or
/// `Generic` as the store does.
#[async_trait]
pub trait Store: fmt::Display + fmt::Debug + Send + Sync + 'static {
    /// Opens an object, or a range of it, for reading.
    ///
    /// All bytes of the body are of the version that `metadata` describes: where the object is
    /// changed in place while it is read, the body ends in `Precondition`. Where all of an object
    /// comes and the store says its checksum, one that does not match is `Checksum`, in the place of
    /// the last piece.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Precondition` where the object is not the version of `options.if_match`.
    async fn get(&self, key: &str, options: GetOptions) -> Result<Object>;

    /// Describes an object without reading it.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn head(&self, key: &str) -> Result<Metadata>;

    /// What the writer of an object said about it; nothing where the store keeps no such things.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn attributes(&self, key: &str) -> Result<Attributes> {
        self.head(key).await.map(|_| Attributes::default())
    }

    /// Whether it keeps what writers say about objects.
    ///
    /// By that a conditional write is known again whose answer was lost. A store that keeps none
    /// takes the write that is made again, which says the same `samara-put`, for the first one; or
    /// has no conditional writes.
    fn keeps_attributes(&self) -> bool {
        true
    }

    /// Writes an object in one piece.
    ///
    /// Dropping the future does not say whether the object was written.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` with [`PutMode::IfAbsent`], of which exactly one among any number of
    /// concurrent ones succeeds; `Precondition` with [`PutMode::IfMatch`], likewise; `Unsupported`
    /// where the store cannot promise the two; `OutOfSpace`.
    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<Metadata>;

    /// Starts to write an object in pieces.
    ///
    /// # Errors
    ///
    /// Like [`put`](Self::put), but that an object exists already is seen at the end, by
    /// [`Writer::finish`].
    async fn writer(&self, key: &str, options: PutOptions) -> Result<Box<dyn Writer>>;

    /// Removes an object. Removing one that does not exist succeeds.
    async fn delete(&self, key: &str) -> Result<()>;

    /// Removes objects, in as few requests as the store can.
    ///
    /// # Errors
    ///
    /// The first one; others may be removed.
    async fn delete_many(&self, keys: &[String]) -> Result<()> {
        let removals = stream::iter(keys.to_vec());
        let removals = removals.map(|key| async move { self.delete(&key).await });
        removals.buffer_unordered(DELETES_AT_ONCE).try_collect().await
    }

    /// Lists objects whose key starts with `prefix`, one page at a time, by the bytes of the key.
    ///
    /// The prefix is a string, not a directory: `a/b` finds `a/b`, `a/bc` and `a/b/c`. Nothing
    /// found is an empty page.
    ///
    /// # Errors
    ///
    /// `InvalidKey` where no valid key can start with `prefix`.
    async fn list(&self, prefix: &str, options: ListOptions) -> Result<Page>;

    /// Lists what lies directly below `prefix`: objects, and the beginnings that deeper keys share.
    /// Of `options` `after` and `limit` count.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list).
    async fn list_directory(&self, prefix: &str, options: ListOptions) -> Result<Directory> {
        directory::by_jumps(self, prefix, options).await
    }

    /// Lists what other programs put below `prefix` under names that are no keys, and so in no other
    /// listing: those with a segment that is empty, `.` or `..`, and those that end with `/`, which
    /// stand for directories. Of `options` `after` counts.
    ///
    /// No method but [`delete_foreign`](Self::delete_foreign) takes such a name. A store that has
    /// none, or does not look for them, has an empty page.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list).
    async fn list_foreign(&self, prefix: &str, options: ListOptions) -> Result<Page> {
        let _ = (prefix, options);
        Ok(Page::default())
    }

    /// Removes objects under names of [`list_foreign`](Self::list_foreign).
    ///
    /// # Errors
    ///
    /// As for [`delete_many`](Self::delete_many); `Unsupported` where the store lists none.
    async fn delete_foreign(&self, names: &[String]) -> Result<()> {
        let Some(name) = names.first() else { return Ok(()) };
        let reason = "names that are no keys are not removed here";
        Err(Error::unsupported(format!("{self}{name}"), Operation::Delete, reason))
    }

    /// Copies an object within the store.
    ///
    /// # Errors
    ///
    /// `NotFound` for `from`; for `to` like [`put`](Self::put).
    async fn copy(&self, from: &str, to: &str, options: PutOptions) -> Result<Metadata>;

    /// Whether the service may copy objects of the other store, for which it is asked then.
    fn copies_from(&self, other: &dyn Store) -> bool {
        let _ = other;
        false
    }

    /// Copies an object of another store into this one where the service does that, so that no bytes
    /// pass through here; none where it does not.
    ///
    /// # Errors
    ///
    /// As for [`copy`](Self::copy).
    async fn copy_from(
        &self,
        other: &dyn Store,
        from: &str,
        to: &str,
        options: PutOptions,
    ) -> Result<Option<Metadata>> {
        let _ = (other, from, to, options);
        Ok(None)
    }

    /// Whether the store may have checksums that ranges can be held against, for which it is asked then.
    fn has_checksums(&self) -> bool {
        false
    }

    /// The checksum that the store has of all of this version of an object, where it is one that ranges
    /// of it can be held against; none where there is no such.
    ///
    /// # Errors
    ///
    /// Like [`head`](Self::head).
    async fn checksum(&self, key: &str, version: &Metadata) -> Result<Option<Checksum>> {
        let _ = (key, version);
        Ok(None)
    }

    /// This store, for another of its kind that copies from it.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }

    /// A URL with which anybody may do this to the object without credentials, for so long.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the store has no such thing.
    async fn presign(&self, key: &str, verb: Verb, expires: Duration) -> Result<String> {
        let _ = (verb, expires);
        Err(Error::unsupported(format!("{self}{key}"), Operation::Presign, "no presigned URLs"))
    }

    /// Makes the bucket, container or directory that the store is. One that is there already is
    /// fine, if it is ours.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where it is somebody else's; `Unsupported` where there is nothing to make.
    async fn create(&self) -> Result<()> {
        Err(Error::unsupported(self.to_string(), Operation::CreateBucket, "there is no bucket"))
    }

    /// Removes what [`create`](Self::create) made. It must be empty.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Precondition` where it is not empty; `Unsupported` as for `create`.
    async fn remove(&self) -> Result<()> {
        Err(Error::unsupported(self.to_string(), Operation::RemoveBucket, "there is no bucket"))
    }

    /// Objects below a prefix whose writing in parts has begun and not ended: somebody writes them
    /// now, or died while writing. Stores keep such parts, and have them paid for. The first
    /// thousand, by key; none where a store has no such thing, or removes it by itself.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list).
    async fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>> {
        let _ = prefix;
        Ok(Vec::new())
    }

    /// Removes the parts of an object that was not finished. One that has ended by now is fine.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the store has no such thing.
    async fn discard(&self, unfinished: &Unfinished) -> Result<()> {
        let url = format!("{self}{}", unfinished.key);
        Err(Error::unsupported(url, Operation::Delete, "no uploads in parts that could be left"))
    }

    /// Which conditions of [`PutMode`] this store keeps, also where several write at once.
    ///
    /// Found out by trying where the store's word cannot be relied on.
    ///
    /// # Errors
    ///
    /// Where the store cannot be asked.
    async fn conditions(&self) -> Result<Conditions> {
        Ok(Conditions::new(true, true))
    }
}

/// Removals that are on their way at once where the store has no request for many.
const DELETES_AT_ONCE: usize = 8;

/// An object that is being written in pieces.
///
/// It appears, whole, when [`finish`](Self::finish) succeeds. A writer that is dropped before, or
/// one of whose calls failed, leaves nothing.
#[async_trait]
pub trait Writer: fmt::Debug + Send {
    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// `OutOfSpace` and the like; the writer is of no more use then.
    async fn write(&mut self, bytes: Bytes) -> Result<()>;

    /// Which checksums of pieces this store has use for.
    fn wanted(&self) -> Option<Wanted> {
        None
    }

    /// Appends bytes whose checksums are known. Wrong ones are refused by the store.
    ///
    /// # Errors
    ///
    /// Like [`write`](Self::write).
    async fn write_summed(&mut self, bytes: Bytes, sums: Sums) -> Result<()> {
        let _of_no_use = sums;
        self.write(bytes).await
    }

    /// Completes the object.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` with [`PutMode::IfAbsent`]; else like [`write`](Self::write).
    async fn finish(self: Box<Self>) -> Result<Metadata>;

    /// Gives the object up, and waits until the store has removed what was sent. Dropping the
    /// writer does the same in the background, which the end of the process may cut short.
    ///
    /// # Errors
    ///
    /// Where something may have been left.
    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Size in bytes.
    pub size: u64,
    /// Identifies this version of the object's content. Opaque.
    pub etag: String,
    /// Last modification in milliseconds since the Unix epoch, where the store knows it.
    pub modified_ms: Option<u64>,
}

/// Bytes that are reserved for a body because of what its server says of its length. One that says
/// more than there is memory for must not end the process.
const RESERVED_MAX: usize = 256 << 20;

/// Bodies that are held in pieces until all has come, in bytes: twice the ranges that are read side
/// by side. For a moment such a body takes its size twice.
const GATHERED_LATE_MAX: usize = 16 << 20;

/// An object that was opened for reading.
pub struct Object {
    /// Describes the whole object.
    pub metadata: Metadata,
    /// The part of it that `body` yields: what was asked for, cut at the object's end.
    pub range: Range<u64>,
    /// The bytes, in pieces of the store's choice, none of them empty.
    pub body: BoxStream<'static, Result<Bytes>>,
    /// Of the body, where they were wanted, it comes as one piece, and this store makes some.
    pub sums: Option<Sums>,
    /// What [`Store::attributes`] would say, where the answer says it too.
    pub attributes: Option<Attributes>,
    /// Whether the server sent more than was asked for, so that each range costs as much as all of
    /// the object.
    pub ignores_ranges: bool,
}

/// How to read an object. The default is all of it, in whichever version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetOptions {
    /// The part to read. What lies past the object's end is ignored; a range that lies there
    /// altogether is empty.
    pub range: Option<Range<u64>>,
    /// The etag that the object must have.
    pub if_match: Option<String>,
    /// Which checksums whoever reads has use for. Stores that have bytes pass by anyway make them.
    pub sums: Option<Wanted>,
}

/// How to write an object. The default overwrites, and says nothing about the object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// What to do where an object exists under the key.
    pub mode: PutMode,
    /// What is said about the object. Stores that keep no such things ignore it.
    pub attributes: Attributes,
}

/// What to do where an object exists under the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PutMode {
    /// Replace it.
    #[default]
    Overwrite,
    /// Leave it and fail with [`AlreadyExists`](crate::Error::AlreadyExists).
    IfAbsent,
    /// Replace it if it is the version of this etag; else, and where there is none, fail with
    /// [`Precondition`](crate::Error::Precondition).
    IfMatch(String),
}

/// What the writer of an object says about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Its media type, as in `text/csv`.
    pub content_type: Option<String>,
    /// Further names and values. Names are of lower-case letters, digits and `-`, values of
    /// printable ASCII: what all stores keep as they are.
    pub user: BTreeMap<String, String>,
}

/// What a presigned URL is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reading.
    Get,
    /// Writing.
    Put,
    /// Removing.
    Delete,
}

/// An object whose writing in parts has begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Key that the object would have.
    pub key: String,
    /// What the store calls it: of one key there may be several.
    pub id: String,
    /// When it was begun: milliseconds since the Unix epoch, where the store says.
    pub since_ms: Option<u64>,
}

/// Which conditions of [`PutMode`] a store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// [`PutMode::IfAbsent`]: of several writers exactly one succeeds.
    pub if_absent: bool,
    /// The same of objects that are written in pieces, however long they become.
    pub if_absent_in_parts: bool,
    /// [`PutMode::IfMatch`].
    pub if_match: bool,
}

// === impl Conditions ===

impl Conditions {
    /// Where objects in pieces are no different from others.
    pub(crate) const fn new(if_absent: bool, if_match: bool) -> Self {
        Self { if_absent, if_absent_in_parts: if_absent, if_match }
    }
}

/// Which page to list. The default is the first page, as long as the store likes, at any depth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Only keys that sort after this one, which need not exist: [`Page::next`] of the page before.
    pub after: Option<String>,
    /// At most so many entries. A store may return fewer even where more follow; 0 counts as 1.
    pub limit: Option<usize>,
    /// Only keys with at most so many `/` after the prefix. Stores skip what lies deeper without
    /// looking at it, if they can.
    pub slashes: Option<usize>,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Objects by the bytes of their key.
    pub entries: Vec<Entry>,
    /// Pass this as [`ListOptions::after`] for the next page; `None` at the end.
    pub next: Option<String>,
}

/// One page of what lies directly below a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Objects without a `/` after the prefix, by the bytes of their key.
    pub entries: Vec<Entry>,
    /// The distinct beginnings, up to and with the next `/` after the prefix, of the keys that lie
    /// deeper; by their bytes.
    pub directories: Vec<String>,
    /// Pass this as [`ListOptions::after`] for the next page; `None` at the end.
    pub next: Option<String>,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The whole key, prefix included.
    pub key: String,
    /// As [`Store::head`] would say.
    pub metadata: Metadata,
}

// === impl Object ===

impl Object {
    /// An object of which nothing else is known.
    pub fn new(
        metadata: Metadata,
        range: Range<u64>,
        body: BoxStream<'static, Result<Bytes>>,
    ) -> Self {
        Self { metadata, range, body, sums: None, attributes: None, ignores_ranges: false }
    }

    /// Reads the body into memory; without a copy where it is one piece.
    ///
    /// # Errors
    ///
    /// Like [`Store::get`].
    pub async fn bytes(mut self) -> Result<Bytes> {
        let Some(first) = self.body.try_next().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.body.try_next().await? else { return Ok(first) };
        let length = usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX);
        let mut pieces = vec![first, second];
        // Memory that is taken as the last piece comes was another range's a moment before, and is
        // still mapped; taken as the first one comes it is new, and each page of it a fault. Large
        // objects are not held twice for that.
        if length <= GATHERED_LATE_MAX {
            pieces.extend(self.body.by_ref().try_collect::<Vec<_>>().await?);
        }
        let mut all = BytesMut::with_capacity(length.min(RESERVED_MAX));
        for piece in pieces {
            all.extend_from_slice(&piece);
        }
        while let Some(piece) = self.body.try_next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("metadata", &self.metadata)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

// === impl Verb ===

#[cfg(feature = "signed")]
impl Verb {
    /// What HTTP calls it.
    pub(crate) fn method(self) -> http::Method {
        match self {
            Self::Get => http::Method::GET,
            Self::Put => http::Method::PUT,
            Self::Delete => http::Method::DELETE,
        }
    }
}

// === impl GetOptions ===

impl GetOptions {
    /// Reads only this part.
    #[must_use]
    pub fn range(mut self, range: Range<u64>) -> Self {
        self.range = Some(range);
        self
    }

    /// Reads only this version.
    #[must_use]
    pub fn if_match(mut self, etag: impl Into<String>) -> Self {
        self.if_match = Some(etag.into());
        self
    }

    /// The part to read of an object of this size.
    pub fn range_within(&self, size: u64) -> Range<u64> {
        let Some(range) = &self.range else { return 0..size };
        let start = range.start.min(size);
        start..range.end.clamp(start, size)
    }
}

// === impl PutOptions ===

impl PutOptions {
    /// Writes only where no object exists under the key.
    pub fn if_absent() -> Self {
        Self { mode: PutMode::IfAbsent, ..Self::default() }
    }

    /// Writes only where the object is the version of this etag.
    pub fn if_match(etag: impl Into<String>) -> Self {
        Self { mode: PutMode::IfMatch(etag.into()), ..Self::default() }
    }

    /// Says of which media type the object is.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.attributes.content_type = Some(content_type.into());
        self
    }
}

// === impl ListOptions ===

impl ListOptions {
    /// Lists only keys that sort after this one.
    #[must_use]
    pub fn after(mut self, key: impl Into<String>) -> Self {
        self.after = Some(key.into());
        self
    }

    /// Lists at most so many entries.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Lists only keys with at most so many `/` after the prefix.
    #[must_use]
    pub fn slashes(mut self, slashes: usize) -> Self {
        self.slashes = Some(slashes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bodies_are_gathered_in_order_whatever_is_said_of_their_length() {
        let pieces: Vec<Bytes> = (0..5_u8).map(|n| vec![n; 3 + usize::from(n)].into()).collect();
        let late = GATHERED_LATE_MAX as u64;
        for count in 0..=pieces.len() {
            for said in [0, 1, late, late + 1, u64::MAX] {
                let metadata = Metadata { size: said, etag: String::new(), modified_ms: None };
                let body = stream::iter(pieces.clone().into_iter().take(count).map(Ok)).boxed();
                let object = Object::new(metadata, 0..said, body);
                let all = object.bytes().await.unwrap();
                assert_eq!(all, pieces[..count].concat(), "{count} pieces, {said} bytes said");
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error_however_it_is_gathered() {
        for said in [10, GATHERED_LATE_MAX as u64 + 1] {
            let metadata = Metadata { size: said, etag: String::new(), modified_ms: None };
            let lost = Error::AlreadyExists { location: "mem:///a".to_owned() };
            let pieces = [Ok(Bytes::from("a")), Ok(Bytes::from("b")), Err(lost)];
            let body = stream::iter(pieces).boxed();
            assert!(Object::new(metadata, 0..said, body).bytes().await.is_err(), "{said}");
        }
    }

    #[test]
    fn ranges_are_cut_at_the_end() {
        let within = |start, end| GetOptions::default().range(start..end).range_within(10);
        assert_eq!(GetOptions::default().range_within(10), 0..10);
        assert_eq!(within(2, 5), 2..5);
        assert_eq!(within(8, u64::MAX), 8..10);
        assert_eq!(within(10, 12), 10..10);
        assert_eq!(within(90, 99), 10..10);
        assert_eq!(within(5, 2), 5..5);
    }

    #[tokio::test]
    async fn a_length_that_cannot_be_is_not_reserved() {
        use futures::StreamExt as _;
        let pieces = ["ab", "cd"].map(|piece| Ok(Bytes::from(piece)));
        let body = futures::stream::iter(pieces).boxed();
        let metadata = Metadata { size: u64::MAX, etag: "1".to_owned(), modified_ms: None };
        let object = Object::new(metadata, 0..u64::MAX, body);
        assert_eq!(object.bytes().await.unwrap(), "abcd");
    }
}
