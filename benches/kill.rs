//! How much later than its deadline does a guest end, which computes or waits?
//!
//! `cargo bench -p samara-benches --bench kill`

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use samara::Component;
use samara_benches::{median, root, say, time};
use samara_core::{
    Batch, Cancel, Exceeded, Grants, JobId, Limits, Outcome, Reports, Task, TaskHandler, Waits,
    layout,
};
use samara_engine::{Config, Engine, Handler};
use samara_store::{Locator, PutOptions};

/// In milliseconds; of all positions to how often a wait looks whether it is over.
const LIMITS: [u64; 5] = [185, 190, 195, 200, 205];
const ROUNDS: usize = 10;

/// What a guest may be late at most.
const LATE_MAX: Duration = Duration::from_millis(20);

fn main() -> Result<()> {
    let evil = Component::from_crate(root().join("tests/programs/evil"))?;
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let engine = Engine::new(&Config::default(), io.handle().clone())?;
    let locator = Arc::new(Locator::default());
    let place = locator.open("mem://bench-kill")?.join(&layout::component(&evil.id()));
    let bytes = evil.bytes().to_vec().into();
    io.block_on(place.store.put(&place.key, bytes, PutOptions::default()))?;
    let handler = Handler::new(engine, locator);
    handler.prepare(evil.id(), "mem://bench-kill")?;
    for (function, what) in [
        ("spins_for_ever", "a guest that computes"),
        ("sleeps_long", "a guest in a call of the host"),
    ] {
        late(&handler, &evil, function, what)?;
    }
    Ok(())
}

fn late(handler: &Handler, evil: &Component, function: &str, what: &str) -> Result<()> {
    let (cancel, waits): (_, Arc<dyn Waits>) = (Cancel::default(), Arc::new(()));
    let mut late = Vec::new();
    for limit in LIMITS.repeat(ROUNDS).into_iter().map(Duration::from_millis) {
        let batch = &batch(evil, function, limit);
        let (reports, took) = time(|| {
            let mut all = Vec::new();
            handler.run(batch, &cancel, &waits, &mut |reports| all.push(reports));
            Ok(all)
        })?;
        let [Reports::Each(each)] = &reports[..] else { anyhow::bail!("{reports:?}") };
        let out_of_time = Outcome::LimitExceeded(Exceeded::Time { limit });
        ensure!(each[0].outcome == out_of_time, "{each:?}");
        late.push(took.saturating_sub(limit).as_secs_f64() * 1e3);
    }
    let most = late.iter().copied().fold(0.0, f64::max);
    let may = LATE_MAX.as_secs_f64() * 1e3;
    let of = late.len();
    say(&format!("{what}: {:.1} ms late, at most {most:.1} ms of {of}", median(late)))?;
    ensure!(most <= may, "{what}: {most:.1} ms late, and may be {may} ms");
    Ok(())
}

fn batch(component: &Component, function: &str, limit: Duration) -> Arc<Batch> {
    let mut limits = Limits::default();
    limits.time = limit;
    let task = Task { index: 0, attempt: 0, arguments: Default::default(), partition: None };
    Arc::new(Batch {
        job: JobId::new(0, 0),
        component: component.id(),
        function: function.to_owned(),
        store: "mem://bench-kill".to_owned(),
        limits,
        grants: Grants::default(),
        task_count: 1,
        reuse: false,
        depth: 0,
        payer: Default::default(),
        tasks: vec![task],
    })
}
