//! What does a task cost that does nothing, where the tasks of a batch share an instance?
//!
//! `cargo bench -p samara-benches --bench reuse`

use std::sync::Arc;

use anyhow::{Result, ensure};
use samara::Component;
use samara_benches::{median, root, say, time};
use samara_core::{
    Batch, Cancel, Grants, JobId, Limits, Reports, Task, TaskHandler, Waits, layout,
};
use samara_engine::{Config, Engine, Handler};
use samara_store::{Locator, PutOptions};

const TASKS: u64 = 1_000_000;
const ROUNDS: usize = 5;

fn main() -> Result<()> {
    let programs = Component::from_crate(root().join("tests/programs"))?;
    for batch in [1_000, 10_000, 100_000] {
        engine(&programs, batch)?;
    }
    Ok(())
}

/// Engine and guest alone, on one thread: from encoded arguments to encoded outputs.
fn engine(programs: &Component, tasks: u64) -> Result<()> {
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let engine = Engine::new(&Config::default(), io.handle().clone())?;
    let locator = Arc::new(Locator::default());
    let place = locator.open("mem://bench-reuse")?.join(&layout::component(&programs.id()));
    let bytes = programs.bytes().to_vec().into();
    io.block_on(place.store.put(&place.key, bytes, PutOptions::default()))?;
    let handler = Handler::new(engine, locator);
    let batch = Arc::new(batch(programs, tasks)?);
    let (cancel, waits): (_, Arc<dyn Waits>) = (Cancel::default(), Arc::new(()));
    let mut nanos = Vec::new();
    for _ in 0..ROUNDS {
        let (ended, took) = time(|| {
            let mut ended = 0;
            for _ in 0..TASKS / tasks {
                handler.run(&batch, &cancel, &waits, &mut |reports| {
                    if let Reports::Shared(shared) = reports {
                        ended += shared.indices.len() as u64;
                    }
                });
            }
            Ok(ended)
        })?;
        ensure!(ended == TASKS, "{ended} of {TASKS} tasks shared an instance");
        nanos.push(took.as_secs_f64() * 1e9 / TASKS as f64);
    }
    say(&format!("engine, one thread, batches of {tasks}: {:.0} ns per task", median(nanos)))
}

fn batch(programs: &Component, tasks: u64) -> Result<Batch> {
    let task = |index: u64| {
        let arguments = samara_wit::value::encode(&(index,))?.into();
        Ok(Task { index, attempt: 0, arguments, partition: None })
    };
    Ok(Batch {
        job: JobId::new(0, 0),
        component: programs.id(),
        function: "adds_one".to_owned(),
        store: "mem://bench-reuse".to_owned(),
        limits: Limits::default(),
        grants: Grants::default(),
        task_count: tasks,
        reuse: true,
        depth: 0,
        payer: Default::default(),
        tasks: (0..tasks).map(task).collect::<Result<_>>()?,
    })
}
