//! Asks for the machine's credentials by a name of its own server.

use samara_guest::{function, http};

use crate::Loot;

/// What is at a URL.
#[function]
pub fn asks_name(url: String) -> Loot {
    http::get(&url).and_then(http::Response::text).into()
}
