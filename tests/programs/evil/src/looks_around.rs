//! Looks whether somebody before it left something in its memory.

use samara_guest::function;

/// As `samara_programs::isolation::find_pattern`: words of fresh memory that are not zero, and
/// words of all memory that another guest painted.
#[function]
pub fn looks_for_paint(seed: u64) -> (usize, usize) {
    samara_programs::isolation::find_pattern(seed)
}

/// Whether anything that lasts between calls was there before: a static, counted.
#[function]
pub fn looks_for_calls() -> (u64, u64) {
    samara_programs::isolation::count_calls()
}
