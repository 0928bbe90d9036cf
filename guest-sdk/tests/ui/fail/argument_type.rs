//! An argument that cannot be decoded.

use samara_guest::function;

struct Opaque;

#[function]
fn takes(n: u64, opaque: Opaque) -> u64 {
    drop(opaque);
    n
}

fn main() {}
