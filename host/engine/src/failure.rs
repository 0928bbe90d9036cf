//! From what wasmtime and the stores report to what a task came to.

use std::fmt;
use std::time::Duration;

use samara_core::{Error, ErrorKind, Exceeded, Outcome, Retry, Trap, UserError};
use wasmtime::WasmBacktrace;

use crate::state::State;

/// Frames of a guest's stack that are kept: enough for any readable one, little enough for a reply
/// when the guest recursed until its stack ran out.
const FRAMES_MAX: usize = 32;

/// Frames that the engine captures. As many as this are a recursion that went too deep.
pub(crate) const FRAMES_SEEN_MAX: usize = 256;

/// Why the host ended a guest.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The task's time is up.
    OutOfTime(Duration),
    /// Nobody wants the task any more.
    Cancelled,
    /// The platform failed under the guest.
    Platform(Error),
}

// === impl Stop ===

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfTime(limit) => write!(f, "the task ran longer than {limit:?}"),
            Self::Cancelled => f.write_str("the task was cancelled"),
            Self::Platform(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Stop {}

impl From<Stop> for Outcome {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::OutOfTime(limit) => Self::LimitExceeded(Exceeded::Time { limit }),
            Stop::Cancelled => {
                Self::Platform(Error::new(ErrorKind::Cancelled, "the task was cancelled"))
            }
            Stop::Platform(error) => Self::Platform(error),
        }
    }
}

/// Classifies the end of a guest that did not return.
pub(crate) fn outcome(error: wasmtime::Error, state: &mut State) -> Outcome {
    let error = match error.downcast::<Stop>() {
        Ok(stop) => return stop.into(),
        Err(error) => error,
    };
    let backtrace = frames(&error);
    if let Some((message, location)) = state.panic.take() {
        return Outcome::Trapped(Trap { message, location: Some(location), backtrace });
    }
    if state.memory.denied() {
        return Outcome::LimitExceeded(Exceeded::Memory { limit: state.memory.limit() });
    }
    let mut message = root_message(&error);
    if message.contains("hostcalls has been exhausted") {
        return Outcome::LimitExceeded(match backtrace.is_empty() {
            // No guest on the stack: it had returned, and its output was being taken.
            true => Exceeded::Output { limit: state.limits.output_bytes, size: None },
            false => Exceeded::HostCall { limit: state.limits.host_call_bytes },
        });
    }
    if error.downcast_ref::<wasmtime::Trap>().is_none() && backtrace.is_empty() {
        return Outcome::Platform(Error::new(ErrorKind::Internal, format!("{error:#}")));
    }
    if is_stack_overflow(&error) {
        message = format!("stack overflow ({message})");
    }
    Outcome::Trapped(Trap { message, location: None, backtrace })
}

/// Classifies an error that the function returned. One that passes on a store's failure is the
/// platform's, not the user's: another attempt may find the store well.
pub(crate) fn returned(error: UserError, state: &State) -> Outcome {
    let says =
        |text: &str| std::iter::once(&error.message).chain(&error.causes).any(|m| m.contains(text));
    match &state.storage.failure {
        Some(failure) if says(&failure.message) => Outcome::Platform(failure.clone()),
        _ => Outcome::Failed(error),
    }
}

/// Whether the guest ran out of stack: of the engine's, or of the one that a Rust guest keeps at
/// the low end of its memory, where one frame too many lands below address zero.
fn is_stack_overflow(error: &wasmtime::Error) -> bool {
    let depth = error.downcast_ref::<WasmBacktrace>().map_or(0, |trace| trace.frames().len());
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::StackOverflow) => true,
        Some(wasmtime::Trap::MemoryOutOfBounds) => depth >= FRAMES_SEEN_MAX,
        _ => false,
    }
}

/// An instance that could not be made: mostly a component whose memory is over the limit.
pub(crate) fn instantiation(error: &wasmtime::Error, state: &State) -> Outcome {
    if state.memory.denied() {
        return Outcome::LimitExceeded(Exceeded::Memory { limit: state.memory.limit() });
    }
    // The pool may be full or the machine out of memory: another attempt may succeed.
    let error = Error::new(ErrorKind::Internal, format!("cannot instantiate: {error:#}"));
    Outcome::Platform(error.with_retry(Retry::Later))
}

/// Says what a store's error means for the platform.
pub(crate) fn store_error(error: &samara_store::Error) -> Error {
    use samara_store::Error as Store;
    let kind = match error {
        Store::NotFound { .. } => ErrorKind::NotFound,
        Store::Precondition { .. } => ErrorKind::Changed,
        Store::PermissionDenied { .. } => ErrorKind::Denied,
        Store::InvalidKey { .. } | Store::InvalidUrl { .. } | Store::UnknownScheme { .. } => {
            ErrorKind::Invalid
        }
        _ => ErrorKind::Store,
    };
    let retry = if error.retry() { Retry::Later } else { Retry::Never };
    Error::new(kind, error.in_full()).with_retry(retry)
}

fn root_message(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(trap) => trap.to_string().replace("wasm trap: ", ""),
        None => error.root_cause().to_string(),
    }
}

fn frames(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let names = backtrace.frames().iter().take(FRAMES_MAX).map(|frame| match frame.func_name() {
        Some(name) => format!("{:#}", rustc_demangle::demangle(name)),
        None => format!("function {}", frame.func_index()),
    });
    names.collect()
}
