//! Directories and files that nobody but this user can have written.
//!
//! A directory is checked once and then held open: what is in it is found by its descriptor, so that
//! nobody can put another directory in its place afterwards.

use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// Bits of a mode with which others could write.
const OTHERS_WRITE: u32 = 0o022;

/// Bits of a mode with which others could do anything.
const OTHERS: u32 = 0o077;

/// A directory that only this user can write to.
#[derive(Debug)]
pub(crate) struct Directory {
    open: File,
    /// For messages.
    path: PathBuf,
}

// === impl Directory ===

impl Directory {
    /// Opens a directory; makes it, for this user alone, if it is not there. A link in its place is
    /// refused.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // Without a slash at its end, which would have a link followed.
        let path: PathBuf = path.components().collect();
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let open = rustix::fs::open(&path, directory_flags(), Mode::empty());
        Self::checked(open, path)
    }

    /// The directory of this name in it, likewise.
    pub(crate) fn below(&self, name: &str) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.open, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let open = rustix::fs::openat(&self.open, name, directory_flags(), Mode::empty());
        Self::checked(open, self.path.join(name))
    }

    fn checked(open: rustix::io::Result<rustix::fd::OwnedFd>, path: PathBuf) -> io::Result<Self> {
        let open = match open {
            Ok(open) => File::from(open),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(refused(&path, "is no directory, or a link to one"));
            }
            Err(error) => return Err(error.into()),
        };
        let metadata = open.metadata()?;
        match is_ours(&metadata) && metadata.mode() & OTHERS_WRITE == 0 {
            true => Ok(Self { open, path }),
            false => Err(refused(&path, "can be written by others; `chmod 700` it")),
        }
    }

    /// Opens a file to read, with its length; None where there is none. Whatever could have been
    /// written by others is refused.
    pub(crate) fn open_file(&self, name: &str) -> io::Result<Option<(File, u64)>> {
        self.open_for(name, OTHERS_WRITE)
    }

    /// As [`open_file`](Self::open_file), for a file that others must not be able to read either.
    pub(crate) fn open_secret(&self, name: &str) -> io::Result<Option<(File, u64)>> {
        self.open_for(name, OTHERS)
    }

    fn open_for(&self, name: &str, not_for_others: u32) -> io::Result<Option<(File, u64)>> {
        let file = match rustix::fs::openat(&self.open, name, file_flags(), Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(refused(&self.path.join(name), "is a link")),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        // With a second name somebody could have kept it open for writing elsewhere.
        let why = match () {
            () if !metadata.is_file() => "is no file",
            () if !is_ours(&metadata) => "is another user's",
            () if metadata.mode() & not_for_others != 0 => "is open to others; `chmod 600` it",
            () if metadata.nlink() > 1 => "has another name too",
            () => return Ok(Some((file, metadata.len()))),
        };
        Err(refused(&self.path.join(name), why))
    }

    /// Puts a file in place, whole: private while it is written, and for reading only from then on.
    pub(crate) fn write(&self, name: &str, content: impl Read) -> io::Result<()> {
        let unfinished = unfinished(name)?;
        let written = self.create(&unfinished, content).and_then(|file| {
            rustix::fs::fchmod(&file, Mode::RUSR)?;
            Ok(rustix::fs::renameat(&self.open, &unfinished, &self.open, name)?)
        });
        if written.is_err() {
            let _it_may_not_be_there = self.remove(&unfinished);
        }
        written
    }

    /// Puts a private file in place, whole, where there is none.
    pub(crate) fn write_new(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let unfinished = unfinished(name)?;
        self.create(&unfinished, content)?;
        let flags = RenameFlags::NOREPLACE;
        let placed =
            match rustix::fs::renameat_with(&self.open, &unfinished, &self.open, name, flags) {
                Ok(()) => return Ok(()),
                // A file system that cannot: others may see it in the making.
                Err(Errno::INVAL | Errno::NOSYS) => self.create(name, content).map(drop),
                Err(error) => Err(error.into()),
            };
        let _it_may_not_be_there = self.remove(&unfinished);
        placed
    }

    /// Writes a private file that is not there yet.
    pub(crate) fn create(&self, name: &str, mut content: impl Read) -> io::Result<File> {
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file =
            File::from(rustix::fs::openat(&self.open, name, flags, Mode::RUSR | Mode::WUSR)?);
        io::copy(&mut content, &mut file)?;
        Ok(file)
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.open, name, AtFlags::empty())?)
    }
}

/// A name for a file in the making.
fn unfinished(name: &str) -> io::Result<String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(format!(".{name}.{:016x}", u64::from_le_bytes(random)))
}

/// Opens a file that an operator put there. Links are followed, because systems that hand out
/// secrets use them; that others cannot write it, and not everybody read it, is checked.
pub(crate) fn open_operators(path: &Path) -> io::Result<(File, u64)> {
    let flags = file_flags().difference(OFlags::NOFOLLOW);
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    let ours_or_the_systems = is_ours(&metadata) || metadata.uid() == 0;
    let why = match () {
        () if !metadata.is_file() => "is no file",
        () if !ours_or_the_systems => "is another user's",
        () if metadata.mode() & (OTHERS_WRITE | 0o004) != 0 => "is open to others; `chmod 600` it",
        () => return Ok((file, metadata.len())),
    };
    Err(refused(path, why))
}

fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw()
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("{} {why}", path.display()))
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Not blocking, so that a pipe in a file's place holds nobody up.
fn file_flags() -> OFlags {
    OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
}

/// The directory of a path, which is the current one for a name alone.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Whether `path` leads to the very file that is open.
#[cfg(target_os = "linux")]
pub(crate) fn leads_to(path: &Path, file: &File) -> bool {
    let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    matches!((std::fs::metadata(path), file.metadata()), (Ok(a), Ok(b)) if same(&a, &b))
}
