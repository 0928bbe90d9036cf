//! Fewer requests for a store that asks for fewer, from all tasks of the process together.
//!
//! There is no limit until the store throttles. Then the rate is set to a part of what was sent,
//! and grows again with each second without a complaint: additive increase, multiplicative
//! decrease, as in TCP (RFC 5681) and in the "adaptive" mode of the AWS SDKs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

/// The part of the rate that is kept when the store throttles.
const KEPT: f64 = 0.7;

/// Requests per second below which the rate never falls, so that work goes on.
const RATE_MIN: f64 = 0.5;

/// By how much the rate grows in a second without a complaint, as a part of itself.
const GROWTH: f64 = 0.1;

/// Answers to requests that were sent together say one thing, not many: the rate falls once in this
/// time.
const REACTION: Duration = Duration::from_millis(500);

/// After this long without a complaint there is no limit again.
const FORGIVEN: Duration = Duration::from_mins(1);

/// Over how long the rate of what is sent is measured.
const MEASURED: Duration = Duration::from_secs(1);

/// Turns are given this far ahead. Who gets none by then asks again, at the rate of then.
const TURN_MAX: Duration = Duration::from_secs(30);

/// The limiters of all stores that are open in this process, by what names them: several executors
/// share what a store admits.
static LIMITERS: Mutex<BTreeMap<String, Weak<Limiter>>> = Mutex::new(BTreeMap::new());

/// Paces requests to one store.
#[derive(Debug)]
pub(super) struct Limiter(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Requests per second that may be sent; none: as many as there are.
    rate: Option<f64>,
    /// When the next request may be sent.
    next: Instant,
    /// When the rate was last lowered, and last raised.
    lowered: Instant,
    raised: Instant,
    /// What was sent in the window that began then, and the rate in the one before.
    window: Instant,
    sent: f64,
    measured: f64,
}

/// When a request may be sent.
#[derive(Debug)]
enum Turn {
    Now,
    At(Instant),
    /// All turns until then are taken.
    NoneBefore(Instant),
}

/// The clock by which tokio's timers go, which tests may pause.
#[allow(clippy::disallowed_methods, reason = "turns are waited for by this clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

// === impl Limiter ===

impl Limiter {
    pub(super) fn new() -> Self {
        let now = now();
        Self(Mutex::new(State {
            rate: None,
            next: now,
            lowered: now,
            raised: now,
            window: now,
            sent: 0.0,
            measured: 0.0,
        }))
    }

    /// The one of the store that is named so, as long as anybody in this process has it.
    pub(super) fn of(store: &str) -> Arc<Self> {
        let mut all = LIMITERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(store).and_then(Weak::upgrade) {
            return known;
        }
        all.retain(|_, limiter| limiter.strong_count() > 0);
        let new = Arc::new(Self::new());
        all.insert(store.to_owned(), Arc::downgrade(&new));
        new
    }

    /// Waits until a request may be sent.
    pub(super) async fn turn(&self) {
        loop {
            let turn = self.lock().reserve(now());
            match turn {
                Turn::Now => return,
                Turn::At(turn) => return tokio::time::sleep_until(turn).await,
                Turn::NoneBefore(then) => tokio::time::sleep_until(then).await,
            }
        }
    }

    /// The store asked for fewer requests.
    pub(super) fn throttled(&self) {
        let mut state = self.lock();
        let now = now();
        if state.rate.is_some() && now.duration_since(state.lowered) < REACTION {
            return;
        }
        let sent = state.measured.max(state.sent);
        let rate = state.rate.map_or(sent, |rate| rate.min(sent.max(RATE_MIN)));
        state.rate = Some((rate * KEPT).max(RATE_MIN));
        (state.lowered, state.raised) = (now, now);
        tracing::debug!(rate = state.rate, "the store throttles");
    }

    /// Requests per second that may be sent, where there is a limit.
    #[cfg(test)]
    fn rate(&self) -> Option<f64> {
        self.lock().rate
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Takes the next turn, if it is near.
    fn reserve(&mut self, now: Instant) -> Turn {
        let window = now.duration_since(self.window);
        if window >= MEASURED {
            self.measured = self.sent / window.as_secs_f64();
            (self.sent, self.window) = (0.0, now);
        }
        self.raise(now);
        let Some(rate) = self.rate else {
            self.sent += 1.0;
            return Turn::Now;
        };
        let turn = self.next.max(now);
        if turn > now + TURN_MAX {
            return Turn::NoneBefore(now + TURN_MAX);
        }
        self.sent += 1.0;
        self.next = turn + Duration::from_secs_f64(1.0 / rate);
        if turn > now { Turn::At(turn) } else { Turn::Now }
    }

    fn raise(&mut self, now: Instant) {
        let Some(rate) = &mut self.rate else { return };
        let since = now.duration_since(self.raised).as_secs_f64();
        *rate *= 1.0 + GROWTH * since.min(1.0);
        self.raised = now;
        if now.duration_since(self.lowered) >= FORGIVEN {
            self.rate = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn paused<F: Future>(test: F) -> F::Output {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(test)
    }

    /// A store that admits so many requests per second gets hardly more once it complained, and
    /// nearly as many.
    #[test]
    fn the_rate_finds_what_the_store_admits() {
        paused(async {
            let (limiter, admitted) = (Limiter::new(), 50.0);
            let (mut tokens, mut last): (f64, _) = (admitted, now());
            let (mut served, mut refused) = (0, 0);
            let begin = now();
            while begin.elapsed() < Duration::from_secs(30) {
                limiter.turn().await;
                // What the request takes.
                tokio::time::sleep(Duration::from_millis(1)).await;
                tokens = (tokens + last.elapsed().as_secs_f64() * admitted).min(admitted);
                last = now();
                match tokens >= 1.0 {
                    true => (tokens, served) = (tokens - 1.0, served + 1),
                    false => {
                        refused += 1;
                        limiter.throttled();
                    }
                }
            }
            assert!(served > 1_200, "{served} of 1,500 possible were served");
            assert!(refused < served / 20, "{refused} refused, {served} served");
        });
    }

    #[test]
    fn without_a_complaint_there_is_no_limit() {
        paused(async {
            let limiter = Limiter::new();
            let begin = now();
            for _ in 0..10_000 {
                limiter.turn().await;
            }
            assert_eq!(begin.elapsed(), Duration::ZERO);
            limiter.throttled();
            assert!(limiter.rate().unwrap() >= RATE_MIN);
            limiter.turn().await;
            tokio::time::sleep(FORGIVEN).await;
            limiter.turn().await;
            assert_eq!(limiter.rate(), None);
        });
    }

    #[test]
    fn a_long_queue_is_not_let_go_at_once() {
        paused(async {
            let limiter = Arc::new(Limiter::new());
            limiter.turn().await;
            limiter.throttled();
            let begin = now();
            let turns: Vec<_> = (0..200)
                .map(|_| {
                    let limiter = Arc::clone(&limiter);
                    tokio::spawn(async move {
                        limiter.turn().await;
                        begin.elapsed().as_secs()
                    })
                })
                .collect();
            // The store goes on complaining, so that the rate stays as low as it may be.
            let complaints = tokio::spawn({
                let limiter = Arc::clone(&limiter);
                async move {
                    loop {
                        tokio::time::sleep(REACTION).await;
                        limiter.throttled();
                    }
                }
            });
            let mut per_second = std::collections::BTreeMap::<u64, u32>::new();
            for turn in turns {
                *per_second.entry(turn.await.unwrap()).or_default() += 1;
            }
            complaints.abort();
            let most = per_second.values().max().unwrap();
            assert!(*most <= 2, "{most} of 200 in one second: {per_second:?}");
            assert_eq!(per_second.values().sum::<u32>(), 200);
        });
    }

    #[test]
    fn a_store_has_one_limiter_as_long_as_it_is_open() {
        let name = |port: u16| format!("s3://limited/ endpoint=http://127.0.0.1:{port}");
        let (first, again, other) =
            (Limiter::of(&name(1)), Limiter::of(&name(1)), Limiter::of(&name(2)));
        assert!(Arc::ptr_eq(&first, &again) && !Arc::ptr_eq(&first, &other));
        let is_known = || LIMITERS.lock().unwrap().contains_key(&name(1));
        drop((first, again));
        assert!(is_known(), "it is looked for at the next new one");
        drop(Limiter::of(&name(3)));
        assert!(!is_known());
    }

    #[test]
    fn many_answers_at_once_lower_the_rate_once() {
        paused(async {
            let limiter = Limiter::new();
            for _ in 0..100 {
                limiter.turn().await;
            }
            (0..50).for_each(|_| limiter.throttled());
            assert!((limiter.rate().unwrap() - 70.0).abs() < 1.0, "{:?}", limiter.rate());
        });
    }
}
