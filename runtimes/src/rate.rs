//! How many batches begin per second, where a platform takes no more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use samara_core::Clock;

/// The highest rate that a URL may ask for.
pub(crate) const RATE_MAX: u32 = 100_000;

/// Gives out turns at even distances; all jobs of a runtime share them.
#[derive(Debug)]
pub(crate) struct Rate {
    per_second: Option<u32>,
    clock: Arc<dyn Clock>,
    /// When the next turn is.
    next: Mutex<Duration>,
}

// === impl Rate ===

impl Rate {
    /// So many turns a second; any number where none is said.
    pub(crate) fn new(per_second: Option<u32>, clock: Arc<dyn Clock>) -> Self {
        Self { per_second, clock, next: Mutex::default() }
    }

    pub(crate) fn per_second(&self) -> Option<u32> {
        self.per_second
    }

    /// Takes the next turn, and says how long it is until then.
    pub(crate) fn turn(&self) -> Duration {
        let Some(per_second) = self.per_second else { return Duration::ZERO };
        let now = self.clock.monotonic();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*next).max(now);
        *next = turn + Duration::from_secs(1) / per_second;
        turn - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Hand;

    #[test]
    fn turns_are_evenly_spaced_and_none_is_saved_up() {
        let clock = Arc::<Hand>::default();
        let rate = Rate::new(Some(10), Arc::clone(&clock) as _);
        let turns: Vec<u128> = (0..4).map(|_| rate.turn().as_millis()).collect();
        assert_eq!(turns, [0, 100, 200, 300]);
        *clock.0.lock().unwrap() = Duration::from_secs(60);
        let turns: Vec<u128> = (0..3).map(|_| rate.turn().as_millis()).collect();
        assert_eq!(turns, [0, 100, 200]);
        let any = Rate::new(None, clock);
        assert!((0..1_000).all(|_| any.turn().is_zero()));
    }
}
