//! `samara completions`: what a shell needs to complete commands.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

/// Prints what a shell needs to complete commands and options.
///
/// For bash: `samara completions bash > ~/.local/share/bash-completion/completions/samara`; for zsh:
/// to a file `_samara` in a directory of `$fpath`; for fish: to
/// `~/.config/fish/completions/samara.fish`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    // The generator panics where it cannot write, so it writes to memory.
    let mut script = Vec::new();
    let mut command = crate::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "samara", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
