//! Asks for the machine's credentials at the address where clouds have them.

use samara_guest::{function, http};

use crate::Loot;

/// What is at each of the URLs.
#[function]
pub fn asks_each(urls: Vec<String>) -> Vec<Loot> {
    let ask = |url: &String| http::get(url)?.text();
    urls.iter().map(|url| ask(url).into()).collect()
}
