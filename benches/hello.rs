//! How long does a first result take in a new process, with compiled code in the cache?
//!
//! `cargo bench -p samara-benches --bench hello`

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use samara_benches::{median, root, say, time};

const ROUNDS: usize = 31;

fn main() -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--quiet", "--package", "samara-cli"]).current_dir(root());
    ensure!(cargo.status()?.success(), "the command does not build");
    // Benches lie in target/release/deps.
    let bench = std::env::current_exe()?;
    let samara = bench.ancestors().nth(2).context("no target directory")?.join("samara");
    let run = || {
        let mut hello = Command::new(&samara);
        hello.arg("hello").stdout(Stdio::null()).stderr(Stdio::null());
        ensure!(hello.status()?.success(), "`samara hello` failed");
        Ok(())
    };
    run()?;
    let mut millis = Vec::new();
    for _ in 0..ROUNDS {
        millis.push(time(run)?.1.as_secs_f64() * 1e3);
    }
    let least = millis.iter().copied().fold(f64::MAX, f64::min);
    say(&format!("samara hello: {:.1} ms (least {least:.1}) in {ROUNDS} runs", median(millis)))
}
