//! Waits in a call of the host for what never comes.

use samara_guest::{function, http};

use crate::Loot;

/// Asks a server.
#[function]
pub fn waits_for_answer(url: String) -> Loot {
    http::get(&url).and_then(http::Response::text).into()
}
