//! Calls a store without end.

use samara_guest::function;
use samara_guest::storage;

/// Looks for an object for ever.
#[function]
pub fn looks_for_ever(url: String) {
    loop {
        let _none = std::hint::black_box(storage::head(&url));
    }
}

/// Writes an object of a megabyte for ever.
#[function]
pub fn writes_for_ever(url: String) {
    let bytes = vec![7; 1 << 20];
    loop {
        let _there = std::hint::black_box(storage::put(&url, &bytes));
    }
}
