//! What the driver takes from its environment, read once, at the edge.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

/// What the driver takes from its environment.
#[derive(Clone)]
pub(crate) struct Environment {
    pub(crate) working_directory: Option<PathBuf>,
    pub(crate) cache_dir: Option<PathBuf>,
    /// The key of compiled code, wherever that is kept: it must not lie with it.
    #[cfg_attr(not(feature = "local"), allow(dead_code, reason = "the engine's alone"))]
    pub(crate) cache_key_file: Option<PathBuf>,
    pub(crate) is_terminal: bool,
    /// The host's program, where it lies beside this one.
    pub(crate) host_program: Option<PathBuf>,
    /// What stands for settings of stores.
    pub(crate) store_variables: Vec<(String, String)>,
    /// What runtimes go by.
    pub(crate) runtime_variables: BTreeMap<String, String>,
}

/// What settings are read from.
#[derive(Clone)]
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
        let cache = cache.map(|dir| dir.join("samara"));
        Self {
            working_directory: env::current_dir().ok(),
            cache_dir: cache.as_ref().map(|dir| dir.join("compiled")),
            cache_key_file: cache.map(|dir| dir.join("keys").join("compiled")),
            is_terminal: io::stderr().is_terminal(),
            host_program: host_program(),
            store_variables: store_variables(),
            runtime_variables: runtime_variables(),
        }
    }
}

impl Environment {
    /// The host's program beside this one, else the first in `PATH`.
    #[allow(clippy::disallowed_methods, reason = "the driver's edge: called by constructors alone")]
    pub(crate) fn find_host_program() -> Option<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        let programs = env::split_paths(&path).map(|dir| dir.join("samara-host"));
        host_program().or_else(|| programs.into_iter().find(|program| program.is_file()))
    }
}

/// Variables hold passwords too: their names are shown.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_stores: Vec<&String> = self.store_variables.iter().map(|(name, _)| name).collect();
        f.debug_struct("Environment")
            .field("working_directory", &self.working_directory)
            .field("cache_dir", &self.cache_dir)
            .field("host_program", &self.host_program)
            .field("store_variables", &of_stores)
            .field("runtime_variables", &self.runtime_variables.keys())
            .finish_non_exhaustive()
    }
}

/// A token may be among the variables: their names are shown.
impl fmt::Debug for SettingsEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&OsString> = self.variables.iter().map(|(name, _)| name).collect();
        f.debug_struct("SettingsEnvironment")
            .field("working_directory", &self.working_directory)
            .field("config_dir", &self.config_dir)
            .field("variables", &names)
            .finish()
    }
}

/// The host's program beside this one, or where cargo puts it beside tests and examples.
fn host_program() -> Option<PathBuf> {
    let this = env::current_exe().ok()?;
    let beside = this.ancestors().skip(1).take(2).map(|dir| dir.join("samara-host"));
    beside.into_iter().find(|program| program.is_file())
}

/// The variables that stores have settings for.
#[allow(clippy::disallowed_methods, reason = "the driver's edge: called by constructors alone")]
fn store_variables() -> Vec<(String, String)> {
    let settings = samara_store::STORES.iter().flat_map(|row| row.settings);
    let names = settings.filter_map(|setting| setting.variable);
    names.filter_map(|name| Some((name.to_owned(), env::var(name).ok()?))).collect()
}

/// The variables that runtimes go by.
#[allow(clippy::disallowed_methods, reason = "the driver's edge: called by constructors alone")]
fn runtime_variables() -> BTreeMap<String, String> {
    let said = |name: &&str| Some(((*name).to_owned(), env::var(name).ok()?));
    samara_runtimes::VARIABLES.iter().filter_map(said).collect()
}

/// A directory that a variable names. The XDG base directory specification has relative ones
/// ignored.
#[allow(clippy::disallowed_methods, reason = "the driver's edge: called by constructors alone")]
fn absolute(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_variable_is_shown() {
        let password = || "hunter2".to_owned();
        let mut environment = Environment::read();
        environment.store_variables.push(("OS_PASSWORD".to_owned(), password()));
        environment.runtime_variables.insert("NATS_PASSWORD".to_owned(), password());
        let mut settings = SettingsEnvironment::read("SAMARA_");
        settings.variables.push(("SAMARA_TOKEN".into(), password().into()));
        let shown = format!("{environment:?} {settings:?}");
        for name in ["OS_PASSWORD", "NATS_PASSWORD", "SAMARA_TOKEN"] {
            assert!(shown.contains(name), "{shown}");
        }
        assert!(!shown.contains(&password()), "{shown}");
    }
}
