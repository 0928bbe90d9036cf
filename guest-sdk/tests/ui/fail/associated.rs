//! A function in a place where no static can be.

use samara_guest::function;

struct Counter;

impl Counter {
    #[function]
    fn count(n: u64) -> u64 {
        n
    }
}

fn main() {}
