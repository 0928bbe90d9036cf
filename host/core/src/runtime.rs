//! Where tasks run: the trait that every backend implements, and the one it calls.

use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::{Batch, Error, Reports, Waits};

/// A place that runs batches of tasks: this process, a function service, a cluster.
///
/// `Display` names the place by its URL.
#[async_trait]
pub trait Runtime: Display + Debug + Send + Sync + 'static {
    /// How much the place takes at once. It may change.
    fn capacity(&self) -> Capacity;

    /// How far the place is, and so what it can reach of what the driver can.
    fn reach(&self) -> Reach;

    /// Finds out what it has to know of the place. Asked for before each job; quick from the second
    /// time on.
    ///
    /// # Errors
    ///
    /// Where the place cannot be reached, or is none that this driver can use.
    async fn ready(&self) -> Result<(), Error> {
        Ok(())
    }

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

    /// From now on no more than so many of its slots compute, because others have the processors
    /// too; tasks beyond that stand still where they can. Optional: a place that shares its machine
    /// with nobody it knows of does nothing.
    fn allot(&self, _slots: usize) {}
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

    /// Has the running tasks look at once whether they have to let others go first
    /// ([`Waits::give_way`]), and not only at the next of the looks that they take by themselves.
    fn look_now(&self) {}
}

/// What a batch takes at most that is made long because few may begin in a second: what is lost with
/// a host, and what a person waits for.
pub const PACED_BATCH_TIME_MAX: Duration = Duration::from_secs(10);

/// How much a runtime takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capacity {
    /// Tasks that run at the same moment.
    pub slots: usize,
    /// Tasks in one batch at most.
    pub batch_tasks_max: usize,
    /// Bytes of one batch at most, as it travels. A task that is longer goes alone.
    pub batch_bytes_max: u64,
    /// What a batch of tiny tasks should take: long against what a batch costs, short against what
    /// a person notices.
    pub batch_time: Duration,
    /// How long a task may take at most, where the place ends those that take longer.
    pub task_time_max: Option<Duration>,
    /// How much memory a task may have at most, in bytes, where the place has no more.
    pub task_memory_max: Option<u64>,
    /// Batches that may begin in a second, of all jobs together. The runtime sees to it.
    pub batches_per_second: Option<u32>,
}

/// How far a runtime is from its driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// In the driver's process: it shares its memory.
    Process,
    /// On the driver's machine: it shares its files.
    Machine,
    /// Anywhere: it shares what both can reach by network.
    Network,
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
    /// A capacity of `slots` tasks at the same moment and `batch_tasks_max` in one batch, which costs
    /// little: some 20 µs.
    pub fn new(slots: usize, batch_tasks_max: usize) -> Self {
        let batch_time = Duration::from_millis(4);
        Self {
            slots,
            batch_tasks_max,
            batch_bytes_max: u64::MAX,
            batch_time,
            task_time_max: None,
            task_memory_max: None,
            batches_per_second: None,
        }
    }

    /// Batches of tiny tasks should take this long.
    #[must_use]
    pub fn with_batch_time(mut self, time: Duration) -> Self {
        self.batch_time = time;
        self
    }

    /// The place ends tasks that take longer.
    #[must_use]
    pub fn with_task_time_max(mut self, time: Option<Duration>) -> Self {
        self.task_time_max = time;
        self
    }

    /// The place has no more memory for a task.
    #[must_use]
    pub fn with_task_memory_max(mut self, bytes: Option<u64>) -> Self {
        self.task_memory_max = bytes;
        self
    }

    /// No more batches may begin in a second. They take as long as it needs to keep all slots busy
    /// with so few, up to [`PACED_BATCH_TIME_MAX`].
    #[must_use]
    pub fn with_batches_per_second(mut self, rate: Option<u32>) -> Self {
        self.batches_per_second = rate;
        if let Some(rate) = rate {
            let slots = u32::try_from(self.slots).unwrap_or(u32::MAX);
            let busy = Duration::from_secs(1).saturating_mul(slots) / rate.max(1);
            self.batch_time = self.batch_time.max(busy.min(PACED_BATCH_TIME_MAX));
        }
        self
    }

    /// Batches travel, and may have so many bytes.
    #[must_use]
    pub fn with_batch_bytes_max(mut self, bytes: u64) -> Self {
        self.batch_bytes_max = bytes;
        self
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
    fn few_batches_a_second_are_long_ones() {
        let of = |slots, rate| Capacity::new(slots, 8).with_batches_per_second(rate).batch_time;
        let usual = Capacity::new(1, 8).batch_time;
        assert_eq!((of(100, None), of(1, Some(1_000))), (usual, usual));
        assert_eq!(of(100, Some(200)), Duration::from_millis(500));
        assert_eq!(of(1_000, Some(1)), PACED_BATCH_TIME_MAX);
        assert_eq!(of(usize::MAX, Some(0)), PACED_BATCH_TIME_MAX, "it does not wrap around");
    }

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
