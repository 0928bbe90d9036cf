//! `file:` keeps objects as files: for one machine, or for many that share a file system.
//!
//! - **Whole or not at all.** An object is written to a file of a reserved name
//!   (`.<unique>.samara-tmp`, in the same directory), flushed to the disk, and then given its own
//!   name in one step: rename(2), or link(2) where it must not exist. Neither a killed process
//!   nor a full disk nor a power cut leaves half an object. A killed process may leave a file of
//!   the reserved name, which listings hide and every other operation refuses; remove such files
//!   when nobody writes. The directory is not flushed: an object written in the seconds before a
//!   power cut may be absent after it.
//! - **Versions.** The etag is made of time of modification, size and inode. Readers compare it
//!   before and after each read, so that a file that is changed in place ends a read with
//!   `Precondition`; one that is replaced by this store reads on to its end as it was. A file
//!   that is changed in place twice within a tick of the system's clock (some ms on kernels
//!   before 6.13) and keeps its size passes as unchanged.
//! - **Symbolic links** are followed, also out of the root: who can make a link in the tree
//!   decides what is in the store. This store makes none. Writing and deleting replaces or
//!   removes a link, not what it points to. Listings follow links too, except to a directory that
//!   contains the link, and skip dangling ones.
//! - **Directories** are made as needed and left when they are empty. A directory is no object.
//!   A name cannot be both an object and a directory.
//! - **Names that are not UTF-8** have no URL: a listing that meets one fails and says so, since
//!   to skip it would drop data silently.
//! - Only regular files are objects; pipes, sockets and devices are not there.
//! - Needs a tokio runtime: files are read and written on its threads for blocking work.

mod buffers;
mod read;
mod walk;
mod write;

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use self::walk::Walk;
use self::write::{FileWriter, Temporary};
use crate::{
    Conditions, Error, GetOptions, ListOptions, Metadata, Object, Opening, Operation, Page,
    PutMode, PutOptions, Result, Store, Writer, key,
};

/// Files below a directory as objects.
#[derive(Clone)]
pub struct FileStore(Arc<Root>);

/// The directory that a store is.
#[derive(Clone)]
struct Root {
    path: PathBuf,
    /// `file:///`, or `file:///path/`.
    url: String,
    flush: bool,
}

/// One file, and the URL that errors about it name.
#[derive(Clone, Debug)]
struct Place {
    path: PathBuf,
    url: String,
    flush: bool,
}

/// What changes when a file changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    seconds: i64,
    nanoseconds: i64,
    size: u64,
    inode: u64,
}

/// How the names of unfinished objects begin and end.
const TEMPORARY: (&str, &str) = (".", ".samara-tmp");

/// The system's number for a link that leads to itself, which std has no stable name for.
const ELOOP: i32 = if cfg!(target_os = "linux") { 40 } else { 62 };

/// Opens `file:///`.
pub(crate) fn open(opening: &Opening<'_>) -> Result<Arc<dyn Store>, String> {
    if !opening.authority.is_empty() {
        return Err("`file:` has no host: `file:///absolute/path`".to_owned());
    }
    let root = Root { path: PathBuf::from("/"), url: "file:///".to_owned(), flush: true };
    Ok(Arc::new(FileStore(Arc::new(root))))
}

// === impl FileStore ===

impl FileStore {
    /// Objects below a directory, which is made when the first one is written.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` where `root` is not absolute, not UTF-8, or has a `..`.
    pub fn new(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        let invalid =
            |reason| Err(Error::InvalidUrl { url: root.to_string_lossy().into_owned(), reason });
        if !root.is_absolute() {
            return invalid("the root of a store must be an absolute path");
        }
        let mut url = String::from("file://");
        for component in root.components() {
            match component {
                Component::Normal(name) => match name.to_str() {
                    Some(name) => url.extend(["/", name]),
                    None => return invalid("the path is not UTF-8"),
                },
                Component::ParentDir => return invalid("the root of a store must not have `..`"),
                _ => {}
            }
        }
        url.push('/');
        Ok(Self(Arc::new(Root { path: root.to_owned(), url, flush: true })))
    }

    /// Does not flush objects to the disk before they appear: writing a small one takes some
    /// 50 µs instead of some ms, but a power cut may leave half of it. For scratch and tests.
    #[must_use]
    pub fn without_flush(self) -> Self {
        Self(Arc::new(Root { flush: false, ..Root::clone(&self.0) }))
    }

    fn place(&self, key: &str) -> Result<Place> {
        key::check(self, key)?;
        if key.split('/').any(|segment| is_temporary(segment.as_bytes())) {
            return key::invalid(self, key, "reserved for objects that are being written");
        }
        Ok(self.0.place(key))
    }
}

impl fmt::Display for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.url)
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileStore").field(&self.0.path).finish()
    }
}

#[async_trait]
impl Store for FileStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<Object> {
        let place = self.place(key)?;
        blocking(move || read::get(place, &options)).await
    }

    async fn head(&self, key: &str) -> Result<Metadata> {
        let place = self.place(key)?;
        blocking(move || Ok(place.version()?.metadata())).await
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<Metadata> {
        let place = self.place(key)?;
        place.refuse_if_match(&options, Operation::Put)?;
        blocking(move || {
            let mut temporary = Temporary::new(place)?;
            temporary.write(&body)?;
            temporary.publish(&options.mode)
        })
        .await
    }

    async fn writer(&self, key: &str, options: PutOptions) -> Result<Box<dyn Writer>> {
        let place = self.place(key)?;
        place.refuse_if_match(&options, Operation::Write)?;
        let temporary = blocking(move || Temporary::new(place)).await?;
        Ok(Box::new(FileWriter::new(temporary, options.mode)))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let place = self.place(key)?;
        blocking(move || write::delete(&place)).await
    }

    async fn list(&self, prefix: &str, options: ListOptions) -> Result<Page> {
        key::check_prefix(self, prefix)?;
        let (root, prefix) = (Arc::clone(&self.0), prefix.to_owned());
        let (page, nameless) = blocking(move || Walk::new(&root, &prefix, &options).page()).await?;
        for path in nameless {
            tracing::warn!(?path, "passed over: its name is not UTF-8, so no URL names it");
        }
        Ok(page)
    }

    async fn copy(&self, from: &str, to: &str, options: PutOptions) -> Result<Metadata> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        to.refuse_if_match(&options, Operation::Copy)?;
        blocking(move || {
            let (mut source, version) = from.open()?;
            let mut temporary = Temporary::new(to)?;
            temporary.copy_from(&mut source)?;
            from.check_unchanged(&source, version)?;
            temporary.publish(&options.mode)
        })
        .await
    }

    async fn conditions(&self) -> Result<Conditions> {
        Ok(Conditions::new(true, false))
    }
}

// === impl Root ===

impl Root {
    /// The place of a key that was checked, or of a directory.
    fn place(&self, key: &str) -> Place {
        let (path, url) = (self.path.join(key), format!("{}{key}", self.url));
        Place { path, url, flush: self.flush }
    }
}

// === impl Place ===

impl Place {
    /// Describes the file, without opening it: opening a pipe would wait for its other end.
    fn version(&self) -> Result<Version> {
        let metadata = std::fs::metadata(&self.path).map_err(|error| self.error(error))?;
        if metadata.is_file() {
            return Ok(Version::of(&metadata));
        }
        let location = self.url.clone();
        let sought = if metadata.is_dir() {
            "an object; that is a directory"
        } else {
            "an object; that is no regular file"
        };
        Err(Error::NotFound { location, sought })
    }

    /// A file cannot be replaced on condition that it is a certain version.
    fn refuse_if_match(&self, options: &PutOptions, operation: Operation) -> Result<()> {
        match options.mode {
            PutMode::IfMatch(_) => {
                let reason = "files are not replaced on condition of their version";
                Err(Error::unsupported(&self.url, operation, reason))
            }
            _ => Ok(()),
        }
    }

    /// The error of a system call on the file.
    fn error(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotADirectory => Error::not_found(&self.url),
            _ if error.raw_os_error() == Some(ELOOP) => Error::not_found(&self.url),
            _ => Error::from_io(&self.url, error),
        }
    }
}

// === impl Version ===

impl Version {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
            size: metadata.size(),
            inode: metadata.ino(),
        }
    }

    fn etag(self) -> String {
        let Self { seconds, nanoseconds, size, inode } = self;
        format!("{seconds:x}.{nanoseconds:x}-{size:x}-{inode:x}")
    }

    fn metadata(self) -> Metadata {
        let milliseconds =
            self.seconds.checked_mul(1000).map(|ms| ms + self.nanoseconds / 1_000_000);
        let modified_ms = milliseconds.and_then(|ms| u64::try_from(ms).ok());
        Metadata { size: self.size, etag: self.etag(), modified_ms }
    }
}

/// Whether this is the name of an object that is being written.
fn is_temporary(name: &[u8]) -> bool {
    name.starts_with(TEMPORARY.0.as_bytes()) && name.ends_with(TEMPORARY.1.as_bytes())
}

/// Runs `work` where it may block. It runs to its end even if the future is dropped.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::unavailable("file:///", error)),
        },
    }
}

#[cfg(test)]
mod tests;
