//! `samara stats`: a job in numbers.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use futures::TryStreamExt;
use samara::{AttemptStats, Executor, JobId, JobStats};

use super::{JobName, cancelled, find, open};
use crate::globals::Globals;
use crate::units;

/// Prints a job in numbers: times, processor, memory, bytes; in all, and by attempt.
///
/// --csv prints a row for each attempt, and --json everything as one object, with times in seconds
/// and points in time since 1970.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    job: JobName,

    /// Prints a row of CSV for each attempt.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let executor = open(globals)?;
    samara::block_on(async {
        let id = find(&executor, &arguments.job.job).await?;
        if arguments.csv {
            return csv(&executor, id).await;
        }
        let stats = executor.job_stats(id).await?;
        let mut out = io::stdout().lock();
        match globals.json {
            true => writeln!(out, "{}", stats.to_json())?,
            false => write!(out, "{}", text(&stats))?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// However many attempts there are, one part of them is in memory.
async fn csv(executor: &Executor, id: JobId) -> Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout());
    write!(out, "{}\r\n", JobStats::COLUMNS.join(","))?;
    let mut attempts = executor.job_attempts(id).await?;
    while let Some(attempt) = attempts.try_next().await? {
        out.write_all(attempt.to_csv_line().as_bytes())?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn text(stats: &JobStats) -> String {
    let summary = &stats.summary;
    let size = units::size;
    let mut text = format!("job        {}\nfunction   {}\n", stats.job, stats.function);
    text += &format!(
        "tasks      {}: {} succeeded, {} failed{}\n",
        summary.tasks,
        summary.succeeded,
        summary.failed,
        cancelled(summary.cancelled)
    );
    text += &format!("retries    {}\nbackups    {}\n", summary.retries, summary.backups);
    text += &format!("elapsed    {}\n", units::duration(summary.elapsed));
    let (wall, cpu) = (units::duration(summary.task_time), units::duration(summary.cpu_time));
    text += &format!("in tasks   {wall}, {cpu} of a processor\n");
    text += &format!("memory     {} at most\n", size(summary.memory_peak));
    text += &format!("read       {}\n", size(summary.bytes_read));
    text += &format!("outputs    {}\n", size(summary.output_bytes));
    if !stats.attempts.is_empty() {
        text += &format!("\n{:9}  {:>8}  {:>8}  {:>8}\n", "ATTEMPTS", "MEDIAN", "95 %", "MOST");
        for (name, of) in PHASES {
            let mut times: Vec<Duration> = stats.attempts.iter().map(of).collect();
            times.sort_unstable();
            let at = |percent: usize| units::duration(times[(times.len() - 1) * percent / 100]);
            text += &format!("{name:9}  {:>8}  {:>8}  {:>8}\n", at(50), at(95), at(100));
        }
    }
    text
}

/// A part of an attempt's time.
type Phase = (&'static str, fn(&AttemptStats) -> Duration);

/// Between two clocks, the driver's and the worker's, a time may seem to run backwards.
const PHASES: [Phase; 6] = [
    ("waiting", |row| row.started.saturating_sub(row.submitted)),
    ("reading", |row| row.fetched.saturating_sub(row.started)),
    ("computing", |row| row.computed.saturating_sub(row.fetched)),
    ("storing", |row| row.stored.saturating_sub(row.computed)),
    ("returning", |row| row.collected.saturating_sub(row.stored)),
    ("processor", |row| row.cpu),
];
