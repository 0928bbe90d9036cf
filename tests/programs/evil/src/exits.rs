//! Ends the process, or so it thinks.

use samara_guest::function;

/// Exits with a code.
#[function]
#[expect(clippy::exit, reason = "that is what it is for")]
pub fn exits_with(code: i32) {
    std::process::exit(code);
}
