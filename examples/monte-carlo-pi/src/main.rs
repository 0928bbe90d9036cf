//! Estimates pi with many tasks, each with a seed of its own.

use std::io::{self, Write};

use anyhow::{Result, ensure};
use clap::Parser;
use samara::{Component, Executor};

const FUNCTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/function");

/// Estimates pi by throwing darts, each task in a sandbox of its own.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Number of tasks.
    #[arg(long, default_value_t = 64)]
    tasks: u64,

    /// Darts that each task throws.
    #[arg(long, default_value_t = 10_000_000)]
    darts: u64,

    /// Counts again, plainly and without Samara, and compares.
    #[arg(long)]
    check: bool,
}

fn main() -> Result<()> {
    let Arguments { tasks, darts, check } = Arguments::parse();
    let app = Component::from_crate(FUNCTION)?;
    let executor = Executor::new()?;
    let inputs = (0..tasks).map(move |seed| (seed, darts));
    let (inside, summary) = samara::block_on(async {
        let throw = monte_carlo_pi::throw;
        let mut job = executor.map_reduce(&app, throw, inputs.clone(), monte_carlo_pi::add).await?;
        job.wait().await;
        let summary = job.summary();
        Ok::<_, samara::Error>((job.value().await?.unwrap_or_default(), summary))
    })?;
    let thrown = tasks * darts;
    let pi = 4.0 * inside as f64 / thrown as f64;
    let seconds = summary.elapsed.as_secs_f64();
    let rate = thrown as f64 / seconds / 1e6;
    let mut out = io::stdout().lock();
    writeln!(out, "pi is about {pi:.6}: {inside} of {thrown} darts inside")?;
    writeln!(out, "{tasks} tasks, {seconds:.2} s, {rate:.0} million darts/s")?;
    if check {
        let plain: u64 = inputs.map(|(seed, darts)| monte_carlo_pi::throw(seed, darts)).sum();
        ensure!(plain == inside, "a plain loop has {plain} darts inside");
        writeln!(out, "checked: as a plain loop")?;
    }
    Ok(())
}
