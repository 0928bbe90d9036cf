//! Errors on standard error, and the exit codes that go with them.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use samara::storage::Error as StoreError;
use samara::storage::Error::{InvalidUrl, UnknownScheme};

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
    if is_closed_output(error) {
        // Whoever read our output has seen enough: `samara run … | head`.
        return ExitCode::SUCCESS;
    }
    match error.is::<io::Error>() && error.chain().count() == 1 {
        // All others say what they are about.
        true => say(format_args!("error: cannot write to standard output: {error}")),
        false => chain(error.chain()),
    }
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
    let is_no_place =
        |error: &StoreError| matches!(error, InvalidUrl { .. } | UnknownScheme { .. });
    cause.is::<Usage>()
        || cause.downcast_ref().is_some_and(is_no_place)
        || match cause.downcast_ref() {
            Some(samara::Error::Settings(_) | samara::Error::Invalid(_)) => true,
            Some(samara::Error::Store(error)) => is_no_place(error),
            _ => false,
        }
}

/// Whether it is our own output that nobody reads any more. A store whose connection broke says the
/// same word, further down its chain, and that is a failure.
fn is_closed_output(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
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
        assert!(is_closed_output(&closed.context("printing")));
        assert!(!is_closed_output(&usage("x")));
    }

    #[test]
    fn a_stores_broken_pipe_is_an_error() {
        let store = samara::storage::Error::Unavailable {
            location: "sftp://host/x".to_owned(),
            operation: Some(samara::storage::Operation::Put),
            source: Box::new(io::Error::from(io::ErrorKind::BrokenPipe)),
        };
        let error = anyhow::Error::new(store).context("cannot copy");
        assert!(error.chain().any(|cause| cause.is::<io::Error>()), "{error:#}");
        assert!(!is_closed_output(&error));
    }
}
