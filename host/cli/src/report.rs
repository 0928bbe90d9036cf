//! Errors on standard error, and the exit codes that go with them.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Exit codes, as the help texts say them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    all is well
  1    a task failed
  2    the command line, an input on it, or a setting is wrong
  3    a component, a store, a runtime or this machine stands in the way
  130  interrupted (Ctrl-C); the second time at once";

/// A task failed.
pub(crate) const TASK_FAILED: u8 = 1;

/// The command line, an input on it, or a setting is wrong; clap's own code.
pub(crate) const USAGE: u8 = 2;

/// A component, a store, a runtime or this machine stands in the way.
pub(crate) const PLATFORM: u8 = 3;

/// Ended by Ctrl-C: 128 and the signal's number, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// An error of the person at the keyboard.
#[derive(Debug)]
struct Usage(String);

/// Makes an error that ends the command with code 2.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// Somebody wants no more of it.
#[derive(Debug)]
struct Interrupted(&'static str);

/// Makes an error that ends the command with code 130.
pub(crate) fn interrupted(message: &'static str) -> anyhow::Error {
    Interrupted(message).into()
}

/// Prints an error and says with which code to end.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(is_broken_pipe) {
        // Whoever read our output has seen enough: `samara run … | head`.
        return ExitCode::SUCCESS;
    }
    chain(error.chain());
    ExitCode::from(match () {
        () if error.is::<Interrupted>() => INTERRUPTED,
        () if error.chain().any(is_usage) => USAGE,
        () => PLATFORM,
    })
}

/// Prints an error and its causes.
pub(crate) fn chain<'a>(mut chain: impl Iterator<Item = &'a (dyn Error + 'static)>) {
    if let Some(error) = chain.next() {
        say(format_args!("error: {error}"));
    }
    for cause in chain {
        say(format_args!("  caused by: {cause}"));
    }
}

/// Prints a line on standard error.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    // Where even that is closed, nobody is left to tell.
    drop(writeln!(io::stderr(), "{line}"));
}

/// Whether it is for the person at the keyboard to correct.
fn is_usage(cause: &(dyn Error + 'static)) -> bool {
    let settings = cause.downcast_ref::<samara::Error>();
    cause.is::<Usage>() || matches!(settings, Some(samara::Error::Settings(_)))
}

fn is_broken_pipe(cause: &(dyn Error + 'static)) -> bool {
    let io = cause.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

// === impl Usage ===

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Usage {}

// === impl Interrupted ===

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Interrupted {}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_class_of_an_error_survives_its_context() {
        let wrapped = Err::<(), _>(usage("no such flag")).context("reading flags").unwrap_err();
        assert!(wrapped.chain().any(|cause| cause.is::<Usage>()));
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let closed = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe));
        let wrapped = closed.context("printing");
        assert!(wrapped.chain().any(is_broken_pipe));
        assert!(!usage("x").chain().any(is_broken_pipe));
    }
}
