//! Asks a server as often as it can, and keeps all the answers open.

use samara_guest::{function, http};

/// Asks for ever.
#[function]
pub fn asks_for_ever(url: String) -> usize {
    let mut open = Vec::new();
    loop {
        open.extend(http::get(&url));
        std::hint::black_box(&open);
    }
}
