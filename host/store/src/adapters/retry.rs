//! When a request that failed is tried again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::counts::Counts;
use super::limiter::Limiter;
use crate::{Error, Operation, Result};

/// How patient requests to a store are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Attempts at one request that the store did not answer, the first included.
    pub attempts: u32,
    /// Attempts at one request that the store throttles: more, because each is sent later, and
    /// none costs the store more than an answer.
    pub throttled_attempts: u32,
    /// The wait before the second attempt; each further one is twice as long. Of each wait a random
    /// part is taken ("full jitter"), so that requests that failed together do not come back so.
    pub wait: Duration,
    /// The longest of these waits.
    pub wait_max: Duration,
    /// Further attempts at all requests together, beyond those that successes earn: five for one.
    /// What a store that is down gets beside the first attempts is bounded so.
    pub budget: u32,
    /// How long one attempt may take whose answer is short.
    pub answer: Duration,
    /// How long a body may send nothing.
    pub stall: Duration,
}

/// What is asked of a store.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What it is.
    pub operation: Operation,
    /// The URL that it is about.
    pub location: &'a str,
    /// How long one attempt at it may take.
    pub time: Duration,
}

/// Successes that earn one further attempt.
const EARNED_BY: u32 = 5;

/// The longest that a store may ask to be left alone for.
const ASKED_MAX: Duration = Duration::from_mins(1);

/// The patience of all requests to one store.
#[derive(Debug)]
pub struct Patience {
    pub(super) policy: Policy,
    pub(super) counts: Counts,
    limiter: Arc<Limiter>,
    /// Fifths of attempts that are left.
    budget: Mutex<u32>,
}

// === impl Policy ===

impl Policy {
    /// For stores behind a network.
    pub const REMOTE: Self = Self {
        attempts: 6,
        throttled_attempts: 16,
        wait: Duration::from_millis(50),
        wait_max: Duration::from_secs(10),
        budget: 100,
        answer: Duration::from_mins(1),
        stall: Duration::from_secs(20),
    };

    /// The wait before the attempt after this one, before jitter.
    fn wait_after(&self, attempt: u32) -> Duration {
        let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.wait.saturating_mul(doubled).min(self.wait_max)
    }
}

// === impl Patience ===

impl Patience {
    /// Requests that are tried by this policy.
    pub fn new(policy: Policy) -> Arc<Self> {
        Self::with(policy, Arc::new(Limiter::new()))
    }

    /// Requests to the store that is named so: all that this process makes to it come more slowly
    /// once it throttles, whoever makes them.
    pub fn with_store(policy: Policy, store: &str) -> Arc<Self> {
        Self::with(policy, Limiter::of(store))
    }

    fn with(policy: Policy, limiter: Arc<Limiter>) -> Arc<Self> {
        let budget = Mutex::new(policy.budget.saturating_mul(EARNED_BY));
        Arc::new(Self { policy, counts: Counts::default(), limiter, budget })
    }

    /// How patient they are.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How many requests there were.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Makes a request until it succeeds, or fails so that another attempt would be of no use.
    ///
    /// # Errors
    ///
    /// The last one.
    pub async fn request<T, F>(
        &self,
        asked: Request<'_>,
        mut attempt_at: impl FnMut() -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
        T: Send,
    {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.once(asked, attempt_at()).await {
                Ok(value) => {
                    self.earn();
                    return Ok(value);
                }
                Err(error) => error,
            };
            let Some(wait) = self.wait(&error, attempt) else { return Err(error) };
            tracing::debug!(%error, attempt, ?wait, "tried again");
            tokio::time::sleep(wait).await;
        }
    }

    /// Makes a request that is not to be made a second time, as a part of a stream.
    ///
    /// # Errors
    ///
    /// Its own, and that of an answer that does not come in time.
    pub(crate) async fn once<T>(
        &self,
        asked: Request<'_>,
        attempt: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let Request { operation, location, time } = asked;
        self.limiter.turn().await;
        self.counts.add(operation);
        let ended = match tokio::time::timeout(time, attempt).await {
            Ok(ended) => ended,
            Err(_) => Err(Error::unavailable(location, format!("no answer within {time:?}"))),
        };
        if matches!(ended, Err(Error::Throttled { .. })) {
            self.limiter.throttled();
        }
        ended.map_err(|error| error.during(operation))
    }

    /// How long to wait before another attempt after this error; none where there is none.
    pub(super) fn wait(&self, error: &Error, attempt: u32) -> Option<Duration> {
        let asked = match error {
            Error::Throttled { wait, .. } => {
                self.limiter.throttled();
                if attempt >= self.policy.throttled_attempts {
                    return None;
                }
                wait.unwrap_or_default().min(ASKED_MAX)
            }
            error if error.retry() && attempt < self.policy.attempts && self.spend() => {
                Duration::ZERO
            }
            _ => return None,
        };
        Some(asked + jitter(self.policy.wait_after(attempt)))
    }

    /// A request went well.
    pub(super) fn earn(&self) {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        *budget = (*budget + 1).min(self.policy.budget.saturating_mul(EARNED_BY));
    }

    fn spend(&self) -> bool {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let left = budget.checked_sub(EARNED_BY);
        *budget = left.unwrap_or(*budget);
        left.is_some()
    }
}

/// A random part of a wait.
fn jitter(wait: Duration) -> Duration {
    let part = u32::try_from(random() >> 32).unwrap_or(u32::MAX);
    wait.mul_f64(f64::from(part) / f64::from(u32::MAX))
}

/// A random number that other processes are unlikely to have too.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::adapters::limiter;

    fn paused<F: Future>(test: F) -> F::Output {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(test)
    }

    fn asked(operation: Operation) -> Request<'static> {
        Request { operation, location: "s3://b/x", time: Duration::from_secs(5) }
    }

    /// Attempts at a request that always fails so, and how long they took.
    async fn tried(patience: &Patience, error: impl Fn() -> Error + Sync) -> (u32, Duration) {
        let (tried, begin) = (AtomicU32::new(0), limiter::now());
        let request = || {
            tried.fetch_add(1, Ordering::Relaxed);
            let error = error();
            async { Err::<(), _>(error) }
        };
        let ended = patience.request(asked(Operation::Get), request).await;
        let ended = ended.unwrap_err();
        assert!(ended.operation().is_none_or(|operation| operation == Operation::Get));
        (tried.into_inner(), begin.elapsed())
    }

    fn throttled(wait: Option<Duration>) -> Error {
        let source = "slow down".into();
        Error::Throttled { location: "x".to_owned(), operation: None, wait, source }
    }

    #[test]
    fn what_may_pass_is_tried_again_with_growing_waits() {
        paused(async {
            let patience = Patience::new(Policy::REMOTE);
            let (attempts, took) = tried(&patience, || Error::unavailable("x", "reset")).await;
            assert_eq!(attempts, Policy::REMOTE.attempts);
            let most = Duration::from_millis(50 * (1 + 2 + 4 + 8 + 16) + 10);
            assert!(took > Duration::ZERO && took <= most, "{took:?}");
            assert_eq!(tried(&patience, || Error::not_found("x")).await.0, 1);
            assert_eq!(tried(&patience, || Error::generic("x", "no")).await.0, 1);
            assert_eq!(patience.counts().total(), u64::from(attempts) + 2);
        });
    }

    #[test]
    fn a_store_that_throttles_one_executor_gets_fewer_requests_of_all() {
        paused(async {
            let of = |name| Patience::with_store(Policy::REMOTE, name);
            let (one, other, elsewhere) =
                (of("s3://throttles/"), of("s3://throttles/"), of("s3://calm/"));
            let took = async |patience: &Patience| {
                let begin = limiter::now();
                for _ in 0..20 {
                    patience.once(asked(Operation::Get), async { Ok(()) }).await.unwrap();
                }
                begin.elapsed()
            };
            assert_eq!(took(&other).await, Duration::ZERO);
            assert!(one.wait(&throttled(None), 1).is_some());
            let took_then = took(&other).await;
            assert!(took_then > Duration::from_millis(500), "{took_then:?}");
            assert_eq!(took(&elsewhere).await, Duration::ZERO);
        });
    }

    /// It is the others' business too, whoever tries again.
    #[test]
    fn requests_that_are_made_once_tell_the_limiter_as_well() {
        paused(async {
            let patience = Patience::new(Policy::REMOTE);
            let refused = async { Err::<(), _>(throttled(None)) };
            patience.once(asked(Operation::Write), refused).await.unwrap_err();
            let begin = limiter::now();
            for _ in 0..20 {
                patience.once(asked(Operation::Write), async { Ok(()) }).await.unwrap();
            }
            assert!(begin.elapsed() > Duration::from_millis(500), "{:?}", begin.elapsed());
        });
    }

    #[test]
    fn a_store_is_left_alone_as_long_as_it_asks() {
        paused(async {
            let patience = Patience::new(Policy::REMOTE);
            let asked = Some(Duration::from_secs(3));
            let (attempts, took) = tried(&patience, || throttled(asked)).await;
            assert_eq!(attempts, Policy::REMOTE.throttled_attempts);
            assert!(took >= Duration::from_secs(3) * (attempts - 1), "{took:?}");
        });
    }

    #[test]
    fn a_store_that_is_down_gets_few_further_attempts() {
        paused(async {
            let patience = Patience::new(Policy { budget: 7, ..Policy::REMOTE });
            let mut attempts = 0;
            for _ in 0..100 {
                attempts += tried(&patience, || Error::unavailable("x", "down")).await.0;
            }
            assert_eq!(attempts, 107);
            for _ in 0..20 {
                patience.request(asked(Operation::Head), || async { Ok(()) }).await.unwrap();
            }
            assert_eq!(tried(&patience, || Error::unavailable("x", "down")).await.0, 5);
        });
    }

    #[test]
    fn an_attempt_without_an_answer_ends() {
        paused(async {
            let patience = Patience::new(Policy { attempts: 2, ..Policy::REMOTE });
            let silent = || std::future::pending::<Result<()>>();
            let error = patience.request(asked(Operation::List), silent).await.unwrap_err();
            assert_eq!(error.location(), "s3://b/x");
            assert!(error.in_full().contains("no answer within 5s"), "{}", error.in_full());
        });
    }

    #[test]
    fn waits_do_not_overflow() {
        let policy = Policy { wait_max: Duration::MAX, wait: Duration::MAX, ..Policy::REMOTE };
        assert_eq!(policy.wait_after(1_000), Duration::MAX);
        assert_eq!(Policy::REMOTE.wait_after(40), Policy::REMOTE.wait_max);
    }
}
