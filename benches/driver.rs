//! How many tiny tasks does the driver get through, how quick is one call, and what does it take?
//!
//! `cargo bench -p samara-benches --bench driver`, or a part of it: `… -- calls fresh`. The part
//! `stream-fresh` takes a minute and is measured only where it is asked for.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use samara::{Component, Executor, Map, Objects};
use samara_benches::{median, root, say, time};
use samara_programs::values;

const ROUNDS: usize = 5;

/// Tasks of a measurement with a fresh instance each.
const FRESH: u64 = 100_000;

/// Tasks of a measurement in which those of a batch share an instance.
const SHARED: u64 = 3_000_000;

/// Tasks of the measurement of memory.
const STREAMED: u64 = 10_000_000;

/// Calls, one after the other.
const CALLS: usize = 10_000;

const OBJECTS: usize = 100_000;

/// What is measured, in this order.
const PARTS: [&str; 5] = ["fresh", "shared", "calls", "plan", "stream"];

/// The arguments that make this program the process whose memory is measured.
const STREAM: &str = "--stream";
const STREAM_FRESH: &str = "--stream-fresh";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |part: &str| arguments.iter().any(|argument| argument == part);
    let all = !asked("stream-fresh") && !PARTS.iter().any(|part| asked(part));
    let programs = Component::from_crate(root().join("tests/programs"))?;
    let executor = Executor::builder().progress(false).build()?;
    // A component of ordinary size: that of the tests has a hundred functions.
    let small = Component::from_crate(root().join("examples/monte-carlo-pi/function"))?;
    if asked(STREAM) {
        let inputs = (0..STREAMED).map(|n| (n, 1));
        return stream(
            "instances shared",
            executor.map(&programs, values::add, inputs).reuse(true),
        );
    }
    if asked(STREAM_FRESH) {
        let inputs = (0..STREAMED).map(|seed| (seed, 1));
        let map = executor.map(&small, monte_carlo_pi::throw, inputs);
        return stream("a fresh instance each", map);
    }
    let mut rates = Vec::new();
    for part in PARTS.into_iter().filter(|part| all || asked(part)) {
        match part {
            "fresh" => rates.push(fresh(&executor, &small)?),
            "shared" => rates.push(shared(&executor, &programs)?),
            "calls" => calls(&executor, &small)?,
            "plan" => plan(&executor)?,
            _ => streamed(STREAM)?,
        }
    }
    if asked("stream-fresh") {
        streamed(STREAM_FRESH)?;
    }
    match rates[..] {
        [fresh, shared] => peers(fresh, shared),
        _ => Ok(()),
    }
}

/// Measures memory in a process of its own.
fn streamed(argument: &str) -> Result<()> {
    let stream = Command::new(std::env::current_exe()?).arg(argument).status()?;
    ensure!(stream.success(), "the streaming process failed");
    Ok(())
}

/// Tasks with a fresh instance each, from a range to their values in a vector.
fn fresh(executor: &Executor, small: &Component) -> Result<f64> {
    let rate = rate(FRESH, || {
        let inputs = (0..FRESH).map(|seed| (seed, 1));
        let values = samara::block_on(async {
            let job = executor.map(small, monte_carlo_pi::throw, inputs).await?;
            Ok::<_, samara::Error>(job.values().await?)
        })?;
        Ok(values.len())
    })?;
    say(&format!("100,000 tasks, a fresh instance each: {rate:.0} tasks/s"))?;
    Ok(rate)
}

/// The same where the tasks of a batch share an instance.
fn shared(executor: &Executor, programs: &Component) -> Result<f64> {
    let rate = rate(SHARED, || {
        let inputs = (0..SHARED).map(|n| (n, 1));
        let values = samara::block_on(async {
            let job = executor.map(programs, values::add, inputs).reuse(true).await?;
            Ok::<_, samara::Error>(job.values().await?)
        })?;
        ensure!(values.last() == Some(&SHARED));
        Ok(values.len())
    })?;
    say(&format!("3,000,000 tasks, instances shared: {rate:.0} tasks/s"))?;
    Ok(rate)
}

/// The same by others, in the same run: Python's process pool, and Ray where it is installed.
#[allow(clippy::disallowed_methods, reason = "the edge of the program")]
fn peers(fresh: f64, shared: f64) -> Result<()> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let python = Command::new(python).arg(root().join("benches/peers.py")).output();
    let said = match python {
        Ok(ended) if ended.status.success() => String::from_utf8(ended.stdout)?,
        _ => return say("python's process pool: not measured, python3 is not there"),
    };
    for line in said.lines() {
        let (name, rates) = line.split_once(": ").context("a name and rates")?;
        let (single, batched) = rates.split_once(' ').context("two rates")?;
        let (single, batched): (f64, f64) = (single.parse()?, batched.parse()?);
        say(&format!(
            "{name}: {single:.0} tasks/s one by one, {batched:.0} in batches; ours {:.2} and \
             {:.2} times that",
            fresh / single,
            shared / batched
        ))?;
    }
    Ok(())
}

/// Tasks per second, of which there must be so many.
fn rate(tasks: u64, mut run: impl FnMut() -> Result<usize>) -> Result<f64> {
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let (done, took) = time(&mut run)?;
        ensure!(done as u64 == tasks);
        rates.push(tasks as f64 / took.as_secs_f64());
    }
    Ok(median(rates))
}

/// One warm call after the other.
fn calls(executor: &Executor, small: &Component) -> Result<()> {
    let mut micros = Vec::with_capacity(CALLS);
    for seed in 0..CALLS as u64 {
        let call = executor.call(small, monte_carlo_pi::throw, (seed, 1));
        let (inside, took) = time(|| Ok(samara::block_on(call)?))?;
        ensure!(inside <= 1);
        micros.push(took.as_secs_f64() * 1e6);
    }
    micros.sort_by(f64::total_cmp);
    let (half, most) = (micros[CALLS / 2], micros[CALLS * 99 / 100]);
    say(&format!("one warm call: p50 {half:.0} µs, p99 {most:.0} µs"))
}

/// Finding and cutting many objects.
fn plan(executor: &Executor) -> Result<()> {
    let dir = std::env::temp_dir().join("samara-bench-objects");
    for index in 0..OBJECTS {
        let at = dir.join(format!("{:03}", index / 1000));
        if index % 1000 == 0 {
            fs::create_dir_all(&at)?;
        }
        let object = at.join(format!("{index:06}"));
        if !object.exists() {
            fs::write(object, "ten bytes\n")?;
        }
    }
    let objects = Objects::at(dir.to_str().context("a path in UTF-8")?).chunk_bytes(4);
    let mut seconds = Vec::new();
    for _ in 0..ROUNDS {
        let (plan, took) = time(|| Ok(samara::block_on(executor.plan(&objects))?))?;
        ensure!(plan.object_count() == OBJECTS && plan.len() == 3 * OBJECTS);
        seconds.push(took.as_secs_f64());
    }
    say(&format!("planning 100,000 objects: {:.2} s", median(seconds)))
}

/// Ten million results, taken as they come, and the memory that this took.
fn stream(how: &str, map: Map<u64>) -> Result<()> {
    let (count, took) = time(|| {
        samara::block_on(async {
            let mut results = map.await?.as_completed();
            let mut count = 0_u64;
            while let Some((_, result)) = results.next().await {
                result?;
                count += 1;
            }
            Ok(count)
        })
    })?;
    ensure!(count == STREAMED);
    let rate = STREAMED as f64 / took.as_secs_f64();
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown");
    say(&format!("10,000,000 streamed, {how}: {rate:.0} tasks/s, peak RSS {}", peak.trim()))
}
