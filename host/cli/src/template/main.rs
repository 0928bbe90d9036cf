//! Measures text in parallel: `cargo run -- 'logs/*.txt'`. Without a path, its own README.

use anyhow::Result;
use samara::{Component, Executor, Objects};
use {{crate}}_function::{combine, measure};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn main() -> Result<()> {
    let text = std::env::args().nth(1).unwrap_or_else(|| format!("{ROOT}/README.md"));
    // Built for wasm32-wasip2 where it changed; the same bytes run on every runtime.
    let app = Component::from_crate(format!("{ROOT}/function"))?;
    let executor = Executor::new()?;
    let partitions = Objects::at(text).chunk_bytes(8 << 20);
    let measures = samara::block_on(async {
        executor.map_reduce(&app, measure, partitions, combine).await?.value().await
    })?;
    let measures = measures.unwrap_or_default();
    println!("{} lines, {} words", measures.lines, measures.words);
    println!("longest: {}", measures.longest);
    Ok(())
}
