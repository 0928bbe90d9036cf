//! Ctrl-C, and the signals that mean the same to a program.

use anyhow::{Context, Result};
use futures::channel::oneshot;

use crate::report::INTERRUPTED;

/// From now on the first Ctrl-C resolves the receiver, and the second ends the process.
///
/// Until then the system's own way holds, which is to end the process: there is no task to stop.
pub(crate) fn interrupted() -> Result<oneshot::Receiver<()>> {
    let (first, receiver) = oneshot::channel();
    let mut first = Some(first);
    let handler = move || match first.take() {
        Some(first) => drop(first.send(())),
        None => end(),
    };
    ctrlc::set_handler(handler).context("cannot listen for Ctrl-C")?;
    Ok(receiver)
}

#[allow(clippy::exit, reason = "a person who interrupts twice wants no more clean-up")]
fn end() {
    std::process::exit(i32::from(INTERRUPTED));
}
