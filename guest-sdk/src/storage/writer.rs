//! Writing an object in pieces.

use std::fmt;
use std::io;

use super::{Metadata, PutOptions, Result};
use crate::host;

/// How many bytes a writer gathers before it passes them to the host.
///
/// The host gathers them again into parts of the size that the store likes; here it is enough that
/// small writes do not cross the boundary one by one.
const PASS_BYTES: usize = 1 << 20;

/// Writes an object in pieces. It appears under its name, whole, when [`finish`](Self::finish)
/// returns; a writer that is dropped before leaves nothing.
///
/// Writes are buffered, so there is no use for a `BufWriter`.
///
/// ```
/// use samara_guest::storage::{self, Writer};
/// use std::io::Write;
///
/// let mut table = Writer::create("mem:///squares")?;
/// for n in 1..=3 {
///     writeln!(table, "{n} {}", n * n)?;
/// }
/// assert!(storage::head("mem:///squares").is_err());
/// table.finish()?;
/// assert_eq!(storage::get("mem:///squares")?, b"1 1\n2 4\n3 9\n");
/// # Ok::<(), samara_guest::Error>(())
/// ```
#[must_use = "an object is written only when its writer is finished"]
pub struct Writer {
    host: host::Writer,
    buffer: Vec<u8>,
}

// === impl Writer ===

impl Writer {
    /// Starts to write an object, which will replace any under that name.
    ///
    /// # Errors
    ///
    /// As for every function of [`storage`](super).
    pub fn create(url: &str) -> Result<Self> {
        Ok(Self { host: host::Writer::open(url, false)?, buffer: Vec::new() })
    }

    /// Starts to write an object that must not exist when it is finished.
    ///
    /// # Errors
    ///
    /// As for every function of [`storage`](super); where the object exists, at the latest
    /// [`finish`](Self::finish) fails with [`Error::AlreadyExists`](super::Error::AlreadyExists).
    pub fn create_new(url: &str) -> Result<Self> {
        Ok(Self { host: host::Writer::open(url, true)?, buffer: Vec::new() })
    }

    /// Starts to write an object on a condition, and says something about it.
    ///
    /// # Errors
    ///
    /// As for every function of [`storage`](super); whether the condition holds is seen at the
    /// latest by [`finish`](Self::finish).
    pub fn create_with(url: &str, options: &PutOptions) -> Result<Self> {
        Ok(Self { host: host::Writer::open_with(url, options)?, buffer: Vec::new() })
    }

    /// Completes the object.
    ///
    /// # Errors
    ///
    /// As for every function of [`storage`](super); the object is then not there.
    pub fn finish(mut self) -> Result<Metadata> {
        self.pass()?;
        self.host.finish()
    }

    /// Passes what was gathered to the host.
    fn pass(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.host.write(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > PASS_BYTES {
            self.pass()?;
        }
        if bytes.len() < PASS_BYTES {
            self.buffer.extend_from_slice(bytes);
        } else {
            self.host.write(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.pass()?)
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("buffered", &self.buffer.len()).finish_non_exhaustive()
    }
}
