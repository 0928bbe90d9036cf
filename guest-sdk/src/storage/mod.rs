//! Object storage within the task's grants.
//!
//! Objects are named by URL, taken literally. Small ones are read and written whole ([`get`],
//! [`put`]), larger ones in pieces ([`Reader`], [`Writer`]); which names a task may use is up to
//! whoever runs it.
//!
//! A task may run twice, so what it writes should not depend on the attempt: the same bytes under
//! the same name, or [`put_if_absent`].
//!
//! There are no signed URLs here: who has one may do what it is for from anywhere, so that it would
//! take a grant of the task out of the sandbox. Programs that run jobs sign them.
//!
//! Built natively, the functions work on objects in memory, a set of its own for each thread and
//! so for each test:
//!
//! ```
//! use samara_guest::storage;
//!
//! storage::put("s3://bucket/greeting", b"hello")?;
//! assert_eq!(storage::get("s3://bucket/greeting")?, b"hello");
//! assert_eq!(storage::get_range("s3://bucket/greeting", 1, 3)?, b"ell");
//! assert!(matches!(storage::get("s3://bucket/other"), Err(storage::Error::NotFound(_))));
//! # Ok::<(), storage::Error>(())
//! ```

mod error;
mod reader;
mod writer;

use std::collections::{BTreeMap, VecDeque};
use std::iter::FusedIterator;

pub use self::error::Error;
pub use self::reader::Reader;
pub use self::writer::Writer;
use crate::host;

/// `Result` with the [`Error`] of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Size in bytes.
    pub size: u64,
    /// Identifies this version of the object's content.
    pub etag: String,
    /// Last modification in milliseconds since the Unix epoch, where the store knows it.
    pub modified_ms: Option<u64>,
}

/// What the writer of an object says about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Its media type, as in `text/csv`.
    pub content_type: Option<String>,
    /// Further names and values. Names are of lower-case letters, digits and `-`, and do not begin
    /// with `samara-`; values are of printable ASCII. All together have 2 KiB at most.
    pub user: BTreeMap<String, String>,
}

/// What a write does where an object exists under the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PutMode {
    /// It replaces it.
    #[default]
    Overwrite,
    /// It leaves it, and fails with [`Error::AlreadyExists`].
    IfAbsent,
    /// It replaces it if it is the version of this etag; else, and where there is none, it fails
    /// with [`Error::PreconditionFailed`].
    IfMatch(String),
}

/// How to write an object. The default replaces what is there, and says nothing about the object.
///
/// ```
/// use samara_guest::storage::{self, PutOptions};
///
/// let options = PutOptions::if_absent().content_type("text/csv").attribute("source", "census");
/// storage::put_with("mem:///table.csv", b"a,b\n", &options)?;
/// let said = storage::attributes("mem:///table.csv")?;
/// assert_eq!(said.content_type.as_deref(), Some("text/csv"));
/// assert_eq!(said.user["source"], "census");
/// # Ok::<(), storage::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// What to do where an object exists under the name.
    pub mode: PutMode,
    /// What is said about the object. Stores that keep no such things ignore it.
    pub attributes: Attributes,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// URL of the object.
    pub url: String,
    /// Its metadata.
    pub metadata: Metadata,
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Objects in the order of their names' bytes.
    pub entries: Vec<Entry>,
    /// Where the next page begins; none at the end.
    pub next: Option<String>,
}

/// The iterator that [`list`] returns: objects, fetched a page at a time.
#[derive(Debug)]
pub struct List {
    pages: Pages,
    entries: VecDeque<Entry>,
}

/// The iterator that [`List::pages`] returns.
#[derive(Debug)]
pub struct Pages {
    prefix: String,
    after: Option<String>,
    limit: u32,
    ended: bool,
}

/// Opens an object for reading in pieces and for seeking: [`Reader::open`].
///
/// # Errors
///
/// [`Error::NotFound`] where there is none; else as for every function here.
///
/// ```
/// use samara_guest::storage;
/// use std::io::{BufRead, Write};
///
/// let mut lines = storage::create("mem:///lines")?;
/// lines.write_all(b"one\ntwo\n")?;
/// lines.finish()?;
/// assert_eq!(storage::open("mem:///lines")?.lines().count(), 2);
/// # Ok::<(), samara_guest::Error>(())
/// ```
pub fn open(url: &str) -> Result<Reader> {
    Reader::open(url)
}

/// Starts to write an object in pieces, which will replace any under that name:
/// [`Writer::create`].
///
/// # Errors
///
/// As for every function here.
pub fn create(url: &str) -> Result<Writer> {
    Writer::create(url)
}

/// Starts to write an object that must not exist when it is finished: [`Writer::create_new`].
///
/// # Errors
///
/// As [`Writer::create_new`].
pub fn create_new(url: &str) -> Result<Writer> {
    Writer::create_new(url)
}

/// Whether there is an object of this name.
///
/// # Errors
///
/// As for every function here; [`Error::NotFound`] is `false`.
pub fn exists(url: &str) -> Result<bool> {
    match head(url) {
        Ok(_) => Ok(true),
        Err(Error::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads a whole object.
///
/// # Errors
///
/// [`Error::NotFound`] where there is none; else as for every function here.
pub fn get(url: &str) -> Result<Vec<u8>> {
    host::get(url)
}

/// Reads `length` bytes from `offset`; fewer where the object ends earlier, none past its end.
///
/// # Errors
///
/// As [`get`].
pub fn get_range(url: &str, offset: u64, length: u64) -> Result<Vec<u8>> {
    host::get_range(url, offset, length, None)
}

/// Reads a range like [`get_range`], of the version that `etag` names and no other.
///
/// # Errors
///
/// [`Error::PreconditionFailed`] where the object is another version by now; else as [`get`].
pub fn get_range_of(url: &str, etag: &str, offset: u64, length: u64) -> Result<Vec<u8>> {
    host::get_range(url, offset, length, Some(etag))
}

/// Writes an object, replacing any under that name.
///
/// # Errors
///
/// As for every function here.
pub fn put(url: &str, bytes: &[u8]) -> Result<Metadata> {
    host::put(url, bytes)
}

/// Writes an object unless one exists under that name. Of several writers exactly one succeeds.
///
/// # Errors
///
/// [`Error::AlreadyExists`] where one exists; else as for every function here.
///
/// ```
/// use samara_guest::storage::{self, Error};
///
/// storage::put_if_absent("mem:///once", b"first")?;
/// let second = storage::put_if_absent("mem:///once", b"second");
/// assert!(matches!(second, Err(Error::AlreadyExists(_))));
/// # Ok::<(), Error>(())
/// ```
pub fn put_if_absent(url: &str, bytes: &[u8]) -> Result<Metadata> {
    host::put_if_absent(url, bytes)
}

/// Writes an object if the one under that name is the version of `etag`, which this replaces. Of
/// several writers that know the same version exactly one succeeds.
///
/// # Errors
///
/// [`Error::PreconditionFailed`] where it is another version by now, or there is none;
/// [`Error::Invalid`] where the store does not keep such conditions; else as for every function here.
///
/// ```
/// use samara_guest::storage::{self, Error};
///
/// let first = storage::put("mem:///count", b"1")?;
/// storage::put_if_match("mem:///count", &first.etag, b"2")?;
/// let late = storage::put_if_match("mem:///count", &first.etag, b"2");
/// assert!(matches!(late, Err(Error::PreconditionFailed(_))));
/// # Ok::<(), Error>(())
/// ```
pub fn put_if_match(url: &str, etag: &str, bytes: &[u8]) -> Result<Metadata> {
    put_with(url, bytes, &PutOptions::if_match(etag))
}

/// Writes an object on a condition, and says something about it.
///
/// # Errors
///
/// By the condition [`Error::AlreadyExists`] or [`Error::PreconditionFailed`]; [`Error::Invalid`]
/// where the store does not keep it, or an attribute cannot be said; else as for every function here.
pub fn put_with(url: &str, bytes: &[u8], options: &PutOptions) -> Result<Metadata> {
    host::put_with(url, bytes, options)
}

/// Reads what the writer of an object said about it; nothing where the store keeps no such things.
///
/// # Errors
///
/// [`Error::NotFound`] where there is no object; else as for every function here.
pub fn attributes(url: &str) -> Result<Attributes> {
    host::attributes(url)
}

/// Removes an object. Removing one that does not exist succeeds.
///
/// # Errors
///
/// As for every function here.
pub fn delete(url: &str) -> Result<()> {
    host::delete(url)
}

/// Removes several objects. Those that do not exist count as removed.
///
/// # Errors
///
/// The first error; objects before it are removed then, objects after it are not.
pub fn delete_all<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> Result<()> {
    urls.into_iter().try_for_each(|url| delete(url.as_ref()))
}

/// Reads an object's metadata.
///
/// # Errors
///
/// [`Error::NotFound`] where there is no object; else as for every function here.
pub fn head(url: &str) -> Result<Metadata> {
    host::head(url)
}

/// Copies an object, replacing any under the new name. Its bytes do not pass through the task.
///
/// # Errors
///
/// [`Error::NotFound`] where there is no object; else as for every function here.
pub fn copy(source: &str, target: &str) -> Result<Metadata> {
    host::copy(source, target)
}

/// Lists the objects whose URL starts with `prefix`, in the order of their names' bytes.
///
/// Pages are fetched when the iteration comes to them; the first error ends it.
///
/// ```
/// use samara_guest::storage;
///
/// for name in ["b", "a", "c"] {
///     storage::put(&format!("mem:///list/{name}"), b"")?;
/// }
/// let urls: Vec<String> =
///     storage::list("mem:///list/").map(|entry| Ok(entry?.url)).collect::<storage::Result<_>>()?;
/// assert_eq!(urls, ["mem:///list/a", "mem:///list/b", "mem:///list/c"]);
/// # Ok::<(), storage::Error>(())
/// ```
pub fn list(prefix: &str) -> List {
    let pages = Pages { prefix: prefix.to_owned(), after: None, limit: 0, ended: false };
    List { pages, entries: VecDeque::new() }
}

// === impl PutOptions ===

impl PutOptions {
    /// Writes only where no object exists under the name.
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

    /// Says something further about the object.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.user.insert(name.into(), value.into());
        self
    }
}

// === impl List ===

impl List {
    /// Asks for pages of at most `entries` objects; by default the host chooses.
    #[must_use]
    pub fn page_size(mut self, entries: u32) -> Self {
        self.pages.limit = entries;
        self
    }

    /// Goes through the pages that are left, instead of through their objects.
    pub fn pages(self) -> Pages {
        self.pages
    }
}

impl Iterator for List {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.entries.is_empty() {
            match self.pages.next()? {
                Ok(page) => self.entries = page.entries.into(),
                Err(error) => return Some(Err(error)),
            }
        }
        self.entries.pop_front().map(Ok)
    }
}

impl FusedIterator for List {}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let page = host::list(&self.prefix, self.after.as_deref(), self.limit);
        self.after = page.as_ref().ok().and_then(|page| page.next.clone());
        self.ended = self.after.is_none();
        Some(page)
    }
}

impl FusedIterator for Pages {}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, Read, Seek, SeekFrom, Write};

    use super::*;

    #[test]
    fn ranges_end_where_the_object_does() {
        put("mem:///r", b"0123456789").unwrap();
        assert_eq!(get_range("mem:///r", 8, 100).unwrap(), b"89");
        assert_eq!(get_range("mem:///r", 100, 1).unwrap(), b"");
        assert_eq!(get_range("mem:///r", 1, u64::MAX).unwrap(), b"123456789");
    }

    #[test]
    fn an_etag_names_a_version() {
        let first = put("mem:///v", b"first").unwrap().etag;
        assert_eq!(get_range_of("mem:///v", &first, 0, 2).unwrap(), b"fi");
        put("mem:///v", b"first").unwrap();
        let late = get_range_of("mem:///v", &first, 0, 2);
        assert!(matches!(late, Err(Error::PreconditionFailed(_))), "{late:?}");
    }

    #[test]
    fn a_version_is_replaced_once_and_says_what_it_is() {
        let url = "mem:///m";
        let missing = put_if_match(url, "1", b"x");
        assert!(matches!(missing, Err(Error::PreconditionFailed(_))), "{missing:?}");
        let first = put_with(url, b"1", &PutOptions::default().content_type("text/plain")).unwrap();
        assert_eq!(attributes(url).unwrap().content_type.as_deref(), Some("text/plain"));
        let mut writers = [(); 2].map(|()| {
            let options = PutOptions::if_match(&first.etag).attribute("by", "a writer");
            Writer::create_with(url, &options).unwrap()
        });
        for writer in &mut writers {
            writer.write_all(b"22").unwrap();
        }
        let [one, other] = writers;
        assert_eq!(one.finish().unwrap().size, 2);
        assert!(matches!(other.finish(), Err(Error::PreconditionFailed(_))));
        let said = attributes(url).unwrap();
        assert_eq!((said.content_type, &*said.user["by"]), (None, "a writer"));
        copy(url, "mem:///m2").unwrap();
        assert_eq!(attributes("mem:///m2").unwrap().user["by"], "a writer");
        put(url, b"3").unwrap();
        assert_eq!(attributes(url).unwrap(), Attributes::default());
    }

    #[test]
    fn a_listing_goes_through_all_its_pages() {
        for n in 0..250 {
            put(&format!("mem:///l/{n:03}"), b"").unwrap();
        }
        put("mem:///m", b"").unwrap();
        let urls: Vec<String> = list("mem:///l/").map(|entry| entry.unwrap().url).collect();
        assert_eq!((urls.len(), urls.is_sorted()), (250, true));
        let pages = list("mem:///l/").page_size(120).pages();
        let lengths: Vec<usize> = pages.map(|page| page.unwrap().entries.len()).collect();
        assert_eq!(lengths, [120, 120, 10]);
        assert!(list("mem:///none").next().is_none());
    }

    #[test]
    fn a_reader_seeks_and_stays_with_its_version() {
        put("mem:///s", b"line 1\nline 2\n").unwrap();
        let mut reader = Reader::open("mem:///s").unwrap();
        reader.seek(SeekFrom::Start(5)).unwrap();
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "1\n");
        assert_eq!(reader.seek(SeekFrom::Current(-7)).unwrap(), 0);
        assert_eq!(reader.seek(SeekFrom::End(9)).unwrap(), 23);
        assert_eq!(reader.read(&mut [0; 4]).unwrap(), 0);
        assert!(reader.seek(SeekFrom::Current(-24)).is_err());
        let mut late = Reader::open("mem:///s").unwrap();
        put("mem:///s", b"line 1\nline 2\n").unwrap();
        let error = late.read(&mut [0; 4]).unwrap_err();
        assert!(error.to_string().starts_with("precondition failed: "), "{error}");
    }

    #[test]
    fn a_writer_passes_all_that_was_written() {
        let mut writer = Writer::create("mem:///w").unwrap();
        let mut expected = Vec::new();
        for length in [0, 1, 1 << 19, 1 << 20, 3, 1 << 21, 7] {
            let bytes = vec![b'a' + u8::try_from(length % 26).unwrap(); length];
            writer.write_all(&bytes).unwrap();
            expected.extend_from_slice(&bytes);
        }
        assert_eq!(writer.finish().unwrap().size, expected.len() as u64);
        assert!(get("mem:///w").unwrap() == expected);
    }

    #[test]
    fn of_writers_that_must_be_first_the_second_fails() {
        let one = Writer::create_new("mem:///n").unwrap();
        let other = Writer::create_new("mem:///n").unwrap();
        one.finish().unwrap();
        assert!(matches!(other.finish(), Err(Error::AlreadyExists(_))));
    }

    #[test]
    fn objects_are_looked_for_and_removed_together() {
        for name in ["a", "b", "c"] {
            put(&format!("mem:///d/{name}"), b"").unwrap();
        }
        assert!(exists("mem:///d/a").unwrap() && !exists("mem:///d/x").unwrap());
        delete_all(["mem:///d/a", "mem:///d/c", "mem:///d/x"]).unwrap();
        let urls: Vec<String> = list("mem:///d/").map(|entry| entry.unwrap().url).collect();
        assert_eq!(urls, ["mem:///d/b"]);
    }

    #[test]
    fn what_is_no_url_is_refused() {
        assert!(matches!(put("name", b""), Err(Error::Invalid(_))));
    }

    #[test]
    fn errors_keep_their_case_in_io() {
        let error = std::io::Error::from(get("mem:///none").unwrap_err());
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        assert_eq!(error.to_string(), "not found: mem:///none");
    }
}
