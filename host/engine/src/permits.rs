//! How many instances there may be at once: as many as the pool holds, and no more.
//!
//! A task that waits for a nested job keeps its instance, so a few are kept for those further down:
//! a task of depth `d` leaves as many as there are levels below it. Whoever of those that wait took
//! the last permit its depth allows has left one to the next level, so the deepest can always go
//! on.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use samara_core::nested::DEPTH_MAX;

/// Lends a fixed number of permits.
#[derive(Debug)]
pub(crate) struct Permits {
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug)]
struct State {
    free: u32,
    /// Threads that wait for one.
    waiting: u32,
}

/// One permit; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit<'a>(&'a Permits);

// === impl Permits ===

impl Permits {
    /// Permits for `count` tasks that are in no other, and those that are kept for nested ones.
    pub(crate) fn new(count: u32) -> Self {
        let state = State { free: Self::in_all(count), waiting: 0 };
        Self { state: Mutex::new(state), returned: Condvar::new() }
    }

    /// How many instances there may be where `count` may be of tasks that are in no other.
    pub(crate) fn in_all(count: u32) -> u32 {
        count.saturating_add(DEPTH_MAX)
    }

    /// Waits for a permit for a task of that depth.
    pub(crate) fn take(&self, depth: u32) -> Permit<'_> {
        let kept = DEPTH_MAX.saturating_sub(depth);
        let mut state = self.lock();
        while state.free <= kept {
            state.waiting += 1;
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state.free -= 1;
        Permit(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Permit ===

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.free += 1;
        let somebody_waits = state.waiting > 0;
        drop(state);
        // To wake nobody is a call into the kernel too, and there is a permit for each task.
        if somebody_waits {
            // All: the one that is woken may be of a depth that has to go on waiting.
            self.0.returned.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn no_more_are_out_than_there_are() {
        let (permits, out, most) = (Permits::new(3), AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let _permit = permits.take(0);
                        most.fetch_max(out.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        out.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= 3);
    }

    #[test]
    fn those_that_wait_leave_room_for_what_they_wait_for() {
        let permits = Permits::new(2);
        let _roots = [permits.take(0), permits.take(0)];
        // Each level waits for the one below; were none kept, the first of these would hang.
        let _below: Vec<_> = (1..=DEPTH_MAX).map(|depth| permits.take(depth)).collect();
        assert_eq!(permits.lock().free, 0);
    }
}
