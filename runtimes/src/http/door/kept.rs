//! What opens a door for a while: kept, and made anew by one at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use samara_core::Error;
use tokio::sync::Mutex as AsyncMutex;

/// How long before its end it is made anew.
const RENEWED: Duration = Duration::from_mins(5);

/// What is this close to its end is of no use any more: it has to reach the door, whose clock may be
/// ahead.
const USELESS: Duration = Duration::from_secs(10);

/// How long a maker that failed is left alone, while what is kept still holds.
const AGAIN: Duration = Duration::from_secs(10);

/// A value that holds until some moment.
pub(super) struct Kept<V> {
    state: Mutex<State<V>>,
    /// Held by whoever makes it.
    making: AsyncMutex<()>,
}

struct State<V> {
    /// With its end, since the Unix epoch.
    value: Option<(V, Duration)>,
    /// How often it was made, or could not be.
    tried: u64,
    /// Why it could not, the last time.
    failed: Option<Error>,
    /// When it may be tried again, while what is there holds.
    again: Duration,
}

// === impl Kept ===

impl<V> Default for Kept<V> {
    fn default() -> Self {
        let state = State { value: None, tried: 0, failed: None, again: Duration::ZERO };
        Self { state: Mutex::new(state), making: AsyncMutex::default() }
    }
}

impl<V: Clone + Send + Sync> Kept<V> {
    /// The value, made where there is none that holds for long. One that still holds is used while
    /// another one makes it, and where it cannot be made.
    ///
    /// # Errors
    ///
    /// What making it comes to. Who waited for another one to make it is told the same.
    pub(super) async fn get(
        &self,
        now: Duration,
        make: impl Future<Output = Result<(V, Duration), Error>> + Send,
    ) -> Result<V, Error> {
        let (held, tried) = {
            let state = self.state();
            match state.held(now) {
                Some(value) if state.is_enough(now) => return Ok(value),
                held => (held, state.tried),
            }
        };
        let _making = match (self.making.try_lock(), &held) {
            (Ok(making), _) => making,
            (Err(_), Some(value)) => return Ok(value.clone()),
            (Err(_), None) => self.making.lock().await,
        };
        if let Some(made) = self.made_since(tried, now) {
            return made;
        }
        let made = make.await;
        let mut state = self.state();
        state.tried += 1;
        match (made, held) {
            (Ok((value, end)), _) => {
                (state.value, state.failed) = (Some((value.clone(), end)), None);
                Ok(value)
            }
            (Err(error), held) => {
                (state.failed, state.again) = (Some(error.clone()), now + AGAIN);
                let held = held.ok_or_else(|| error.clone())?;
                tracing::warn!("what opens the door is used for as long as it holds: {error}");
                Ok(held)
            }
        }
    }

    /// What another one came to that made it meanwhile.
    fn made_since(&self, tried: u64, now: Duration) -> Option<Result<V, Error>> {
        let state = self.state();
        let is_new = state.tried != tried;
        let made = state.held(now).map(Ok).or_else(|| state.failed.clone().map(Err));
        made.filter(|_| is_new)
    }

    fn state(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl<V: Clone> State<V> {
    /// The value, where it still holds.
    fn held(&self, now: Duration) -> Option<V> {
        let (value, end) = self.value.as_ref()?;
        (now + USELESS < *end).then(|| value.clone())
    }

    /// Whether nothing is to be made now.
    fn is_enough(&self, now: Duration) -> bool {
        let holds = self.value.as_ref().is_some_and(|(_, end)| now + RENEWED < *end);
        holds || now < self.again
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::future::join_all;
    use samara_core::ErrorKind;

    use super::*;

    const HOUR: u64 = 3600;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn lost() -> Error {
        Error::new(ErrorKind::Lost, "nobody answers")
    }

    /// The value, which counts how often it was made.
    async fn get(kept: &Kept<u64>, made: &AtomicU64, now: u64) -> u64 {
        let make = async { Ok((made.fetch_add(1, Ordering::SeqCst) + 1, at(now + HOUR))) };
        kept.get(at(now), make).await.unwrap()
    }

    async fn fails(kept: &Kept<u64>, now: u64) -> Result<u64, Error> {
        kept.get(at(now), async { Err(lost()) }).await
    }

    #[tokio::test]
    async fn a_value_is_made_anew_shortly_before_its_end() {
        let (kept, made) = (Kept::default(), AtomicU64::new(0));
        for (now, wanted) in [(0, 1), (1, 1), (HOUR - 301, 1), (HOUR - 300, 2), (HOUR, 2)] {
            assert_eq!(get(&kept, &made, now).await, wanted, "at {now}");
        }
    }

    #[tokio::test]
    async fn one_that_cannot_be_made_anew_is_used_while_it_holds() {
        let (kept, made) = (Kept::default(), AtomicU64::new(0));
        assert_eq!(fails(&kept, 0).await, Err(lost()));
        get(&kept, &made, 0).await;
        assert_eq!(fails(&kept, HOUR - 299).await, Ok(1));
        // Who failed is not asked again at once.
        assert_eq!(get(&kept, &made, HOUR - 298).await, 1);
        assert_eq!(get(&kept, &made, HOUR - 280).await, 2);
        assert_eq!(fails(&kept, 2 * HOUR - 280 - 10).await, Err(lost()), "it is at its end");
    }

    #[tokio::test(start_paused = true)]
    async fn one_makes_it_and_the_others_wait_or_use_what_is_there() {
        let (kept, made) = (Kept::default(), AtomicU64::new(0));
        let slowly = |now: u64| {
            let made = &made;
            let make = async move {
                tokio::time::sleep(at(5)).await;
                Ok((made.fetch_add(1, Ordering::SeqCst) + 1, at(now + HOUR)))
            };
            kept.get(at(now), make)
        };
        let all = join_all((0..50).map(|_| slowly(0))).await;
        assert!(all.into_iter().all(|value| value == Ok(1)));
        let all = join_all((0..50).map(|_| slowly(HOUR - 100))).await;
        let new = all.iter().filter(|value| **value == Ok(2)).count();
        assert_eq!((all[0].clone(), new), (Ok(2), 1), "the others did not wait");
        // Of one that fails all hear at once, and none tries for itself.
        let tries = AtomicU64::new(0);
        let failing = Kept::<u64>::default();
        let fail = || {
            failing.get(at(0), async {
                tries.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(at(5)).await;
                Err(lost())
            })
        };
        let all = join_all((0..50).map(|_| fail())).await;
        assert!(all.into_iter().all(|value| value == Err(lost())));
        assert_eq!(tries.into_inner(), 1);
    }
}
