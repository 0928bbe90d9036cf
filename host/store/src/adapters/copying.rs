//! How long a copy within a store may take: as long as it comes on.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::{Error, Result};

tokio::task_local! {
    static STEPS: Arc<AtomicU64>;
}

/// The slowest that a store may copy by itself, in bytes per second, where it says nothing meanwhile.
const COPY_MIN: u64 = 1 << 20;

/// The copy that is under way in this task has come a step further.
#[cfg_attr(
    not(any(feature = "opendal", feature = "s3", feature = "swift")),
    allow(dead_code, reason = "the stores of this build copy in one step")
)]
pub(crate) fn comes_on() {
    // Outside of such a copy nobody asks.
    let _nobody = STEPS.try_with(|steps| steps.fetch_add(1, Ordering::Relaxed));
}

/// Awaits a copy that may stand still for so long. Where one request copies all of an object, it may
/// for as long as its size needs, which is asked for then alone.
pub(super) async fn watched<T>(
    location: &str,
    still: Duration,
    copy: impl Future<Output = Result<T>> + Send,
    size: impl Future<Output = Result<u64>> + Send,
) -> Result<T> {
    let steps = Arc::new(AtomicU64::new(0));
    let mut copy = pin!(STEPS.scope(Arc::clone(&steps), copy));
    let (mut before, mut size, mut time) = (0, Some(size), still);
    let mut most = still;
    loop {
        if let Ok(ended) = tokio::time::timeout(time, &mut copy).await {
            return ended;
        }
        let now = steps.load(Ordering::Relaxed);
        match size.take_if(|_| now == before) {
            _ if now != before => time = most,
            Some(size) => {
                time = Duration::from_secs(size.await.unwrap_or_default() / COPY_MIN);
                most += time;
            }
            None => {
                let reason = format!("the copy did not come on for {most:?}");
                return Err(Error::unavailable(location, reason));
            }
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::now;

    const STILL: Duration = Duration::from_mins(10);

    /// What comes of a copy of so many steps of so long each, of an object of this size; and when.
    fn copied(steps: u64, step: Duration, size: u64) -> (Result<u64>, Duration) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let begin = now();
            let copy = async {
                for _ in 0..steps {
                    tokio::time::sleep(step).await;
                    comes_on();
                }
                Ok(steps)
            };
            let ended = watched("mem://x/a", STILL, copy, async { Ok(size) }).await;
            (ended, begin.elapsed())
        })
    }

    #[test]
    fn copies_go_on_as_long_as_they_come_on() {
        let hours = Duration::from_hours(5);
        assert_eq!(copied(60, hours / 60, 0).0.unwrap(), 60, "by many steps");
        assert_eq!(copied(1, hours, 20 << 30).0.unwrap(), 1, "by one, of much");
        for (steps, step, size) in [(1, hours, 1 << 20), (1, hours * 24, 20 << 30)] {
            let (ended, took) = copied(steps, step, size);
            let error = ended.unwrap_err();
            assert!(error.retry() && error.in_full().contains("did not come on"), "{error}");
            assert!(took >= STILL && took <= STILL + Duration::from_secs(size >> 20), "{took:?}");
        }
        // What stands still after some steps is given up too.
        let (ended, took) = copied(3, Duration::from_mins(9), 0);
        assert!(ended.is_ok() && took == Duration::from_mins(27), "{took:?}");
    }
}
