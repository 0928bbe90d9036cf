//! `samara jobs`: which there are.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use samara::JobStatus;

use super::{done, open, submitted};
use crate::globals::Globals;
use crate::report::say;

/// Lists the jobs of a store, the newest first.
///
/// Those of every process: a job that ran with a store of a name (--store, or the setting `store`)
/// is there until `samara clean` removes it. With --json one object per line.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {
    /// Lists at most so many.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let executor = open(globals)?;
    let (jobs, all) = samara::block_on(async {
        let all = executor.job_ids().await?.len();
        Ok::<_, samara::Error>((executor.jobs(arguments.limit).await?, all))
    })?;
    let mut out = io::stdout().lock();
    if globals.json {
        for job in &jobs {
            writeln!(out, "{}", serde_json::to_string(job)?)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !jobs.is_empty() {
        write!(out, "{}", table(&jobs))?;
    }
    if !globals.verbosity.quiet {
        match all.saturating_sub(arguments.limit) {
            0 if all == 0 => say(format_args!("no jobs in {}", executor.store())),
            0 => {}
            more => say(format_args!("and {more} older; --limit {all} lists all")),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(jobs: &[JobStatus]) -> String {
    let width = jobs.iter().map(|job| done(job).len()).max().unwrap_or_default().max(5);
    let mut text = format!(
        "{:26}  {:20}  {:7}  {:>width$}  {:>6}  FUNCTION\n",
        "JOB", "SUBMITTED", "STATE", "TASKS", "FAILED"
    );
    for job in jobs {
        text += &format!(
            "{:26}  {:20}  {:7}  {:>width$}  {:>6}  {}\n",
            job.id.to_string(),
            submitted(job),
            job.state.name(),
            done(job),
            job.failed,
            job.function
        );
    }
    text
}
