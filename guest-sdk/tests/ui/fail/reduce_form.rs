//! Reduce functions of the wrong form.

use samara_guest::{Partition, Result, function};

#[function(reduce)]
fn of_one(a: u64) -> u64 {
    a
}

#[function(reduce)]
fn of_three(a: u64, b: u64, c: u64) -> u64 {
    a + b + c
}

#[function(reduce)]
fn to_nothing(a: u64, b: u64) {
    drop((a, b));
}

#[function(reduce)]
fn of_partition(a: Partition, b: u64) -> u64 {
    a.length() + b
}

#[function(reduce)]
fn of_unlike(a: u64, b: u32) -> Result<u64> {
    Ok(a + u64::from(b))
}

fn main() {}
