//! What a run prints: values on standard output, everything else on standard error.

use std::error::Error;
use std::io::{self, BufWriter, Stdout, Write};
use std::process::ExitCode;

use anyhow::Result;
use samara::{Cause, Encoded, Exceeded, JobId, LogLine, Summary, TaskError, UserErrorKind};
use serde::Serialize;

use crate::globals::Verbosity;
use crate::report::{self, INTERRUPTED, TASK_FAILED};
use crate::{json, units};

/// Errors that are printed in full unless the person wants all: one bug fails every task alike.
const ERRORS_MAX: u64 = 10;

/// Below this, a rate says how long a start takes, not how fast a function reads.
const RATE_BYTES_MIN: u64 = 1 << 20;

/// Prints results as they come.
#[derive(Debug)]
pub(crate) struct Printer {
    out: BufWriter<Stdout>,
    json: bool,
    verbosity: Verbosity,
    failed: u64,
}

/// A failed task as `--json` has it.
#[derive(Debug, Serialize)]
struct Failure<'a> {
    kind: &'static str,
    message: String,
    causes: Vec<String>,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    backtrace: &'a [String],
    #[serde(skip_serializing_if = "<[LogLine]>::is_empty")]
    log: &'a [LogLine],
}

/// A job in numbers as `--json` has it.
#[derive(Debug, Serialize)]
struct Numbers {
    tasks: u64,
    succeeded: u64,
    failed: u64,
    cancelled: u64,
    retries: u64,
    bytes_read: u64,
    memory_peak: u64,
    task_seconds: f64,
    seconds: f64,
}

// === impl Printer ===

impl Printer {
    pub(super) fn new(json: bool, verbosity: Verbosity) -> Self {
        Self { out: BufWriter::new(io::stdout()), json, verbosity, failed: 0 }
    }

    /// Tells a person who wants to know that the job runs now.
    pub(super) fn started(&self, summary: &Summary, job: Option<JobId>) {
        if self.verbosity.verbose {
            let job = job.map(|job| format!(" of job {job}")).unwrap_or_default();
            report::say(format_args!("running {}{job}", tasks(summary.tasks)));
        }
    }

    /// Prints what one task came to, or with no index what a reduction did.
    pub(super) fn result(
        &mut self,
        index: Option<usize>,
        result: Result<Encoded, TaskError>,
    ) -> Result<()> {
        let index = index.map(|index| format!("\"index\":{index},")).unwrap_or_default();
        match result {
            Ok(Encoded(bytes)) => {
                let value = json::from_cbor(&bytes)?;
                match self.json {
                    true => writeln!(self.out, "{{{index}\"ok\":{value}}}")?,
                    false => writeln!(self.out, "{value}")?,
                }
            }
            Err(error) => {
                self.failed += 1;
                if self.json {
                    let failure = serde_json::to_string(&Failure::from(&error))?;
                    writeln!(self.out, "{{{index}\"error\":{failure}}}")?;
                } else if self.failed <= ERRORS_MAX || self.verbosity.verbose {
                    self.out.flush()?;
                    report_task(&error);
                }
            }
        }
        Ok(())
    }

    /// Prints what the values of one object were combined to.
    pub(super) fn object(&mut self, url: &str, Encoded(bytes): &Encoded) -> Result<()> {
        let value = json::from_cbor(bytes)?;
        match self.json {
            true => {
                let url = serde_json::to_string(url)?;
                writeln!(self.out, "{{\"object\":{url},\"ok\":{value}}}")?;
            }
            false => writeln!(self.out, "{url}\t{value}")?,
        }
        Ok(())
    }

    /// Hands on what was printed so far.
    pub(super) fn flush(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }

    /// Ends a run whose tasks have all ended.
    pub(crate) fn finish(&mut self, summary: &Summary) -> Result<ExitCode> {
        self.summary(summary)?;
        let hidden = self.failed.saturating_sub(ERRORS_MAX);
        if hidden > 0 && !self.json && !self.verbosity.verbose {
            report::say(format_args!("error: {hidden} more tasks failed; -v prints their errors"));
        }
        Ok(if self.failed > 0 { ExitCode::from(TASK_FAILED) } else { ExitCode::SUCCESS })
    }

    /// Ends a run that a person stopped.
    pub(super) fn interrupted(&mut self, summary: &Summary) -> Result<ExitCode> {
        let (done, tasks) = (summary.succeeded + summary.failed, summary.tasks);
        self.summary(summary)?;
        report::say(format_args!("interrupted: {done} of {tasks} tasks were done"));
        Ok(ExitCode::from(INTERRUPTED))
    }

    fn summary(&mut self, summary: &Summary) -> Result<()> {
        if self.json {
            let numbers = serde_json::to_string(&Numbers::from(summary))?;
            writeln!(self.out, "{{\"summary\":{numbers}}}")?;
        }
        self.out.flush()?;
        if !self.json && !self.verbosity.quiet {
            report::say(format_args!("{}", line(summary)));
        }
        Ok(())
    }
}

/// Prints a task's error with its chain, and what may help.
fn report_task(error: &TaskError) {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    report::chain(std::iter::from_fn(|| {
        let current = next?;
        next = current.source();
        Some(current)
    }));
    if let Some(hint) = hint(error) {
        report::say(format_args!("  hint: {hint}"));
    }
}

fn hint(error: &TaskError) -> Option<&'static str> {
    match &error.cause {
        Cause::Failed(error) if error.kind == UserErrorKind::BadArguments => Some(
            "`samara inspect` has the types; an integer is written 5 and a float 5.0, a text \
             \"in quotes\"",
        ),
        Cause::LimitExceeded(exceeded) => hint_at_limit(exceeded),
        _ => None,
    }
}

/// How a limit is raised. A tenant's is not the driver's to raise, and hosts may have less to give.
fn hint_at_limit(exceeded: &Exceeded) -> Option<&'static str> {
    Some(match exceeded {
        Exceeded::Memory { .. } => {
            "--memory (the setting `memory`) gives a task more, and --chunk less to hold"
        }
        Exceeded::Time { .. } => {
            "--time-limit (the setting `time`) gives a task longer, and --chunk less to do"
        }
        Exceeded::Cpu { .. } => "the setting `cpu` says how much (SAMARA_CPU)",
        Exceeded::StorageOperations { .. } => {
            "the setting `storage-operations` says how many (SAMARA_STORAGE_OPERATIONS)"
        }
        Exceeded::StorageBytes { .. } => {
            "the setting `storage-bytes` says how many (SAMARA_STORAGE_BYTES)"
        }
        Exceeded::HttpRequests { .. } => {
            "the setting `http-requests` says how many (SAMARA_HTTP_REQUESTS)"
        }
        Exceeded::HttpBytes { .. } => "the setting `http-bytes` says how many (SAMARA_HTTP_BYTES)",
        Exceeded::Buffers { .. } => "the setting `buffers` says how much (SAMARA_BUFFERS)",
        Exceeded::Output { .. } => "the setting `output` says how large (SAMARA_OUTPUT)",
        Exceeded::HostCall { .. } => "the setting `host-call` says how many (SAMARA_HOST_CALL)",
        _ => return None,
    })
}

/// A job in one line. Where tasks were cancelled, it says how many were not.
pub(crate) fn line(summary: &Summary) -> String {
    let done = match summary.cancelled {
        0 => tasks(summary.tasks),
        _ => format!("{} of {}", summary.succeeded + summary.failed, tasks(summary.tasks)),
    };
    let mut line = format!("{done} in {}", units::duration(summary.elapsed));
    for (count, what) in [
        (summary.failed, "failed"),
        (summary.cancelled, "cancelled"),
        (summary.retries, "tried again"),
    ] {
        if count > 0 {
            line.push_str(&format!(", {count} {what}"));
        }
    }
    if summary.bytes_read > 0 {
        line.push_str(&format!(", {} read", units::size(summary.bytes_read)));
    }
    if summary.bytes_read >= RATE_BYTES_MIN {
        let rate = summary.bytes_read as f64 / 1e6 / summary.elapsed.as_secs_f64();
        line.push_str(&format!(" ({rate:.0} MB/s)"));
    }
    line
}

fn tasks(count: u64) -> String {
    format!("{count} {}", if count == 1 { "task" } else { "tasks" })
}

// === impl Failure ===

impl<'a> From<&'a TaskError> for Failure<'a> {
    fn from(error: &'a TaskError) -> Self {
        let (kind, message, causes, trap) = match &error.cause {
            Cause::Failed(user) => {
                let kind = match user.kind {
                    UserErrorKind::NoSuchFunction => "no-such-function",
                    UserErrorKind::BadArguments => "bad-arguments",
                    UserErrorKind::BadOutput => "bad-output",
                    _ => "failed",
                };
                (kind, user.message.clone(), user.causes.clone(), None)
            }
            Cause::Trapped(trap) => ("trapped", trap.message.clone(), Vec::new(), Some(trap)),
            Cause::LimitExceeded(limit) => ("limit-exceeded", limit.to_string(), Vec::new(), None),
            Cause::Platform(error) => ("platform", error.to_string(), Vec::new(), None),
            Cause::Output(message) => ("bad-output", message.clone(), Vec::new(), None),
            _ => ("unknown", error.to_string(), Vec::new(), None),
        };
        Self {
            kind,
            message,
            causes,
            attempts: error.attempts,
            partition: error.partition.as_ref().map(ToString::to_string),
            location: trap.and_then(|trap| trap.location.as_deref()),
            backtrace: trap.map(|trap| trap.backtrace.as_slice()).unwrap_or_default(),
            log: &error.log,
        }
    }
}

// === impl Numbers ===

impl From<&Summary> for Numbers {
    fn from(summary: &Summary) -> Self {
        Self {
            tasks: summary.tasks,
            succeeded: summary.succeeded,
            failed: summary.failed,
            cancelled: summary.cancelled,
            retries: summary.retries,
            bytes_read: summary.bytes_read,
            memory_peak: summary.memory_peak,
            task_seconds: summary.task_time.as_secs_f64(),
            seconds: summary.elapsed.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_job_in_one_line() {
        let mut summary = Summary::default();
        summary.tasks = 1;
        summary.elapsed = Duration::from_millis(2);
        assert_eq!(line(&summary), "1 task in 2.00 ms");
        summary.tasks = 32;
        summary.failed = 2;
        summary.retries = 1;
        summary.bytes_read = 1000;
        assert_eq!(line(&summary), "32 tasks in 2.00 ms, 2 failed, 1 tried again, 1000 B read");
        summary.succeeded = 20;
        summary.cancelled = 10;
        summary.retries = 0;
        assert_eq!(
            line(&summary),
            "22 of 32 tasks in 2.00 ms, 2 failed, 10 cancelled, 1000 B read"
        );
        (summary.succeeded, summary.cancelled, summary.retries) = (30, 0, 1);
        summary.bytes_read = 4 << 20;
        assert_eq!(
            line(&summary),
            "32 tasks in 2.00 ms, 2 failed, 1 tried again, 4.00 MiB read (2097 MB/s)"
        );
    }
}
