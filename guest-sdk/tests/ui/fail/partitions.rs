//! More than one partition, and one that is returned.

use samara_guest::{Partition, function};

#[function]
fn two(a: Partition, n: u64, b: Partition) -> u64 {
    a.length() + n + b.length()
}

#[function]
fn passed_on(a: Partition) -> Partition {
    a
}

fn main() {}
