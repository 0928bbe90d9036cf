//! Measures with the finest clock that it can make.

use std::time::{Duration, Instant};

use samara_guest::function;

/// The shortest step of the clock in nanoseconds, and the time since the clock began.
#[function]
#[expect(clippy::disallowed_methods, reason = "measures the clock")]
pub fn measures_clocks() -> (u64, u64) {
    let (mut shortest, mut before) = (Duration::MAX, Instant::now());
    for _ in 0..200_000 {
        let now = Instant::now();
        if now > before {
            shortest = shortest.min(now - before);
        }
        before = now;
    }
    (u64::try_from(shortest.as_nanos()).unwrap_or(u64::MAX), since_the_beginning())
}

#[cfg(target_family = "wasm")]
fn since_the_beginning() -> u64 {
    wasip2::clocks::monotonic_clock::now()
}

#[cfg(not(target_family = "wasm"))]
fn since_the_beginning() -> u64 {
    0
}
