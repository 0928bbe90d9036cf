//! `samara jobs`, `status`, `results`, `logs`, `stats`, `cancel` and `clean`: the jobs of a store,
//! whichever process submitted them.

pub(crate) mod cancel;
pub(crate) mod clean;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod results;
pub(crate) mod stats;
pub(crate) mod status;

use std::time::{Duration, SystemTime};

use anyhow::Result;
use samara::{Builder, Executor, JobId, JobState, JobStatus};

use crate::globals::Globals;
use crate::report::usage;

/// What stands for the newest job.
const LATEST: &str = "latest";

/// Jobs that an error about an ambiguous name lists.
const CANDIDATES_MAX: usize = 4;

/// One job, as every command takes it.
#[derive(Debug, clap::Args)]
pub(crate) struct JobName {
    /// The job's id, as many of its first characters as no other has, or `latest`.
    job: String,
}

/// An executor for the store that the settings name.
fn open(globals: &Globals) -> Result<Executor> {
    let settings = globals.reader().read()?;
    if settings.get("store").is_none() {
        return Err(usage(
            "jobs are found in a store that has a name; give it: --store URL, SAMARA_STORE, or \
             `store` in samara.toml",
        ));
    }
    Ok(Builder::from_settings(&settings).slots(1).progress(false).build()?)
}

/// The job of this name in the executor's store.
async fn find(executor: &Executor, name: &str) -> Result<JobId> {
    let ids = executor.job_ids().await?;
    chosen(&ids, name).map_err(|message| usage(format!("{message} in {}", executor.store())))
}

/// How far the job of this name has come.
async fn look(executor: &Executor, name: &JobName) -> Result<JobStatus> {
    let id = find(executor, &name.job).await?;
    Ok(executor.job_status(id).await?)
}

/// The job of this name among those, the newest first.
fn chosen(ids: &[JobId], name: &str) -> Result<JobId, String> {
    if name == LATEST {
        return ids.first().copied().ok_or_else(|| "there is no job".to_owned());
    }
    let start = name.to_ascii_uppercase();
    let matches: Vec<JobId> =
        ids.iter().copied().filter(|id| id.to_string().starts_with(&start)).collect();
    match &matches[..] {
        [] if ids.is_empty() => Err(format!("no job is called {name}, and there is none")),
        [] => Err(format!("no job is called {name} (`samara jobs` lists them)")),
        [one] => Ok(*one),
        several => {
            let shown = several.len().min(CANDIDATES_MAX);
            let more = if shown < several.len() { ", …" } else { "" };
            let shown: Vec<String> = several[..shown].iter().map(JobId::to_string).collect();
            let shown = shown.join(", ");
            Err(format!("{name} begins the ids of {} jobs ({shown}{more})", several.len()))
        }
    }
}

/// The time of submission in UTC, as RFC 3339 has it.
fn submitted(status: &JobStatus) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(status.submitted.as_secs()));
    time.map_or_else(|| "-".to_owned(), |time| humantime::format_rfc3339_seconds(time).to_string())
}

/// How many tasks were cancelled, behind others, where there are some.
fn cancelled(count: u64) -> String {
    if count > 0 { format!(", {count} cancelled") } else { String::new() }
}

/// Tasks that were done, of all.
fn done(status: &JobStatus) -> String {
    let done = status.succeeded + status.failed;
    match status.tasks {
        Some(tasks) => format!("{done}/{tasks}"),
        None => format!("{done}/?"),
    }
}

fn is_running(status: &JobStatus) -> bool {
    status.state == JobState::Running
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_goes_by_a_beginning_that_no_other_has() {
        let id = |text: &str| text.parse::<JobId>().unwrap();
        let ids = [
            id("01KAB5N4Y8ZJX3M7Q2R9T6V0WC"),
            id("01KAB5N4Y8ZJX3M7Q2R9T6V0WA"),
            id("01KAA00000ZJX3M7Q2R9T6V0WC"),
        ];
        assert_eq!(chosen(&ids, "latest"), Ok(ids[0]));
        assert_eq!(chosen(&ids, "01kaa"), Ok(ids[2]));
        assert_eq!(chosen(&ids, "01KAB5N4Y8ZJX3M7Q2R9T6V0WA"), Ok(ids[1]));
        let ambiguous = chosen(&ids, "01KAB").unwrap_err();
        assert!(ambiguous.contains("2 jobs (01KAB5N4Y8ZJX3M7Q2R9T6V0WC, "), "{ambiguous}");
        assert!(chosen(&ids, "02").unwrap_err().contains("`samara jobs` lists them"));
        assert!(chosen(&[], "02").unwrap_err().contains("there is none"));
        assert_eq!(chosen(&[], "latest"), Err("there is no job".to_owned()));
    }
}
