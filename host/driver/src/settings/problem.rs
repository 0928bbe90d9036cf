//! What is wrong with settings, all of it at once.

use std::fmt;

use super::Origin;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where it was written.
    pub origin: Origin,
    /// The setting's name, as it was written (`memory`, `grants[0].access`); empty where a file as
    /// a whole is wrong.
    pub setting: String,
    /// What is wrong, and the way out.
    pub message: String,
}

/// All that is wrong with the settings, in the order in which it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

// === impl Problems ===

impl Problems {
    /// At least one.
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self(problems)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, setting, message } = self;
        match setting.is_empty() {
            true => write!(f, "{origin}: {message}"),
            false => write!(f, "{origin}: {setting}: {message}"),
        }
    }
}

/// A line for each, below one that counts them.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "a setting is wrong:\n  {one}"),
            all => {
                write!(f, "{} settings are wrong:", all.len())?;
                all.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Problems {}
