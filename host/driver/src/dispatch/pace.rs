//! How long a job's tasks take, and so how many of them make a batch.

use std::time::Duration;

/// A running mean of the tasks' times.
#[derive(Debug, Default)]
pub(super) struct Pace {
    mean: Option<Duration>,
}

// === impl Pace ===

impl Pace {
    /// Weight of the newest task in the running mean: the pace follows within some ten tasks.
    const WEIGHT: u32 = 8;

    /// Takes note of `tasks` tasks of this mean time.
    pub(super) fn observe(&mut self, wall: Duration, tasks: u64) {
        self.mean = Some(match self.mean {
            Some(_) if tasks >= u64::from(Self::WEIGHT) => wall,
            // What a host says is long may be of any length.
            Some(mean) => mean.saturating_mul(Self::WEIGHT - 1).saturating_add(wall) / Self::WEIGHT,
            None => wall,
        });
    }

    /// Tasks that take about `time`. One while nothing is known: long tasks go alone.
    pub(super) fn batch_size(&self, time: Duration) -> usize {
        let Some(mean) = self.mean else { return 1 };
        let tasks = time.as_nanos() / mean.as_nanos().max(1);
        usize::try_from(tasks).unwrap_or(usize::MAX).clamp(1, BATCH_TASKS_MAX)
    }
}

/// Tasks in one batch at most, whatever the runtime allows: the queue holds several batches.
const BATCH_TASKS_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(4);

    #[test]
    fn tiny_tasks_share_a_batch_and_long_ones_go_alone() {
        let after = |wall| {
            let mut pace = Pace::default();
            (0..100).for_each(|_| pace.observe(wall, 1));
            pace.batch_size(TIME)
        };
        assert_eq!(Pace::default().batch_size(TIME), 1);
        assert_eq!(after(Duration::from_micros(10)), 400);
        assert_eq!(after(Duration::from_secs(1)), 1);
        assert!(after(Duration::ZERO) > 1);
    }

    #[test]
    fn any_time_can_be_observed() {
        let mut pace = Pace::default();
        (0..3).for_each(|_| pace.observe(Duration::MAX, 1));
        assert_eq!(pace.batch_size(TIME), 1);
    }

    #[test]
    fn a_batch_that_shared_an_instance_sets_the_pace_at_once() {
        let mut pace = Pace::default();
        pace.observe(Duration::from_micros(40), 1);
        pace.observe(Duration::from_micros(1), 100);
        assert_eq!(pace.batch_size(TIME), 4000);
    }
}
