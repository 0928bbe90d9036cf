//! Times that a user gives, which may be longer than any clock counts, and sleeps for them.

use std::time::Duration;

use tokio::runtime::Handle;

/// How long one sleep takes at most; what is left is slept afterwards. Timers have ends of their
/// own (tokio's at some two years), and to look at a clock each hour costs nothing.
pub(crate) const SLEEP_MAX: Duration = Duration::from_hours(1);

/// The moment that is `time` after `now`; none where no clock gets there, so that it never comes.
pub(crate) fn after(now: Duration, time: Duration) -> Option<Duration> {
    now.checked_add(time)
}

/// Ends after `time`, on whatever thread it is polled: `io` has the timer.
pub(crate) async fn sleep(io: Handle, time: Duration) {
    let mut left = time;
    while !left.is_zero() {
        let part = left.min(SLEEP_MAX);
        let slept = {
            let _its_timer = io.enter();
            tokio::time::sleep(part)
        };
        slept.await;
        left -= part;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_moment_beyond_every_clock_never_comes() {
        let (now, second) = (Duration::from_secs(5), Duration::from_secs(1));
        assert_eq!(after(now, second), Some(Duration::from_secs(6)));
        assert_eq!(after(now, Duration::MAX), None);
        assert_eq!(after(Duration::ZERO, Duration::MAX), Some(Duration::MAX));
    }

    #[test]
    fn a_sleep_without_end_is_asleep_and_may_be_left() {
        let mut io = tokio::runtime::Builder::new_multi_thread();
        let io = io.worker_threads(1).enable_time().build().unwrap();
        let mut forever = Box::pin(sleep(io.handle().clone(), Duration::MAX));
        assert_eq!((&mut forever).now_or_never(), None);
        futures::executor::block_on(sleep(io.handle().clone(), Duration::from_millis(5)));
        assert_eq!((&mut forever).now_or_never(), None);
        assert_eq!(sleep(io.handle().clone(), Duration::ZERO).now_or_never(), Some(()));
    }
}
