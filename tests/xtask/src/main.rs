//! The repository's own tasks, run as `cargo xtask <task>`.

mod bill;
mod release;
mod secrets;
mod suite;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use samara_build::{Environment, Output};

const USAGE: &str = "\
usage: cargo xtask <task>

  target                install the standard library that components need, if it is missing
  test [--] [args]      all tests with everything they need; args go to `cargo test`
  release               the programs of a release, with their sums and bills of materials, in the
                        target directory's `dist`; of what was committed alone
  release --check       the bills of materials alone, written and checked
";

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    let outcome = match args.split_first() {
        Some((task, [])) if task == "target" => target(),
        Some((task, args)) if task == "test" => test(args),
        Some((task, [])) if task == "release" => release(false),
        Some((task, [check])) if task == "release" && check == "--check" => release(true),
        _ => Ok(usage()),
    };
    outcome.unwrap_or_else(|error| {
        complain(&format!("error: {error:#}\n"));
        ExitCode::FAILURE
    })
}

/// Sees to it that components can be built.
fn target() -> Result<ExitCode> {
    let toolchain = ensure_target()?;
    let ready = format!("{} is ready in {}", samara_build::TARGET, toolchain.libdir().display());
    writeln!(io::stdout(), "{ready} (rustc {})", toolchain.release())?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the tests and closes with their sum on a line of its own.
fn test(args: &[OsString]) -> Result<ExitCode> {
    ensure_target()?;
    let mut out = io::stdout().lock();
    let summary = suite::run(root(), Environment::from_env().cargo(), args, &mut out)?;
    writeln!(out, "{summary}")?;
    Ok(if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes a release, or checks what one would say of itself.
fn release(check: bool) -> Result<ExitCode> {
    ensure_target()?;
    let mut out = io::stdout().lock();
    release::run(root(), Environment::from_env().cargo(), check, &mut out)?;
    Ok(ExitCode::SUCCESS)
}

fn ensure_target() -> Result<samara_build::Toolchain> {
    Ok(samara_build::ensure_target(root(), &Environment::from_env(), &Output::Stderr)?)
}

fn usage() -> ExitCode {
    complain(USAGE);
    ExitCode::from(64) // EX_USAGE of sysexits.h
}

/// Writes to standard error; when that is closed there is nobody to tell.
fn complain(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}

/// The repository this was compiled in, so that a task may be called from any directory in it.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
