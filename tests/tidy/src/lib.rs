//! Checks of the repository itself, which no compiler makes.
//!
//! Each module holds one kind of check as a function from text to offences, so that its own tests
//! can plant one. The module `tree` runs them all on the repository; `cargo test -p samara-tidy`
//! lists every offence, not the first only.

pub mod arrows;
pub mod comparison;
pub mod promises;
pub mod tables;
pub mod text;

#[cfg(test)]
mod tree;

use std::fmt;

/// Something in the repository that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offence {
    /// The file, with a line where one is at fault.
    pub place: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl Offence {
    /// An offence in a whole file.
    pub fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }

    /// An offence in a line, counted from one.
    pub fn at(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self::new(format!("{file}:{line}"), what)
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}
