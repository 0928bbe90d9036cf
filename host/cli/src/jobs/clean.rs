//! `samara clean`: removes jobs, and nothing else.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use samara::{Executor, JobId, JobStatus};
use serde_json::json;

use super::{find, is_running, open};
use crate::globals::Globals;
use crate::report::{say, usage};
use crate::units;

/// Removes jobs: what was submitted, logs, outputs, and the objects that tasks made.
///
/// What tasks made to be kept stays, and so do components, which jobs share. Running jobs are
/// refused, or passed over where no id names them. There is no way back.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {
    /// Jobs, as ids, beginnings of ids that no other has, or `latest`.
    #[arg(required_unless_present_any = ["ended", "older_than"], value_name = "JOB")]
    #[arg(conflicts_with_all = ["ended", "older_than"])]
    jobs: Vec<String>,

    /// Removes all jobs that are not running: ended, stopped and lost ones.
    #[arg(long)]
    ended: bool,

    /// Removes the jobs that were submitted longer ago than this, such as 30m or 168h.
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    older_than: Option<Duration>,

    /// Prints which jobs would be removed, and removes none.
    #[arg(long)]
    dry_run: bool,

    /// Removes running jobs too, and what an interrupted removal left.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let executor = open(globals)?;
    samara::block_on(async {
        // All are looked at first: a slip in the last name is not to be found after the first is
        // gone.
        let ids = match arguments.jobs.is_empty() {
            false => named(&executor, arguments).await?,
            true => admitted(&executor, arguments).await?,
        };
        if ids.is_empty() && !globals.json && !globals.verbosity.quiet {
            say(format_args!("no job to remove in {}", executor.store()));
        }
        for id in ids {
            remove(&executor, id, arguments, globals).await?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The jobs of these names, where they may be removed.
async fn named(executor: &Executor, arguments: &Arguments) -> Result<Vec<JobId>> {
    let mut ids = Vec::new();
    for name in &arguments.jobs {
        let id = match name.parse::<JobId>() {
            // Perhaps an earlier removal left no more than its name.
            Ok(id) if arguments.force => id,
            _ => find(executor, name).await?,
        };
        if !arguments.force && is_running(&executor.job_status(id).await?) {
            return Err(usage(format!(
                "job {id} is running: `samara cancel {id}` stops it, and --force removes it anyway"
            )));
        }
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// The jobs that the conditions admit.
async fn admitted(executor: &Executor, arguments: &Arguments) -> Result<Vec<JobId>> {
    let now = now();
    let admits = |job: &JobStatus| {
        let is_old = arguments.older_than.is_none_or(|age| now.saturating_sub(job.submitted) > age);
        let goes_on = is_running(job) && (arguments.ended || !arguments.force);
        is_old && !goes_on
    };
    let jobs = executor.jobs(usize::MAX).await?;
    Ok(jobs.iter().filter(|job| admits(job)).map(|job| job.id).collect())
}

async fn remove(
    executor: &Executor,
    id: JobId,
    arguments: &Arguments,
    globals: &Globals,
) -> Result<()> {
    let mut out = io::stdout();
    if arguments.dry_run {
        match globals.json {
            true => writeln!(out, "{}", json!({ "job": id.to_string() }))?,
            false => writeln!(out, "{id}")?,
        }
        return Ok(());
    }
    let objects = executor.clean_job(id, arguments.force).await?;
    if globals.json {
        writeln!(out, "{}", json!({ "job": id.to_string(), "objects": objects }))?;
    } else if !globals.verbosity.quiet {
        let s = if objects == 1 { "" } else { "s" };
        say(format_args!("removed job {id}, {objects} object{s}"));
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "the edge of the program")]
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
