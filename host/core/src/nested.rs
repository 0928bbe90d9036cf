//! Jobs that tasks start, and what a runtime is told when a task waits for one.
//!
//! A nested job is a job like any other, of the same component, with its parent's grants and limits.
//! It ends with its parent: who drops a [`StartedJob`] cancels it.

use std::fmt::Debug;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::{Batch, Cancel, Error, JobId};

/// How deep jobs may be inside of each other. Each level keeps an instance and a thread per slot
/// waiting, and a function that starts itself for ever has to end somewhere; a divide and conquer
/// in tens of parts comes to billions of tasks in six levels.
pub const DEPTH_MAX: u32 = 8;

/// Starts the jobs that tasks ask for. The driver's side implements it; the engine is given it.
pub trait JobStarter: Debug + Send + Sync + 'static {
    /// Starts a job and returns without waiting for it. Called on the thread of the task, which
    /// drives no async runtime and must not be blocked for long.
    ///
    /// The job's batches are those of the parent but for their job's id, function, tasks, and
    /// `depth`, which is one more. The caller has checked that it is at most [`DEPTH_MAX`]; whether
    /// the component has such a function is for the starter to find out, or for the job's tasks.
    ///
    /// # Errors
    ///
    /// Where the job cannot be started at all.
    fn start(&self, nested: Nested<'_>) -> Result<Box<dyn StartedJob>, Error>;
}

/// A job that a task asks for.
#[derive(Debug)]
pub struct Nested<'a> {
    /// The batch of the task.
    pub parent: &'a Batch,
    /// The task's number in its job.
    pub task: u64,
    /// Cancels the task: the job is to be its [`child`](Cancel::child).
    pub cancel: &'a Cancel,
    /// The function's name within the parent's component.
    pub function: &'a str,
    /// For each task of the new job, in order, the CBOR array of its arguments.
    pub arguments: Vec<Bytes>,
}

/// A nested job under way. Dropping it cancels what has not ended.
pub trait StartedJob: Send + 'static {
    /// The job's id.
    fn id(&self) -> JobId;

    /// The next task that ended, in any order: its number, and its whole output or, as a text, why
    /// there is none. Outputs that lie in the store are read by the implementation. None when all
    /// tasks were handed out.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(u64, Result<Bytes, String>)>>;

    /// Cancels what has not ended; those tasks still come out of [`poll_next`](Self::poll_next),
    /// as failures. May be called twice.
    fn cancel(&mut self);
}

/// Is told while a task's thread waits for other tasks of the same runtime, so that it can run them
/// on another thread: with one slot a nested job would otherwise never begin.
pub trait Waits: Debug + Send + Sync + 'static {
    /// The calling thread waits from now on.
    fn begin(&self);

    /// The calling thread waits no longer.
    fn end(&self);

    /// The calling thread has waited for a while for something elsewhere: a time, a store, a server.
    /// Where others want its slot, the slot is theirs until [`end`](Self::end). Says whether it is.
    fn rest(&self) -> bool {
        false
    }

    /// Stands still while others have to have their share, or until `is_wanted` says no; looked at
    /// from time to time while a guest computes. Says whether it did.
    fn give_way(&self, is_wanted: &dyn Fn() -> bool) -> bool {
        let _nobody_else = is_wanted;
        false
    }
}

/// Tells [`Waits`] of one wait, from its making to its end.
#[derive(Debug)]
pub struct Waiting<'a>(&'a dyn Waits);

// === impl Waits, impl Waiting ===

/// Where nobody minds: a runtime whose tasks do not wait for each other's threads.
impl Waits for () {
    fn begin(&self) {}

    fn end(&self) {}
}

impl<'a> Waiting<'a> {
    /// Begins a wait, which ends when the result is dropped.
    pub fn begin(waits: &'a dyn Waits) -> Self {
        waits.begin();
        Self(waits)
    }

    /// Gives the slot to others, if they want it, until the result is dropped.
    pub fn rest(waits: &'a dyn Waits) -> Option<Self> {
        waits.rest().then(|| Self(waits))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI32, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Counts(AtomicI32);

    impl Waits for Counts {
        fn begin(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }

        fn end(&self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_wait_ends_however_its_scope_does() {
        let counts = Counts::default();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _waiting = Waiting::begin(&counts);
            assert_eq!(counts.0.load(Ordering::SeqCst), 1);
            panic!("planted");
        }));
        assert!(caught.is_err());
        assert_eq!(counts.0.load(Ordering::SeqCst), 0);
    }
}
