//! Where tasks run: the trait that every backend implements, and the one it calls.

use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use crate::{Batch, Error, Reports, Waits};

/// A place that runs batches of tasks: this process, a function service, a cluster.
///
/// `Display` names the place by its URL.
#[async_trait]
pub trait Runtime: Display + Debug + Send + Sync + 'static {
    /// How much the place takes at once.
    fn capacity(&self) -> Capacity;

    /// Runs a batch and tells `observer` of each task, in any order, as it ends.
    ///
    /// A failed task is a report, not an error. Tasks without a report count as lost.
    ///
    /// # Errors
    ///
    /// Where the place failed as a whole; which of the unreported tasks ran is then unknown.
    async fn invoke(
        &self,
        batch: Arc<Batch>,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error>;
}

/// Is told what becomes of a batch.
pub trait Observer: Send + Sync + 'static {
    /// The batch left the queue: its first task starts now. Optional; a runtime that cannot know
    /// says nothing.
    fn started(&self) {}

    /// Some of its tasks ended.
    fn ended(&self, reports: Reports);
}

/// What runs tasks inside a worker. A runtime is handed one and knows no more of the engine.
pub trait TaskHandler: Debug + Send + Sync + 'static {
    /// Runs the tasks of a batch one after the other on this thread and hands out each report as
    /// it comes. Blocks; never panics because of a guest. `waits` is told while a task waits for a
    /// nested job.
    fn run(
        &self,
        batch: &Arc<Batch>,
        cancel: &Cancel,
        waits: &Arc<dyn Waits>,
        report: &mut dyn FnMut(Reports),
    );
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
pub struct Cancel(Arc<CancelState>);

#[derive(Debug, Default)]
struct CancelState {
    cancelled: AtomicBool,
    parent: Option<Cancel>,
}

// === impl Capacity ===

impl Capacity {
    /// A capacity of `slots` tasks at the same moment and `batch_tasks_max` in one batch.
    pub fn new(slots: usize, batch_tasks_max: usize) -> Self {
        Self { slots, batch_tasks_max }
    }
}

// === impl Cancel ===

impl Cancel {
    /// Part of this work: cancelled with it, or alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(Arc::new(CancelState {
            cancelled: AtomicBool::new(false),
            parent: Some(self.clone()),
        }))
    }

    /// Makes [`is_cancelled`](Self::is_cancelled) true for good.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the work is no longer wanted.
    pub fn is_cancelled(&self) -> bool {
        let parent = || self.0.parent.as_ref().is_some_and(Self::is_cancelled);
        self.0.cancelled.load(Ordering::Relaxed) || parent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_cancelled_with_the_whole_or_alone() {
        let whole = Cancel::default();
        let (one, other) = (whole.child(), whole.child().child());
        one.cancel();
        assert!(one.is_cancelled() && !whole.is_cancelled() && !other.is_cancelled());
        whole.cancel();
        assert!(other.is_cancelled());
    }
}
