//! Copies of code that cannot change any more: what is checked is what is mapped.

use std::fs::File;
use std::io::{self, Read};
#[cfg(target_os = "linux")]
use std::{os::fd::AsRawFd, path::PathBuf};

/// A copy that nobody can write to.
#[derive(Debug)]
pub(crate) enum Sealed {
    /// This process's own.
    Bytes(Vec<u8>),
    /// Memory with a descriptor, sealed by the kernel, so that it can be mapped instead of copied
    /// once more.
    #[cfg(target_os = "linux")]
    Memory {
        memory: File,
        length: u64,
        /// Leads to it.
        path: PathBuf,
    },
}

// === impl Sealed ===

impl Sealed {
    /// Copies `length` bytes of a file, from where it is read next.
    pub(crate) fn copy(file: &File, length: u64) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some((memory, path)) = memory() {
            return Self::fill(memory, path, file, length);
        }
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        Self::Bytes(bytes).whole(length)
    }

    #[cfg(target_os = "linux")]
    fn fill(mut memory: File, path: PathBuf, file: &File, length: u64) -> io::Result<Self> {
        use rustix::fs::{SealFlags, fcntl_add_seals};
        let copied = io::copy(&mut file.take(length), &mut memory)?;
        // The last one: no seal can be taken off anyway, nor can one be added.
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&memory, seals)?;
        Self::Memory { memory, length: copied, path }.whole(length)
    }

    /// Itself, if it has all that the file was to have.
    fn whole(self, length: u64) -> io::Result<Self> {
        match self.len() == length {
            true => Ok(self),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            #[cfg(target_os = "linux")]
            Self::Memory { length, .. } => *length,
        }
    }

    /// Reads it from its start.
    pub(crate) fn reader(&self) -> io::Result<Box<dyn Read + '_>> {
        match self {
            Self::Bytes(bytes) => Ok(Box::new(&bytes[..])),
            #[cfg(target_os = "linux")]
            Self::Memory { memory, .. } => {
                let mut memory: &File = memory;
                io::Seek::rewind(&mut memory)?;
                Ok(Box::new(memory))
            }
        }
    }
}

/// Memory that can be sealed, with a path that leads to it. None where the machine has no such
/// thing, or no `/proc`.
#[cfg(target_os = "linux")]
fn memory() -> Option<(File, PathBuf)> {
    use rustix::fs::{MemfdFlags, memfd_create};
    const NAME: &str = "samara-compiled";
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Before Linux 6.3 nobody knew that flag; some machines insist on it since.
    let memory = memfd_create(NAME, flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| memfd_create(NAME, flags))
        .ok()?;
    let memory = File::from(memory);
    let path = PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd()));
    super::directory::leads_to(&path, &memory).then_some((memory, path))
}
