//! What becomes of failures and of lost time, and where a run's numbers go.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use samara::settings::Reader;
use samara::settings::units as text;
use samara::{JobStats, OnFailure};

use crate::units;

/// What becomes of failures and of lost time.
#[derive(Debug, clap::Args)]
pub(super) struct PolicyArguments {
    /// Tries a task that the platform failed again at most so many times; 3 by default.
    #[arg(long, value_name = "N")]
    retries: Option<u32>,

    /// Tries again where the function returned an error, too.
    #[arg(long)]
    retry_user_errors: bool,

    /// Time of the whole job, after which the tasks that are left fail.
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    job_time: Option<Duration>,

    /// What becomes of the job when a task fails for good: continue (the default), stop, or
    /// tolerate:PERCENT, which stops when more have failed.
    #[arg(long, value_name = "POLICY", value_parser = parse_on_failure)]
    on_failure: Option<OnFailure>,

    /// Lets tasks share instances: much faster for tiny ones, but a task may see what an earlier
    /// one left in memory.
    #[arg(long)]
    pub(super) reuse: bool,

    /// Writes every attempt's numbers to a file, .csv or .json.
    #[arg(long, value_name = "FILE", value_parser = parse_stats)]
    pub(super) stats: Option<Stats>,
}

/// A file for a job's numbers.
#[derive(Debug, Clone)]
pub(super) struct Stats {
    path: PathBuf,
    csv: bool,
}

fn parse_on_failure(text: &str) -> Result<OnFailure, String> {
    text.parse()
}

fn parse_stats(text: &str) -> Result<Stats, String> {
    let path = PathBuf::from(text);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => Ok(Stats { path, csv: true }),
        Some("json") => Ok(Stats { path, csv: false }),
        _ => Err("the file's name ends with .csv or .json, which says what it holds".to_owned()),
    }
}

// === impl PolicyArguments ===

impl PolicyArguments {
    /// Adds what was given to what files and variables say.
    pub(super) fn settings(&self, mut reader: Reader) -> Reader {
        let attempts = self.retries.map(|retries| retries.saturating_add(1).to_string());
        let user_errors = self.retry_user_errors.then(|| true.to_string());
        for (name, value, flag) in [
            ("retries.attempts", attempts, "--retries"),
            ("retries.user-errors", user_errors, "--retry-user-errors"),
            ("job-time", self.job_time.map(text::duration), "--job-time"),
            ("on-failure", self.on_failure.map(|is| is.to_string()), "--on-failure"),
        ] {
            if let Some(value) = value {
                reader = reader.set(name, value, flag);
            }
        }
        reader
    }
}

// === impl Stats ===

impl Stats {
    /// Sees to it that the file can be written before a job runs for hours, and leaves what is in it.
    pub(super) fn try_out(&self) -> Result<()> {
        let file = fs::OpenOptions::new().append(true).create(true).open(&self.path);
        file.map(drop).with_context(|| format!("cannot write {}", self.path()))
    }

    pub(super) fn write(&self, stats: &JobStats) -> Result<()> {
        let text = if self.csv { stats.to_csv() } else { stats.to_json() + "\n" };
        fs::write(&self.path, text).with_context(|| format!("cannot write {}", self.path()))?;
        if stats.attempts_dropped > 0 {
            tracing::warn!(
                "{} has the first {} attempts; with a store of a name, `samara stats --csv` has \
                 all",
                self.path(),
                stats.attempts.len()
            );
        }
        Ok(())
    }

    fn path(&self) -> std::path::Display<'_> {
        Path::display(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_numbers_says_by_its_name_what_it_holds() {
        assert!(parse_stats("a/b.csv").unwrap().csv);
        assert!(!parse_stats("b.json").unwrap().csv);
        assert!(parse_stats("csv").is_err() && parse_stats("a.txt").is_err());
    }
}
