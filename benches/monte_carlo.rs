//! How far is a computing guest from native code? Throws darts, both ways, on all cores.
//!
//! `cargo bench -p samara-benches --bench monte_carlo`

use anyhow::{Context, Result};
use rayon::prelude::*;
use samara::{Component, Executor};
use samara_benches::{pair, root};

const TASKS: u64 = 64;
const DARTS: u64 = 4_000_000;
const ROUNDS: usize = 7;

fn main() -> Result<()> {
    let app = Component::from_crate(root().join("examples/monte-carlo-pi/function"))?;
    let executor = Executor::builder().progress(false).build()?;
    let ours = || {
        let inputs = (0..TASKS).map(|seed| (seed, DARTS));
        samara::block_on(async {
            let job = executor.map_reduce(&app, monte_carlo_pi::throw, inputs, monte_carlo_pi::add);
            job.await?.value().await?.context("no value")
        })
    };
    let native =
        || Ok((0..TASKS).into_par_iter().map(|seed| monte_carlo_pi::throw(seed, DARTS)).sum());
    pair(ROUNDS, ours, native)
}
