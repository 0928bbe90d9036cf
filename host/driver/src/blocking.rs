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

use futures::Stream;
use futures::executor::{BlockingStream, block_on, block_on_stream};

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
