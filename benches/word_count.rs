//! How far is a reading guest from native code? Counts the words of 1 GiB, both ways, on all
//! cores; the native way with rayon, reading the same partitions and adding the same maps.
//!
//! `cargo bench -p samara-benches --bench word_count`

#[allow(clippy::disallowed_types, reason = "faster to count in; sorted afterwards")]
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use rayon::prelude::*;
use samara::{Component, Executor, Objects};
use samara_benches::{pair, root, text};
use word_count::Counts;

const SIZE: u64 = 1 << 30;
const CHUNK: u64 = 32 << 20;
const ROUNDS: usize = 5;

fn main() -> Result<()> {
    let path = text(SIZE)?;
    let app = Component::from_crate(root().join("examples/word-count/function"))?;
    let executor = Executor::builder().progress(false).build()?;
    let ours = || {
        let objects = Objects::from(path.as_path()).chunk_bytes(CHUNK);
        samara::block_on(async {
            let job = executor.map_reduce(&app, word_count::count, objects, word_count::add);
            job.await?.value().await?.context("no value")
        })
    };
    pair(ROUNDS, ours, || native(&path))
}

/// What one would write with rayon.
fn native(path: &Path) -> Result<Counts> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let counts = (0..size.div_ceil(CHUNK)).into_par_iter().map(|chunk| {
        let bytes = lines_of(&file, chunk * CHUNK, size)?;
        let text = std::str::from_utf8(&bytes)?;
        #[allow(clippy::disallowed_types, reason = "as above")]
        let mut counts = HashMap::<String, u64>::new();
        for line in text.lines() {
            for word in line.split_ascii_whitespace() {
                match counts.get_mut(word) {
                    Some(n) => *n += 1,
                    None => drop(counts.insert(word.to_owned(), 1)),
                }
            }
        }
        Ok(counts.into_iter().collect())
    });
    counts.try_reduce(Counts::new, |a, b| Ok(word_count::add(a, b)))
}

/// The lines that begin in the chunk at `start`.
fn lines_of(file: &File, start: u64, size: u64) -> Result<Vec<u8>> {
    // One byte before, to see whether a line begins at the start; and some beyond the end, where
    // the last line ends.
    const MARGIN: u64 = 64 << 10;
    let from = start.saturating_sub(1);
    let to = (start + CHUNK + MARGIN).min(size);
    let mut bytes = vec![0; usize::try_from(to - from)?];
    file.read_exact_at(&mut bytes, from)?;
    let line_end = |at: u64| -> usize {
        let at = usize::try_from(at - from).unwrap_or(usize::MAX);
        bytes.iter().skip(at).position(|&b| b == b'\n').map_or(bytes.len(), |end| at + end + 1)
    };
    let first = if start == 0 { 0 } else { line_end(from) };
    let last = if start + CHUNK >= size { bytes.len() } else { line_end(start + CHUNK - 1) };
    bytes.truncate(last);
    bytes.drain(..first.min(last));
    Ok(bytes)
}
