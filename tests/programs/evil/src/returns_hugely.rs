//! Returns more than anybody wants to have.

use samara_guest::{Bytes, function};

/// So many bytes.
#[function]
pub fn returns_much(bytes: usize) -> Bytes {
    vec![7; bytes].into()
}
