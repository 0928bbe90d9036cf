//! What the driver takes from its environment, read once, at the edge.

use std::env;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

/// What the driver takes from its environment.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    pub(crate) working_directory: Option<PathBuf>,
    pub(crate) cache_dir: Option<PathBuf>,
    pub(crate) is_terminal: bool,
}

// === impl Environment ===

impl Environment {
    #[allow(clippy::disallowed_methods, reason = "the driver's edge: called by constructors alone")]
    pub(crate) fn read() -> Self {
        let absolute =
            |name: &str| env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        // The XDG base directory specification: a relative value is to be ignored.
        let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        Self {
            working_directory: env::current_dir().ok(),
            cache_dir: cache.map(|dir| dir.join("samara").join("compiled")),
            is_terminal: io::stderr().is_terminal(),
        }
    }
}
