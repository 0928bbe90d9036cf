//! What does a task cost that does nothing, in a fresh instance, with everything warm?
//!
//! `cargo bench -p samara-benches --bench task_cost`

use std::sync::Arc;

use anyhow::{Result, anyhow};
use samara::{Component, Executor};
use samara_benches::{median, root, say, time};
use samara_core::{Batch, Cancel, Grants, JobId, Limits, Task};
use samara_engine::{Config, Engine, Job};

const TASKS: u32 = 20_000;
const ROUNDS: usize = 5;

fn main() -> Result<()> {
    let programs = Component::from_crate(root().join("examples/monte-carlo-pi/function"))?;
    engine(&programs)?;
    executor(&programs)
}

/// The engine alone, on one thread.
fn engine(programs: &Component) -> Result<()> {
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let engine = Engine::new(&Config::default(), io.handle().clone())?;
    let prepared = engine.prepare(programs.bytes())?;
    let batch = Batch {
        job: JobId::new(0, 0),
        component: programs.id(),
        function: "throw".to_owned(),
        store: "mem://bench".to_owned(),
        limits: Limits::default(),
        grants: Grants::default(),
        task_count: 1,
        reuse: false,
        depth: 0,
        payer: Default::default(),
        tasks: Vec::new(),
    };
    let mut arguments = samara_wit::value::ArgumentWriter::new(2);
    arguments.push(&1_u64)?;
    arguments.push(&1_u64)?;
    let arguments = arguments.finish().into();
    let task = Task { index: 0, attempt: 0, arguments, partition: None };
    let job = Arc::new(Job::new(&Arc::new(batch), &Arc::default(), &Cancel::default()));
    let mut micros = Vec::new();
    for _ in 0..ROUNDS {
        let ((), took) = time(|| {
            for _ in 0..TASKS {
                let report = engine.run(&prepared, &job, &task);
                if !report.outcome.is_success() {
                    return Err(anyhow!("{:?}", report.outcome));
                }
            }
            Ok(())
        })?;
        micros.push(took.as_secs_f64() * 1e6 / f64::from(TASKS));
    }
    let pool = if engine.is_pooling() { "pooled" } else { "on demand" };
    say(&format!("engine, one thread, {pool}: {:.1} µs per task", median(micros)))
}

/// The whole way through the driver, on all cores.
fn executor(programs: &Component) -> Result<()> {
    let executor = Executor::builder().progress(false).build()?;
    let cores = u32::try_from(std::thread::available_parallelism()?.get())?;
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let inputs: Vec<(u64, u64)> = (0..u64::from(TASKS * 5)).map(|n| (n, 1)).collect();
        let (values, took) = time(|| {
            samara::block_on(async {
                Ok(executor.map(programs, monte_carlo_pi::throw, inputs).await?.values().await?)
            })
        })?;
        rates.push(values.len() as f64 / took.as_secs_f64());
    }
    let rate = median(rates);
    let micros = f64::from(cores) * 1e6 / rate;
    say(&format!(
        "Executor::map, {cores} cores: {rate:.0} tasks/s, {micros:.1} µs of core per task"
    ))
}
