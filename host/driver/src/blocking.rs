//! For programs that are not asynchronous: every future waited for, every stream an iterator.
//!
//! ```no_run
//! # use samara::function::{Function, Given, Kind};
//! # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
//! use samara::blocking::{Wait, iter};
//! use samara::{Component, Executor, Retries};
//!
//! # fn main() -> Result<(), samara::Error> {
//! let app = Component::from_path("app.wasm")?;
//! let executor = Executor::new()?;
//! let job = executor.map(&app, double, 1..=1000_u64).retries(Retries::none()).wait()?;
//! for (index, result) in iter(job.as_completed()) {
//!     println!("{index}: {}", result?);
//! }
//! let one = executor.call(&app, double, 21).wait()?;
//! assert_eq!(one, 42);
//! # Ok(())
//! # }
//! ```
//!
//! Not for code that runs on an async runtime: a thread that waits here runs nothing else. There
//! `.await` is the way.

use std::future::poll_fn;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};

use futures::Stream;
use futures::executor::{BlockingStream, block_on, block_on_stream};

use crate::storage;

/// An object as a file that is read: a [`storage::BufReader`] for [`std::io`].
///
/// ```
/// use std::io::{BufRead, Read, Seek, SeekFrom};
///
/// use samara::Storage;
/// use samara::blocking::Wait;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let storage = Storage::new()?;
/// storage.put("mem://example/table", "a,1\nb,2\n").wait()?;
/// let mut table = storage.buf_reader("mem://example/table").wait()?.blocking();
/// let mut row = String::new();
/// table.read_line(&mut row)?;
/// assert_eq!(row, "a,1\n");
///
/// table.seek(SeekFrom::Start(2))?;
/// let mut rest = Vec::new();
/// table.read_to_end(&mut rest)?;
/// assert_eq!(rest, b"1\nb,2\n");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BufReader(storage::BufReader);

/// An object as a file that is written: a [`storage::BufWriter`] for [`std::io`].
///
/// The object appears, whole, when [`finish`](Self::finish) has succeeded. One that is dropped before
/// is given up, and dropping it waits until the store has removed what was sent.
///
/// ```
/// use std::io::Write;
///
/// use samara::Storage;
/// use samara::blocking::Wait;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let storage = Storage::new()?;
/// let mut table = storage.buf_writer("mem://example/squares").wait()?.blocking();
/// for n in 1..=3 {
///     writeln!(table, "{n} {}", n * n)?;
/// }
/// assert!(storage.head("mem://example/squares").wait().is_err());
/// assert_eq!(table.finish()?.size, 12);
/// assert_eq!(storage.get("mem://example/squares").wait()?, "1 1\n2 4\n3 9\n");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "an object is written only when its writer is finished"]
pub struct BufWriter(Option<storage::BufWriter>);

/// Waits for a future on this thread.
///
/// ```
/// use samara::blocking::Wait;
///
/// assert_eq!(std::future::ready(42).wait(), 42);
/// ```
pub trait Wait: Future + Sized {
    /// Waits for the future's output.
    fn wait(self) -> Self::Output {
        block_on(self)
    }
}

impl<F: Future> Wait for F {}

/// A stream as an iterator that waits for each item.
///
/// # Examples
///
/// ```
/// let stream = futures::stream::iter([1, 2, 3]);
/// assert_eq!(samara::blocking::iter(stream).sum::<i32>(), 6);
/// ```
pub fn iter<S: Stream + Unpin>(stream: S) -> BlockingStream<S> {
    block_on_stream(stream)
}

// === impl BufReader ===

impl BufReader {
    /// What is known of the object.
    pub fn metadata(&self) -> &storage::Metadata {
        self.0.metadata()
    }
}

impl From<storage::BufReader> for BufReader {
    fn from(reader: storage::BufReader) -> Self {
        Self(reader)
    }
}

impl Read for BufReader {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(target)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for BufReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        block_on(poll_fn(|cx| self.0.poll_fill(cx)))?;
        Ok(self.0.buffered())
    }

    fn consume(&mut self, count: usize) {
        self.0.pass(count);
    }
}

impl Seek for BufReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.go(to)
    }
}

// === impl BufWriter ===

impl BufWriter {
    /// Completes the object.
    ///
    /// # Errors
    ///
    /// As [`storage::BufWriter::finish`].
    pub fn finish(mut self) -> storage::Result<storage::Metadata> {
        block_on(self.0.take().expect("there until it ends").finish())
    }

    /// Gives the object up, and waits until the store has removed what was sent.
    ///
    /// # Errors
    ///
    /// Where something may have been left.
    pub fn abort(mut self) -> storage::Result<()> {
        block_on(self.0.take().expect("there until it ends").abort())
    }

    fn inner(&mut self) -> &mut storage::BufWriter {
        self.0.as_mut().expect("there until it ends")
    }
}

impl From<storage::BufWriter> for BufWriter {
    fn from(writer: storage::BufWriter) -> Self {
        Self(Some(writer))
    }
}

impl Write for BufWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let inner = self.inner();
        Ok(block_on(poll_fn(|cx| inner.poll_write(cx, bytes)))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        let inner = self.inner();
        Ok(block_on(poll_fn(|cx| inner.poll_flush(cx)))?)
    }
}

impl Drop for BufWriter {
    fn drop(&mut self) {
        if let Some(writer) = self.0.take() {
            writer.give_up_here();
        }
    }
}
