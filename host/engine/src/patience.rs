//! How long a host call may wait: until the task's deadline, or until nobody wants the task.
//!
//! Epochs interrupt a guest, not the host on its behalf, so every wait inside a host call goes
//! through here.

use std::sync::Arc;
use std::time::Duration;

use samara_core::{Cancel, Clock, Exceeded, Limits, Waiting, Waits};
use tokio::runtime::Handle;

use crate::failure::Stop;

/// How often who waits looks whether its task was cancelled, and whether another tenant wants its slot.
const CANCEL_POLL: Duration = Duration::from_millis(20);

/// Bounds the waits of one task.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    io: Handle,
    clock: Arc<dyn Clock>,
    deadline: Duration,
    limit: Duration,
    /// Time on the task's processor: when it is over, and how long it was.
    cpu: (Duration, Duration),
    cancel: Cancel,
    /// Whose slot it is while the task waits.
    waits: Arc<dyn Waits>,
}

/// Waits for `future` on this thread, however long it takes. Who waits for long has no slot while others
/// want it.
pub(crate) fn wait_at_rest<F: Future>(io: &Handle, waits: &dyn Waits, future: F) -> F::Output {
    io.block_on(async {
        tokio::pin!(future);
        let mut resting = None;
        loop {
            if let Ok(output) = tokio::time::timeout(CANCEL_POLL, &mut future).await {
                return output;
            }
            // Somebody may want it later on.
            if resting.is_none() {
                resting = Waiting::rest(waits);
            }
        }
    })
}

// === impl Patience ===

impl Patience {
    /// For a task that begins now, on this thread.
    pub(crate) fn new(
        io: Handle,
        clock: Arc<dyn Clock>,
        limits: &Limits,
        cancel: Cancel,
        waits: Arc<dyn Waits>,
    ) -> Self {
        let deadline = clock.monotonic().saturating_add(limits.time);
        let cpu = (clock.thread_cpu().saturating_add(limits.cpu), limits.cpu);
        Self { io, clock, deadline, limit: limits.time, cpu, cancel, waits }
    }

    /// Ends it after `time`, where it would last longer.
    pub(crate) fn shorten(&mut self, time: Duration) {
        self.deadline = self.deadline.min(self.now().saturating_add(time));
    }

    /// Moves the end, for time in which the task was made to stand still.
    pub(crate) fn extend(&mut self, time: Duration) {
        self.deadline = self.deadline.saturating_add(time);
    }

    /// The runtime that waits are made on.
    pub(crate) fn io(&self) -> &Handle {
        &self.io
    }

    /// The clock that deadlines are taken from.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// The time by the clock that deadlines are taken from.
    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Whether the task has to stop now.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        if self.cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        match self.clock.monotonic() < self.deadline {
            true => Ok(()),
            false => Err(Stop::OutOfTime(self.limit)),
        }
    }

    /// Whether the task has to stop now, or has computed for as long as it may. On its own thread.
    pub(crate) fn check_all(&self) -> Result<(), Stop> {
        self.check()?;
        let (end, limit) = self.cpu;
        match self.clock.thread_cpu() < end {
            true => Ok(()),
            false => Err(Stop::Exceeded(Exceeded::Cpu { limit })),
        }
    }

    /// Waits for `future` on this thread, or until the task has to stop. Who waits for long has no
    /// slot while others want it.
    pub(crate) fn wait<F: Future>(&self, future: F) -> Result<F::Output, Stop> {
        let mut resting = None;
        self.wait_and(future, || {
            if resting.is_none() {
                resting = Waiting::rest(&*self.waits);
            }
        })
    }

    /// As [`wait`](Self::wait), for who gave its slot away before.
    pub(crate) fn wait_without_slot<F: Future>(&self, future: F) -> Result<F::Output, Stop> {
        self.wait_and(future, || {})
    }

    /// Waits, and calls `look` from time to time.
    fn wait_and<F: Future>(&self, future: F, mut look: impl FnMut()) -> Result<F::Output, Stop> {
        self.check()?;
        self.io.block_on(async {
            tokio::pin!(future);
            loop {
                let left = self.deadline.saturating_sub(self.now());
                match tokio::time::timeout(CANCEL_POLL.min(left), &mut future).await {
                    Ok(output) => return Ok(output),
                    Err(_) => self.check()?,
                }
                look();
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A clock that is set by hand; time on a processor stands still.
    #[derive(Debug, Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::SeqCst))
        }

        fn unix(&self) -> Duration {
            self.monotonic()
        }

        fn thread_cpu(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn time_in_which_a_task_stood_still_does_not_count() {
        let io = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let clock = Arc::<Hand>::default();
        let mut limits = Limits::default();
        limits.time = Duration::from_millis(100);
        let io = io.handle().clone();
        let cancel = Cancel::default();
        let clock_of = Arc::clone(&clock) as _;
        let mut patience = Patience::new(io, clock_of, &limits, cancel, Arc::new(()));
        let check = |patience: &Patience, at: u64| {
            clock.0.store(at, Ordering::SeqCst);
            patience.check_all().is_ok()
        };
        assert!(check(&patience, 99) && !check(&patience, 100));
        patience.extend(Duration::from_millis(500));
        assert!(check(&patience, 599) && !check(&patience, 600));
        patience.extend(Duration::MAX);
        assert!(check(&patience, u64::MAX), "it does not wrap around");
    }

    /// A slot that others want from the third time on that it is asked for.
    #[derive(Debug, Default)]
    struct Wanted {
        asked: AtomicU64,
        ended: AtomicU64,
    }

    impl Waits for Wanted {
        fn begin(&self) {}

        fn end(&self) {
            self.ended.fetch_add(1, Ordering::SeqCst);
        }

        fn rest(&self) -> bool {
            self.asked.fetch_add(1, Ordering::SeqCst) == 2
        }
    }

    #[test]
    fn who_waits_for_long_has_no_slot_while_others_want_it() {
        let mut io = tokio::runtime::Builder::new_multi_thread();
        let io = io.worker_threads(1).enable_time().build().unwrap();
        let (clock, waits) = (Arc::<Hand>::default(), Arc::<Wanted>::default());
        let (limits, cancel) = (Limits::default(), Cancel::default());
        let io_of = io.handle().clone();
        let patience = Patience::new(io_of, clock, &limits, cancel, Arc::clone(&waits) as _);
        let seen = |count: &AtomicU64| count.load(Ordering::SeqCst);
        let asked_for = async |times: u64| {
            while seen(&waits.asked) < times {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        patience.wait(asked_for(2)).unwrap();
        assert_eq!((seen(&waits.asked), seen(&waits.ended)), (2, 0), "nobody wanted it");
        let sleep = async { tokio::time::sleep(3 * CANCEL_POLL).await };
        patience.wait_without_slot(sleep).unwrap();
        assert_eq!(seen(&waits.asked), 2);
        patience.wait(asked_for(3)).unwrap();
        assert_eq!((seen(&waits.asked), seen(&waits.ended)), (3, 1), "it had none at the end");
    }
}
