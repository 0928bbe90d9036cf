//! Takes memory until there is none.

use samara_guest::function;

/// Takes a megabyte after the other, and writes to each.
#[function]
pub fn allocates_for_ever() -> usize {
    let mut all = Vec::new();
    loop {
        all.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}
