//! Takes memory until there is none, and goes on as if nothing had happened.

use samara_guest::function;

/// How many megabytes there were.
#[function]
pub fn takes_what_there_is() -> usize {
    let mut all = Vec::new();
    loop {
        let mut more: Vec<u8> = Vec::new();
        if more.try_reserve_exact(1 << 20).is_err() {
            return all.len();
        }
        more.resize(1 << 20, 1);
        all.push(std::hint::black_box(more));
    }
}
