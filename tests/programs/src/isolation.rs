//! What an instance could see of those before it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use samara_guest::function;

/// Size of the memory that [`fill_memory`] writes.
const FILL_BYTES: usize = 8 << 20;

static CALLS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static CALLS_OF_THREAD: Cell<u64> = const { Cell::new(0) };
}

/// Counts its calls in this instance, in a static and in a thread-local: 1 and 1 where every task
/// has an instance of its own.
#[function]
pub fn count_calls() -> (u64, u64) {
    let of_thread = CALLS_OF_THREAD.get() + 1;
    CALLS_OF_THREAD.set(of_thread);
    (CALLS.fetch_add(1, Ordering::Relaxed) + 1, of_thread)
}

/// Fills 8 MiB with a word that is made from `seed`, and says how often it wrote it.
#[function]
pub fn fill_memory(seed: u64) -> usize {
    let words = vec![pattern(seed); FILL_BYTES / size_of::<u64>()];
    std::hint::black_box(words).len()
}

/// Takes fresh memory, and looks through all there is for what [`fill_memory`] writes for `seed`.
///
/// Returns how many words of the fresh memory are not zero, and how many of all are the pattern;
/// a handful of the latter are this function's own variables. Natively it sees nothing.
#[function]
pub fn find_pattern(seed: u64) -> (usize, usize) {
    memory::find(pattern(seed))
}

/// A word that occurs nowhere by chance, and not in the arguments either.
fn pattern(seed: u64) -> u64 {
    let mut word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31) | 1
}

#[cfg(target_family = "wasm")]
mod memory {
    //! All of an instance's memory, whoever it belongs to.

    use core::arch::wasm32::{memory_grow, memory_size};

    const PAGE_BYTES: usize = 64 << 10;

    pub(super) fn find(pattern: u64) -> (usize, usize) {
        let fresh = memory_grow::<0>(super::FILL_BYTES / PAGE_BYTES);
        let end = memory_size::<0>();
        let not_zero = words(fresh.min(end), end).filter(|word| *word != 0).count();
        let found = words(1, end).filter(|word| *word == pattern).count();
        (not_zero, found)
    }

    /// The words of some pages; page 0 is left out, for it begins at the null pointer.
    #[expect(unsafe_code, reason = "looks where no safe code can")]
    fn words(from: usize, to: usize) -> impl Iterator<Item = u64> {
        (from * PAGE_BYTES..to * PAGE_BYTES).step_by(size_of::<u64>()).map(|address| {
            let word = std::ptr::with_exposed_provenance::<u64>(address);
            // SAFETY: the address is a multiple of eight below the memory's size, which never
            // shrinks, and there is no other thread that could write to it meanwhile.
            unsafe { word.read_volatile() }
        })
    }
}

#[cfg(not(target_family = "wasm"))]
mod memory {
    //! Nothing to see.

    pub(super) fn find(_pattern: u64) -> (usize, usize) {
        (0, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted() {
        let (_, first) = count_calls();
        let (_, second) = count_calls();
        assert_eq!((first, second), (1, 2));
    }

    #[test]
    fn patterns_differ_by_seed() {
        assert_ne!(pattern(1), pattern(2));
        assert_eq!((fill_memory(1), find_pattern(1)), (1 << 20, (0, 0)));
    }
}
