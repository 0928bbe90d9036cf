//! Many tasks in one instance, where their job allows it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use samara_core::{Arguments, ErrorKind, Outcome, Report, Reports, Shared, Stats, Task};

use crate::bindings::exports::samara::function::functions::{Batch, Failure};
use crate::component::Prepared;
use crate::engine::Engine;
use crate::failure;
use crate::job::Job;
use crate::run::{Meter, Used, instantiate};

/// Arguments that one shared instance gets in all: they are held by the driver, the host and the
/// guest, and a larger batch is no cheaper.
const ARGUMENT_BYTES_MAX: usize = 4 << 20;

/// How long tasks that share an instance may take together. They are meant to take some
/// milliseconds, so one of them takes long; alone, each has its result when it ends, and the slow
/// one a second attempt. It costs this much work, done twice.
const SHARED_TIME_MAX: Duration = Duration::from_secs(1);

/// What tasks that shared an instance came to.
pub(crate) enum Ended {
    /// The instance answered for each.
    Answered(Box<Answers>),
    /// Nothing of it counts: one of the tasks may have harmed the others. Each has to run alone.
    Spoilt,
    /// All came to the same: cancelled, or failed around the function.
    All(Outcome),
}

/// What an instance answered for tasks that shared it.
pub(crate) struct Answers {
    shared: Shared,
    failed: Vec<(usize, Outcome)>,
}

/// The tasks at the front of `tasks` that may share an instance: those with their arguments at
/// hand, without a partition, and not tried before. One that was may be why an instance was spoilt.
pub(crate) fn shareable(tasks: &[Task]) -> &[Task] {
    let mut bytes = 0;
    let fits = |task: &&Task| {
        let Arguments::Encoded(arguments) = &task.arguments else { return false };
        bytes += arguments.len();
        task.partition.is_none() && task.attempt == 0 && bytes <= ARGUMENT_BYTES_MAX
    };
    &tasks[..tasks.iter().take_while(fits).count()]
}

// === impl Engine ===

impl Engine {
    /// Runs tasks that [`shareable`] let through, one after the other, in one fresh instance.
    pub(crate) fn run_shared(&self, prepared: &Prepared, job: &Arc<Job>, tasks: &[Task]) -> Ended {
        let Some(first) = tasks.first() else { return Ended::Spoilt };
        let _permit = self.inner().permits.take(job.batch().depth);
        let _entered = self.inner().io.enter();
        let meter = Meter::start(&*self.inner().clock);
        let mut state = match self.state(job, first) {
            Ok(state) => state,
            Err(error) => return Ended::All(Outcome::Platform(error)),
        };
        state.patience.shorten(SHARED_TIME_MAX);
        let mut store = self.store(state);
        if let Err(stop) = store.data().patience.check() {
            return Ended::All(stop.into());
        }
        let indices: Vec<u64> = tasks.iter().map(|task| task.index).collect();
        let (arguments, ends) = concatenate(tasks);
        let running = self.inner().ticker.running();
        let instance = match instantiate(prepared, &mut store) {
            Ok(instance) => instance,
            Err(outcome) => return spoilt(outcome),
        };
        let function = job.batch().function.clone();
        let parameters = (function, indices.clone(), arguments, ends);
        let called = prepared
            .call_batch(&mut store, &instance)
            .and_then(|call| call.call(&mut store, parameters));
        drop(running);
        if store.data().budget.check_served().is_err() {
            // Alone each may have as much.
            return Ended::Spoilt;
        }
        let batch = match called {
            Ok((Ok(batch),)) if is_whole(&batch, tasks.len()) => batch,
            // The contract was broken, or the whole was not to be had: alone it may be.
            Ok((Ok(_) | Err(Failure::BadArguments(_) | Failure::BadOutput(_)),)) => {
                return Ended::Spoilt;
            }
            Ok((Err(failure),)) => {
                return Ended::All(failure::returned(failure.into(), store.data()));
            }
            Err(error) => return spoilt(failure::outcome(error, store.data_mut())),
        };
        let Batch { outputs, ends, failures } = batch;
        let failures = failures
            .into_iter()
            .map(|(at, error)| (at as usize, failure::returned(error.into(), store.data())));
        let failed: Vec<(usize, Outcome)> = failures.collect();
        let Used { log, log_dropped, stats } = self.end(store, &meter);
        let stats = Stats { output_bytes: outputs.len() as u64, ..stats };
        let outputs = Bytes::from(outputs);
        let shared = Shared { indices, outputs, ends, log, log_dropped, stats };
        Ended::Answered(Box::new(Answers { shared, failed }))
    }
}

/// What it means for its tasks that a shared instance ended so.
fn spoilt(outcome: Outcome) -> Ended {
    match &outcome {
        Outcome::Platform(error) if error.kind == ErrorKind::Cancelled => Ended::All(outcome),
        _ => Ended::Spoilt,
    }
}

/// The tasks' arguments one after the other, and where each ends.
fn concatenate(tasks: &[Task]) -> (Vec<u8>, Vec<u32>) {
    let mut all = Vec::with_capacity(tasks.len() * 16);
    let ends = tasks.iter().map(|task| {
        if let Arguments::Encoded(arguments) = &task.arguments {
            all.extend_from_slice(arguments);
        }
        u32::try_from(all.len()).expect("no more than ARGUMENT_BYTES_MAX")
    });
    let ends = ends.collect();
    (all, ends)
}

/// Whether an answer is one for so many tasks.
fn is_whole(batch: &Batch, tasks: usize) -> bool {
    let Batch { outputs, ends, failures } = batch;
    let positions = || failures.iter().map(|(at, _)| *at as usize);
    ends.len() == tasks
        && ends.is_sorted()
        && ends.last().copied().unwrap_or(0) as usize == outputs.len()
        && positions().is_sorted_by(|a, b| a < b)
        && positions().all(|at| at < tasks)
}

// === impl Answers ===

impl Answers {
    /// Takes those apart that cannot be reported with the rest: the failed, and outputs that are
    /// larger than `inline` bytes, for which `store` is asked.
    pub(crate) fn report(
        self,
        tasks: &[Task],
        inline: usize,
        mut large: impl FnMut(&Task, Bytes) -> (Outcome, Stats),
        report: &mut dyn FnMut(Reports),
    ) {
        let Self { mut shared, mut failed } = self;
        let mut alone: Vec<Report> = Vec::new();
        if !failed.is_empty() || longest(&shared.ends) > inline {
            let whole = shared.outputs.clone();
            let mut rest = Vec::with_capacity(whole.len());
            let (mut indices, mut ends, mut start) = (Vec::new(), Vec::new(), 0);
            failed.reverse();
            for (at, task) in tasks.iter().enumerate() {
                let end = shared.ends[at] as usize;
                let output = start..end;
                start = end;
                if failed.last().is_some_and(|(failed, _)| *failed == at) {
                    let outcome = failed.pop().map(|(_, outcome)| outcome);
                    alone.extend(outcome.map(|outcome| alone_report(task, &shared, outcome)));
                } else if output.len() > inline {
                    let (outcome, stats) = large(task, whole.slice(output));
                    let report = alone_report(task, &shared, outcome);
                    alone.push(Report {
                        stats: Stats { started: report.stats.started, ..stats },
                        ..report
                    });
                } else {
                    rest.extend_from_slice(&whole[output]);
                    indices.push(task.index);
                    ends.push(u32::try_from(rest.len()).expect("no longer than the whole"));
                }
            }
            (shared.indices, shared.ends, shared.outputs) = (indices, ends, rest.into());
            shared.stats.output_bytes = shared.outputs.len() as u64;
        }
        if !shared.indices.is_empty() {
            report(Reports::Shared(Box::new(shared)));
        } else if let Some(first) = alone.first_mut() {
            // Nobody else is left to carry what they logged and used together.
            (first.log, first.log_dropped) = (shared.log, shared.log_dropped);
            first.stats = Stats { output_bytes: first.stats.output_bytes, ..shared.stats };
        }
        if !alone.is_empty() {
            report(Reports::Each(alone));
        }
    }
}

/// The report of one task that shared an instance; what the instance used is in the others'.
fn alone_report(task: &Task, shared: &Shared, outcome: Outcome) -> Report {
    Report {
        index: task.index,
        attempt: task.attempt,
        outcome,
        log: Vec::new(),
        log_dropped: 0,
        stats: Stats { started: shared.stats.started, ..Stats::default() },
    }
}

fn longest(ends: &[u32]) -> usize {
    let starts = std::iter::once(&0).chain(ends);
    starts.zip(ends).map(|(start, end)| end - start).max().unwrap_or(0) as usize
}
