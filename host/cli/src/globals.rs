//! What every command takes: the settings to use, and how to say things.

use anyhow::Result;
use samara::settings::Reader;
use samara::{Builder, Settings};

/// Options of every command.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Globals {
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,

    /// Prints JSON for programs instead of text for people.
    #[arg(long, global = true, display_order = 92)]
    pub(crate) json: bool,

    /// Uses the settings of this profile of samara.toml.
    #[arg(long, value_name = "NAME", global = true, display_order = 93)]
    profile: Option<String>,

    /// Where tasks run: `local:`, this process, by default; `http://HOST`, `lambda://NAME`,
    /// `slurm://PARTITION`, `queue://HOST`, or several in order, `FIRST or SECOND`.
    #[arg(long, value_name = "URL", global = true, display_order = 94)]
    runtime: Option<String>,

    /// Where components and large outputs are kept; memory by default.
    #[arg(long, value_name = "URL", global = true, display_order = 95)]
    store: Option<String>,
}

/// How much is said on standard error.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Verbosity {
    /// Says more: what functions log, and every error.
    #[arg(short, long, global = true, conflicts_with = "quiet", display_order = 90)]
    pub(crate) verbose: bool,

    /// Says errors only: no progress, no warnings, no summary.
    #[arg(short, long, global = true, display_order = 91)]
    pub(crate) quiet: bool,
}

// === impl Globals ===

impl Globals {
    /// Files and variables, and what the command line says on top of them.
    pub(crate) fn reader(&self) -> Reader {
        let mut reader = Settings::reader();
        if let Some(profile) = &self.profile {
            reader = reader.profile(profile, "--profile");
        }
        for (name, value, flag) in
            [("runtime", &self.runtime, "--runtime"), ("store", &self.store, "--store")]
        {
            if let Some(value) = value {
                reader = reader.set(name, value, flag);
            }
        }
        reader
    }

    /// An executor's settings, of all the places that have some.
    pub(crate) fn builder(&self) -> Result<Builder> {
        Ok(Builder::from_settings(&self.reader().read()?))
    }
}
