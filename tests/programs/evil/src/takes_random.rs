//! Asks for more random bytes than there is memory.

use samara_guest::function;

/// Asks for so many random bytes at once.
#[function]
pub fn takes_randomness(bytes: u64) -> usize {
    #[cfg(target_family = "wasm")]
    {
        wasip2::random::random::get_random_bytes(bytes).len()
    }
    #[cfg(not(target_family = "wasm"))]
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
