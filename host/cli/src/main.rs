//! The `samara` command: makes, builds and inspects components, and runs their functions.
//!
//! A person's way into the driver, no more: what a command does, a program does with crate
//! `samara`. Values go in and come out as JSON; the exit code says what a run came to.

mod compile;
mod completions;
mod component;
mod config;
mod deploy;
mod doctor;
mod globals;
mod hello;
mod inspect;
mod interrupt;
mod jobs;
mod json;
mod log;
mod man;
mod new;
mod report;
mod run;
mod runner;
mod storage;
mod test;
mod ticket;
mod units;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::globals::Globals;
use crate::report::EXIT_CODES;

/// Runs functions, compiled once to WebAssembly components, over data in object storage.
#[derive(Debug, Parser)]
#[command(name = "samara", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    globals: Globals,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Hello(hello::Arguments),
    New(new::Arguments),
    Build(compile::Arguments),
    Inspect(inspect::Arguments),
    Run(Box<run::Arguments>),
    Jobs(jobs::list::Arguments),
    Status(jobs::status::Arguments),
    Results(jobs::results::Arguments),
    Logs(jobs::logs::Arguments),
    Stats(jobs::stats::Arguments),
    Cancel(jobs::cancel::Arguments),
    Clean(jobs::clean::Arguments),
    Deploy(Box<deploy::apply::Arguments>),
    Update(Box<deploy::apply::Update>),
    Undeploy(deploy::remove::Arguments),
    List(deploy::list::Arguments),
    Test(test::Arguments),
    Storage(storage::Arguments),
    Ticket(Box<ticket::Arguments>),
    Config(config::Arguments),
    Doctor(doctor::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
    #[command(hide = true)]
    Runner(runner::Arguments),
}

#[allow(clippy::disallowed_methods, reason = "the edge of the program: its start")]
fn main() -> ExitCode {
    let started = Instant::now();
    let Arguments { globals, command } = Arguments::parse();
    log::start(globals.verbosity);
    execute(&command, &globals, started).unwrap_or_else(|error| report::failure(&error))
}

fn execute(command: &Command, globals: &Globals, started: Instant) -> Result<ExitCode> {
    match command {
        Command::Hello(arguments) => hello::run(arguments, globals, started),
        Command::New(arguments) => new::run(arguments, globals),
        Command::Build(arguments) => compile::run(arguments, globals),
        Command::Inspect(arguments) => inspect::run(arguments, globals),
        Command::Run(arguments) => run::run(arguments, globals),
        Command::Jobs(arguments) => jobs::list::run(arguments, globals),
        Command::Status(arguments) => jobs::status::run(arguments, globals),
        Command::Results(arguments) => jobs::results::run(arguments, globals),
        Command::Logs(arguments) => jobs::logs::run(arguments, globals),
        Command::Stats(arguments) => jobs::stats::run(arguments, globals),
        Command::Cancel(arguments) => jobs::cancel::run(arguments, globals),
        Command::Clean(arguments) => jobs::clean::run(arguments, globals),
        Command::Deploy(arguments) => deploy::apply::run(arguments, globals),
        Command::Update(arguments) => deploy::apply::update(arguments, globals),
        Command::Undeploy(arguments) => deploy::remove::run(arguments, globals),
        Command::List(arguments) => deploy::list::run(arguments, globals),
        Command::Storage(arguments) => storage::run(arguments, globals),
        Command::Ticket(arguments) => ticket::run(arguments, globals),
        Command::Config(arguments) => config::run(arguments, globals),
        Command::Doctor(arguments) => doctor::run(arguments, globals, started),
        Command::Completions(arguments) => completions::run(arguments),
        Command::Man(arguments) => man::run(arguments, globals),
        Command::Test(arguments) => test::run(arguments, globals),
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
