//! Objects that a task makes and hands on by reference.

use std::fmt;
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::io;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::host;
use crate::storage::{self, Error, Metadata, Reader, Result, Writer};

/// An object in the job's store, as a value: small to return and to pass on, however large the
/// object is.
///
/// A function that returns one hands its bytes to the driver, or to the functions of a later job,
/// by way of the store alone. It names one version of the object: what it reads is what was
/// written.
///
/// The object goes with the job that made it, unless it was made by [`keep`](Self::keep).
///
/// ```
/// use samara_guest::{ObjectRef, Result, function};
/// use std::io::{BufRead, Write};
///
/// /// Writes a table of squares.
/// #[function]
/// fn squares(end: u64) -> Result<ObjectRef> {
///     let mut table = ObjectRef::create("squares")?;
///     for n in 0..end {
///         writeln!(table, "{}", n * n)?;
///     }
///     Ok(table.finish()?)
/// }
///
/// /// Adds the numbers of a table.
/// #[function]
/// fn sum(table: ObjectRef) -> Result<u64> {
///     table.open().lines().map(|line| Ok(line?.parse::<u64>()?)).sum()
/// }
///
/// assert_eq!(sum(squares(4)?)?, 14);
/// # Ok::<(), samara_guest::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectRef(samara_wit::ObjectRef);

/// Makes objects that stay when their job is removed: what [`ObjectRef::keep`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Keep(());

/// Writes an object of the task's own in pieces: what [`ObjectRef::create`] returns.
#[must_use = "an object is written only when its writer is finished"]
pub struct ObjectWriter {
    url: String,
    writer: Writer,
}

// === impl ObjectRef ===

impl ObjectRef {
    /// Starts to write an object that goes with the job. `name` is one that the task uses once; it
    /// may have several segments (`a/b`).
    ///
    /// The task may run twice: where another attempt has completed the object of that name, that
    /// one is the object, and what this attempt writes is dropped. Where the store does not keep
    /// put-if-absent, each attempt has an object of its own; the one that counts is the one in the
    /// task's output.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`] where this attempt used the name before; else as for every function
    /// of [`storage`].
    pub fn create(name: &str) -> Result<ObjectWriter> {
        create(&host::scratch(), name)
    }

    /// Writes an object that goes with the job, under a name made of its content.
    ///
    /// # Errors
    ///
    /// As for every function of [`storage`].
    pub fn put(bytes: &[u8]) -> Result<Self> {
        put(&host::scratch(), bytes)
    }

    /// Makes objects that stay when the job is removed; what removes them is up to who uses them.
    ///
    /// ```
    /// use samara_guest::ObjectRef;
    ///
    /// let report = ObjectRef::keep().put(b"all is well")?;
    /// assert_eq!(report.read()?, b"all is well");
    /// # Ok::<(), samara_guest::Error>(())
    /// ```
    pub fn keep() -> Keep {
        Keep(())
    }

    /// A reference to an object that is there already, as it is now.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] where it is not; else as for every function of [`storage`].
    pub fn to(url: &str) -> Result<Self> {
        Ok(Self::of(url.to_owned(), storage::head(url)?))
    }

    /// Reads the object in pieces. Nothing is read before it is asked for.
    pub fn open(&self) -> Reader {
        let Self(it) = self;
        let metadata = Metadata { size: it.size, etag: it.etag.clone(), modified_ms: None };
        Reader::of(it.url.clone(), metadata)
    }

    /// Reads the whole object.
    ///
    /// # Errors
    ///
    /// [`Error::PreconditionFailed`] where the object is another version by now; else as
    /// [`storage::get`].
    pub fn read(&self) -> Result<Vec<u8>> {
        storage::get_range_of(&self.0.url, &self.0.etag, 0, self.0.size)
    }

    fn of(url: String, Metadata { size, etag, .. }: Metadata) -> Self {
        Self(samara_wit::ObjectRef { url, size, etag })
    }
}

/// URL, size and etag.
impl Deref for ObjectRef {
    type Target = samara_wit::ObjectRef;

    fn deref(&self) -> &samara_wit::ObjectRef {
        &self.0
    }
}

impl From<samara_wit::ObjectRef> for ObjectRef {
    fn from(it: samara_wit::ObjectRef) -> Self {
        Self(it)
    }
}

impl From<ObjectRef> for samara_wit::ObjectRef {
    fn from(it: ObjectRef) -> Self {
        it.0
    }
}

// === impl Keep ===

impl Keep {
    /// As [`ObjectRef::create`].
    ///
    /// # Errors
    ///
    /// As [`ObjectRef::create`].
    pub fn create(self, name: &str) -> Result<ObjectWriter> {
        create(&host::kept(), name)
    }

    /// As [`ObjectRef::put`].
    ///
    /// # Errors
    ///
    /// As [`ObjectRef::put`].
    pub fn put(self, bytes: &[u8]) -> Result<ObjectRef> {
        put(&host::kept(), bytes)
    }
}

// === impl ObjectWriter ===

impl ObjectWriter {
    /// URL that the object will have.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Completes the object.
    ///
    /// # Errors
    ///
    /// As for every function of [`storage`]; the object is then not there.
    pub fn finish(self) -> Result<ObjectRef> {
        let Self { url, writer } = self;
        first(url, writer.finish())
    }
}

impl io::Write for ObjectWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl fmt::Debug for ObjectWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectWriter").field("url", &self.url).finish_non_exhaustive()
    }
}

fn create(prefix: &str, name: &str) -> Result<ObjectWriter> {
    let url = url(prefix, name)?;
    if !host::claim(&url) {
        return Err(Error::AlreadyExists(format!("{url}: this task has made it before")));
    }
    match Writer::create_new(&url) {
        Err(Error::Invalid(_)) => {
            let url = self::url(prefix, &of_attempt(name))?;
            Ok(ObjectWriter { writer: Writer::create(&url)?, url })
        }
        writer => Ok(ObjectWriter { writer: writer?, url }),
    }
}

/// Named by content, so that two attempts with different bytes never meet under one name.
fn put(prefix: &str, bytes: &[u8]) -> Result<ObjectRef> {
    // SipHash with fixed keys: the same in every attempt, which all run the same component.
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    let name = format!("by-content/{:016x}-{}", hasher.finish(), bytes.len());
    let url = url(prefix, &name)?;
    match storage::put_if_absent(&url, bytes) {
        Err(Error::Invalid(_)) => {
            // The same bytes written again would be another version, and a reference is to one.
            let url = self::url(prefix, &of_attempt(&name))?;
            let written = storage::put(&url, bytes)?;
            Ok(ObjectRef::of(url, written))
        }
        written => first(url, written),
    }
}

/// The name that an object has where the store does not keep put-if-absent, which is the one way in
/// which a condition on a name of ours is [`Error::Invalid`]. Nobody else writes to it: an attempt that
/// was handed out twice has another one each time. So what a reference names is never overwritten, and
/// which object counts is decided with the output that has the reference, by the driver.
fn of_attempt(name: &str) -> String {
    // What std seeds its maps with: random in the sandbox too.
    let random = RandomState::new().build_hasher().finish();
    format!("of-attempt/{}-{random:016x}/{name}", host::current().attempt)
}

/// The object that was written first: by this attempt, or by one before.
fn first(url: String, written: Result<Metadata>) -> Result<ObjectRef> {
    let metadata = match written {
        Err(Error::AlreadyExists(_)) => storage::head(&url)?,
        written => written?,
    };
    Ok(ObjectRef::of(url, metadata))
}

/// Below the task's own number: not below the attempt's, unless by [`of_attempt`].
fn url(prefix: &str, name: &str) -> Result<String> {
    if prefix.is_empty() {
        return Err(Error::Invalid("the job has no store to keep objects in".to_owned()));
    }
    if name.is_empty() || name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Error::Invalid(format!("`{name}` cannot be an object's name")));
    }
    Ok(format!("{prefix}{}/{name}", host::current().index))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom, Write};

    use samara_wit::value;

    use super::*;
    use crate::task::Identity;
    use crate::testing;

    fn attempt(attempt: u32) {
        testing::set_task(Identity { job: "j".to_owned(), index: 7, attempt });
    }

    #[test]
    fn an_object_is_written_read_and_sent() {
        let mut writer = ObjectRef::create("a/b").unwrap();
        writer.write_all(b"0123456789").unwrap();
        let object = writer.finish().unwrap();
        assert_eq!((object.size, object.read().unwrap()), (10, b"0123456789".to_vec()));
        let mut reader = object.open();
        let mut text = String::new();
        reader.seek(SeekFrom::Start(8)).unwrap();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "89");
        let sent: samara_wit::ObjectRef = value::decode(&value::encode(&object).unwrap()).unwrap();
        assert_eq!(ObjectRef::from(sent.clone()), object);
        assert_eq!(ObjectRef::to(&sent.url).unwrap(), object);
    }

    #[test]
    fn the_first_attempts_object_is_the_one() {
        attempt(0);
        let mut writer = ObjectRef::create("x").unwrap();
        writer.write_all(b"first").unwrap();
        let first = writer.finish().unwrap();
        let again = ObjectRef::create("x").unwrap_err();
        assert!(matches!(again, Error::AlreadyExists(_)), "{again}");
        attempt(1);
        let mut writer = ObjectRef::create("x").unwrap();
        writer.write_all(b"second, longer").unwrap();
        let second = writer.finish().unwrap();
        assert_eq!((&second, second.read().unwrap()), (&first, b"first".to_vec()));
        let url = first.url.clone();
        assert!(url.contains("/objects/j/7/x") && !url.contains("/1/"), "{url}");
    }

    #[test]
    fn bytes_are_named_by_their_content() {
        attempt(0);
        let one = ObjectRef::put(b"one").unwrap();
        attempt(1);
        assert_eq!(ObjectRef::put(b"one").unwrap(), one);
        assert_ne!(ObjectRef::put(b"two").unwrap().url, one.url);
        let kept = ObjectRef::keep().put(b"one").unwrap();
        assert!(kept.url.contains("/kept/j/7/"), "{}", kept.url);
        let mut writer = ObjectRef::keep().create("x").unwrap();
        writer.write_all(b"x").unwrap();
        assert_eq!(writer.finish().unwrap().read().unwrap(), b"x");
    }

    #[test]
    fn a_reference_is_to_one_version() {
        let object = ObjectRef::put(b"one").unwrap();
        storage::put(&object.url, b"two").unwrap();
        assert!(matches!(object.read(), Err(Error::PreconditionFailed(_))));
        let mut text = String::new();
        assert!(object.open().read_to_string(&mut text).is_err());
    }

    #[test]
    fn names_are_those_of_objects() {
        for name in ["", "/a", "a/", "a//b", "../x", "a/./b"] {
            assert!(matches!(ObjectRef::create(name), Err(Error::Invalid(_))), "{name}");
        }
    }
}
