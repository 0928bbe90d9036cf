//! An error that is no error.

use samara_guest::function;

#[function]
fn fails(n: u64) -> Result<u64, String> {
    Err(n.to_string())
}

fn main() {}
