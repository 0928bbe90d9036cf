//! `samara man`: the help texts as manual pages.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::globals::Globals;

/// Writes a manual page for each command.
///
/// Into `/usr/local/share/man/man1`, for example; `man samara-run` finds them there.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The directory; it is made where it is missing.
    dir: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let dir = &arguments.dir;
    let cannot = || format!("cannot write manual pages to {}", dir.display());
    fs::create_dir_all(dir).with_context(cannot)?;
    clap_mangen::generate_to(crate::Arguments::command(), dir).with_context(cannot)?;
    if !globals.verbosity.quiet {
        writeln!(io::stderr(), "wrote manual pages to {}", dir.display())?;
    }
    Ok(ExitCode::SUCCESS)
}
