//! Waits for the same thing very often at once.

use samara_guest::function;

/// Waits for one thing, named so many times; how many of them came.
#[function]
pub fn polls_one_often(times: usize) -> usize {
    #[cfg(target_family = "wasm")]
    {
        let one = wasip2::clocks::monotonic_clock::subscribe_duration(0);
        let all = vec![&one; times];
        wasip2::io::poll::poll(&all).len()
    }
    #[cfg(not(target_family = "wasm"))]
    times
}
