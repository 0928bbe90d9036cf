//! The `samara` command: makes, builds and inspects components, and runs their functions.
//!
//! A person's way into the driver, no more: what a command does, a program does with crate
//! `samara`. Values go in and come out as JSON; the exit code says what a run came to.

mod compile;
mod component;
mod hello;
mod inspect;
mod interrupt;
mod json;
mod log;
mod new;
mod report;
mod run;
mod runner;
mod test;
mod units;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Exit codes, as the help texts say them.
const EXIT_CODES: &str = "\
Exit codes:
  0    all is well
  1    a task failed
  2    the command line, or an input on it, is wrong
  3    a component, a store, a runtime or this machine stands in the way
  130  interrupted (Ctrl-C); the second time at once";

/// Runs functions, compiled once to WebAssembly components, over data in object storage.
#[derive(Debug, Parser)]
#[command(name = "samara", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    verbosity: Verbosity,

    #[command(subcommand)]
    command: Command,
}

/// How much is said on standard error.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Verbosity {
    /// Says more: what functions log, and every error.
    #[arg(short, long, global = true, conflicts_with = "quiet", display_order = 90)]
    verbose: bool,

    /// Says errors only: no progress, no warnings, no summary.
    #[arg(short, long, global = true, display_order = 91)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Hello(hello::Arguments),
    New(new::Arguments),
    Build(compile::Arguments),
    Inspect(inspect::Arguments),
    Run(Box<run::Arguments>),
    Test(test::Arguments),
    #[command(hide = true)]
    Runner(runner::Arguments),
}

#[allow(clippy::disallowed_methods, reason = "the edge of the program: its start")]
fn main() -> ExitCode {
    let started = Instant::now();
    let Arguments { verbosity, command } = Arguments::parse();
    log::start(verbosity);
    execute(&command, verbosity, started).unwrap_or_else(|error| report::failure(&error))
}

fn execute(command: &Command, verbosity: Verbosity, started: Instant) -> Result<ExitCode> {
    match command {
        Command::Hello(arguments) => hello::run(arguments, started),
        Command::New(arguments) => new::run(arguments, verbosity),
        Command::Build(arguments) => compile::run(arguments, verbosity),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Run(arguments) => run::run(arguments, verbosity),
        Command::Test(arguments) => test::run(arguments),
        Command::Runner(arguments) => runner::run(arguments),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_make_sense_to_clap() {
        Arguments::command().debug_assert();
    }
}
