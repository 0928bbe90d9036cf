//! Computes for ever.

use samara_guest::function;

/// Never returns.
#[function]
pub fn spins_for_ever() -> u64 {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}
