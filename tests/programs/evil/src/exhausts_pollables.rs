//! Asks the host for things to wait for until it has no more.

use samara_guest::function;

/// Takes as many, and waits for none.
#[function]
pub fn takes_pollables(count: u64) -> usize {
    #[cfg(target_family = "wasm")]
    {
        let subscribe = wasip2::clocks::monotonic_clock::subscribe_duration;
        let all: Vec<_> = (0..count).map(subscribe).collect();
        std::hint::black_box(all).len()
    }
    #[cfg(not(target_family = "wasm"))]
    usize::try_from(count).unwrap_or(usize::MAX)
}
