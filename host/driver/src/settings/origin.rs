//! Where a setting was set.

use std::fmt;
use std::path::PathBuf;

/// Where a setting was set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In a file.
    File {
        /// Its path.
        path: PathBuf,
        /// Line and column, both from 1; none means the file as a whole.
        place: Option<(usize, usize)>,
        /// The profile, if it was set in the table of one.
        profile: Option<String>,
    },
    /// In an environment variable of this name.
    Variable(String),
    /// By the program, which calls the place so: a flag, mostly.
    Given(String),
}

// === impl Origin ===

impl Origin {
    /// The file as a whole.
    pub(super) fn file(path: impl Into<PathBuf>) -> Self {
        Self::File { path: path.into(), place: None, profile: None }
    }
}

/// `default`, `/path/samara.toml:3:10`, `SAMARA_STORE`, `--store`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, place: Some((line, column)), .. } => {
                write!(f, "{}:{line}:{column}", path.display())
            }
            Self::File { path, .. } => write!(f, "{}", path.display()),
            Self::Variable(name) | Self::Given(name) => f.write_str(name),
        }
    }
}
