//! `samara test`: the conformance suite on the user's own runtime and store.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use samara::{Builder, Component};
use samara_conformance::{Case, Ended, Settings, Suite, Verdict};
use serde::Serialize;

use crate::globals::Globals;
use crate::report::{self, INTERRUPTED, TASK_FAILED};
use crate::{interrupt, units};

/// The component of `tests/programs`, put here by the build script.
static PROGRAMS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/samara_programs.wasm"));

/// The store where the settings name none.
const MEMORY: &str = "mem://samara-test/";

/// Cases at the same time, at most: beyond that they wait for each other's tasks.
const JOBS_MAX: usize = 64;

/// Runs the conformance suite: shows that a runtime and a store do what Samara promises.
///
/// Everything is written below one new directory or prefix of the store and removed at the end,
/// also where cases fail.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {
    /// Runs only the cases whose name contains one of these; the names are `room::case`.
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,

    /// Lists the cases and runs none.
    #[arg(long)]
    list: bool,

    /// Starts no further case once one has failed.
    #[arg(long)]
    exit_first: bool,

    /// Cases that run at the same time [default: one per core].
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

/// How many cases came to what.
#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// A case as JSON.
#[derive(Debug, Serialize)]
struct CaseLine<'a> {
    case: String,
    verdict: &'static str,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// All cases as JSON.
#[derive(Debug, Serialize)]
struct Total<'a> {
    #[serde(flatten)]
    counts: Counts,
    not_run: usize,
    seconds: f64,
    runtime: &'a str,
    store: &'a str,
}

/// What the threads that run cases share.
struct Work {
    suite: Suite,
    /// The store as the user named it.
    store: String,
    left: Mutex<VecDeque<Case>>,
    stop: Arc<AtomicBool>,
    exit_first: bool,
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let cases = chosen(&arguments.filters)?;
    if arguments.list {
        let mut out = io::stdout().lock();
        cases.iter().try_for_each(|case| writeln!(out, "{case}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (suite, store) = open(globals)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));
    stop_when_interrupted(&interrupted, &stop)?;
    let exit_first = arguments.exit_first;
    let json = globals.json;
    let work = Work { suite, store, left: Mutex::new(cases.into()), stop, exit_first, json };
    let counts = work.run_all(arguments);
    // Whatever came of the output, nothing is left in the store.
    let cleaned = work.suite.clean();
    let counts = counts?;
    cleaned.with_context(|| format!("cannot clean up {}", work.suite.store()))?;
    if interrupted.load(Ordering::Relaxed) {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(TASK_FAILED) })
}

fn chosen(filters: &[String]) -> Result<Vec<Case>> {
    let mut cases = samara_conformance::cases();
    cases.retain(|case| case.is_meant(filters));
    if cases.is_empty() {
        let filters = filters.join("`, `");
        return Err(report::usage(format!(
            "no case's name contains `{filters}`; `samara test --list` lists them"
        )));
    }
    Ok(cases)
}

/// The suite on the runtime and the store of the settings, and that store's name.
fn open(globals: &Globals) -> Result<(Suite, String)> {
    let settings = globals.reader().read()?;
    let value = |name: &str| settings.get(name).map(|setting| setting.value.clone());
    let runtime = value("runtime").unwrap_or_else(|| "local:".to_owned());
    // Without a store of the settings, one that goes with this process.
    let store = value("store").unwrap_or_else(|| MEMORY.to_owned());
    let builder = Builder::from_settings(&settings).progress(false);
    let suite = Settings::new(Component::from_bytes(PROGRAMS), builder, &store);
    let suite = Suite::open(suite)
        .with_context(|| format!("no case was run, because {runtime} or {store} cannot be used"))?;
    Ok((suite, store))
}

/// The first Ctrl-C lets the running cases end, and no others begin.
fn stop_when_interrupted(interrupted: &Arc<AtomicBool>, stop: &Arc<AtomicBool>) -> Result<()> {
    let signal = interrupt::interrupted()?;
    let (interrupted, stop) = (Arc::clone(interrupted), Arc::clone(stop));
    // The thread ends with the process: it waits for what mostly does not come.
    let waits = move || {
        if samara::block_on(signal).is_ok() {
            interrupted.store(true, Ordering::Relaxed);
            stop.store(true, Ordering::Relaxed);
        }
    };
    thread::Builder::new().spawn(waits).context("cannot start a thread")?;
    Ok(())
}

// === impl Work ===

impl Work {
    /// Runs all cases that are left, and prints what they come to, in the order of their ends.
    fn run_all(&self, arguments: &Arguments) -> Result<Counts> {
        let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let jobs = arguments.jobs.unwrap_or(cores).get().min(JOBS_MAX);
        let mut counts = Counts::default();
        let mut elapsed = Duration::ZERO;
        thread::scope(|scope| {
            let (ended, ends) = mpsc::channel();
            for _ in 0..jobs {
                let ended = ended.clone();
                scope.spawn(move || self.run_some(&ended));
            }
            drop(ended);
            ends.iter()
                .try_for_each(|(case, end): (Case, Ended)| {
                    counts.add(&end.verdict);
                    elapsed += end.elapsed;
                    if arguments.exit_first && counts.failed > 0 {
                        self.stop.store(true, Ordering::Relaxed);
                    }
                    print_case(&mut io::stdout().lock(), &case, &end, self.json)
                })
                // Nobody reads on: the cases that run are the last.
                .inspect_err(|_| self.stop.store(true, Ordering::Relaxed))
        })?;
        let not_run = self.left.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.print_total(counts, not_run, elapsed)?;
        Ok(counts)
    }

    /// Runs one case after the other until none is left.
    fn run_some(&self, ended: &mpsc::Sender<(Case, Ended)>) {
        let next = || self.left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        while !self.stop.load(Ordering::Relaxed) {
            let Some(case) = next() else { return };
            let end = self.suite.run(&case);
            if self.exit_first && matches!(end.verdict, Verdict::Failed(_)) {
                self.stop.store(true, Ordering::Relaxed);
            }
            if ended.send((case, end)).is_err() {
                return;
            }
        }
    }

    fn print_total(&self, counts: Counts, not_run: usize, elapsed: Duration) -> Result<()> {
        let (runtime, store) = (self.suite.runtime(), &self.store);
        let mut out = io::stdout().lock();
        if self.json {
            let seconds = elapsed.as_secs_f64();
            let total = Total { counts, not_run, seconds, runtime: &runtime, store };
            writeln!(out, "{}", serde_json::to_string(&total)?)?;
        } else {
            let Counts { passed, failed, skipped } = counts;
            let not_run = if not_run > 0 { format!(", {not_run} not run") } else { String::new() };
            writeln!(
                out,
                "{passed} passed, {failed} failed, {skipped} skipped{not_run}: {runtime} with {store}"
            )?;
        }
        if counts.failed > 0 {
            report::say(format_args!(
                "run a failed case alone with `samara test --runtime {runtime} --store {store} CASE`; \
                 what it holds is in docs/SPECIFICATION.md, under its name"
            ));
        }
        Ok(())
    }
}

fn print_case(out: &mut impl Write, case: &Case, end: &Ended, json: bool) -> Result<()> {
    let (verdict, message) = match &end.verdict {
        Verdict::Passed => ("passed", None),
        Verdict::Failed(message) => ("failed", Some(message.as_str())),
        Verdict::Skipped(message) => ("skipped", Some(message.as_str())),
    };
    if json {
        let seconds = end.elapsed.as_secs_f64();
        let line = CaseLine { case: case.to_string(), verdict, seconds, message };
        writeln!(out, "{}", serde_json::to_string(&line)?)?;
    } else {
        writeln!(out, "{verdict:<7} {case} ({})", units::duration(end.elapsed))?;
        message
            .into_iter()
            .flat_map(str::lines)
            .try_for_each(|line| writeln!(out, "        {line}"))?;
    }
    Ok(out.flush()?)
}

// === impl Counts ===

impl Counts {
    fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed(_) => self.failed += 1,
            Verdict::Skipped(_) => self.skipped += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(verdict: Verdict, json: bool) -> String {
        let cases = samara_conformance::cases();
        let mut out = Vec::new();
        let end = Ended::new(verdict, Duration::from_millis(1500));
        print_case(&mut out, &cases[0], &end, json).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_failed_case_is_printed_with_all_that_it_said() {
        let name = "values::values_of_every_kind_come_back_as_they_went";
        let failed = Verdict::Failed("left: 1\nright: 2".to_owned());
        assert_eq!(
            printed(failed.clone(), false),
            format!("failed  {name} (1.50 s)\n        left: 1\n        right: 2\n")
        );
        assert_eq!(
            printed(failed, true),
            format!(
                "{{\"case\":\"{name}\",\"verdict\":\"failed\",\"seconds\":1.5,\
                 \"message\":\"left: 1\\nright: 2\"}}\n"
            )
        );
    }
}
