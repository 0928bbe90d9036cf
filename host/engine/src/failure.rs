//! From what wasmtime and the stores report to what a task came to.

use std::fmt;
use std::time::Duration;

use samara_core::{Error, ErrorKind, Exceeded, Outcome, Retry, Trap, UserError};
use wasmtime::WasmBacktrace;

use crate::component::refuse;
use crate::log::Log;
use crate::state::State;

/// Frames of a guest's stack that are kept: enough for any readable one, little enough for a reply
/// when the guest recursed until its stack ran out.
const FRAMES_MAX: usize = 32;

/// Bytes of a function's name that are kept: names are the component's own, and may be of any length.
const FRAME_BYTES_MAX: usize = 1 << 10;

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
    let backtrace = frames(&error);
    if let Some((message, location)) = state.panic.take() {
        return Outcome::Trapped(Trap { message, location: Some(location), backtrace });
    }
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
    names.map(|name| shortened(name, FRAME_BYTES_MAX)).collect()
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
