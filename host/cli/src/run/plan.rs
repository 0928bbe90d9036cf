//! What a run would do, without doing it.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use samara::{Executor, Partition, Partitions, Plan};
use serde_json::json;

use crate::globals::Globals;
use crate::units;

/// Objects that are listed unless the person wants all: enough to see that they are the right ones.
const OBJECTS_MAX: usize = 20;

/// Prints the plan of a job.
pub(super) fn print(
    executor: &Executor,
    function: &str,
    plan: &Plan,
    globals: &Globals,
) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    let partitions = samara::block_on(executor.dry_run(plan))?;
    let tasks = match &partitions {
        Some(partitions) => partitions.len(),
        None => plan.task_count().unwrap_or(0),
    };
    let bytes = partitions.as_ref().map_or(0, Partitions::byte_count);
    let objects: Vec<(&str, u64, u64)> = partitions.iter().flat_map(Partitions::objects).collect();
    if globals.json {
        let partition =
            |p: Partition| json!({ "object": p.object, "offset": p.offset, "length": p.length });
        let partitions: Vec<_> =
            partitions.iter().flat_map(Partitions::iter).map(partition).collect();
        let plan = json!({
            "function": function,
            "runtime": executor.runtime(),
            "tasks": tasks,
            "objects": objects.len(),
            "bytes": bytes,
            "partitions": partitions,
        });
        writeln!(out, "{}", json!({ "plan": plan }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = executor.runtime();
    let inputs = match partitions {
        Some(_) => format!(", {}, {}", count(objects.len() as u64, "object"), units::size(bytes)),
        None => String::new(),
    };
    let tasks = count(tasks as u64, "task");
    writeln!(out, "`{function}` on {runtime}: {tasks}{inputs}; nothing was run")?;
    let shown = if globals.verbosity.verbose { objects.len() } else { OBJECTS_MAX };
    for (url, size, partitions) in objects.iter().take(shown) {
        let partitions = count(*partitions, "partition");
        writeln!(out, "  {url}  {}, {partitions}", units::size(*size))?;
    }
    if objects.len() > shown {
        writeln!(out, "  and {} more; -v lists all", objects.len() - shown)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn count(number: u64, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{s}")
}
