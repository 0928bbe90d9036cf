//! Settings of an executor that stand outside the program: in files, in variables, on a command
//! line.
//!
//! From the strongest to the weakest, setting by setting:
//!
//! 1. the program: methods of [`Builder`], and what [`Reader::set`] was given;
//! 2. variables: `SAMARA_STORE` for `store`; an empty one counts as not set;
//! 3. the table `[profile.NAME]` of the chosen profile: the project's file, then the user's;
//! 4. what stands outside of profiles, at the top or in `[default]`: the project's file, then the
//!    user's;
//! 5. the defaults.
//!
//! The project's file is `samara.toml` of the working directory, or of the nearest directory above
//! it that has one; a directory above that everybody may write is passed over. The user's is
//! `samara/samara.toml` in the user's directory of configuration (`$XDG_CONFIG_HOME`, else
//! `~/.config`). `SAMARA_CONFIG` names a file that is used instead of both. Relative paths in a file
//! start at the file's directory, all others at the working directory.
//!
//! The profile is the one given to [`Reader::profile`], else `SAMARA_PROFILE`, else the files'
//! `default-profile`, else none; `default` is none, too.
//!
//! All that is wrong is reported at once, each with its place and the way out ([`Problems`]).
//!
//! ```no_run
//! use samara::{Builder, Executor, Settings};
//!
//! # fn main() -> Result<(), samara::Error> {
//! // Files, variables and defaults:
//! let executor = Executor::from_env()?;
//!
//! // The same, and what the program says on top of it:
//! let settings = Settings::from_env()?;
//! let executor = Builder::from_settings(&settings).slots(4).build()?;
//!
//! for setting in settings.all() {
//!     println!("{} = {} ({})", setting.key.name, setting.value, setting.origin);
//! }
//! # Ok(())
//! # }
//! ```

mod file;
mod keys;
mod origin;
mod problem;
mod reader;
mod stores;
mod values;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::keys::{KEYS, Key};
pub use self::origin::Origin;
pub use self::problem::{Problem, Problems};
pub use self::reader::Reader;
use crate::{Builder, Error, Executor};
pub use samara_core::units;

/// Settings from outside the program, read and checked. See the [module](self) for where from.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    profile: Option<(String, Origin)>,
    profiles: Vec<String>,
    files: Vec<PathBuf>,
    ignored: Vec<String>,
    set: Vec<Set>,
}

/// One setting: what it is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// Which one.
    pub key: &'static Key,
    /// Its value as a file would say it, without passwords; the default in words where it is not
    /// set.
    pub value: String,
    /// Where it was set.
    pub origin: Origin,
}

/// A setting that was set.
#[derive(Clone)]
struct Set {
    key: &'static Key,
    parsed: Parsed,
    origin: Origin,
}

/// A value that was understood.
#[derive(Clone)]
struct Parsed {
    /// As a file would say it, passwords too.
    text: String,
    apply: Apply,
}

/// Hands a value to a builder.
type Apply = Arc<dyn Fn(Builder) -> Builder + Send + Sync>;

// === impl Settings ===

impl Settings {
    /// Reads files and variables, as the environment of this process has them.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`] with all that is wrong.
    pub fn from_env() -> Result<Self, Error> {
        Self::reader().read()
    }

    /// A reader for the environment of this process, for programs with settings of their own.
    pub fn reader() -> Reader {
        Reader::from_env()
    }

    /// Every setting there is, in the order of [`KEYS`], with its value and where it came from.
    pub fn all(&self) -> Vec<Setting> {
        let setting = |key: &'static Key| match self.set.iter().find(|set| set.key == key) {
            Some(set) => set.setting(),
            None => Setting { key, value: key.default.to_owned(), origin: Origin::Default },
        };
        KEYS.iter().map(setting).collect()
    }

    /// A setting, if it was set.
    pub fn get(&self, name: &str) -> Option<Setting> {
        self.set.iter().find(|set| set.key.name == name).map(Set::setting)
    }

    /// The chosen profile, and where it was chosen.
    pub fn profile(&self) -> Option<(&str, &Origin)> {
        self.profile.as_ref().map(|(name, origin)| (name.as_str(), origin))
    }

    /// All profiles that the files have, sorted.
    pub fn profiles(&self) -> &[String] {
        &self.profiles
    }

    /// The files that were read, the strongest first.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }

    /// Variables that begin with `SAMARA_` and are no settings. Other programs set such ones,
    /// Kubernetes for a service of that name among them.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        self.set.iter().fold(builder, |builder, set| (set.parsed.apply)(builder))
    }
}

impl Executor {
    /// An executor with the settings of files and variables.
    ///
    /// # Errors
    ///
    /// As [`Settings::from_env`] and [`Builder::build`].
    pub fn from_env() -> Result<Self, Error> {
        Builder::from_settings(&Settings::from_env()?).build()
    }
}

// === impl Set ===

impl Set {
    fn setting(&self) -> Setting {
        let value = samara_core::without_passwords(&self.parsed.text);
        Setting { key: self.key, value, origin: self.origin.clone() }
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting { key, value, origin } = self.setting();
        write!(f, "{} = {value} ({origin})", key.name)
    }
}
