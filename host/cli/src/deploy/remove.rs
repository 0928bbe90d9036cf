//! `samara undeploy`.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use samara::blocking::Wait as _;
use samara::deploy::Verb;

use super::{Name, failed, open};
use crate::globals::Globals;
use crate::report::say;

/// Removes a deployment: all that was made for it, and nothing else.
///
/// With the function go all its contents, the role that was made for it, and the log. Where nothing
/// is deployed there is nothing to do, and that is no error.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    name: Name,

    /// Leaves what hosts said.
    #[arg(long)]
    keep_logs: bool,

    /// Says what would be removed, and removes nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let place = open(&arguments.name.url, globals)?;
    let steps = match arguments.dry_run {
        true => place.plan_removal(arguments.keep_logs).wait(),
        false => place.remove(arguments.keep_logs).wait(),
    };
    let steps = steps.map_err(failed)?;
    let mut out = io::stdout().lock();
    match globals.json {
        true => writeln!(out, "{}", serde_json::to_string(&steps)?)?,
        false => steps.iter().try_for_each(|step| writeln!(out, "{step}"))?,
    }
    drop(out);
    if !globals.verbosity.quiet {
        let count = steps.iter().filter(|step| step.verb == Verb::Remove).count();
        match (count, arguments.dry_run) {
            (0, _) => say(format_args!("nothing is deployed as {}", arguments.name.url)),
            (_, true) => say(format_args!("would remove {count}; nothing was done")),
            (_, false) => say(format_args!("removed {count}")),
        }
    }
    Ok(ExitCode::SUCCESS)
}
