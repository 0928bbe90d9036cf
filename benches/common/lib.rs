//! What the benches share: timing in pairs, and the text that they read.

pub mod bare;
pub mod fake;
pub mod turns;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("benches lie in the repository")
}

/// Times a call.
///
/// # Errors
///
/// As the call.
#[allow(clippy::disallowed_methods, reason = "a bench measures time")]
pub fn time<T>(run: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let start = Instant::now();
    let value = run()?;
    Ok((value, start.elapsed()))
}

/// The median.
///
/// # Panics
///
/// Of nothing.
pub fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Times two ways to the same value in turn, and prints both medians and the median of the pairs'
/// ratios: it holds where the machine's speed drifts.
///
/// # Errors
///
/// As the calls; where they disagree.
pub fn pair<T: PartialEq>(
    rounds: usize,
    mut ours: impl FnMut() -> Result<T>,
    mut native: impl FnMut() -> Result<T>,
) -> Result<()> {
    let (mut a, mut b, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // The first round warms up and is not counted.
    for round in 0..=rounds {
        let (our_value, our_time) = time(&mut ours)?;
        let (native_value, native_time) = time(&mut native)?;
        anyhow::ensure!(our_value == native_value, "the two disagree");
        if round > 0 {
            a.push(our_time.as_secs_f64());
            b.push(native_time.as_secs_f64());
            ratios.push(our_time.as_secs_f64() / native_time.as_secs_f64());
        }
    }
    let (low, high) = (
        ratios.iter().copied().fold(f64::MAX, f64::min),
        ratios.iter().copied().fold(f64::MIN, f64::max),
    );
    say(&format!(
        "samara {:.3} s, native {:.3} s, ratio {:.2} ({low:.2} to {high:.2} in {rounds} pairs)",
        median(a),
        median(b),
        median(ratios)
    ))
}

/// Prints a line.
///
/// # Errors
///
/// Where standard output is gone.
pub fn say(line: &str) -> Result<()> {
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}

/// A text of `size` bytes: lines of words of a made-up language, as often as Zipf's law has it.
/// Kept between runs.
///
/// # Errors
///
/// Where it cannot be written.
pub fn text(size: u64) -> Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("samara-bench-{size}.txt"));
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == size) {
        return Ok(path);
    }
    let mut out = io::BufWriter::new(fs::File::create(&path)?);
    let (mut state, mut left) = (1_u64, size);
    while left > 0 {
        let mut line = String::new();
        for _ in 0..12 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Zipf's law: the logarithm of the rank is evenly distributed.
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 20,000"
            )]
            let rank = 20_000_f64.powf((state >> 11) as f64 / (1_u64 << 53) as f64) as u64;
            line.push_str(&word(rank));
            line.push(' ');
        }
        line.push('\n');
        let bytes = &line.as_bytes()[..line.len().min(usize::try_from(left)?)];
        out.write_all(bytes)?;
        left -= bytes.len() as u64;
    }
    out.flush()?;
    Ok(path)
}

fn word(rank: u64) -> String {
    const SYLLABLES: [&str; 16] = [
        "ba", "de", "fi", "go", "ku", "la", "mi", "no", "pe", "ra", "si", "ta", "vo", "we", "zu",
        "lo",
    ];
    let mut rest = rank.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let count = 1 + rank.ilog2() / 4 + 1;
    let syllables = (0..count).map(|_| {
        let syllable = SYLLABLES[usize::try_from(rest % 16).unwrap_or(0)];
        rest /= 16;
        syllable
    });
    syllables.collect()
}

/// The host, built with every store and runtime.
///
/// # Errors
///
/// Where it does not build.
pub fn host_program() -> Result<PathBuf> {
    let bench = std::env::current_exe()?;
    let target = bench.ancestors().nth(3).context("a bench lies in a target directory")?;
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--target-dir"])
        .arg(target)
        .args(["-p", "samara-host", "-p", "samara-benches", "--bins"])
        .current_dir(root())
        .status()?;
    ensure!(built.success(), "the host was not built");
    Ok(target.join("release/samara-host"))
}
