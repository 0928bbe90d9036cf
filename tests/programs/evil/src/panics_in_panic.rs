//! Panics while it panics.

use std::fmt;

use samara_guest::function;

/// Cannot be shown.
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("{}", Self)
    }
}

/// A panic whose message panics, and so on.
#[function]
pub fn panics_again() {
    panic!("{Unspeakable}");
}
