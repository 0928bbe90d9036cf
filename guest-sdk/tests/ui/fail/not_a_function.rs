//! `#[function]` on something else.

use samara_guest::function;

/// A type.
#[function]
struct Count {
    words: u64,
}

fn main() {}
