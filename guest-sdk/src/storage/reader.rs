//! Reading an object in pieces.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

use super::{Metadata, Result, get_range_of, head};

/// How many bytes one request of a reader fetches at least.
///
/// A store answers a request in tens of milliseconds and sends some 50–100 MB a second, so below
/// this size most of the time would be waiting. Four readers fit in 16 MiB.
const FETCH_BYTES: u64 = 4 << 20;

/// Reads an object in pieces, from start to end or by seeking.
///
/// All pieces are of the version that was there when the reader was opened: where the object is
/// replaced meanwhile, reading fails. Reads are buffered, so there is no use for a `BufReader`.
///
/// ```
/// use samara_guest::storage::{self, Reader};
/// use std::io::{BufRead, Read, Seek, SeekFrom};
///
/// storage::put("mem:///log", b"first\nsecond\n")?;
/// let mut log = Reader::open("mem:///log")?;
/// let mut line = String::new();
/// log.read_line(&mut line)?;
/// assert_eq!(line, "first\n");
///
/// log.seek(SeekFrom::End(-4))?;
/// line.clear();
/// log.read_to_string(&mut line)?;
/// assert_eq!(line, "ond\n");
/// # Ok::<(), samara_guest::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    url: String,
    metadata: Metadata,
    /// Where the buffer's first byte stands in the object.
    start: u64,
    buffer: Vec<u8>,
    /// Where the next byte to read stands in the object; it need not lie in the buffer.
    position: u64,
}

// === impl Reader ===

impl Reader {
    /// Opens an object for reading, which reads its metadata and no more.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`](super::Error::NotFound) where there is none; else as for every function
    /// of [`storage`](super).
    pub fn open(url: &str) -> Result<Self> {
        let metadata = head(url)?;
        Ok(Self::of(url.to_owned(), metadata))
    }

    /// Reads the version that `metadata` is of.
    pub(crate) fn of(url: String, metadata: Metadata) -> Self {
        Self { url, metadata, start: 0, buffer: Vec::new(), position: 0 }
    }

    /// What is known of the object.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What the buffer holds from the position on; empty where the position lies elsewhere.
    fn buffered(&self) -> &[u8] {
        self.position
            .checked_sub(self.start)
            .and_then(|skip| usize::try_from(skip).ok())
            .and_then(|skip| self.buffer.get(skip..))
            .unwrap_or_default()
    }
}

impl Read for Reader {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(target)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Reader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.buffered().is_empty() && self.position < self.metadata.size {
            self.buffer = Vec::new(); // so that the next piece can have the same memory
            let Self { url, metadata, position, .. } = self;
            let length = FETCH_BYTES.min(metadata.size - *position);
            self.buffer = get_range_of(url, &metadata.etag, *position, length)?;
            self.start = self.position;
        }
        Ok(self.buffered())
    }

    fn consume(&mut self, count: usize) {
        self.position += count.min(self.buffered().len()) as u64;
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.metadata.size.checked_add_signed(by),
        };
        self.position = target.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "seek to before the object's start")
        })?;
        Ok(self.position)
    }
}
