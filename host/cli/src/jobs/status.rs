//! `samara status`: how far a job has come.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use samara::{JobState, JobStatus};

use super::{JobName, cancelled, done, look, open, submitted};
use crate::globals::Globals;
use crate::{deploy, run};

/// Says what a job is and how far it has come, or what is deployed.
///
/// A job is running, ended, stopped before all of it was done, or lost: its driver is gone, and has
/// written nothing for 30 seconds. What has `://` in it names a deployment: which host it has, how
/// that is set, and whether it is the one of this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    job: JobName,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    if deploy::is_one(&arguments.job.job) {
        return deploy::status::run(&arguments.job.job, globals);
    }
    let executor = open(globals)?;
    let status = samara::block_on(look(&executor, &arguments.job))?;
    let mut out = io::stdout().lock();
    match globals.json {
        true => writeln!(out, "{}", serde_json::to_string(&status)?)?,
        false => write!(out, "{}", text(&status))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(status: &JobStatus) -> String {
    let state = match &status.state {
        JobState::Stopped(why) => format!("stopped: {why}"),
        JobState::Lost => "lost: its driver is gone".to_owned(),
        state => state.name().to_owned(),
    };
    let mut text = format!(
        "job        {}\nfunction   {}\ncomponent  {}\nruntime    {}\nsubmitted  {}\nstate      \
         {state}\ntasks      {} done, {} failed{}\n",
        status.id,
        status.function,
        status.component,
        status.runtime,
        submitted(status),
        done(status),
        status.failed,
        cancelled(status.cancelled)
    );
    if let Some(summary) = &status.summary {
        text += &format!("in all     {}\n", run::line(summary));
    }
    text
}
