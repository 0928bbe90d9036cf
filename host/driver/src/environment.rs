//! What the driver takes from its environment, read once, at the edge.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

/// What the driver takes from its environment.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    pub(crate) working_directory: Option<PathBuf>,
    pub(crate) cache_dir: Option<PathBuf>,
    pub(crate) is_terminal: bool,
    /// What stands for settings of stores.
    pub(crate) store_variables: Vec<(String, String)>,
}

/// What settings are read from.
#[derive(Debug, Clone)]
pub(crate) struct SettingsEnvironment {
    pub(crate) working_directory: Option<PathBuf>,
    /// The user's directory of configuration.
    pub(crate) config_dir: Option<PathBuf>,
    pub(crate) variables: Vec<(OsString, OsString)>,
}

// === impl SettingsEnvironment ===

impl SettingsEnvironment {
    /// Reads the directories, and the variables whose names begin so.
    #[allow(clippy::disallowed_methods, reason = "the driver's edge: called by constructors alone")]
    pub(crate) fn read(prefix: &str) -> Self {
        let is_ours = |name: &OsString| name.as_encoded_bytes().starts_with(prefix.as_bytes());
        let config =
            absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
        Self {
            working_directory: env::current_dir().ok(),
            config_dir: config,
            variables: env::vars_os().filter(|(name, _)| is_ours(name)).collect(),
        }
    }
}

// === impl Environment ===

impl Environment {
    #[allow(clippy::disallowed_methods, reason = "the driver's edge: called by constructors alone")]
    pub(crate) fn read() -> Self {
        let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        Self {
            working_directory: env::current_dir().ok(),
            cache_dir: cache.map(|dir| dir.join("samara").join("compiled")),
            is_terminal: io::stderr().is_terminal(),
            store_variables: store_variables(),
        }
    }
}

/// The variables that stores have settings for.
#[allow(clippy::disallowed_methods, reason = "the driver's edge: called by constructors alone")]
fn store_variables() -> Vec<(String, String)> {
    let settings = samara_store::STORES.iter().flat_map(|row| row.settings);
    let names = settings.filter_map(|setting| setting.variable);
    names.filter_map(|name| Some((name.to_owned(), env::var(name).ok()?))).collect()
}

/// A directory that a variable names. The XDG base directory specification has relative ones
/// ignored.
#[allow(clippy::disallowed_methods, reason = "the driver's edge: called by constructors alone")]
fn absolute(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}
