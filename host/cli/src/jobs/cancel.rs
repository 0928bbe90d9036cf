//! `samara cancel`: asks a job's driver to stop it.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use samara::JobState;
use serde_json::json;

use super::{JobName, look, open};
use crate::globals::Globals;
use crate::report::{say, usage};

/// Asks the process that runs a job to cancel it; it looks once a second.
///
/// Running tasks are stopped and the others are not started; their results are errors that say so.
/// `samara status` says when the job has stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    job: JobName,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let executor = open(globals)?;
    let status = samara::block_on(async {
        let status = look(&executor, &arguments.job).await?;
        if let JobState::Ended | JobState::Stopped(_) = status.state {
            let (id, state) = (status.id, status.state.name());
            return Err(usage(format!("job {id} has {state}: there is nothing to cancel")));
        }
        executor.cancel_job(status.id).await?;
        Ok(status)
    })?;
    let id = status.id;
    if globals.json {
        writeln!(io::stdout(), "{}", json!({ "job": id.to_string(), "asked": true }))?;
    } else if !globals.verbosity.quiet {
        say(format_args!("asked job {id} to stop"));
    }
    if status.state == JobState::Lost && !globals.verbosity.quiet {
        say(format_args!("warning: its driver seems to be gone; `samara clean {id}` removes it"));
    }
    Ok(ExitCode::SUCCESS)
}
