//! Gives things very long names.

use samara_guest::{function, storage};

use crate::Loot;

/// What it comes to to read, write and list under a name of so many bytes.
#[function]
pub fn uses_long_names(prefix: String, bytes: usize) -> Vec<Loot> {
    let url = format!("{prefix}{}", "n".repeat(bytes));
    let segments = format!("{prefix}{}", "n/".repeat(bytes / 2));
    let mut loot = Vec::new();
    for url in [&url, &segments] {
        loot.push(storage::get(url).map(|got| got.len()).into());
        loot.push(storage::list(url).pages().next().transpose().map(drop).into());
        loot.push(storage::get(&url.replace("://", ":")).map(|got| got.len()).into());
    }
    // The error's text is no longer than what a person reads, or than the name.
    loot.into_iter().map(shortened).collect()
}

fn shortened(loot: Loot) -> Loot {
    match loot {
        Loot::Nothing(why) => Loot::Nothing(why.chars().take(100).collect()),
        got => got,
    }
}
