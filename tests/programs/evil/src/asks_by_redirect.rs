//! Lets a server that it may ask send it to one that it may not.

use samara_guest::{function, http};

use crate::Loot;

/// Follows redirections to their end, and says what is there.
#[function]
pub fn follows_to_the_end(url: String) -> Loot {
    let follow = || -> samara_guest::Result<String> {
        let mut url = url;
        loop {
            let response = http::get(&url)?;
            match response.header("location") {
                Some(next) => url = String::from_utf8_lossy(next).into_owned(),
                None => return response.text(),
            }
        }
    };
    follow().into()
}
