//! Counts words in parallel: `cargo run -- 'logs/*.txt'`. Without a path, those of its own README.

use anyhow::Result;
use samara::{Component, Executor, Objects};
use {{crate}}_function::{add, count};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn main() -> Result<()> {
    let text = std::env::args().nth(1).unwrap_or_else(|| format!("{ROOT}/README.md"));
    // Built for wasm32-wasip2 where it changed; the same bytes run on every runtime.
    let app = Component::from_crate(format!("{ROOT}/function"))?;
    // As samara.toml and variables say: where to run, with how much memory.
    let executor = Executor::from_env()?;
    let partitions = Objects::at(text).chunk_bytes(8 << 20);
    let counts = samara::block_on(async {
        executor.map_reduce(&app, count, partitions, add).await?.value().await
    })?;
    let mut counts: Vec<(String, u64)> = counts.unwrap_or_default().into_iter().collect();
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    println!("{} different words; most frequent:", counts.len());
    for (word, n) in counts.iter().take(10) {
        println!("{n:>8}  {word}");
    }
    Ok(())
}
