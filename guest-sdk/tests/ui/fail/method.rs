//! Functions that belong to a type.

use samara_guest::function;

struct Counter;

impl Counter {
    #[function]
    fn count(&self, n: u64) -> u64 {
        n
    }
}

fn main() {}
