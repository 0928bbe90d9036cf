//! Calls itself without end.

use samara_guest::function;

/// Goes so deep.
#[function]
pub fn goes_deep(depth: u64) -> u64 {
    let below = std::hint::black_box(depth).checked_sub(1);
    below.map_or(0, |below| std::hint::black_box(goes_deep(below)) + 1)
}
