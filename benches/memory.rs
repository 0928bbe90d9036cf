//! Does memory grow with the input? Counts the words of a text, and of one 16 times as large, each
//! in a process of its own, and compares the largest resident sets.
//!
//! `cargo bench -p samara-benches --bench memory`

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use samara::{Component, Executor, Objects};
use samara_benches::{root, say, text};

const SMALL: u64 = 128 << 20;
const LARGE: u64 = 16 * SMALL;

fn main() -> Result<()> {
    match std::env::args().skip(1).find(|argument| argument.starts_with('/')) {
        Some(path) => count(path.into()),
        None => compare(),
    }
}

fn compare() -> Result<()> {
    let (small, large) = (peak(&text(SMALL)?)?, peak(&text(LARGE)?)?);
    let (a, b) = (small as f64 / 1e6, large as f64 / 1e6);
    say(&format!(
        "{} MiB: {a:.0} MB resident at most; {} MiB: {b:.0} MB; ratio {:.2}",
        SMALL >> 20,
        LARGE >> 20,
        b / a
    ))
}

/// Runs this bench on one text and reads what it says.
fn peak(text: &PathBuf) -> Result<u64> {
    let output = Command::new(std::env::current_exe()?).arg(text).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

fn count(path: PathBuf) -> Result<()> {
    let app = Component::from_crate(root().join("examples/word-count/function"))?;
    let executor = Executor::builder().progress(false).build()?;
    let objects = Objects::from(path).chunk_bytes(8 << 20);
    let counts = samara::block_on(async {
        let job = executor.map_reduce(&app, word_count::count, objects, word_count::add);
        job.await?.value().await
    })?;
    ensure!(counts.is_some_and(|counts| counts.len() > 1000), "too few words");
    say(&resident_max()?.to_string())
}

/// The process's largest resident set in bytes: `VmHWM` of proc(5).
fn resident_max() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}
