//! What is about the local engine, this machine's files or the suite itself, from outside.
//!
//! What every runtime does on every store is no test here but a case in `src/cases/`.
#![allow(missing_docs, reason = "tests")]
#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::disallowed_methods,
    reason = "tests"
)]
#![allow(clippy::cast_possible_truncation, reason = "tests")]

mod bad_components;
mod cache;
mod common;
mod logs;
mod objects;
mod records;
mod references;
mod suite;
