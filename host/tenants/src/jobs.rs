//! The jobs of one tenant that a host remembers, so that each is written to the audit log once when
//! it comes, and with its sums whenever none of its batches is left.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use samara_core::{JobId, Tally};

/// Jobs that are remembered after their last batch ended. One that comes again after as many others
/// is written down again.
const JOBS_MAX: usize = 4096;

/// Jobs that may be looked at to find one to forget; the rest is under way and bounded by the host.
const LOOKS_MAX: usize = 16;

/// Jobs that have run, or run.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    jobs: BTreeMap<JobId, Job>,
    /// Oldest first.
    order: VecDeque<JobId>,
}

#[derive(Debug, Default)]
struct Job {
    /// Its batches that are under way.
    batches: usize,
    /// What was counted since it was last written down.
    tally: Tally,
}

// === impl Jobs ===

impl Jobs {
    /// Notes that a batch begins; says whether it is the job's first.
    pub(crate) fn begin(&self, id: JobId) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !known.jobs.contains_key(&id);
        if is_new {
            known.make_room();
            known.order.push_back(id);
        }
        known.jobs.entry(id).or_default().batches += 1;
        is_new
    }

    /// Adds to a job's sums.
    pub(crate) fn add(&self, id: JobId, tally: &Tally) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(job) = known.jobs.get_mut(&id) {
            job.tally = plus(&job.tally, tally);
        }
    }

    /// Notes that a batch ended; where it was the last one, gives the sums, which begin anew.
    pub(crate) fn end(&self, id: JobId) -> Option<Tally> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let job = known.jobs.get_mut(&id)?;
        job.batches = job.batches.saturating_sub(1);
        (job.batches == 0).then(|| std::mem::take(&mut job.tally))
    }
}

// === impl Known ===

impl Known {
    fn make_room(&mut self) {
        for _ in 0..LOOKS_MAX {
            if self.order.len() < JOBS_MAX {
                return;
            }
            let Some(oldest) = self.order.pop_front() else { return };
            match self.jobs.get(&oldest).is_some_and(|job| job.batches > 0) {
                true => self.order.push_back(oldest),
                false => drop(self.jobs.remove(&oldest)),
            }
        }
    }
}

fn plus(one: &Tally, other: &Tally) -> Tally {
    let mut sum = *one;
    sum.succeeded = sum.succeeded.saturating_add(other.succeeded);
    sum.failed = sum.failed.saturating_add(other.failed);
    sum.lost = sum.lost.saturating_add(other.lost);
    sum.usage.cpu = sum.usage.cpu.saturating_add(other.usage.cpu);
    sum.usage.bytes = sum.usage.bytes.saturating_add(other.usage.bytes);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> JobId {
        JobId::new(n, 0)
    }

    fn succeeded(succeeded: u64) -> Tally {
        Tally { succeeded, ..Tally::default() }
    }

    #[test]
    fn sums_come_when_no_batch_is_left() {
        let jobs = Jobs::default();
        assert!(jobs.begin(id(1)));
        assert!(!jobs.begin(id(1)));
        jobs.add(id(1), &succeeded(2));
        assert_eq!(jobs.end(id(1)), None);
        jobs.add(id(1), &succeeded(3));
        assert_eq!(jobs.end(id(1)), Some(succeeded(5)));
        assert!(!jobs.begin(id(1)), "it is remembered");
        assert_eq!(jobs.end(id(1)), Some(succeeded(0)), "sums begin anew");
    }

    #[test]
    fn old_jobs_are_forgotten_but_none_that_is_under_way() {
        let jobs = Jobs::default();
        assert!(jobs.begin(id(0)));
        for n in 1..=2 * JOBS_MAX as u64 {
            assert!(jobs.begin(id(n)));
            assert!(jobs.end(id(n)).is_some());
        }
        assert!(!jobs.begin(id(0)));
        assert!(jobs.begin(id(1)), "it was forgotten");
        assert!(jobs.0.lock().unwrap().jobs.len() <= JOBS_MAX);
    }
}
