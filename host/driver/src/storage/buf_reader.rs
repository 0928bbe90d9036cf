//! An object as a file that is read: [`BufReader`].

use std::fmt;
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use samara_store::{Error, Location, Metadata, StoreExt};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncSeek, ReadBuf};
use tokio::task::JoinSet;

use super::{Result, Storage, ended};

/// What the first request asks for, and each one after a seek: a request takes tens of milliseconds,
/// in which a store sends about as much.
const FETCH_BYTES: u64 = 1 << 20;

/// What a request asks for at most. As long as reads go on where the last one ended, each asks for
/// twice as much as the one before, and the next one is on its way meanwhile: a reader holds two.
const FETCH_BYTES_MAX: u64 = 8 << 20;

/// An object as a file that is read, from start to end or by seeking, for whatever reads from
/// [`AsyncRead`], [`AsyncBufRead`] and [`AsyncSeek`]. [`blocking`](Self::blocking) makes it one for
/// [`std::io`].
///
/// All bytes are of the version that was there when it was opened: where the object is replaced
/// meanwhile, reading fails with an error whose source is [`Error::Precondition`]. A read that failed
/// may be made again.
///
/// ```
/// use samara::Storage;
/// use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # samara::block_on(async {
/// let storage = Storage::new()?;
/// storage.put("mem://example/log", "first\nsecond\n").await?;
/// let mut log = storage.buf_reader("mem://example/log").await?;
/// let mut line = String::new();
/// log.read_line(&mut line).await?;
/// assert_eq!(line, "first\n");
///
/// log.seek(std::io::SeekFrom::End(-4)).await?;
/// let mut rest = String::new();
/// log.read_to_string(&mut rest).await?;
/// assert_eq!(rest, "ond\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })
/// # }
/// ```
pub struct BufReader {
    storage: Storage,
    at: Location,
    metadata: Metadata,
    /// Where the buffer's first byte stands in the object.
    start: u64,
    buffer: Bytes,
    /// Where the next byte to read stands in the object; it need not lie in the buffer.
    position: u64,
    /// What the last request asked for.
    fetch_bytes: u64,
    coming: Option<Fetch>,
}

/// A part of the object on its way, whether somebody waits for it or not.
struct Fetch {
    range: Range<u64>,
    /// Whether what came before was read to its end.
    goes_on: bool,
    task: JoinSet<Result<Bytes>>,
}

impl Storage {
    /// Opens an object as a file that is read: for what knows `tokio::io`, or `std::io`.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn buf_reader(&self, url: &str) -> Result<BufReader> {
        let at = self.locator.open(url)?;
        let asked = at.clone();
        let metadata = self.run(async move { asked.store.head(&asked.key).await }).await?;
        Ok(BufReader {
            storage: self.clone(),
            at,
            metadata,
            start: 0,
            buffer: Bytes::new(),
            position: 0,
            fetch_bytes: FETCH_BYTES,
            coming: None,
        })
    }
}

// === impl BufReader ===

impl BufReader {
    /// What is known of the object.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The same for programs that are not asynchronous.
    pub fn blocking(self) -> crate::blocking::BufReader {
        self.into()
    }

    /// What the buffer holds from the position on; empty where the position lies elsewhere.
    pub(crate) fn buffered(&self) -> &[u8] {
        self.position
            .checked_sub(self.start)
            .and_then(|skip| usize::try_from(skip).ok())
            .and_then(|skip| self.buffer.get(skip..))
            .unwrap_or_default()
    }

    /// Passes over bytes of the buffer.
    pub(crate) fn pass(&mut self, count: usize) {
        self.position += count.min(self.buffered().len()) as u64;
    }

    /// Goes elsewhere, which asks the store nothing.
    pub(crate) fn go(&mut self, to: SeekFrom) -> io::Result<u64> {
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

    /// Sees to it that the buffer has something, unless the position is the end.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if !self.buffered().is_empty() || self.position >= self.metadata.size {
            return Poll::Ready(Ok(()));
        }
        let position = self.position;
        let mut fetch = match self.coming.take() {
            Some(fetch) if fetch.range.contains(&position) => fetch,
            _ => {
                let end = self.start + self.buffer.len() as u64;
                let goes_on = !self.buffer.is_empty() && end == position;
                // So that what comes can have the same memory.
                self.buffer = Bytes::new();
                self.fetch(position, goes_on)
            }
        };
        let Poll::Ready(joined) = fetch.task.poll_join_next(cx) else {
            self.coming = Some(fetch);
            return Poll::Pending;
        };
        let Fetch { range, goes_on, .. } = fetch;
        let bytes = ended(joined.expect("a task was spawned"))??;
        if bytes.len() as u64 != range.end - range.start {
            let reason = format!("{} bytes came of {range:?}", bytes.len());
            return Poll::Ready(Err(Error::unavailable(self.at.url(), reason)));
        }
        (self.start, self.buffer) = (range.start, bytes);
        if goes_on && range.end < self.metadata.size {
            self.coming = Some(self.fetch(range.end, true));
        }
        Poll::Ready(Ok(()))
    }

    /// Asks for what begins at a position that lies before the end.
    fn fetch(&mut self, from: u64, goes_on: bool) -> Fetch {
        self.fetch_bytes = match goes_on {
            true => (self.fetch_bytes * 2).min(FETCH_BYTES_MAX),
            false => FETCH_BYTES,
        };
        let range = from..self.metadata.size.min(from.saturating_add(self.fetch_bytes));
        let (at, etag, asked) = (self.at.clone(), self.metadata.etag.clone(), range.clone());
        let mut task = JoinSet::new();
        let read = async move { at.store.read_range(&at.key, asked, Some(&etag)).await };
        task.spawn_on(read, &self.storage.io);
        Fetch { range, goes_on, task }
    }
}

impl AsyncRead for BufReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if target.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_fill(cx))?;
        let buffered = self.buffered();
        let count = buffered.len().min(target.remaining());
        target.put_slice(&buffered[..count]);
        self.pass(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for BufReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_fill(cx))?;
        Poll::Ready(Ok(this.buffered()))
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.pass(count);
    }
}

impl AsyncSeek for BufReader {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        self.go(to).map(drop)
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.position))
    }
}

impl fmt::Debug for BufReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { metadata, position, .. } = self;
        f.debug_struct("BufReader")
            .field("url", &self.at.url())
            .field("metadata", metadata)
            .field("position", position)
            .finish_non_exhaustive()
    }
}
