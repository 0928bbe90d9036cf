//! Estimates pi with many tasks, each with a seed of its own: `cargo run --release -- 256`.

use anyhow::{Context, Result};
use samara::{Component, Executor};
use {{crate}}_function::{add, throw};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Darts that one task throws: some hundredths of a second.
const DARTS: u64 = 10_000_000;

fn main() -> Result<()> {
    let tasks = std::env::args().nth(1).unwrap_or_else(|| "16".to_owned());
    let tasks: u64 = tasks.parse().context("the number of tasks is a whole number")?;
    // Built for wasm32-wasip2 where it changed; the same bytes run on every runtime.
    let app = Component::from_crate(format!("{ROOT}/function"))?;
    // As samara.toml and variables say: where to run, with how much memory.
    let executor = Executor::from_env()?;
    let inputs = (0..tasks).map(|seed| (seed, DARTS));
    let inside = samara::block_on(async {
        executor.map_reduce(&app, throw, inputs, add).await?.value().await
    })?;
    let (inside, thrown) = (inside.unwrap_or_default(), tasks * DARTS);
    println!("pi is about {:.6}: {inside} of {thrown} darts", 4.0 * inside as f64 / thrown as f64);
    Ok(())
}
