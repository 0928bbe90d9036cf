//! Lists more names than it has memory for.

use samara_guest::{function, storage};

/// Collects the names of all objects below a prefix, in pages as large as there are.
#[function]
pub fn collects_names(prefix: String) -> Result<usize, samara_guest::Error> {
    let entries = storage::list(&prefix).page_size(u32::MAX);
    let all: Vec<String> = entries.map(|entry| entry.map(|it| it.url)).collect::<Result<_, _>>()?;
    Ok(all.len())
}

/// Begins a listing for ever.
#[function]
pub fn begins_listings(prefix: String) -> Result<usize, samara_guest::Error> {
    loop {
        let page = storage::list(&prefix).page_size(u32::MAX).pages().next().transpose()?;
        std::hint::black_box(page);
    }
}
