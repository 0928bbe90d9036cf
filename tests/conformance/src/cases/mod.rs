//! The cases, a module for each room.
//!
//! A new case is a `fn name(context: &Context)` in the module that is nearest, and its name in that
//! module's `cases!`. It fails by panicking. It asks `context` for what it needs, and keeps to
//! objects below [`Context::url`]. A `#[test]` here would never run.

#![allow(clippy::unwrap_used, reason = "a case that panics has failed, which is how it says so")]
#![allow(
    clippy::needless_pass_by_value,
    reason = "helpers are called with what a case has just made"
)]
#![allow(clippy::disallowed_methods, reason = "time is measured as the user's clock shows it")]
#![allow(clippy::cast_possible_truncation, reason = "numbers that the cases chose themselves")]

mod chains;
mod collect;
mod components;
mod ends;
mod functions;
mod granted;
mod idiom;
mod inputs;
mod jobs;
mod objects;
mod partitions;
mod policy;
mod reduce;
mod sandbox;
mod storage;
mod values;

use samara::{Cause, Error, Job, TaskError, Value};

use crate::Case;

/// What is said by panics that cases bring about themselves, outside of guests.
const EXPECTED_PANIC: &str = "no more of these inputs";

/// Hides the panics that cases bring about themselves: they are no failures, and a log that shows them
/// hides those that are. To be called before other threads run.
pub fn hide_expected_panics() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload_as_str().is_some_and(|text| text.contains(EXPECTED_PANIC)) {
            hook(panic);
        }
    }));
}

/// Every case, room by room.
pub fn cases() -> Vec<Case> {
    let rooms = [
        values::CASES,
        inputs::CASES,
        chains::CASES,
        reduce::CASES,
        jobs::CASES,
        collect::CASES,
        policy::CASES,
        partitions::CASES,
        objects::CASES,
        components::CASES,
        storage::CASES,
        ends::CASES,
        sandbox::CASES,
        granted::CASES,
        functions::CASES,
        idiom::CASES,
    ];
    rooms.concat()
}

/// Calls a function of the programs with the shared executor.
macro_rules! call {
    ($context:expr, $function:expr, $arguments:expr) => {
        samara::block_on($context.executor().call($context.programs(), $function, $arguments))
    };
}

use {crate::case::cases as table, call, samara::block_on as wait};

/// The one task's error.
#[track_caller]
fn task_error<T: std::fmt::Debug>(result: Result<T, Error>) -> TaskError {
    match result {
        Err(Error::Task(error)) => error,
        other => panic!("no task's error: {other:?}"),
    }
}

/// The one task's cause.
#[track_caller]
fn cause<T: std::fmt::Debug>(result: Result<T, Error>) -> Cause {
    task_error(result).into_cause()
}

/// All results of a job, which must have been submitted.
#[track_caller]
fn results<T: Value>(job: Result<Job<T>, Error>) -> Vec<Result<T, TaskError>> {
    wait(job.unwrap().results())
}

/// All values of a job, which must have succeeded.
#[track_caller]
fn collected<T: Value>(job: Result<Job<T>, Error>) -> Vec<T> {
    wait(job.unwrap().values()).unwrap()
}
