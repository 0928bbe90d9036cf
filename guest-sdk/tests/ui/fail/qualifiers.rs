//! Functions of kinds that a host cannot call.

use samara_guest::function;

#[function]
async fn waits(n: u64) -> u64 {
    n
}

#[function]
const fn computes(n: u64) -> u64 {
    n
}

#[function]
unsafe fn promises(n: u64) -> u64 {
    n
}

#[function]
extern "C" fn leaves(n: u64) -> u64 {
    n
}

fn main() {}
