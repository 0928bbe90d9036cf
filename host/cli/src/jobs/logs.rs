//! `samara logs`: what a job's tasks said.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use futures::TryStreamExt;
use samara::{JobLine, LogOptions};

use super::{JobName, find, open};
use crate::deploy;
use crate::globals::Globals;
use crate::report::usage;
use crate::units;

/// Prints what a job's tasks logged, or what the hosts of a deployment did.
///
/// Of a job, the lines of each attempt, once it has ended; with --json one object per line,
/// {"task", "attempt", "level", "message"}. What has `://` in it names a deployment; with --json
/// {"milliseconds", "id", "text"}.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    job: JobName,

    /// Prints the lines of this task alone; tasks are counted from 0.
    #[arg(long, value_name = "N")]
    task: Option<u64>,

    /// Of a deployment: prints the lines of the last so much time; 10m by default.
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    since: Option<Duration>,

    /// Goes on until the job has ended; of a deployment, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let name = &arguments.job.job;
    if deploy::is_one(name) {
        if arguments.task.is_some() {
            return Err(usage("--task is for jobs, and a deployment has none"));
        }
        return deploy::logs::run(name, arguments.since, arguments.follow, globals);
    }
    if arguments.since.is_some() {
        return Err(usage("--since is for deployments; a job's lines are few"));
    }
    let executor = open(globals)?;
    let mut options = LogOptions::default().follow(arguments.follow);
    if let Some(task) = arguments.task {
        options = options.task(task);
    }
    samara::block_on(async {
        let id = find(&executor, &arguments.job.job).await?;
        if let Some(task) = arguments.task {
            // How many there will be is not always known.
            let tasks = executor.job_status(id).await?.tasks;
            if let Some(tasks) = tasks.filter(|tasks| task >= *tasks) {
                return Err(usage(format!(
                    "job {id} has no task {task}: it has {tasks}, which are counted from 0"
                )));
            }
        }
        let mut lines = executor.job_log(id, options).await?;
        while let Some(line) = lines.try_next().await? {
            let mut out = io::stdout().lock();
            match globals.json {
                true => writeln!(out, "{}", serde_json::to_string(&line)?)?,
                false => writeln!(out, "{}", text(&line))?,
            }
        }
        Ok::<_, anyhow::Error>(ExitCode::SUCCESS)
    })
}

fn text(line: &JobLine) -> String {
    let attempt = match line.attempt {
        0 => String::new(),
        attempt => format!(", attempt {}", attempt + 1),
    };
    let level = format!("{:?}", line.level).to_lowercase();
    format!("task {}{attempt}: {level}: {}", line.task, line.message)
}
