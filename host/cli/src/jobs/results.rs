//! `samara results`: what a job's tasks came to, whichever process runs it, or ran it.

use std::process::ExitCode;

use anyhow::Result;
use samara::{JobRef, JobState, Summary};

use super::{JobName, look, open};
use crate::globals::Globals;
use crate::report::say;
use crate::run;

/// Prints what a job's tasks came to, also after its driver is gone.
///
/// As `samara run` does: each value is a line of JSON, in the order of the inputs, and errors go to
/// standard error. Waits for the tasks of a job that is running. Of one that is lost, what was done
/// is printed, and the other tasks are errors that say so.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    job: JobName,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let executor = open(globals)?;
    samara::block_on(async {
        let status = look(&executor, &arguments.job).await?;
        let (id, is_lost) = (status.id, status.state == JobState::Lost);
        let reference = JobRef { id, store: executor.store() };
        let job = match is_lost {
            true => executor.collect_lost(&reference).await?,
            false => executor.collect(&reference).await?,
        };
        if is_lost && !globals.verbosity.quiet {
            say(format_args!("warning: the driver of job {id} is gone; this is what it left"));
        }
        let mut printer = run::collected::print(&job, globals).await?;
        printer.finish(&match executor.job_status(id).await?.summary {
            Some(summary) => summary,
            None => of_those_lost(executor.job_stats(id).await?.summary),
        })
    })
}

/// A job that nobody ended: each task of which nothing is known has failed.
fn of_those_lost(mut summary: Summary) -> Summary {
    let known = summary.succeeded.saturating_add(summary.cancelled);
    summary.failed = summary.tasks.saturating_sub(known);
    summary
}
