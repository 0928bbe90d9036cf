//! Fails, and has very much to say about it.

use samara_guest::{Context, Result, function};

/// An error with a message of this many bytes, and as many causes with one of the same length.
#[function]
pub fn fails_at_length(bytes: usize, causes: usize) -> Result<()> {
    let text = "é".repeat(bytes / 2);
    let mut failed: Result<()> = Err(samara_guest::Error::msg(text.clone()));
    for _ in 0..causes {
        failed = failed.context(text.clone());
    }
    failed
}
