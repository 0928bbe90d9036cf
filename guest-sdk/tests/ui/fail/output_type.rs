//! Outputs that cannot be encoded.

use samara_guest::{Result, function};

struct Opaque;

#[function]
fn plain(n: u64) -> Opaque {
    drop(n);
    Opaque
}

#[function]
fn fallible(n: u64) -> Result<Opaque> {
    drop(n);
    Ok(Opaque)
}

fn main() {}
