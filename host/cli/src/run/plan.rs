//! What a run would do, without doing it.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use samara::{Executor, Partition, Plan};
use serde_json::json;

use crate::globals::Globals;
use crate::units;

/// Objects that are listed unless the person wants all: enough to see that they are the right ones.
const OBJECTS_MAX: usize = 20;

/// An object of the plan.
#[derive(Debug)]
struct Object<'a> {
    url: &'a str,
    size: u64,
    partitions: u64,
}

/// Prints the plan of a job.
pub(super) fn print(
    executor: &Executor,
    function: &str,
    plan: &Plan,
    globals: &Globals,
) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    let partitions = match plan {
        Plan::Objects { objects, .. } => Some(samara::block_on(executor.plan(objects))?),
        _ => None,
    };
    let tasks = match (&partitions, plan) {
        (Some(partitions), _) => partitions.len(),
        (None, Plan::Values(values)) => values.len(),
        (None, _) => 0,
    };
    let objects = objects(partitions.as_deref().unwrap_or_default());
    let bytes: u64 = objects.iter().map(|object| object.size).sum();
    if globals.json {
        let partition =
            |p: &Partition| json!({ "object": p.object, "offset": p.offset, "length": p.length });
        let partitions = partitions.as_ref().map(|all| all.iter().map(partition).collect());
        let plan = json!({
            "function": function,
            "runtime": executor.runtime(),
            "tasks": tasks,
            "objects": objects.len(),
            "bytes": bytes,
            "partitions": partitions.unwrap_or_else(Vec::new),
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
    for object in objects.iter().take(shown) {
        let partitions = count(object.partitions, "partition");
        writeln!(out, "  {}  {}, {partitions}", object.url, units::size(object.size))?;
    }
    if objects.len() > shown {
        writeln!(out, "  and {} more; -v lists all", objects.len() - shown)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The objects of a plan: those of partitions that follow one another.
fn objects(partitions: &[Partition]) -> Vec<Object<'_>> {
    let mut objects: Vec<Object<'_>> = Vec::new();
    for partition in partitions {
        match objects.last_mut() {
            // One that is named twice begins at zero again.
            Some(last) if last.url == partition.object && partition.offset > 0 => {
                last.partitions += 1;
            }
            _ => objects.push(Object {
                url: &partition.object,
                size: partition.object_size,
                partitions: 1,
            }),
        }
    }
    objects
}

fn count(number: u64, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{s}")
}
