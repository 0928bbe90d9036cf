//! What the tasks of a job came to that another process runs, or ran.

use anyhow::Result;
use futures::FutureExt;
use samara::{Encoded, Job};

use super::output::Printer;
use crate::globals::Globals;

/// Prints each task's result, in the order of the inputs, until the job has ended.
pub(crate) async fn print(job: &Job<Encoded>, globals: &Globals) -> Result<Printer> {
    let mut printer = Printer::new(globals.json, globals.verbosity);
    let mut index = 0;
    loop {
        if index >= job.len() {
            // There may be more than the job's manifest knew of.
            job.wait().await;
        }
        if index >= job.len() {
            return Ok(printer);
        }
        let mut task = job.task(index);
        let result = match (&mut task).now_or_never() {
            Some(result) => result,
            None => {
                printer.flush()?;
                task.await
            }
        };
        printer.result(Some(index), result)?;
        index += 1;
    }
}
