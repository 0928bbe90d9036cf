//! Where tasks run: the trait that every backend implements, and the one it calls.

use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use crate::{Batch, Error, Report};

/// A place that runs batches of tasks: this process, a function service, a cluster.
///
/// `Display` names the place by its URL.
#[async_trait]
pub trait Runtime: Display + Debug + Send + Sync + 'static {
    /// How much the place takes at once.
    fn capacity(&self) -> Capacity;

    /// Runs a batch and returns one report per task, in any order.
    ///
    /// A failed task is a report, not an error.
    ///
    /// # Errors
    ///
    /// Where the place failed as a whole; which of the tasks ran is then unknown.
    async fn invoke(&self, batch: Arc<Batch>, cancel: Cancel) -> Result<Vec<Report>, Error>;
}

/// What runs tasks inside a worker. A runtime is handed one and knows no more of the engine.
pub trait TaskHandler: Debug + Send + Sync + 'static {
    /// Runs the tasks of a batch one after the other on this thread and hands out each report as
    /// it comes. Blocks; never panics because of a guest.
    fn run(&self, batch: &Batch, cancel: &Cancel, report: &mut dyn FnMut(Report));
}

/// How much a runtime takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capacity {
    /// Tasks that run at the same moment.
    pub slots: usize,
    /// Tasks in one batch at most.
    pub batch_tasks_max: usize,
}

/// Says that work is no longer wanted. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

// === impl Capacity ===

impl Capacity {
    /// A capacity of `slots` tasks at the same moment and `batch_tasks_max` in one batch.
    pub fn new(slots: usize, batch_tasks_max: usize) -> Self {
        Self { slots, batch_tasks_max }
    }
}

// === impl Cancel ===

impl Cancel {
    /// Makes [`is_cancelled`](Self::is_cancelled) true for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the work is no longer wanted.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
