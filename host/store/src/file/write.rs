//! Writing files: under a reserved name first, under their own when they are complete.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Place, TEMPORARY, Version, blocking};
use crate::{Error, Metadata, PutMode, Result, Writer};

/// An object that is being written. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Temporary {
    place: Place,
    path: PathBuf,
    file: File,
}

/// The [`Writer`] of files.
#[derive(Debug)]
pub(super) struct FileWriter {
    /// `None` after a failure, or while another thread writes.
    temporary: Option<Temporary>,
    url: String,
    mode: PutMode,
    pending: Vec<Bytes>,
    pending_length: usize,
}

/// Bytes that a writer gathers before it writes them.
const PENDING_MAX: usize = 1 << 20;

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
        Ok(Self { place, path, file })
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
        self.file.write_all(bytes).map_err(|error| self.place.write_error(error))
    }

    /// Appends all of a file.
    pub(super) fn copy_from(&mut self, source: &mut File) -> Result<()> {
        let copied = io::copy(source, &mut self.file);
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
        let url = temporary.place.url.clone();
        Self { temporary: Some(temporary), url, mode, pending: Vec::new(), pending_length: 0 }
    }

    /// Writes what was gathered.
    async fn flush(&mut self) -> Result<Temporary> {
        let Some(mut temporary) = self.temporary.take() else {
            return Err(Error::generic(&self.url, "the writer failed or was interrupted before"));
        };
        let pending = std::mem::take(&mut self.pending);
        self.pending_length = 0;
        blocking(move || {
            pending.iter().try_for_each(|bytes| temporary.write(bytes))?;
            Ok(temporary)
        })
        .await
    }
}

#[async_trait]
impl Writer for FileWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.pending_length += bytes.len();
        self.pending.push(bytes);
        if self.pending_length >= PENDING_MAX || self.temporary.is_none() {
            self.temporary = Some(self.flush().await?);
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Metadata> {
        let temporary = self.flush().await?;
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
