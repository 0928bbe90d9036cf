//! What a test of functions can set up and look at. Inert in a component that a job runs.
//!
//! Objects, log and task belong to the thread, and so to one test of `cargo test`. In the sandbox
//! (`cargo test --target wasm32-wasip2`) they belong to the instance, and each test has one.
//!
//! ```
//! use samara_guest::task::{self, Level};
//! use samara_guest::{function, testing};
//!
//! /// Greets, and says so.
//! #[function]
//! fn greeting(name: String) -> String {
//!     task::info!("greets {name}");
//!     format!("Hello, {name}!")
//! }
//!
//! assert_eq!(greeting("Ada".to_owned()), "Hello, Ada!");
//! assert_eq!(testing::log(), [(Level::Info, "greets Ada".to_owned())]);
//! ```

use crate::Partition;
pub use crate::cut::{Records, cut};
use crate::host::{World, with};
use crate::partition::Description;
use crate::task::{Identity, Level};

/// Forgets this thread's log, progress and task, and natively its objects.
pub fn reset() {
    with(|world| *world = World::new());
}

/// Makes [`task::current`](crate::task::current) return this.
pub fn set_task(identity: Identity) {
    with(|world| world.set_task(identity));
}

/// Makes [`task::is_cancelled`](crate::task::is_cancelled) return true.
pub fn cancel() {
    with(|world| world.cancelled = true);
}

/// Takes what was logged since the last time.
pub fn log() -> Vec<(Level, String)> {
    with(|world| std::mem::take(&mut world.log))
}

/// What was last reported: done and total.
pub fn progress() -> Option<(u64, u64)> {
    with(|world| world.progress)
}

/// A partition that lies where `description` says and comes in the given pieces.
///
/// ```
/// use samara_guest::partition::Description;
/// use samara_guest::testing;
///
/// let mut third = Description::default();
/// (third.index, third.count) = (2, 3);
/// let text = testing::partition(third, ["one li", "ne\nanother"]);
/// assert_eq!(text.index(), 2);
/// assert_eq!(text.lines().count(), 2);
/// ```
pub fn partition<P>(description: Description, pieces: impl IntoIterator<Item = P>) -> Partition
where
    P: Into<Vec<u8>>,
{
    Partition::held(description, pieces.into_iter().map(Into::into))
}
