//! A batch that a runtime has, and what it tells of it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use samara_core::{Batch, Cancel, Clock, Observer, Reports, Task};
use tokio::sync::mpsc;

/// What a runtime tells: which batch, and what some of its tasks came to.
pub(super) type Event = (u64, Reports);

/// Tells the dispatcher of one batch.
#[derive(Debug)]
pub(super) struct Watch {
    batch: u64,
    events: mpsc::UnboundedSender<Event>,
    clock: Arc<dyn Clock>,
    /// When it left its queue, by the monotonic clock. Looked at where it is asked for: to wake the
    /// dispatcher for each start costs as much as a tiny task.
    started: OnceLock<Duration>,
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(
        batch: u64,
        events: mpsc::UnboundedSender<Event>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { batch, events, clock, started: OnceLock::new() }
    }
}

impl Observer for Watch {
    fn started(&self) {
        let _the_first_counts = self.started.set(self.clock.monotonic());
    }

    fn ended(&self, reports: Reports) {
        // The dispatcher is gone only where nobody waits any more.
        let _gone = self.events.send((self.batch, reports));
    }
}

/// A batch that a runtime has.
#[derive(Debug)]
pub(super) struct InFlight {
    batch: Arc<Batch>,
    /// The memory limit that its tasks asked for; the place may have had less.
    memory: u64,
    pub(super) cancel: Cancel,
    watch: Arc<Watch>,
    /// By the driver's clock, since the Unix epoch.
    pub(super) submitted: Duration,
    /// When the last report came, by the monotonic clock.
    pub(super) reported_at: Option<Duration>,
    reported: Vec<bool>,
    left: usize,
    /// Where the next report is expected: mostly they come in the order of the tasks.
    next: usize,
}

// === impl InFlight ===

impl InFlight {
    pub(super) fn new(
        (batch, memory): (Arc<Batch>, u64),
        cancel: Cancel,
        watch: Arc<Watch>,
        submitted: Duration,
    ) -> Self {
        let left = batch.tasks.len();
        let reported = vec![false; left];
        let (reported_at, next) = (None, 0);
        Self { batch, memory, cancel, watch, submitted, reported_at, reported, left, next }
    }

    /// Since when the task runs that is the first without a report, by the monotonic clock.
    pub(super) fn running_since(&self) -> Option<Duration> {
        self.reported_at.or_else(|| self.watch.started.get().copied())
    }

    /// The task of this number, at its first report.
    pub(super) fn take(&mut self, index: u64) -> Option<Task> {
        let tasks = &self.batch.tasks;
        let expected = tasks.get(self.next).is_some_and(|task| task.index == index);
        let at = match expected {
            true => self.next,
            false => tasks.iter().position(|task| task.index == index)?,
        };
        if std::mem::replace(&mut self.reported[at], true) {
            return None;
        }
        self.next = at + 1;
        self.left -= 1;
        Some(tasks[at].clone())
    }

    /// The task that runs now, as far as can be told: the first without a report.
    pub(super) fn current(&self) -> Option<&Task> {
        let at = self.reported.iter().position(|reported| !reported)?;
        self.batch.tasks.get(at)
    }

    /// Takes back the tasks behind the one that runs now.
    pub(super) fn take_behind(&mut self) -> Vec<Task> {
        let waiting = self.reported.iter_mut().enumerate().filter(|(_, reported)| !**reported);
        let behind = waiting.skip(1).map(|(at, reported)| {
            *reported = true;
            self.batch.tasks[at].clone()
        });
        let behind: Vec<Task> = behind.collect();
        self.left -= behind.len();
        behind
    }

    /// Whether one task is left.
    pub(super) fn is_last(&self) -> bool {
        self.left == 1
    }

    /// The memory limit that its tasks asked for, and ask for again.
    pub(super) fn memory(&self) -> u64 {
        self.memory
    }

    /// The tasks without a report.
    pub(super) fn into_left(self) -> impl Iterator<Item = Task> {
        let Self { batch, reported, .. } = self;
        let left = (0..reported.len()).filter(move |at| !reported[*at]);
        left.map(move |at| batch.tasks[at].clone())
    }
}
