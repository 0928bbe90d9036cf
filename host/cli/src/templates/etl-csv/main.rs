//! Cleans files of orders in parallel: `cargo run -- 'orders/*.csv'`. Without a path, those of
//! `data/`. The clean ones go to `out/`.

use anyhow::Result;
use samara::{Access, Builder, Component, Objects, Settings};
use {{crate}}_function::{add, clean};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn main() -> Result<()> {
    let orders = std::env::args().nth(1).unwrap_or_else(|| format!("{ROOT}/data/*.csv"));
    let out = format!("file://{ROOT}/out");
    // Built for wasm32-wasip2 where it changed; the same bytes run on every runtime.
    let app = Component::from_crate(format!("{ROOT}/function"))?;
    // As samara.toml and variables say, and functions may write to `out/` and nowhere else.
    let settings = Settings::from_env()?;
    let executor = Builder::from_settings(&settings).grant(&out, Access::ReadWrite).build()?;
    let report = samara::block_on(async {
        let files = Objects::at(orders).with((out.clone(),));
        executor.map_reduce(&app, clean, files, add).await?.value().await
    })?;
    let report = report.unwrap_or_default();
    println!("{} rows to {out}, {} dropped", report.rows, report.dropped);
    println!("{}.{:02} in all", report.cents / 100, report.cents % 100);
    Ok(())
}
