//! Second attempts beside slow ones.

use std::collections::BTreeMap;
use std::time::Duration;

use samara_core::Task;

use crate::dispatch::{Queued, Running};

/// Tasks' times that are kept for their median.
const TIMES_KEPT: usize = 511;

/// The newest tasks' times.
#[derive(Debug, Default)]
pub(super) struct Times {
    kept: Vec<Duration>,
    next: usize,
    count: u64,
}

/// Tasks that have, or had, a second attempt at the same time.
#[derive(Debug, Default)]
pub(super) struct Backed {
    /// Attempts under way, and the batches that they are in.
    tasks: BTreeMap<u64, u32>,
    ever: bool,
}

// === impl Times ===

impl Times {
    pub(super) fn add(&mut self, wall: Duration) {
        self.count += 1;
        match self.kept.len() < TIMES_KEPT {
            true => self.kept.push(wall),
            false => {
                self.kept[self.next] = wall;
                self.next = (self.next + 1) % TIMES_KEPT;
            }
        }
    }

    fn median(&self) -> Option<Duration> {
        let mut sorted = self.kept.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}

// === impl Backed ===

impl Backed {
    /// Whether there ever was a backup: else no task has two results.
    pub(super) fn ever(&self) -> bool {
        self.ever
    }

    /// A task has its value: its other attempt is no longer wanted.
    pub(super) fn end(&mut self, index: u64) {
        if let Some(attempts) = self.tasks.get_mut(&index) {
            *attempts = 0;
        }
    }

    /// One attempt of a task failed; whether another is under way, or has ended well.
    pub(super) fn lost_one(&mut self, index: u64) -> bool {
        match self.tasks.get_mut(&index) {
            None => false,
            Some(0) => true,
            Some(attempts) => {
                *attempts -= 1;
                match *attempts {
                    0 => {
                        self.tasks.remove(&index);
                        false
                    }
                    _ => true,
                }
            }
        }
    }
}

// === impl Running ===

impl Running {
    /// Starts a second attempt of each task that takes too long, as far as slots are free, and ends
    /// the attempts that are no longer wanted.
    pub(super) fn start_backups(&mut self, now: Duration) {
        self.end_losers();
        let Some(policy) = self.dispatch.policy.backups else { return };
        let slots = self.dispatch.runtime.capacity().slots;
        let Some(median) = self.times.median() else { return };
        let counts = self.dispatch.ledger.counts();
        let (done, tasks) = (counts.done as u64, counts.tasks as u64);
        let Some(threshold) = policy.threshold(done, tasks, median) else { return };
        if !counts.known || self.stopped.is_some() || !self.queue.is_empty() {
            return;
        }
        let free = slots.saturating_sub(self.batches.len());
        let slow = self.batches.values().filter_map(|batch| {
            let since = batch.running_since()?;
            let task = batch.current()?;
            let slow = now.saturating_sub(since) > threshold;
            (slow && !self.backed.tasks.contains_key(&task.index))
                .then(|| (task.clone(), batch.memory()))
        });
        let slow: Vec<(Task, u64)> = slow.take(free).collect();
        for (task, memory) in slow {
            tracing::info!(job = %self.dispatch.template.job, task = task.index, "a second attempt beside a slow one");
            self.backed.tasks.insert(task.index, 2);
            self.backed.ever = true;
            self.dispatch.numbers.update(|summary| summary.backups += 1);
            let job_memory = self.dispatch.template.limits.memory_bytes;
            let memory = (memory != job_memory).then_some(memory);
            let task = Task { attempt: task.attempt + 1, ..task };
            self.queue.push_back(Queued { task, memory });
        }
    }

    /// Cancels batches whose running task has its value from another attempt. The tasks behind it
    /// go into other batches; those that share an instance have no order, and are waited for.
    fn end_losers(&mut self) {
        let shares = self.dispatch.template.reuse;
        let mut behind = Vec::new();
        for batch in self.batches.values_mut().filter(|batch| !shares || batch.is_last()) {
            let current = batch.current().map(|task| task.index);
            let ended = |index| self.backed.tasks.get(&index) == Some(&0);
            if current.is_some_and(ended) {
                behind.append(&mut batch.take_behind());
                batch.cancel.cancel();
            }
        }
        self.queue.extend(behind.into_iter().map(|task| Queued { task, memory: None }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_follows_the_newest_times() {
        let mut times = Times::default();
        assert_eq!(times.median(), None);
        (1..=9).for_each(|n| times.add(Duration::from_secs(n)));
        assert_eq!(times.median(), Some(Duration::from_secs(5)));
        (0..TIMES_KEPT).for_each(|_| times.add(Duration::from_secs(100)));
        assert_eq!(times.median(), Some(Duration::from_secs(100)));
    }

    #[test]
    fn a_task_fails_with_its_last_attempt() {
        let mut backed = Backed::default();
        assert!(!backed.lost_one(3), "it has one attempt");
        backed.tasks.insert(3, 2);
        assert!(backed.lost_one(3), "the other goes on");
        assert!(!backed.lost_one(3), "that was the other");
        backed.tasks.insert(4, 2);
        backed.end(4);
        assert!(backed.lost_one(4), "it has a value");
    }
}
