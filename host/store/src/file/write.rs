//! Writing files: under a reserved name first, under their own when they are complete.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinSet;

use super::{Place, TEMPORARY, Version, blocking};
use crate::{Error, Metadata, PutMode, Result, Writer};

/// An object that is being written. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Temporary {
    place: Place,
    path: PathBuf,
    file: Arc<File>,
}

/// The [`Writer`] of files.
#[derive(Debug)]
pub(super) struct FileWriter {
    /// `None` after a failure.
    temporary: Option<Temporary>,
    url: String,
    mode: PutMode,
    /// What was gathered, and where in the file it belongs.
    pending: Vec<Bytes>,
    pending_length: usize,
    at: u64,
    /// What other threads write meanwhile.
    writes: JoinSet<Result<()>>,
    /// Held by the one that writes. The kernel lets one write to a file at a time as well, but the
    /// others keep processors busy until it is their turn.
    turn: Arc<Mutex<()>>,
    /// Whether somebody waits for those. Who does not wait to the end does not know what is written.
    is_waited_for: bool,
}

/// Bytes that a writer gathers before it writes them.
const PENDING_MAX: usize = 2 << 20;

/// Pieces of as many bytes that are written or wait for that: a thread copies into memory more slowly
/// than bytes come from a near server. They are all that a writer holds.
const WRITES_AT_ONCE: usize = 3;

/// Names to try before giving up; with 64 random bits the second is hardly ever needed.
const NAMES_MAX: usize = 8;

/// Removes a file; a missing one is fine.
pub(super) fn delete(place: &Place) -> Result<()> {
    match fs::remove_file(&place.path) {
        Ok(()) => Ok(()),
        Err(_) if place.path.is_dir() => Ok(()),
        Err(error) => match place.error(error) {
            Error::NotFound { .. } => Ok(()),
            error => Err(error),
        },
    }
}

// === impl Temporary ===

impl Temporary {
    /// Starts to write; makes the directories above.
    pub(super) fn new(place: Place) -> Result<Self> {
        let created = match Self::create(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let directory = place.path.parent().unwrap_or(&place.path);
                fs::create_dir_all(directory).and_then(|()| Self::create(&place))
            }
            created => created,
        };
        let (path, file) = created.map_err(|error| place.write_error(error))?;
        Ok(Self { place, path, file: Arc::new(file) })
    }

    fn create(place: &Place) -> io::Result<(PathBuf, File)> {
        let mut tries = 0;
        loop {
            let path = place.path.with_file_name(unique_name());
            tries += 1;
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((path, file)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && tries < NAMES_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        (&*self.file).write_all(bytes).map_err(|error| self.place.write_error(error))
    }

    /// Appends all of a file.
    pub(super) fn copy_from(&mut self, source: &mut File) -> Result<()> {
        let copied = io::copy(source, &mut &*self.file);
        copied.map(drop).map_err(|error| self.place.write_error(error))
    }

    /// Gives the object its own name.
    pub(super) fn publish(self, mode: &PutMode) -> Result<Metadata> {
        let failed = |error| self.place.write_error(error);
        if self.place.flush {
            self.file.sync_data().map_err(failed)?;
        }
        let version = Version::of(&self.file.metadata().map_err(failed)?);
        match mode {
            // The latter was refused at the beginning.
            PutMode::Overwrite | PutMode::IfMatch(_) => {
                fs::rename(&self.path, &self.place.path).map_err(failed)?;
            }
            PutMode::IfAbsent => {
                let linked = fs::hard_link(&self.path, &self.place.path);
                linked.map_err(|error| self.place.link_error(error))?;
            }
        }
        Ok(version.metadata())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // it was renamed
            Err(error) => tracing::warn!(path = %self.path.display(), %error, "left behind"),
        }
    }
}

// === impl Place ===

impl Place {
    /// The error of a system call that writes the file.
    fn write_error(&self, error: io::Error) -> Error {
        let reason = match error.kind() {
            io::ErrorKind::NotADirectory => "a part of its path is a file",
            io::ErrorKind::AlreadyExists => "a part of its path is a file or a dangling link",
            io::ErrorKind::IsADirectory => "it is the name of a directory",
            _ => return Error::from_io(&self.url, error),
        };
        Error::InvalidKey { location: self.url.clone(), reason }
    }

    /// The error of giving the file its name.
    fn link_error(&self, error: io::Error) -> Error {
        let location = self.url.clone();
        match error.kind() {
            io::ErrorKind::AlreadyExists if !self.path.is_dir() => {
                Error::AlreadyExists { location }
            }
            io::ErrorKind::AlreadyExists => {
                Error::InvalidKey { location, reason: "it is the name of a directory" }
            }
            // The directory can be written, or the file to link would not be there.
            io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => {
                let source = "the file system has no hard links, which put-if-absent needs";
                Error::generic(location, source)
            }
            _ => self.write_error(error),
        }
    }
}

// === impl FileWriter ===

impl FileWriter {
    pub(super) fn new(temporary: Temporary, mode: PutMode) -> Self {
        Self {
            url: temporary.place.url.clone(),
            temporary: Some(temporary),
            mode,
            pending: Vec::new(),
            pending_length: 0,
            at: 0,
            writes: JoinSet::new(),
            turn: Arc::default(),
            is_waited_for: false,
        }
    }

    /// Has what was gathered written where it belongs.
    fn flush(&mut self) -> Result<()> {
        let Some(temporary) = self.temporary.as_ref().filter(|_| !self.is_waited_for) else {
            return Err(Error::generic(&self.url, "the writer failed or was interrupted before"));
        };
        let (place, file) = (temporary.place.clone(), Arc::clone(&temporary.file));
        let turn = Arc::clone(&self.turn);
        let (pending, mut at) = (std::mem::take(&mut self.pending), self.at);
        self.at += std::mem::take(&mut self.pending_length) as u64;
        self.writes.spawn_blocking(move || {
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            for bytes in pending {
                file.write_all_at(&bytes, at).map_err(|error| place.write_error(error))?;
                at += bytes.len() as u64;
            }
            Ok(())
        });
        Ok(())
    }

    /// Waits until no more than so many pieces are being written.
    async fn settle(&mut self, most: usize) -> Result<()> {
        self.is_waited_for = true;
        while self.writes.len() > most {
            let written = match self.writes.join_next().await {
                Some(Ok(written)) => written,
                Some(Err(error)) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(error) => Err(Error::unavailable(&self.url, error)),
                },
                None => Ok(()),
            };
            if written.is_err() {
                self.temporary = None;
            }
            written?;
        }
        self.is_waited_for = false;
        Ok(())
    }
}

#[async_trait]
impl Writer for FileWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.pending_length += bytes.len();
        self.pending.push(bytes);
        if self.pending_length >= PENDING_MAX || self.temporary.is_none() {
            self.flush()?;
            self.settle(WRITES_AT_ONCE).await?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Metadata> {
        self.flush()?;
        self.settle(0).await?;
        let Some(temporary) = self.temporary.take() else {
            return Err(Error::generic(&self.url, "the writer failed before"));
        };
        let mode = self.mode.clone();
        blocking(move || temporary.publish(&mode)).await
    }
}

/// A reserved name that no other process, thread or machine is likely to choose. It leaves the
/// object's own name out, which may be as long as names can be.
fn unique_name() -> String {
    let (start, end) = TEMPORARY;
    let random = RandomState::new().build_hasher().finish();
    let process = std::process::id();
    format!("{start}{process:x}-{random:016x}{end}")
}
