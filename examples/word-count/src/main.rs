//! Counts the words of a large text: builds the function, maps it over partitions, adds the counts.

mod corpus;

use std::cmp::Reverse;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use samara::{Component, Executor, Objects};
use word_count::Counts;

const FUNCTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/function");

/// Counts the words of a text in parallel, each partition in a sandbox of its own.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// What to count: a URL, path, directory or pattern. Default: a generated text.
    #[arg(long, value_name = "PATH")]
    over: Option<String>,

    /// Size of the generated text.
    #[arg(long, default_value = "256MiB", value_parser = corpus::parse_size)]
    size: u64,

    /// Seed of the generated text.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Size of a partition.
    #[arg(long, default_value = "8MiB", value_parser = corpus::parse_size)]
    chunk: u64,

    /// How many words to print.
    #[arg(long, default_value_t = 10)]
    top: usize,

    /// Counts again, plainly and without Samara, and compares.
    #[arg(long)]
    check: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let text = match &arguments.over {
        Some(url) => url.clone(),
        None => corpus::generate(arguments.seed, arguments.size)?.display().to_string(),
    };
    let app = Component::from_crate(FUNCTION)?;
    let executor = Executor::new()?;
    let objects = Objects::at(&text).chunk_bytes(arguments.chunk);
    let (counts, summary) = samara::block_on(async {
        let mut job =
            executor.map_reduce(&app, word_count::count, objects.clone(), word_count::add).await?;
        job.wait().await;
        let summary = job.summary();
        Ok::<_, samara::Error>((job.value().await?.unwrap_or_default(), summary))
    })?;
    print_top(&counts, arguments.top)?;
    let seconds = summary.elapsed.as_secs_f64();
    let (tasks, megabytes) = (summary.tasks, summary.bytes_read as f64 / 1e6);
    let rate = megabytes / seconds;
    writeln!(io::stdout(), "{tasks} tasks, {seconds:.2} s, {megabytes:.0} MB, {rate:.0} MB/s")?;
    if arguments.check {
        check(&executor, &objects, &counts)?;
    }
    Ok(())
}

fn print_top(counts: &Counts, top: usize) -> Result<()> {
    let mut words: Vec<_> = counts.iter().collect();
    words.sort_by_key(|(word, count)| (Reverse(**count), *word));
    let mut out = io::stdout().lock();
    for (word, count) in words.into_iter().take(top) {
        writeln!(out, "{count:>12}  {word}")?;
    }
    Ok(())
}

/// Counts the same files with a plain loop.
fn check(executor: &Executor, objects: &Objects, counts: &Counts) -> Result<()> {
    let partitions = samara::block_on(executor.plan(objects))?;
    let mut files: Vec<PathBuf> = Vec::new();
    for partition in partitions.iter().filter(|partition| partition.offset == 0) {
        let path = partition.object.strip_prefix("file://");
        files.push(path.context("--check reads files of this machine only")?.into());
    }
    let mut plain = Counts::new();
    for file in files {
        let mut reader = BufReader::with_capacity(1 << 20, std::fs::File::open(&file)?);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 {
            for word in line.split_ascii_whitespace() {
                match plain.get_mut(word) {
                    Some(count) => *count += 1,
                    None => drop(plain.insert(word.to_owned(), 1)),
                }
            }
            line.clear();
        }
    }
    ensure!(plain == *counts, "the counts differ from those of a plain loop");
    let words: u64 = counts.values().sum();
    writeln!(io::stdout(), "checked: {words} words, {} different, as a plain loop", counts.len())?;
    Ok(())
}
