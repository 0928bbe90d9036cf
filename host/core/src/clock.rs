//! The clock as a value, so that tests and the simulator own time.

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time, handed down from the edge of the program.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;

    /// Time since the Unix epoch.
    fn unix(&self) -> Duration;

    /// Processor time that the calling thread has used; zero where the machine does not say.
    fn thread_cpu(&self) -> Duration {
        Duration::ZERO
    }
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    started: Instant,
}

// === impl SystemClock ===

#[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
impl SystemClock {
    /// Starts the monotonic clock at zero.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn unix(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    #[cfg(unix)]
    fn thread_cpu(&self) -> Duration {
        use nix::time::{ClockId, clock_gettime};
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_threads_processor_time_grows_with_its_work_alone() {
        let clock = SystemClock::new();
        let (cpu, wall) = (clock.thread_cpu(), clock.monotonic());
        while clock.monotonic() - wall < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let worked = clock.thread_cpu() - cpu;
        assert!(worked > Duration::ZERO && worked <= clock.monotonic() - wall);
    }
}
