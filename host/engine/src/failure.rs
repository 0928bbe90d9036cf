//! From what wasmtime and the stores report to what a task came to.

use std::fmt;
use std::time::Duration;

use samara_core::{Error, ErrorKind, Exceeded, Outcome, Retry, Trap, UserError};
use wasmtime::WasmBacktrace;
use wasmtime_wasi::I32Exit;

use crate::component::refuse;
use crate::log::Log;
use crate::state::State;

/// Frames of a guest's stack that are kept: enough for any readable one, little enough for a reply
/// when the guest recursed until its stack ran out.
const FRAMES_MAX: usize = 32;

/// Bytes of a function's name that are kept: names are the component's own, and may be of any length.
const FRAME_BYTES_MAX: usize = 1 << 10;

/// What a function's name begins with where Rust brings a panic to its end. Where the name is followed
/// by its types, they are not looked at.
const PANICKING: [&str; 13] = [
    "abort",
    "__rustc::",
    "std::panicking::",
    "std::process::abort",
    "std::sys::backtrace::__rust_end_short_backtrace",
    "std::sys::pal::",
    "core::cell::panic_already_",
    "core::option::expect_failed",
    "core::option::unwrap_failed",
    "core::panicking::",
    "core::result::unwrap_failed",
    "core::slice::index::",
    "core::str::slice_error_fail",
];

/// Frames that the engine captures. As many as this are a recursion that went too deep.
pub(crate) const FRAMES_SEEN_MAX: usize = 256;

/// Bytes of an error that a function returned, its causes among them. A reply has to stay small.
const RETURNED_BYTES_MAX: usize = 64 << 10;

/// Causes of such an error.
const CAUSES_MAX: usize = 256;

/// Why the host ended a guest.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The task's time is up.
    OutOfTime(Duration),
    /// It used more than it may.
    Exceeded(Exceeded),
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
            Self::Exceeded(exceeded) => exceeded.fmt(f),
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
            Stop::Exceeded(exceeded) => Self::LimitExceeded(exceeded),
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
    let mut backtrace = names(&error);
    if let Some((message, location)) = state.panic.take() {
        let backtrace = kept(of_the_users(backtrace));
        return Outcome::Trapped(Trap { message, location: Some(location), backtrace });
    }
    backtrace = kept(backtrace);
    if let Some(outcome) = state.memory.denied() {
        return outcome;
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
        // No guest on the stack: what it returned, or where it would have its arguments, is not
        // what the world says.
        message = format!("broke the rules of components: {message}");
    }
    if is_stack_overflow(&error) {
        message = format!("stack overflow ({message})");
    }
    Outcome::Trapped(Trap { message, location: None, backtrace })
}

/// As much of a returned error as a reply has room for, without the task's secrets.
fn presentable(mut error: UserError, log: &Log) -> UserError {
    error.message = log.without_secrets(error.message);
    for cause in &mut error.causes {
        *cause = log.without_secrets(std::mem::take(cause));
    }
    shortened_error(error)
}

fn shortened_error(mut error: UserError) -> UserError {
    error.message = shortened(error.message, RETURNED_BYTES_MAX);
    let mut left = RETURNED_BYTES_MAX - error.message.len();
    error.causes.truncate(CAUSES_MAX);
    error.causes.retain_mut(|cause| {
        let whole = std::mem::take(cause);
        *cause = shortened(whole, left);
        left = left.saturating_sub(cause.len());
        left > 0
    });
    error
}

/// Classifies an error that the function returned. One that passes on a store's failure is the
/// platform's, not the user's: another attempt may find the store well.
pub(crate) fn returned(error: UserError, state: &State) -> Outcome {
    let says =
        |text: &str| std::iter::once(&error.message).chain(&error.causes).any(|m| m.contains(text));
    match &state.storage.failure {
        Some(failure) if says(&failure.message) => Outcome::Platform(failure.clone()),
        _ => Outcome::Failed(presentable(error, &state.log)),
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
    if let Some(outcome) = state.memory.denied() {
        return outcome;
    }
    if error.root_cause().to_string().starts_with("resource limit exceeded") {
        return Outcome::Platform(refuse(format!("it is too large: {error:#}")));
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
        Store::InvalidKey { .. }
        | Store::InvalidUrl { .. }
        | Store::UnknownScheme { .. }
        | Store::Settings { .. }
        | Store::Unsupported { .. } => ErrorKind::Invalid,
        _ => ErrorKind::Store,
    };
    let retry = if error.retry() { Retry::Later } else { Retry::Never };
    Error::new(kind, error.in_full()).with_retry(retry)
}

fn root_message(error: &wasmtime::Error) -> String {
    match (error.downcast_ref::<wasmtime::Trap>(), error.downcast_ref::<I32Exit>()) {
        (Some(trap), _) => trap.to_string().replace("wasm trap: ", ""),
        (None, Some(exit)) => exited(exit.0 == 0).to_owned(),
        (None, None) => error.root_cause().to_string(),
    }
}

/// What an end by `exit` is called. WASI 0.2 says no more of it than whether it was a failure: the number
/// is lost before it comes here.
pub(crate) fn exited(is_well: bool) -> &'static str {
    match is_well {
        true => "exited, as if all was done, and did not return",
        false => "exited with a failure (WASI 0.2 does not pass on its number)",
    }
}

/// The functions on a guest's stack, the innermost first.
fn names(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let names = backtrace.frames().iter().map(|frame| match frame.func_name() {
        Some(name) => shortened(format!("{:#}", rustc_demangle::demangle(name)), FRAME_BYTES_MAX),
        None => format!("function {}", frame.func_index()),
    });
    names.collect()
}

/// Without what Rust calls between a panic and its end, where that is known by name: the first is the
/// function that panicked.
fn of_the_users(mut names: Vec<String>) -> Vec<String> {
    let is_machinery = |name: &String| PANICKING.iter().any(|begin| name.starts_with(begin));
    let first = names.iter().position(|name| !is_machinery(name)).unwrap_or(0);
    names.drain(..first);
    names
}

/// As many as a reply has room for.
fn kept(mut names: Vec<String>) -> Vec<String> {
    names.truncate(FRAMES_MAX);
    names
}

/// The beginning of a guest's text, which says by `…` that there was more.
pub(crate) fn shortened(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max.saturating_sub('…'.len_utf8())));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(names: &[&str]) -> Vec<String> {
        of_the_users(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn a_panics_stack_begins_with_the_function_that_panicked() {
        let whole = [
            "abort",
            "std::sys::pal::wasi::helpers::abort_internal",
            "std::process::abort",
            "__rustc::__rust_abort",
            "std::panicking::panic_handler::{closure#0}",
            "std::sys::backtrace::__rust_end_short_backtrace::<std::panicking::panic_handler, !>",
            "core::panicking::assert_failed::<u64, u64>",
            "users::checks",
            "core::panicking::is_not_only_at_the_beginning",
            "samara_guest::call::enter",
        ];
        assert_eq!(cut(&whole), &whole[7..]);
        assert_eq!(cut(&whole[7..]), &whole[7..]);
        assert_eq!(cut(&["function 12", "function 3"]), ["function 12", "function 3"]);
        assert_eq!(cut(&whole[..7]), &whole[..7], "better than none");
        assert!(cut(&[]).is_empty());
    }
}
