//! `samara runner`: what cargo calls to run the tests that it built for wasm32-wasip2.

use std::io;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use samara::Limits;
use samara_runner::Options;

use crate::units;

/// Runs the tests of a crate inside the sandbox that tasks have.
///
/// Cargo calls it where `.cargo/config.toml` has `[target.wasm32-wasip2] runner = "samara runner"`,
/// as the projects of `samara new` do: `cargo test --target wasm32-wasip2`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Time that each test may take.
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    time: Option<Duration>,

    /// Memory that each test may use.
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    memory: Option<NonZeroU64>,

    /// The compiled tests, or another program for WASI 0.2.
    file: PathBuf,

    /// What the tests are given: names to run, `--nocapture`, `--ignored`, …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut options = Options::default();
    let cache = cache();
    options.cache_dir = cache.as_ref().map(|cache| cache.join("compiled"));
    options.cache_key_file = cache.map(|cache| cache.join("keys").join("compiled"));
    let mut limits = Limits::default();
    limits.time = arguments.time.unwrap_or(limits.time);
    limits.memory_bytes = arguments.memory.map_or(limits.memory_bytes, NonZeroU64::get);
    limits.check()?;
    options.limits = limits;
    let (file, given) = (&arguments.file, &arguments.arguments);
    let code = samara_runner::run(file, given, &options, &mut io::stdout().lock())?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Where the driver keeps compiled code too, and the key for it.
#[allow(clippy::disallowed_methods, reason = "the edge of the program")]
fn cache() -> Option<PathBuf> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    cache.map(|dir| dir.join("samara"))
}
